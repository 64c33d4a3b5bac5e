//! Salesforce's ids: a prefix for the kind of record, and 15 case-sensitive characters, to which 3 more add a checksum
//! that survives programs that ignore case.

use std::fmt;
use std::str::FromStr;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The Lead's prefix, and an instance and pod as an org has them.
const LEAD: &str = "00Q5g00000";
/// The user as whom a client works.
pub const USER: &str = "0055g000000aaaaAAA";

/// The n-th lead that this org has ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeadId(pub u32);

/// An id that no record can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for LeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0 as usize;
        let mut digits = [0; 5];
        for digit in digits.iter_mut().rev() {
            *digit = DIGITS[rest % DIGITS.len()];
            rest /= DIGITS.len();
        }
        let short = format!("{LEAD}{}", digits.map(char::from).iter().collect::<String>());
        write!(f, "{short}{}", checksum(&short))
    }
}

impl FromStr for LeadId {
    type Err = Malformed;

    /// An id with 15 or 18 characters. That of another kind of record is well-formed, and nobody's: lead 0.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let well_formed = matches!(text.len(), 15 | 18) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let (short, suffix) = text.split_at_checked(15).filter(|_| well_formed).ok_or(Malformed)?;
        if !suffix.is_empty() && !checksum(short).eq_ignore_ascii_case(suffix) {
            return Err(Malformed);
        }
        let Some(digits) = short.strip_prefix(LEAD) else { return Ok(Self(0)) };
        let value = |byte: u8| DIGITS.iter().position(|digit| *digit == byte).unwrap_or_default();
        let number = digits.bytes().fold(0, |number, byte| number * DIGITS.len() + value(byte));
        Ok(Self(u32::try_from(number).unwrap_or_default()))
    }
}

/// For each five characters, one that says which of them are capitals.
pub fn checksum(short: &str) -> String {
    let capitals = |five: &[u8]| {
        let bits = five.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase());
        bits.map(|(place, _)| 1 << place).sum::<usize>()
    };
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    short.as_bytes().chunks(5).map(|five| char::from(letters[capitals(five)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_with_and_without_their_checksum() {
        for number in [1, 61, 62, 3_843, 1_000_000] {
            let id = LeadId(number).to_string();
            assert_eq!(id.len(), 18, "{id}");
            assert_eq!(id.parse(), Ok(LeadId(number)));
            assert_eq!(id[..15].parse(), Ok(LeadId(number)));
        }
    }

    #[test]
    fn the_checksum_is_salesforces() {
        // From Salesforce's documentation and many public records.
        assert_eq!(checksum("001D000000IqhSL"), "IAZ");
        assert_eq!(checksum("00D000000000062"), "EAA");
    }

    #[test]
    fn what_cannot_be_an_id_is_told_from_one_that_nobody_has() {
        for text in ["", "123", "00Q5g00000!!!!!", "00Q5g0000000001AAB", "00Qé5g000000001"] {
            assert_eq!(text.parse::<LeadId>(), Err(Malformed), "{text}");
        }
        assert_eq!("001D000000IqhSLIAZ".parse(), Ok(LeadId(0)));
    }
}
