//! A message of the dead queue as a letter. Headers are only believed where a worker of ours wrote them last.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::domain::dead_letter::Cause;
use crate::domain::envelope::{self, Envelope, HeaderValue, Headers, Message};
use crate::domain::event;
use crate::domain::lead_key::Keyring;
use crate::domain::reply::{Class, Code};
use crate::domain::route::{DestinationName, Offer};
use crate::store::dead_letters::{Facts, Letter};

/// The letter, at the moment at which it is read.
pub fn of(message: Message, keyring: &Keyring, now: Timestamp) -> Letter {
    let now = to_the_microsecond(now);
    let (properties, headers) = (&message.properties, &message.properties.headers);
    let envelope = Envelope::read(properties, now);
    let death = Death::of(headers);
    let text = |name: &str| headers.get(name).and_then(HeaderValue::as_text);
    let ours = |name: &str| text(name).filter(|_| death.is_none());
    let time = |name: &str| text(name).and_then(|text| text.parse::<Timestamp>().ok());
    let written = ours(envelope::REASON).and_then(Cause::parse);
    let cause = written.unwrap_or_else(|| death.as_ref().map_or(Cause::Foreign, Death::cause));
    let detail = ours(envelope::DETAIL).filter(|_| written.is_some()).map(printable);
    let detail = detail.or_else(|| death.as_ref().map(Death::detail));
    let (class, code) = last_attempt(cause, &envelope, detail.as_deref());
    let dead_at = death.as_ref().map_or_else(|| time(envelope::DEAD_AT), |death| death.at);
    let replay_of = match &death {
        // What was to be replayed never reached a worker that could say so.
        Some(_) => envelope.replay_of,
        None => text(envelope::REPLAY_OF).and_then(|id| id.parse().ok()),
    };
    let subject = Subject::of(&message, now);
    let lead = ours(envelope::LEAD_KEY).and_then(|key| key.parse().ok());
    let of_subject = || Some(keyring.lead_key(subject.email.as_deref()?, subject.offer.as_ref()?));
    let facts = Facts {
        cause,
        detail,
        class,
        code,
        destination: ours(envelope::DESTINATION).and_then(|name| DestinationName::parse(name).ok()),
        offer: subject.offer.as_ref().map(|offer| offer.normalised().to_owned()),
        lead: lead.or_else(of_subject),
        address: subject.email.as_deref().map(|email| keyring.address_key(email)),
        trace_id: envelope::trace_id(properties).map(str::to_owned),
        attempts: envelope.attempt,
        first_received: time(envelope::FIRST_RECEIVED).map(|at| to_the_microsecond(at.min(now))),
        dead_at: dead_at.map_or(now, |at| to_the_microsecond(at.min(now))),
        generation: envelope.generation,
        replay_of,
        size: message.body.len() as u64,
    };
    // As the worker makes it: letters that the broker made are told apart by nothing else either.
    let id = keyring.dead_id(&message.body, properties.message_id.as_deref(), envelope.generation);
    Letter { id, facts, attempts: envelope.tried, message }
}

/// The last attempt, where it was one that made it dead.
fn last_attempt(cause: Cause, envelope: &Envelope, detail: Option<&str>) -> (Option<Class>, Option<Code>) {
    let class = match cause {
        Cause::Rejected => Class::Rejected,
        Cause::Unknown => Class::Unknown,
        Cause::AttemptsExhausted | Cause::Expired => Class::Transient,
        Cause::Malformed
        | Cause::HeadersTooLarge
        | Cause::Panicked
        | Cause::Poison
        | Cause::Unroutable
        | Cause::CrashedWorker
        | Cause::ExpiredInQueue
        | Cause::Foreign => return (None, None),
    };
    let code = detail.map(Code::foreign);
    let last = envelope.tried.last().filter(|last| last.code == code);
    last.map_or((Some(class), code), |last| (Some(last.class), last.code.clone()))
}

/// What the broker wrote when it dead-lettered by itself. A worker's letters bear nothing of it: what is published
/// again is stripped of it.
struct Death {
    reason: String,
    queue: String,
    at: Option<Timestamp>,
}

impl Death {
    fn of(headers: &Headers) -> Option<Self> {
        let deaths = match headers.get("x-death")? {
            HeaderValue::List(deaths) => deaths.as_slice(),
            _ => &[],
        };
        let tables = deaths.iter().filter_map(|death| match death {
            HeaderValue::Table(table) => Some(table),
            _ => None,
        });
        // A message that came through a retry queue has expired there. The limit is what it died of, if it is there;
        // else what it died of last, which stands first.
        let limit = |table: &&Headers| text_of(table, "reason") == Some("delivery_limit");
        let death = tables.clone().find(limit).or_else(|| tables.clone().next());
        let at = death.and_then(|death| match death.get("time")? {
            HeaderValue::Timestamp(seconds) => Timestamp::from_second(i64::try_from(*seconds).ok()?).ok(),
            _ => None,
        });
        let text = |name| printable(death.and_then(|death| text_of(death, name)).unwrap_or("unsaid"));
        Some(Self { reason: text("reason"), queue: text("queue"), at })
    }

    fn cause(&self) -> Cause {
        match self.reason.as_str() {
            "delivery_limit" => Cause::CrashedWorker,
            "expired" => Cause::ExpiredInQueue,
            _ => Cause::Foreign,
        }
    }

    fn detail(&self) -> String {
        format!("{} in {}", self.reason, self.queue)
    }
}

fn text_of<'a>(table: &'a Headers, name: &str) -> Option<&'a str> {
    table.get(name).and_then(HeaderValue::as_text)
}

/// Whom and what a message is about, as far as can be read: letters of malformed events are to be found too.
#[derive(Default)]
struct Subject {
    email: Option<String>,
    offer: Option<Offer>,
}

/// Nobody sends events larger than this in earnest.
const READABLE: usize = 1024 * 1024;

impl Subject {
    /// A letter may be dead because reading it panics.
    fn of(message: &Message, now: Timestamp) -> Self {
        let read = || match event::decode(message, now) {
            Ok(decoded) => Self { email: Some(decoded.event.customer.email), offer: Some(decoded.event.offer) },
            Err(_) if message.body.len() <= READABLE => Self::guess(&message.body),
            Err(_) => Self::default(),
        };
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_default()
    }

    fn guess(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        let event = value.get("data").filter(|data| data.is_object()).unwrap_or(&value);
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        let lead_source = || text("/LeadSource")?.split_once('|').map(|(_, offer)| offer);
        let offer = text("/Offer").or_else(lead_source).filter(|offer| is_word(offer));
        let email = text("/CustomerInfo/Email").map(str::to_owned).filter(|email| !email.trim().is_empty());
        Self { email, offer: offer.and_then(|offer| Offer::parse(offer).ok()) }
    }
}

/// What stands where an offer belongs may be anything.
fn is_word(text: &str) -> bool {
    text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// Our details are short and plain; whatever else got there cannot speak to a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(4_096).collect()
}

/// As exact as the store keeps times.
fn to_the_microsecond(at: Timestamp) -> Timestamp {
    let beyond = SignedDuration::from_nanos(i64::from(at.subsec_nanosecond() % 1_000));
    at.checked_sub(beyond).unwrap_or(at)
}

#[cfg(test)]
mod tests;
