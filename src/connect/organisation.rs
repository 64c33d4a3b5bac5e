//! An organisation's id: 15 characters in which capitals count, or 18, of which the last three tell the capitals.

use super::{Recognised, Unusable, paste};
use crate::config::web_to_lead::suffix;

const WHERE: &str = "copy it from Setup, Company Information, or from the generated form: 15 or 18 letters and digits, \
                     beginning with 00D";

pub fn recognise(text: &str) -> Result<Recognised<String>, Unusable> {
    let (line, mut remarks) = paste::line(text);
    let bare = line.trim_start_matches("oid").trim_start_matches([' ', '=', ':']).trim_matches(['"', '\'', ' ', ';']);
    if bare != line {
        remarks.push("took off what stood around it".to_owned());
    }
    let wrong = |what: &str| Unusable::new(format!("the oid {what}"), WHERE);
    if let Some(lower) = bare.strip_prefix("00d") {
        return restored(&format!("00D{lower}"), remarks).ok_or_else(|| wrong("has lost its capitals, which count"));
    }
    match bare.len() {
        _ if !bare.starts_with("00D") => Err(wrong("does not begin with 00D")),
        _ if !bare.chars().all(|c| c.is_ascii_alphanumeric()) => {
            Err(wrong("has other characters than letters and digits"))
        }
        15 => Ok(Recognised { value: bare.to_owned(), remarks }),
        18 if bare[15..] == suffix(&bare[..15]) => {
            remarks.push("cut its 18 characters to the 15 that forms have".to_owned());
            Ok(Recognised { value: bare[..15].to_owned(), remarks })
        }
        18 => restored(bare, remarks)
            .ok_or_else(|| wrong("is misspelt: its last three characters do not belong to the others")),
        length => Err(wrong(&format!("has {length} characters"))),
    }
}

/// From 18 characters that are all small, or all capitals, the last three tell which of the others were capitals.
fn restored(id: &str, mut remarks: Vec<String>) -> Option<Recognised<String>> {
    let letters = || id[3..].chars().filter(char::is_ascii_alphabetic);
    let lost = letters().all(|c| c.is_ascii_lowercase()) || letters().all(|c| c.is_ascii_uppercase());
    if !id.is_ascii() || id.len() != 18 || !lost {
        return None;
    }
    let last = id[15..].to_ascii_uppercase();
    let bits = |c: char| "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345".find(c);
    let bits = last.chars().map(bits).collect::<Option<Vec<_>>>()?;
    let capital = |place: usize| bits[place / 5] >> (place % 5) & 1 == 1;
    let cased =
        |(place, c): (usize, char)| if capital(place) { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    let value: String = id[..15].chars().enumerate().map(cased).collect();
    // A digit where a capital must be: not only the capitals were lost.
    if suffix(&value) != last {
        return None;
    }
    remarks.push("gave it back its capitals, which its last three characters tell".to_owned());
    Some(Recognised { value, remarks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_in_every_form_in_which_it_is_copied() {
        let check = |text: &str, expected: &str, remarks: usize| {
            let found = recognise(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((found.value.as_str(), found.remarks.len()), (expected, remarks), "{:?}", found.remarks);
        };
        check("00D5g0000000001", "00D5g0000000001", 0);
        check("00D5g0000000001\r\n", "00D5g0000000001", 1);
        check("oid=00D5g0000000001", "00D5g0000000001", 1);
        check("\"00D5g0000000001\"", "00D5g0000000001", 1);
        check("00D5g0000000001EAA", "00D5g0000000001", 1);
        check("00DABCDEabcdefg", "00DABCDEabcdefg", 0);
        check("00dabcdeabcdefg2ha", "00DABCDEabcdefg", 1);
        check("00DABCDEABCDEFG2HA", "00DABCDEabcdefg", 1);
    }

    #[test]
    fn an_id_that_is_none_is_refused_with_where_to_find_it() {
        let check = |text: &str, what: &str| {
            let told = recognise(text).unwrap_err();
            assert!(told.what.contains(what) && told.mend.contains("Company Information"), "{told}");
            assert!(!told.to_string().contains(text), "{told}");
        };
        check("00D5g0000000001EAB", "misspelt");
        check("00D5g000000001", "14 characters");
        check("00D5g00000000012", "16 characters");
        check("00Q5g0000000001", "begin with 00D");
        check("00D5g00000000-1", "other characters");
        check("00d5g0000000001", "lost its capitals");
    }
}
