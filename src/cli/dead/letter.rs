//! A dead letter as an operator sees it. Headers are only believed where we wrote them, and nothing of it prints raw.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::mask;
use crate::cli::screen::age;
use crate::domain::envelope::{self, Envelope, HeaderValue, Message};
use crate::domain::lead_key::{DeadId, Keyring, LeadKey};
use crate::domain::route::DestinationName;

/// The reasons that we write. What is not among them was written by somebody else.
const REASONS: [&str; 9] = [
    "malformed",
    "headers_too_large",
    "panicked",
    "poison",
    "unroutable",
    "rejected",
    "attempts_exhausted",
    "expired",
    "unknown",
];

#[derive(Debug, PartialEq)]
pub struct Letter {
    pub id: DeadId,
    pub reason: &'static str,
    pub detail: Option<String>,
    pub destination: Option<String>,
    pub lead_key: Option<LeadKey>,
    pub attempts: u32,
    /// `None` if no worker ever had it.
    pub first_received: Option<Timestamp>,
    pub generation: u32,
    pub size: usize,
    /// The body, masked; `None` if it is no JSON.
    pub body: Option<Value>,
}

impl Letter {
    pub fn of(message: &Message, keyring: &Keyring) -> Self {
        let headers = &message.properties.headers;
        let by_broker = headers.contains_key("x-death");
        let text = |name: &str| headers.get(name).and_then(HeaderValue::as_text);
        let ours = |name: &str| text(name).filter(|_| !by_broker);
        // Nothing here is judged by the clock: what a letter says of its receipt is shown as it says it.
        let envelope = Envelope::read(&message.properties, Timestamp::MAX);
        let stamped = text(envelope::FIRST_RECEIVED).is_some_and(|text| text.parse::<Timestamp>().is_ok());
        let message_id = message.properties.message_id.as_deref();
        let dead_id = || keyring.dead_id(&message.body, message_id, envelope.generation);
        let written = ours(envelope::REASON).and_then(|name| REASONS.into_iter().find(|reason| *reason == name));
        Self {
            id: ours(envelope::DEAD_ID).and_then(|id| id.parse().ok()).unwrap_or_else(dead_id),
            // The broker dead-letters for one reason only: the delivery limit.
            reason: written.unwrap_or(if by_broker { "poison" } else { "foreign" }),
            detail: ours(envelope::DETAIL).filter(|_| written.is_some()).map(printable),
            destination: ours(envelope::DESTINATION)
                .filter(|name| DestinationName::parse(name).is_ok())
                .map(Into::into),
            lead_key: ours(envelope::LEAD_KEY).and_then(|key| key.parse().ok()),
            attempts: envelope.attempt,
            first_received: stamped.then_some(envelope.first_received),
            generation: envelope.generation,
            size: message.body.len(),
            body: mask::body(&message.body),
        }
    }

    pub fn summary(&self) -> Value {
        json!({
            "dead_id": self.id.to_string(),
            "reason": self.reason,
            "detail": self.detail,
            "destination": self.destination,
            "lead_key": self.lead_key.map(|key| key.to_string()),
            "attempts": self.attempts,
            "first_received": self.first_received,
            "replays": self.generation,
            "bytes": self.size,
        })
    }

    pub fn whole(&self) -> Value {
        let mut whole = self.summary();
        whole["body_masked"] = self.body.clone().unwrap_or_default();
        whole
    }

    pub fn as_text(&self, now: Timestamp) -> String {
        let received = self.first_received.map(|at| format!("{at}, {} ago", age(at, now)));
        let lead_key = self.lead_key.map(|key| key.to_string());
        let none = || "-".to_owned();
        let mut text = String::new();
        for (name, value) in [
            ("dead-id", self.id.to_string()),
            ("reason", self.reason.to_owned()),
            ("detail", self.detail.clone().unwrap_or_else(none)),
            ("destination", self.destination.clone().unwrap_or_else(none)),
            ("lead key", lead_key.unwrap_or_else(none)),
            ("attempts", self.attempts.to_string()),
            ("received", received.unwrap_or_else(none)),
            ("replays", self.generation.to_string()),
        ] {
            writeln!(text, "{name:<12} {value}").expect("a string takes all that is written");
        }
        match &self.body {
            Some(body) => writeln!(text, "\n{body:#}"),
            None => writeln!(text, "\nthe body, {} bytes, is no JSON, and is not shown", self.size),
        }
        .expect("a string takes all that is written");
        text
    }
}

