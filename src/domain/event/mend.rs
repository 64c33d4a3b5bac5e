//! What may be changed in an event that a person mends, and what may not: it must keep to the contract, and say of consent,
//! of whom it is about and for whom exactly what it said.
//!
//! Consent was given by one address for one offer. So neither may become another; where it could not be read, it may be
//! written. What nobody can read of the consent itself nobody but the producer may mend.

use jiff::Timestamp;
use serde_json::Value;

use super::Event;
use super::address::is_address;
use super::cloud_events::is_structured;
use super::decode::decode;
use super::malformed::{Malformed, Wrong};
use crate::domain::envelope::{MARK, Message};
use crate::domain::lead_key::normalise_email;
use crate::domain::route::Offer;

/// An event that was mended.
#[derive(Clone, Debug, PartialEq)]
pub struct Mended {
    pub event: Event,
    /// Empty: it says what it said before.
    pub changes: Vec<Change>,
}

/// One place in the body that holds something else now.
#[derive(Clone, PartialEq)]
pub struct Change {
    /// A JSON pointer.
    pub pointer: String,
    /// `None`: nothing was there.
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Values may be personal, and do not print.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change(…)")
    }
}

/// Why nothing in an event can be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error(
        "the body is no JSON object, or holds the event in base64: nobody could see that its consent stays as it was"
    )]
    Opaque,
    #[error("its consent cannot be read, so that nobody could see that it stays as it was")]
    Consent,
    #[error("it says twice, and differently, whom it is about or for which offer")]
    Ambiguous,
    #[error("it is no event of a producer, but a mark of ours")]
    Mark,
}

/// Why an event as it was changed is not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Unfit {
    Closed(Closed),
    /// It does not keep to the contract.
    Malformed(Malformed),
    /// It says something else where it may not.
    Fixed(Vec<Fixed>),
}

/// What must stay as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    Consent,
    /// From do-not-contact to an action that is, or back.
    DoNotContact,
    Address,
    Offer,
    EventId,
    OccurredAt,
    /// It was not readable, and may not be later than the event itself was here.
    ConsentLater,
}

impl Fixed {
    /// Where it stands, in the event.
    pub fn pointer(self) -> &'static str {
        match self {
            Self::Consent => "/Consent",
            Self::DoNotContact => "/Action",
            Self::Address => "/CustomerInfo/Email",
            Self::Offer => "/Offer",
            Self::EventId => "/EventId",
            Self::OccurredAt | Self::ConsentLater => "/OccurredAt",
        }
    }

    pub fn why(self) -> &'static str {
        match self {
            Self::Consent => "is the customer's to change",
            Self::DoNotContact => "says do-not-contact, before or after, which is the customer's to change",
            Self::Address => "would be another person, who has not consented",
            Self::Offer => "would be another offer, to which nobody has consented",
            Self::EventId => "would be another event",
            Self::OccurredAt => "orders it among grants and withdrawals",
            Self::ConsentLater => "would make its consent later than it came here",
        }
    }
}

/// The body as a person edits it, where anything in it may be mended at all: in lines, unless that would hide what is
/// there twice.
pub fn draft(before: &Message) -> Result<String, Closed> {
    let Sight { body, text, twice, .. } = Sight::of(before)?;
    Ok(if twice { text.to_owned() } else { format!("{body:#}\n") })
}

/// What the event says after it was changed from `before` to `after`; it was first received at `received`.
pub fn mend(before: &Message, after: &Message, received: Timestamp) -> Result<Mended, Unfit> {
    let was = Sight::of(before).map_err(Unfit::Closed)?;
    let event = decode(after, received).map_err(Unfit::Malformed)?.event;
    let now = Sight::of(after).map_err(Unfit::Closed)?;
    let fixed = was.kept_by(&now, event.consent.at <= received);
    if !fixed.is_empty() {
        return Err(Unfit::Fixed(fixed));
    }
    let mut changes = Vec::new();
    compare("", Some(&was.body), Some(&now.body), &mut changes);
    Ok(Mended { event, changes })
}

/// A body as far as it can be read, however wrong it is.
struct Sight<'a> {
    text: &'a str,
    body: Value,
    /// Where the event is in it.
    event_at: &'static str,
    /// Its own time cannot be read.
    timeless: bool,
    /// Something is there twice.
    twice: bool,
}

