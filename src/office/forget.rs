//! What the office holds of a person: the letters under the address, and those in which it stands somewhere.
//!
//! A letter that is malformed may have no address that can be read, and a person may be named in somebody else's.

use std::collections::BTreeSet;

use serde_json::Value;

use super::desk::{BATCH, Desk, DeskError};
use crate::domain::envelope_json;
use crate::domain::lead_key::{DeadId, normalise_email};
use crate::store::dead_letters::{Aspect, Filter, Kept};

/// Where a person stands in the office.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Letters that are about the person, or about nobody who could be read.
    pub theirs: Vec<DeadId>,
    /// Letters about somebody else, in which the address stands.
    pub mentions: Vec<DeadId>,
}

impl Desk {
    /// Reads every letter there is, in every state.
    pub async fn traces(&self, email: &str) -> Result<Traces, DeskError> {
        let (key, wanted) = (self.keyring.address_key(email), Wanted::new(email));
        let (mut traces, mut after) = (Traces::default(), None);
        loop {
            let page = self.list(Filter::default(), after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(traces) };
            after = Some(last.place());
            for kept in self.letters.read(page.iter().map(|entry| entry.id).collect()).await?.iter().flatten() {
                let (id, address) = (kept.entry.id, kept.entry.facts.address);
                if address == Some(key) {
                    traces.theirs.push(id);
                } else if wanted.is_in(kept) {
                    let of_nobody = address.is_none();
                    if of_nobody { traces.theirs.push(id) } else { traces.mentions.push(id) }
                }
            }
        }
    }

    /// Every offer that a letter is about.
    pub async fn offers(&self) -> Result<BTreeSet<String>, DeskError> {
        let groups = self.count(Filter::default(), vec![Aspect::Offer]).await?;
        Ok(groups.into_iter().filter_map(|group| group.values.into_iter().next().flatten()).collect())
    }

    /// Removes letters for good; what stays in the history tells no more than their ids.
    pub async fn remove(&self, ids: Vec<DeadId>, why: &str) -> Result<u64, DeskError> {
        let mut removed = 0;
        for ids in ids.chunks(BATCH) {
            removed += self.letters.remove(ids.to_vec(), self.act(why)).await?;
        }
        Ok(removed)
    }
}

/// An address as it may be written.
struct Wanted(BTreeSet<String>);

impl Wanted {
    fn new(email: &str) -> Self {
        Self([email.trim().to_lowercase(), normalise_email(email)].into())
    }

    fn is_in(&self, Kept { message, original, .. }: &Kept) -> bool {
        let properties = envelope_json::to_json(&message.properties).to_string();
        let bodies = [Some(&message.body), original.as_ref()].into_iter().flatten();
        self.stands_in(&properties) || bodies.into_iter().any(|body| self.is_in_body(body))
    }

    fn is_in_body(&self, body: &[u8]) -> bool {
        // JSON may write any character as an escape; read, it is written plainly.
        let read = || serde_json::from_slice::<Value>(body).is_ok_and(|value| self.stands_in(&value.to_string()));
        self.stands_in(&String::from_utf8_lossy(body)) || read()
    }

    fn stands_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.0.iter().any(|address| {
            text.match_indices(address.as_str()).any(|(at, found)| {
                let (before, after) = (&text[..at], &text[at + found.len()..]);
                !before.ends_with(continues) && !after.starts_with(char::is_alphanumeric) && !is_longer(after)
            })
        })
    }
}

/// What would make an address before which it stands another one.
fn continues(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '+' | '_' | '-' | '%')
}

/// `example.com` is not `example.com.au`; at the end of a sentence it is.
fn is_longer(after: &str) -> bool {
    let mut rest = after.chars();
    matches!(rest.next(), Some('.' | '-')) && rest.next().is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_however_it_is_written_and_never_in_another_address() {
        let check = |body: &str, expected: bool| {
            assert_eq!(Wanted::new(" Dashan@Example.com").is_in_body(body.as_bytes()), expected, "{body}");
        };
        for found in [
            "dashan@example.com",
            r#"{"CustomerInfo": {"Email": "DASHAN@example.COM "}}"#,
            r#"{"a": ["\u0064ashan\u0040example.com"]}"#,
            "no JSON: <dashan@example.com>.",
            "mailto:dashan@example.com.",
        ] {
            check(found, true);
        }
        for other in
            ["li.dashan@example.com", "dashan@example.com.au", "dashan@example.community", "x+dashan@example.com"]
        {
            check(other, false);
        }
        assert!(Wanted::new("info@BÜCHER.example").is_in_body("info@xn--bcher-kva.example".as_bytes()));
        assert!(Wanted::new("info@BÜCHER.example").is_in_body("info@bücher.example".as_bytes()));
    }
}
