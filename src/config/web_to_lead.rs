//! A Salesforce org, reached by Web-to-Lead.

use super::destination::url;
use super::fields;
use super::section::{Placed, Section};
use crate::domain::allowance::{Daily, OnDailyLimit};
use crate::domain::mapping::Mapping;
use crate::domain::reply::OnUnknown;

#[derive(Clone, Debug)]
pub struct WebToLead {
    /// In its 15 characters or its 18.
    pub oid: String,
    pub endpoint: String,
    pub fields: Vec<Mapping>,
    pub on_unknown: OnUnknown,
    pub daily: Daily,
}

/// Posts at once; more of a lead than this nobody fills in forms.
pub const IN_FLIGHT: u32 = 8;

/// Inputs of the form that are ours to fill, or nobody's: `debugEmail` would mail people's data, `retURL` redirects.
const OURS: [&str; 14] = [
    "oid",
    "encoding",
    "first_name",
    "last_name",
    "email",
    "phone",
    "country",
    "company",
    "title",
    "doNotCall",
    "emailOptOut",
    "retURL",
    "debug",
    "debugEmail",
];

pub fn of(section: &mut Section<'_>, allow_plaintext: bool) -> Option<WebToLead> {
    let oid = oid(section);
    if !section.has("endpoint") {
        let mend = "write the address that the generated form posts to: \"https://YOURS.my.salesforce.com/servlet/\
                    servlet.WebToLead?encoding=UTF-8\"";
        section.missing("endpoint", mend);
    }
    let endpoint = url(section, "endpoint", allow_plaintext);
    let fields = mappings(section);
    let outcomes = [("dead-letter", OnUnknown::DeadLetter), ("resend", OnUnknown::Resend)];
    let on_unknown = section.choice("on_unknown", &outcomes).unwrap_or_default();
    let limit = section.integer("daily_limit", 1..=1_000_000, 500).value;
    let beyond = [("send", OnDailyLimit::Send), ("wait", OnDailyLimit::Wait)];
    let on_limit = section.choice("on_daily_limit", &beyond).unwrap_or_default();
    Some(WebToLead { oid: oid?, endpoint: endpoint?, fields, on_unknown, daily: Daily { limit, on_limit } })
}

fn oid(section: &mut Section<'_>) -> Option<String> {
    let mend = "copy it from Setup, Company Information: 15 or 18 letters and digits, beginning with 00D";
    if !section.has("oid") {
        section.missing("oid", mend);
    }
    let Placed { value, place } = section.text("oid")?;
    let is_id = value.starts_with("00D") && value.chars().all(|c| c.is_ascii_alphanumeric());
    match (is_id, value.len()) {
        (true, 15) => {}
        // The three tell which of the fifteen are capitals: a slip of the hand shows.
        (true, 18) if value[15..] == suffix(&value[..15]) => {}
        (true, 18) => section.note(&place, "oid", "is misspelt: its last three characters do not belong to it", mend),
        _ => section.note(&place, "oid", "is no organisation's id", mend),
    }
    Some(value)
}

/// The last three characters of an id in 18: for each five of the 15, which of them are capitals.
pub fn suffix(id: &str) -> String {
    const DIGITS: [u8; 32] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let capitals = |five: &[u8]| {
        let bits = five.iter().enumerate().map(|(place, c)| usize::from(c.is_ascii_uppercase()) << place);
        char::from(DIGITS[bits.sum::<usize>()])
    };
    id.as_bytes().chunks(5).map(capitals).collect()
}

/// Whether an input of the form is ours to fill, or nobody's.
pub fn is_ours(input: &str) -> bool {
    OURS.iter().any(|name| name.eq_ignore_ascii_case(input))
}

fn mappings(section: &mut Section<'_>) -> Vec<Mapping> {
    let mappings = fields::of(section.fields("fields"));
    for Placed { value, place } in &mappings {
        if is_ours(&value.field) {
            let key = format!("fields.{}", value.field);
            section.note(place, &key, "is not yours to fill", "take it out");
        }
    }
    mappings.into_iter().map(|mapping| mapping.value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_three_characters_tell_the_capitals() {
        let check = |id: &str, expected: &str| assert_eq!(suffix(id), expected, "{id}");
        // 001A0000006Vm9rIAC stands in Salesforce's own documents.
        check("001A0000006Vm9r", "IAC");
        check("00D5g0000000001", "EAA");
        check("00dABCDEabcdefg", "YHA");
    }
}
