//! What the exchange of fates says: one small event for every message that came to its end. No personal data in it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::event::schema;
use super::lead_key::LeadKey;
use super::route::{DestinationName, Offer};
use super::verdict::{Reason, Verdict};

/// A message that came to its end, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub subject: Subject,
    pub ending: Ending,
    pub at: Timestamp,
}

/// Whose fate it is, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject {
    pub event_id: Option<String>,
    pub lead: Option<LeadKey>,
    pub offer: Option<Offer>,
    pub destination: Option<DestinationName>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    Acknowledged(super::verdict::Fate),
    Dead(Reason),
}

impl Ending {
    /// What is tried again, waits or was handed back has not ended.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Ack(fate) => Some(Self::Acknowledged(*fate)),
            Verdict::DeadLetter(reason) => Some(Self::Dead(reason.clone())),
            Verdict::Retry { .. } | Verdict::Wait | Verdict::Release => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Acknowledged(fate) => fate.name(),
            Self::Dead(_) => "dead",
        }
    }

    fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Acknowledged(_) => None,
            Self::Dead(reason) => Some(reason),
        }
    }
}

/// As much as fits a `message_id`, and as much as fits a routing key after the longest fate. What is longer is left out.
const ID_MAX: usize = 255;
const PUBLISHER_MAX: usize = 240;

impl Notice {
    /// `<fate>.<publisher>`, in lower case; `-` stands for a publisher that is not known.
    pub fn routing_key(&self) -> String {
        let publisher = self.subject.offer.as_ref().map(Offer::publisher).filter(|name| name.len() <= PUBLISHER_MAX);
        format!("{}.{}", self.ending.name(), publisher.unwrap_or("-"))
    }

    pub fn to_json(&self) -> Vec<u8> {
        let Self { subject, ending, at } = self;
        let contract = Contract {
            event_id: subject.event_id.as_deref().filter(|id| id.len() <= ID_MAX),
            lead_key: subject.lead.map(|lead| lead.to_string()),
            fate: ending.name(),
            reason: ending.reason().map(Reason::name),
            detail: ending.reason().and_then(Reason::detail),
            destination: subject.destination.as_ref().map(DestinationName::as_str),
            at: *at,
        };
        serde_json::to_vec(&contract).expect("strings and times are JSON")
    }
}

/// What became of one message, once that is decided. No personal data.
///
/// Told as well as can be, and never at the price of a lead: after a crash or a broken connection a fate may be missing, or
/// be told twice.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(title = "Fate")]
struct Contract<'a> {
    /// The event's `EventId`, or the message's `message_id`. Left out if it is longer than 255 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    /// The lead's keyed hash, as logs and dead letters have it. Not there if the event was not read, or has no destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    lead_key: Option<String>,
    /// delivered, duplicate, suppressed, unmarked or dead.
    fate: &'a str,
    /// Why it is dead: malformed, unroutable, rejected, and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Each fault by JSON pointer where it is malformed; else the destination's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// The destination's name in the worker's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'a str>,
    /// When it was decided.
    #[schemars(with = "String", extend("format" = "date-time"))]
    at: Timestamp,
}

pub fn schema() -> Value {
    schema::of::<Contract<'_>>()
}

/// The schema as a file.
pub fn schema_file() -> String {
    schema::as_file(&schema())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reply::Code;
    use crate::domain::retry::Tier;
    use crate::domain::verdict::Fate;

    fn notice(verdict: &Verdict, subject: Subject) -> Option<Notice> {
        Some(Notice { subject, ending: Ending::of(verdict)?, at: Timestamp::UNIX_EPOCH })
    }

    #[test]
    fn what_has_ended_is_told_and_nothing_else() {
        let check = |verdict: Verdict, expected: Option<&str>| {
            let told = notice(&verdict, Subject::default()).map(|it| String::from_utf8(it.to_json()).unwrap());
            assert_eq!(told.as_deref(), expected, "{verdict:?}");
        };
        check(Verdict::Ack(Fate::Delivered), Some(r#"{"Fate":"delivered","At":"1970-01-01T00:00:00Z"}"#));
        check(
            Verdict::DeadLetter(Reason::Rejected(Code::known("too_long"))),
            Some(r#"{"Fate":"dead","Reason":"rejected","Detail":"too_long","At":"1970-01-01T00:00:00Z"}"#),
        );
        check(Verdict::Wait, None);
        check(Verdict::Release, None);
        check(Verdict::Retry { tier: Tier::S5, charged: true }, None);
    }

    #[test]
    fn it_is_routed_by_its_fate_and_its_publisher() {
        let key = |offer: Option<&str>| {
            let offer = offer.map(|text| Offer::parse(text).unwrap());
            notice(&Verdict::Ack(Fate::Duplicate), Subject { offer, ..Subject::default() }).unwrap().routing_key()
        };
        assert_eq!(key(Some("ArrayNetworks.vAPV.byol")), "duplicate.arraynetworks");
        assert_eq!(key(None), "duplicate.-");
        assert_eq!(key(Some(&format!("{}.x", "é".repeat(200)))), "duplicate.-");
    }

    #[test]
    fn an_id_that_fits_no_message_id_is_left_out() {
        let told = |id: String| {
            let subject = Subject { event_id: Some(id), ..Subject::default() };
            String::from_utf8(notice(&Verdict::Ack(Fate::Unmarked), subject).unwrap().to_json()).unwrap()
        };
        assert!(told("e-1".into()).contains(r#""EventId":"e-1""#));
        assert!(!told("e".repeat(256)).contains("EventId"));
    }
}
