//! What somebody may have meant to write.

/// The name nearest to `typed`, if it is near enough to be a slip of the hand.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = typed.chars().count().div_ceil(3).min(3);
    let distances = names.into_iter().map(|name| (distance(typed, name), name));
    distances.filter(|(distance, _)| *distance <= near).min().map(|(_, name)| name)
}

/// Levenshtein: how many characters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let names = ["connection_string", "batch_max", "url", "table", "offer"];
        let check = |typed: &str, meant: Option<&str>| assert_eq!(nearest(typed, names), meant, "{typed}");
        check("connectionstring", Some("connection_string"));
        check("conection_strng", Some("connection_string"));
        check("batchmax", Some("batch_max"));
        check("uri", Some("url"));
        check("offers", Some("offer"));
        check("password", None);
        check("x", None);
        check("", None);
    }
}