/// Our details are short and plain; whatever else got there cannot speak to the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(4_096).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::envelope::Properties;
    use crate::domain::verdict::Reason;

    fn message(headers: &[(&str, &str)]) -> Message {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), HeaderValue::Text((*value).to_owned()));
        let headers = headers.iter().map(text).collect();
        let body = Bytes::from_static(br#"{"Offer": "pub.offer", "CustomerInfo": {"Email": "canary@example.com"}}"#);
        Message { body, properties: Properties { headers, ..Properties::default() } }
    }

    fn letter(headers: &[(&str, &str)]) -> Letter {
        Letter::of(&message(headers), &Keyring::new(b"0123456789abcdef"))
    }

    #[test]
    fn a_letter_that_we_wrote_is_read_as_we_wrote_it() {
        let id = "0123456789abcdef0123456789abcdef";
        let letter = letter(&[
            (envelope::REASON, "rejected"),
            (envelope::DETAIL, "PropertyValueTooLarge"),
            (envelope::DESTINATION, "contoso-table"),
            (envelope::DEAD_ID, id),
            (envelope::LEAD_KEY, id),
            (envelope::FIRST_RECEIVED, "2026-11-20T10:00:00Z"),
        ]);
        let text = letter.as_text("2026-11-22T12:00:00Z".parse().unwrap());
        assert_eq!(
            text,
            "dead-id      0123456789abcdef0123456789abcdef\nreason       rejected\n\
             detail       PropertyValueTooLarge\ndestination  contoso-table\n\
             lead key     0123456789abcdef0123456789abcdef\nattempts     0\n\
             received     2026-11-20T10:00:00Z, 2d 2h ago\nreplays      0\n\n\
             {\n  \"CustomerInfo\": {\n    \"Email\": \"c•@e•\"\n  },\n  \"Offer\": \"pub.offer\"\n}\n"
        );
        assert_eq!(letter.whole()["detail"], "PropertyValueTooLarge");
        assert_eq!(letter.summary().get("body_masked"), None);
    }

    #[test]
    fn what_a_producer_wrote_into_our_headers_is_not_believed_when_the_broker_made_the_letter() {
        let forged = [
            (envelope::REASON, "rejected"),
            (envelope::DETAIL, "canary"),
            (envelope::DESTINATION, "canary"),
            (envelope::DEAD_ID, "00000000000000000000000000000000"),
            ("x-death", "…"),
        ];
        let read = letter(&forged);
        assert_eq!((read.reason, &read.detail, &read.destination), ("poison", &None, &None));
        assert_eq!(read.id, letter(&[("x-death", "…")]).id, "the id is that of the body");
        assert!(!read.whole().to_string().contains("canary"));
    }

    #[test]
    fn a_letter_that_nobody_explains_is_foreign_and_cannot_speak_to_the_terminal() {
        let foreign = letter(&[
            (envelope::REASON, "canary"),
            (envelope::DETAIL, "\x1b[2Jcanary"),
            (envelope::DESTINATION, "A\n"),
        ]);
        assert_eq!((foreign.reason, foreign.detail, foreign.destination), ("foreign", None, None));
        let ours = letter(&[(envelope::REASON, "malformed"), (envelope::DETAIL, "\x1b[2J/Offer missing")]);
        assert_eq!(ours.detail.as_deref(), Some("[2J/Offer missing"));
    }

    #[test]
    fn every_reason_that_a_verdict_can_give_is_known_here() {
        let code = || crate::domain::reply::Code::known("x");
        for reason in [
            Reason::Malformed(String::new()),
            Reason::HeadersTooLarge,
            Reason::Panicked,
            Reason::Poison,
            Reason::Unroutable,
            Reason::Rejected(code()),
            Reason::AttemptsExhausted(code()),
            Reason::Expired(code()),
            Reason::Unknown(code()),
        ] {
            assert_eq!(letter(&[(envelope::REASON, reason.name())]).reason, reason.name());
        }
    }
}