impl<'a> Sight<'a> {
    fn of(message: &'a Message) -> Result<Self, Closed> {
        if message.properties.headers.contains_key(MARK) {
            return Err(Closed::Mark);
        }
        let text = std::str::from_utf8(&message.body).map_err(|_| Closed::Opaque)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let body: Value = serde_json::from_str(text).map_err(|_| Closed::Opaque)?;
        let event_at = if is_structured(&message.properties).map_err(|_| Closed::Opaque)? { "/data" } else { "" };
        if !body.pointer(event_at).is_some_and(Value::is_object) {
            return Err(Closed::Opaque);
        }
        // What is wrong with it does not depend on when it was received.
        let problems = match decode(message, Timestamp::UNIX_EPOCH) {
            Ok(_) => Vec::new(),
            Err(malformed) => malformed.problems,
        };
        if problems.iter().any(|problem| problem.wrong == Wrong::TooLarge) {
            return Err(Closed::Opaque);
        }
        if problems.iter().any(|problem| problem.place.member.starts_with("/Consent")) {
            return Err(Closed::Consent);
        }
        let ambiguous = |wrong| matches!(wrong, Wrong::Twice | Wrong::Disagrees);
        if problems.iter().any(|problem| ambiguous(problem.wrong) && !is_plain(problem.place.member)) {
            return Err(Closed::Ambiguous);
        }
        let timeless = problems.iter().any(|problem| matches!(problem.place.member, "/OccurredAt" | "/time"));
        let twice = problems.iter().any(|problem| problem.wrong == Wrong::Twice);
        Ok(Self { text, body, event_at, timeless, twice })
    }

    fn event(&self, pointer: &str) -> Option<&Value> {
        self.body.pointer(self.event_at)?.pointer(pointer)
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.event(pointer)?.as_str().map(str::trim)
    }

    /// What `LeadSource` says: source and action, and the offer.
    fn lead_source(&self) -> Option<(&str, &str)> {
        self.text("/LeadSource")?.split_once('|')
    }

    fn offer(&self) -> Option<Offer> {
        let own = self.text("/Offer").and_then(|offer| Offer::parse(offer).ok());
        own.or_else(|| Offer::parse(self.lead_source()?.1.trim()).ok())
    }

    fn address(&self) -> Option<String> {
        self.text("/CustomerInfo/Email").filter(|address| is_address(address)).map(normalise_email)
    }

    fn is_do_not_contact(&self) -> bool {
        let is = |action: &str| action.trim().eq_ignore_ascii_case("DNC");
        let of_lead_source = self.lead_source().and_then(|(left, _)| left.rsplit_once('-'));
        self.text("/Action").is_some_and(is) || of_lead_source.is_some_and(|(_, action)| is(action))
    }

    /// What the event and its envelope of CloudEvents say of its id, or of its time.
    fn both(&self, own: &str, of_cloud_event: &str) -> (Option<&Value>, Option<&Value>) {
        let outside = if self.event_at.is_empty() { None } else { self.body.pointer(of_cloud_event) };
        (self.event(own), outside)
    }

    /// What may not change and did.
    fn kept_by(&self, now: &Sight<'_>, no_later: bool) -> Vec<Fixed> {
        let (offer, address) = (self.offer(), self.address());
        let is_same = |offer: &Offer| now.offer().is_some_and(|now| now.normalised() == offer.normalised());
        let times = |sight: &Sight<'_>| {
            let (own, outside) = sight.both("/OccurredAt", "/time");
            (own.cloned(), outside.cloned())
        };
        let moved = times(self) != times(now);
        [
            (self.event("/Consent") != now.event("/Consent"), Fixed::Consent),
            (self.is_do_not_contact() != now.is_do_not_contact(), Fixed::DoNotContact),
            (address.is_some() && address != now.address(), Fixed::Address),
            (!offer.as_ref().is_none_or(is_same), Fixed::Offer),
            (self.both("/EventId", "/id") != now.both("/EventId", "/id"), Fixed::EventId),
            (moved && !self.timeless, Fixed::OccurredAt),
            (moved && self.timeless && !no_later, Fixed::ConsentLater),
        ]
        .into_iter()
        .filter_map(|(changed, fixed)| changed.then_some(fixed))
        .collect()
    }
}

/// What says nothing of consent, of whom, for whom or when.
fn is_plain(member: &str) -> bool {
    let of_customer = member.strip_prefix("/CustomerInfo/");
    of_customer.is_some_and(|field| field != "Email")
        || matches!(member, "/Source" | "/Description" | "/OfferDisplayName" | "/PublisherDisplayName")
}

/// The places at which two values differ, as deep as both are objects.
fn compare(pointer: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    let (Some(Value::Object(was)), Some(Value::Object(now))) = (before, after) else {
        changes.push(Change { pointer: pointer.to_owned(), before: before.cloned(), after: after.cloned() });
        return;
    };
    let added = now.keys().filter(|name| !was.contains_key(*name));
    for name in was.keys().chain(added) {
        let within = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        compare(&within, was.get(name), now.get(name), changes);
    }
}

/// The body with a text at the place that a JSON pointer names; objects on the way there are made where there are none.
/// `None`: the pointer names no place in an object.
pub fn with_text(mut body: Value, pointer: &str, text: &str) -> Option<Value> {
    let mut place = &mut body;
    for name in pointer.strip_prefix('/')?.split('/') {
        let name = name.replace("~1", "/").replace("~0", "~");
        if place.is_null() {
            *place = Value::Object(serde_json::Map::new());
        }
        place = place.as_object_mut()?.entry(name).or_insert(Value::Null);
    }
    *place = Value::String(text.to_owned());
    Some(body)
}

#[cfg(test)]
mod tests;
