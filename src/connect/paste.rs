//! What kind of thing was pasted, told by its looks; and what the clipboard, a mail or a chat has done to it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Unusable;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pasted {
    /// A storage account's connection string, or a signed URL.
    Storage,
    Oid,
    Form,
    /// In PEM.
    PrivateKey,
}

pub fn recognise(text: &str) -> Result<Pasted, Unusable> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if text.is_empty() {
        return Err(Unusable::new("nothing was pasted", "copy it again"));
    }
    if text.starts_with("-----BEGIN") {
        return Ok(Pasted::PrivateKey);
    }
    if text.contains('<') && has(&["<form", "<input", "<meta", "webtolead", "oid"]) {
        return Ok(Pasted::Form);
    }
    if has(&[
        "accountkey",
        "accountname",
        "sharedaccesssignature",
        "tableendpoint",
        "usedevelopmentstorage",
        "connectionstring",
    ]) || lower.starts_with("http") && has(&["sig="])
    {
        return Ok(Pasted::Storage);
    }
    if lower.trim_start_matches("oid").trim_start_matches(['=', ':', ' ', '"', '\'']).starts_with("00d") {
        return Ok(Pasted::Oid);
    }
    if STANDARD.decode(text).is_ok_and(|key| key.len() == 64) {
        let mend = "copy \"Connection string\", which stands below the key in the portal";
        return Err(Unusable::new("this is a storage account's key alone", mend));
    }
    if lower.starts_with("http") && has(&["webtolead"]) {
        let mend = "give it as --endpoint, and the oid beside it; or paste the whole generated form";
        return Err(Unusable::new("this is the address of a Web-to-Lead form, without its oid", mend));
    }
    let mend = "copy a storage account's connection string, an oid, or the whole generated Web-to-Lead form";
    Err(Unusable::new("this is none of the things that we know", mend))
}

/// What is on one line, without what cannot be seen. Tells what was taken off.
pub fn line(text: &str) -> (String, Vec<String>) {
    let mut remarks = Vec::new();
    if text.trim_end_matches([' ', '\t']).ends_with(['\n', '\r']) && text.trim().lines().count() == 1 {
        remarks.push("took off the line break at its end".to_owned());
    }
    // Chats and web pages put them in; no secret has them.
    let unseen = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{2060}' | '\u{ad}');
    let mut line: String = text.chars().filter(|c| !unseen(*c)).collect();
    if line.len() < text.len() {
        remarks.push("took out characters that cannot be seen".to_owned());
    }
    line = line.replace('\u{a0}', " ").trim().to_owned();
    let quotes = [('"', '"'), ('\'', '\''), ('“', '”'), ('`', '`'), ('「', '」')];
    let inner = quotes.into_iter().find_map(|(open, close)| line.strip_prefix(open)?.strip_suffix(close));
    if let Some(inner) = inner.map(|inner| inner.trim().to_owned()) {
        remarks.push("took off the quotes around it".to_owned());
        line = inner;
    }
    (line, remarks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pasted_is_told_by_its_looks() {
        let check = |text: &str, expected: Pasted| assert_eq!(recognise(text), Ok(expected), "{text}");
        check("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=b", Pasted::Storage);
        check("{\"connectionString\":\"x\"}", Pasted::Storage);
        check("UseDevelopmentStorage=true\n", Pasted::Storage);
        check("https://a.table.core.windows.net/?sv=1&sig=x", Pasted::Storage);
        check("00D5g0000000001", Pasted::Oid);
        check(" oid = \"00D5g0000000001\"", Pasted::Oid);
        check("00d5g0000000001eaa", Pasted::Oid);
        check("<META HTTP-EQUIV=\"x\">\n<form action=\"y\">", Pasted::Form);
        check("<input type=hidden name=\"oid\" value=\"00D5g0000000001\">", Pasted::Form);
        check("-----BEGIN PRIVATE KEY-----", Pasted::PrivateKey);
    }

    #[test]
    fn what_is_not_the_thing_is_told_with_where_the_thing_is() {
        let check = |text: &str, what: &str| {
            let told = recognise(text).unwrap_err();
            assert!(told.what.contains(what) && !told.to_string().contains("canary"), "{told}");
        };
        check("", "nothing");
        check(&STANDARD.encode([7; 64]), "key alone");
        check("https://a.my.salesforce.com/servlet/servlet.WebToLead?canary=1", "without its oid");
        check("canary", "none of the things");
    }

    #[test]
    fn what_clipboards_add_is_taken_off_and_told() {
        let check = |text: &str, expected: &str, remarks: usize| {
            let (line, told) = line(text);
            assert_eq!((line.as_str(), told.len()), (expected, remarks), "{told:?}");
        };
        check("abc", "abc", 0);
        check("abc\r\n", "abc", 1);
        check(" \u{feff}a\u{200b}bc ", "abc", 1);
        check("“abc”\n", "abc", 2);
        check("a\nb", "a\nb", 0);
    }
}
