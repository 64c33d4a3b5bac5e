//! A message and its envelope: the headers that are ours, and what a republished message carries.
//!
//! A producer may write anything into any header, so everything read here is clamped or ignored, never trusted.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::dead_letter::{Attempt, read_attempts, write_attempts};
use super::lead_key::DeadId;

/// What AMQP hands us, free of any client library's types.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    pub body: Bytes,
    pub properties: Properties,
}

/// The AMQP 0-9-1 basic properties that survive a republish. `expiration`, `user_id`, `priority` and `reply_to`
/// are dropped on receipt: the first would lose a message, the second is refused by the broker for another user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub message_id: Option<String>,
    pub correlation_id: Option<String>,
    /// AMQP `type`.
    pub kind: Option<String>,
    pub app_id: Option<String>,
    /// Seconds since 1970, as the producer wrote it.
    pub timestamp: Option<u64>,
    pub headers: Headers,
}

pub type Headers = BTreeMap<String, HeaderValue>;

/// An AMQP field value. Integer widths are not kept: the value is.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderValue {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal { scale: u8, value: u32 },
    Text(String),
    Bytes(Vec<u8>),
    Timestamp(u64),
    List(Vec<HeaderValue>),
    Table(Headers),
}

impl HeaderValue {
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// Bytes on the wire, near enough to keep a frame under the broker's limit.
    fn size(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 2,
            Self::Int(_) | Self::Float(_) | Self::Decimal { .. } | Self::Timestamp(_) => 9,
            Self::Text(text) => 5 + text.len(),
            Self::Bytes(bytes) => 5 + bytes.len(),
            Self::List(items) => 5 + items.iter().map(Self::size).sum::<usize>(),
            Self::Table(table) => 5 + size_of_headers(table),
        }
    }
}

/// Headers over this are not republished: a header frame over the negotiated 128 KiB closes the connection, for
/// ever again.
pub const HEADERS_MAX: usize = 64 * 1024;

/// The trace context is kept even then, unless it is what is too large: W3C allows it 512 characters.
const TRACE_MAX: usize = 1024;

pub fn size_of_headers(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| 1 + name.len() + value.size()).sum()
}

pub const ATTEMPT: &str = "x-leadrelay-attempt";
pub const FIRST_RECEIVED: &str = "x-leadrelay-first-received";
pub const WAITED: &str = "x-leadrelay-waited";
pub const REASON: &str = "x-leadrelay-reason";
pub const DETAIL: &str = "x-leadrelay-detail";
pub const DESTINATION: &str = "x-leadrelay-destination";
pub const REPLAY: &str = "x-leadrelay-replay";
/// Of a dead letter, its own; of an event, that of the letter that it replays.
pub const DEAD_ID: &str = "x-leadrelay-dead-id";
pub const DEAD_AT: &str = "x-leadrelay-dead-at";
/// The letter that a dead letter's message replayed.
pub const REPLAY_OF: &str = "x-leadrelay-replay-of";
pub const ATTEMPTS: &str = "x-leadrelay-attempts";
pub const LEAD_KEY: &str = "x-leadrelay-lead-key";
pub const MARK: &str = "x-leadrelay-mark";
/// When a message in a retry queue comes back: for people, as nothing decides by it.
pub const DUE: &str = "x-leadrelay-due";
/// Since when a replayed message has been known: its event's times fall back to this, whatever becomes of it.
pub const KNOWN_SINCE: &str = "x-leadrelay-known-since";

/// Attempts above this are a producer's invention.
const ATTEMPT_MAX: i64 = 1_000;

/// Our own view of a message: how long we have had it, and how often we tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Attempts charged so far.
    pub attempt: u32,
    /// When the first worker received it; never later than now.
    pub first_received: Timestamp,
    /// Time spent in wait queues, which does not age a message.
    pub waited: Duration,
    /// How often an operator replayed it.
    pub generation: u32,
    /// The dead letter that it replays.
    pub replay_of: Option<DeadId>,
    /// The latest attempts that failed.
    pub tried: Vec<Attempt>,
    pub origin: Origin,
}

/// Where a message came from; only `New` compares with what producers confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    New,
    Retry,
    Wait,
    Replay,
}

impl Origin {
    pub const ALL: [Self; 4] = [Self::New, Self::Retry, Self::Wait, Self::Replay];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Retry => "retry",
            Self::Wait => "wait",
            Self::Replay => "replay",
        }
    }
}

impl Envelope {
    /// Reads our headers, clamped to what can be true at `now`. Only a worker stamps `first-received`, and it stamps it
    /// always: without it, attempts and waiting are somebody's invention.
    pub fn read(properties: &Properties, now: Timestamp) -> Self {
        let headers = &properties.headers;
        let int = |name| headers.get(name).and_then(HeaderValue::as_int).unwrap_or(0);
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let generation = int(REPLAY).clamp(0, i64::from(u32::MAX)) as u32;
        let dead_id = headers.get(DEAD_ID).and_then(HeaderValue::as_text).and_then(|id| id.parse().ok());
        let replay_of = dead_id.filter(|_| generation > 0);
        let Some(stamped) = headers.get(FIRST_RECEIVED).and_then(HeaderValue::as_text).and_then(time) else {
            let origin = if generation > 0 { Origin::Replay } else { Origin::New };
            let (attempt, waited, tried) = (0, Duration::ZERO, Vec::new());
            return Self { attempt, first_received: now, waited, generation, replay_of, tried, origin };
        };
        let first_received = stamped.min(now);
        let waited = headers.get(WAITED).and_then(HeaderValue::as_text).and_then(Waited::parse);
        let waits = waited.is_some_and(|waited| waited.since.is_some());
        Self {
            attempt: int(ATTEMPT).clamp(0, ATTEMPT_MAX) as u32,
            first_received,
            waited: waited.map_or(Duration::ZERO, |waited| waited.until(now)).min(elapsed(first_received, now)),
            generation,
            replay_of,
            tried: headers.get(ATTEMPTS).and_then(HeaderValue::as_text).map(read_attempts).unwrap_or_default(),
            origin: if waits { Origin::Wait } else { Origin::Retry },
        }
    }

    /// How old the message is by what counts against it: since we first had it, less the time it waited.
    pub fn age(&self, now: Timestamp) -> Duration {
        elapsed(self.first_received, now).saturating_sub(self.waited)
    }
}

/// The `x-leadrelay-waited` header: milliseconds waited before, and since when it has been waiting now.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Waited {
    before: Duration,
    since: Option<Timestamp>,
}

impl Waited {
    fn parse(text: &str) -> Option<Self> {
        let (millis, since) = text.split_once('@').map_or((text, None), |(millis, since)| (millis, since.parse().ok()));
        let before = Duration::from_millis(millis.parse().ok()?);
        Some(Self { before, since })
    }

    fn until(&self, now: Timestamp) -> Duration {
        self.before.saturating_add(self.since.map_or(Duration::ZERO, |since| elapsed(since, now)))
    }
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// The trace that the message belongs to, from its W3C `traceparent`: 32 hex digits, or nothing.
///
/// <https://www.w3.org/TR/trace-context/#traceparent-header-field-values>
pub fn trace_id(properties: &Properties) -> Option<&str> {
    let mut parts = properties.headers.get("traceparent")?.as_text()?.split('-').skip(1);
    let is_hex = |id: &&str| id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    parts.next().filter(is_hex)
}

/// When a message in a retry queue comes back, if it says so.
pub fn due(properties: &Properties) -> Option<Timestamp> {
    properties.headers.get(DUE)?.as_text()?.parse().ok()
}

/// What a republished message says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamp {
    pub attempt: u32,
    pub first_received: Timestamp,
    pub waited: Duration,
    pub generation: u32,
    pub replay_of: Option<DeadId>,
    pub tried: Vec<Attempt>,
    /// Set when it goes to a wait queue now.
    pub waiting_since: Option<Timestamp>,
}

impl Stamp {
    pub fn of(envelope: &Envelope) -> Self {
        Self {
            attempt: envelope.attempt,
            first_received: envelope.first_received,
            waited: envelope.waited,
            generation: envelope.generation,
            replay_of: envelope.replay_of,
            tried: envelope.tried.clone(),
            waiting_since: None,
        }
    }
}

/// Headers that a republished message must not carry. `x-death` and its kin make the broker see a cycle and drop
/// a message that it has confirmed (RabbitMQ before 4.0, measured); CC and BCC would copy it elsewhere.
const STRIPPED: [&str; 6] = ["x-delivery-count", "x-acquired-count", "CC", "BCC", "x-delay", "x-stream-offset"];

fn is_stripped(name: &str) -> bool {
    name.starts_with("x-death")
        || name.starts_with("x-first-death-")
        || name.starts_with("x-last-death-")
        || name.starts_with("x-leadrelay-") && name != MARK && name != KNOWN_SINCE
        || STRIPPED.contains(&name)
}

/// The properties without what must not be published again.
fn stripped(properties: &Properties) -> Properties {
    let mut properties = properties.clone();
    properties.headers.retain(|name, _| !is_stripped(name));
    if size_of_headers(&properties.headers) > HEADERS_MAX {
        let is_kept = |name: &str| matches!(name, "traceparent" | "tracestate" | KNOWN_SINCE);
        properties.headers.retain(|name, value| is_kept(name) && value.size() <= TRACE_MAX);
    }
    properties
}

/// A dead letter's message as it is replayed: the body, the trace and the event's id untouched, our count of attempts
/// and our time of receipt gone, so that it begins anew. An event that bears no time of its own keeps that of its first
/// receipt: a replay makes no consent later than it was.
pub fn replayed(message: &Message, letter: DeadId, generation: u32, known_since: Timestamp) -> Message {
    let mut properties = stripped(&message.properties);
    let since = known_since_of(&properties).map_or(known_since, |since| since.min(known_since));
    let headers = &mut properties.headers;
    headers.insert(REPLAY.into(), HeaderValue::Int(generation.into()));
    headers.insert(DEAD_ID.into(), HeaderValue::Text(letter.to_string()));
    headers.insert(KNOWN_SINCE.into(), HeaderValue::Text(since.to_string()));
    Message { body: message.body.clone(), properties }
}

/// When a message that was replayed had first been received.
pub fn known_since_of(properties: &Properties) -> Option<Timestamp> {
    properties.headers.get(KNOWN_SINCE)?.as_text()?.parse().ok()
}

/// The message as it is published again: the body untouched, the producer's properties kept, ours set anew.
pub fn republished(message: &Message, stamp: &Stamp) -> Message {
    let mut properties = stripped(&message.properties);
    let headers = &mut properties.headers;
    headers.insert(ATTEMPT.into(), HeaderValue::Int(stamp.attempt.into()));
    headers.insert(FIRST_RECEIVED.into(), HeaderValue::Text(stamp.first_received.to_string()));
    if stamp.generation > 0 {
        headers.insert(REPLAY.into(), HeaderValue::Int(stamp.generation.into()));
    }
    if let Some(letter) = stamp.replay_of {
        headers.insert(DEAD_ID.into(), HeaderValue::Text(letter.to_string()));
    }
    if !stamp.tried.is_empty() {
        headers.insert(ATTEMPTS.into(), HeaderValue::Text(write_attempts(&stamp.tried)));
    }
    let waited = stamp.waited.as_millis();
    if let Some(since) = stamp.waiting_since {
        headers.insert(WAITED.into(), HeaderValue::Text(format!("{waited}@{since}")));
    } else if waited > 0 {
        headers.insert(WAITED.into(), HeaderValue::Text(waited.to_string()));
    }
    Message { body: message.body.clone(), properties }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reply::{Class, Code};
    use proptest::prelude::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        time("2026-11-22T12:00:00Z")
    }

    fn text(text: &str) -> HeaderValue {
        HeaderValue::Text(text.into())
    }

    fn with(headers: &[(&str, HeaderValue)]) -> Message {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Message { body: Bytes::from_static(b"body"), properties: Properties { headers, ..Properties::default() } }
    }

    fn read(headers: &[(&str, HeaderValue)]) -> Envelope {
        Envelope::read(&with(headers).properties, now())
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    #[test]
    fn a_message_that_no_worker_stamped_is_new_whatever_else_it_claims() {
        let new = read(&[]);
        assert_eq!((new.origin, new.attempt, new.first_received, new.waited), (Origin::New, 0, now(), Duration::ZERO));
        let claims = [(ATTEMPT, HeaderValue::Int(17)), (WAITED, text("5@2026-11-22T11:00:00Z"))];
        assert_eq!(read(&claims), new);
    }

    #[test]
    fn what_a_stamped_message_says_is_clamped_to_what_can_be_true() {
        let stamped = (FIRST_RECEIVED, text("2026-11-22T10:00:00Z"));
        let check = |header: (&str, HeaderValue), attempt: u32, generation: u32| {
            let read = read(&[stamped.clone(), header.clone()]);
            assert_eq!((read.attempt, read.generation), (attempt, generation), "{header:?}");
        };
        check((ATTEMPT, HeaderValue::Int(3)), 3, 0);
        check((ATTEMPT, HeaderValue::Int(-3)), 0, 0);
        check((ATTEMPT, HeaderValue::Int(i64::MAX)), 1_000, 0);
        check((ATTEMPT, text("3")), 0, 0);
        check((REPLAY, HeaderValue::Int(2)), 0, 2);
        check((REPLAY, HeaderValue::Int(-1)), 0, 0);
        check((REPLAY, HeaderValue::Int(i64::MAX)), 0, u32::MAX);
        for (written, first_received) in
            [("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"), ("2099-01-01T00:00:00Z", "2026-11-22T12:00:00Z")]
        {
            assert_eq!(read(&[(FIRST_RECEIVED, text(written))]).first_received, time(first_received));
        }
        assert_eq!(read(&[(FIRST_RECEIVED, text("yesterday"))]).origin, Origin::New);
    }

    #[test]
    fn time_spent_waiting_is_no_age_and_is_never_more_than_there_was() {
        let check = |first_received: &str, waited: &str, expected: Duration| {
            let read = read(&[(FIRST_RECEIVED, text(first_received)), (WAITED, text(waited))]);
            assert_eq!(read.waited, expected, "{waited}");
            assert_eq!(read.age(now()), elapsed(time(first_received), now()) - expected, "{waited}");
        };
        check("2026-11-22T02:00:00Z", "3600000", hours(1));
        check("2026-11-22T02:00:00Z", "3600000@2026-11-22T11:00:00Z", hours(2));
        check("2026-11-22T02:00:00Z", "0@2026-11-22T13:00:00Z", Duration::ZERO);
        check("2026-11-22T02:00:00Z", "0@1970-01-01T00:00:00Z", hours(10));
        check("2026-11-22T02:00:00Z", "18446744073709551615@1970-01-01T00:00:00Z", hours(10));
        check("2026-11-22T02:00:00Z", "-5", Duration::ZERO);
        check("2026-11-22T02:00:00Z", "soon", Duration::ZERO);
        check("2026-08-14T12:00:00Z", "0@2026-08-14T12:00:00Z", hours(100 * 24));
        check("2026-08-14T12:00:00Z", "8640000000", hours(100 * 24));
    }

    #[test]
    fn where_a_message_comes_from_is_told_by_what_a_worker_wrote() {
        let stamp = |attempt, generation, waiting: bool| Stamp {
            attempt,
            first_received: now(),
            waited: Duration::ZERO,
            generation,
            replay_of: None,
            tried: Vec::new(),
            waiting_since: waiting.then(now),
        };
        let origin = |stamp: Stamp| Envelope::read(&republished(&with(&[]), &stamp).properties, now()).origin;
        assert_eq!(origin(stamp(0, 0, false)), Origin::Retry, "a retry that was not charged");
        assert_eq!(origin(stamp(3, 0, false)), Origin::Retry);
        assert_eq!(origin(stamp(3, 0, true)), Origin::Wait);
        assert_eq!(origin(stamp(0, 2, true)), Origin::Wait);
        assert_eq!(origin(stamp(0, 2, false)), Origin::Retry, "a retry of a replay");
        assert_eq!(read(&[(REPLAY, HeaderValue::Int(1))]).origin, Origin::Replay, "first-received was reset");
    }

    #[test]
    fn a_message_that_is_published_again_carries_nothing_that_would_lose_or_misroute_it() {
        let stripped = [
            "x-death",
            "x-death-queue",
            "x-first-death-queue",
            "x-last-death-reason",
            "x-delivery-count",
            "x-acquired-count",
            "CC",
            "BCC",
            "x-delay",
            "x-stream-offset",
            ATTEMPT,
            WAITED,
            REASON,
            DETAIL,
            DESTINATION,
            DEAD_ID,
            LEAD_KEY,
            "x-leadrelay-future",
        ];
        let kept = ["traceparent", "tracestate", "cloudEvents:id", "tenant", MARK, KNOWN_SINCE];
        let all: Vec<_> = stripped.iter().chain(&kept).map(|name| (*name, text("canary"))).collect();
        let stamp = Stamp { waited: Duration::ZERO, ..Stamp::of(&read(&[])) };
        let again = republished(&with(&all), &stamp);
        let ours = [(ATTEMPT, HeaderValue::Int(0)), (FIRST_RECEIVED, text("2026-11-22T12:00:00Z"))];
        let expected = kept.iter().map(|name| (*name, text("canary"))).chain(ours).collect::<Vec<_>>();
        assert_eq!(again, with(&expected));
    }

    #[test]
    fn a_replayed_message_keeps_trace_and_id_and_begins_anew_with_its_letter_and_generation() {
        let trace = ("traceparent", text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        let died = [
            (ATTEMPT, HeaderValue::Int(18)),
            (FIRST_RECEIVED, text("2026-10-22T12:00:00Z")),
            (WAITED, text("5")),
            (REASON, text("expired")),
            (DEAD_ID, text("its own")),
            ("x-death", text("canary")),
            trace.clone(),
        ];
        let mut letter = with(&died);
        letter.properties.message_id = Some("m-1".into());
        let id = DeadId::from_bytes([7; 16]);
        let again = replayed(&letter, id, 3, time("2026-10-22T12:00:00Z"));
        let ours = [
            (REPLAY, HeaderValue::Int(3)),
            (DEAD_ID, text(&id.to_string())),
            (KNOWN_SINCE, text("2026-10-22T12:00:00Z")),
            trace,
        ];
        let mut expected = with(&ours);
        expected.properties.message_id = Some("m-1".into());
        assert_eq!(again, expected);
        let read = Envelope::read(&again.properties, now());
        assert_eq!((read.origin, read.attempt, read.generation), (Origin::Replay, 0, 3));
        assert_eq!((read.first_received, read.age(now())), (now(), Duration::ZERO));
    }

    #[test]
    fn since_when_a_replayed_message_is_known_outlives_retries_and_further_replays_and_never_rises() {
        let (id, first, later) = (DeadId::from_bytes([7; 16]), time("2026-10-22T12:00:00Z"), now());
        let once = replayed(&with(&[]), id, 1, first);
        let retried = republished(&once, &Stamp::of(&Envelope::read(&once.properties, later)));
        assert_eq!(known_since_of(&retried.properties), Some(first));
        assert_eq!(known_since_of(&replayed(&retried, id, 2, later).properties), Some(first));
        assert_eq!(
            known_since_of(&replayed(&with(&[(KNOWN_SINCE, text("soon"))]), id, 1, later).properties),
            Some(later)
        );
    }

    #[test]
    fn the_letter_that_a_message_replays_is_believed_with_a_generation_and_attempts_of_a_worker_only() {
        let id = DeadId::from_bytes([7; 16]);
        let (letter, tried) = ((DEAD_ID, text(&id.to_string())), (ATTEMPTS, text("2026-11-22T11:00:00Z transient")));
        let replay = (REPLAY, HeaderValue::Int(1));
        assert_eq!(read(&[letter.clone(), tried.clone()]).replay_of, None, "no replay has none");
        assert_eq!(read(&[letter.clone(), replay.clone()]).replay_of, Some(id));
        assert_eq!(read(&[(DEAD_ID, text("canary")), replay.clone()]).replay_of, None);
        assert!(read(&[letter.clone(), replay.clone(), tried.clone()]).tried.is_empty(), "a replay begins anew");
        let stamped = read(&[letter, replay, tried, (FIRST_RECEIVED, text("2026-11-22T10:00:00Z"))]);
        assert_eq!((stamped.replay_of, stamped.tried.len()), (Some(id), 1));
    }

    #[test]
    fn headers_too_large_for_a_frame_are_left_behind_but_for_a_trace_of_lawful_size() {
        let large = |name: &'static str| (name, text(&"x".repeat(HEADERS_MAX)));
        let trace = ("traceparent", text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        let stamp = Stamp::of(&read(&[]));
        let names = |message: Message| message.properties.headers.into_keys().collect::<Vec<_>>();
        let again = republished(&with(&[large("junk"), ("small", HeaderValue::Null), trace.clone()]), &stamp);
        assert_eq!(names(again), ["traceparent", ATTEMPT, FIRST_RECEIVED]);
        let again = republished(&with(&[large("tracestate"), trace]), &stamp);
        assert!(size_of_headers(&again.properties.headers) < 1024);
        let under = with(&[("junk", text(&"x".repeat(HEADERS_MAX - 100)))]);
        assert_eq!(names(republished(&under, &stamp)), ["junk", ATTEMPT, FIRST_RECEIVED]);
    }

    proptest! {
        #[test]
        fn a_stamp_is_read_back_as_it_was_written(
            attempt in 0..100_u32, generation in 0..5_u32, age in 0..20_000_000_000_u64, part in 0..=100_u64,
            since in proptest::option::of(0..=100_u64), later in 0..10_000_u64,
        ) {
            let ago = |millis: u64| now() - Duration::from_millis(millis);
            let waited = Duration::from_millis(age / 100 * part / 2);
            let waiting_since = since.map(|part| ago(age / 100 * part / 2));
            let replay_of = (generation > 0).then(|| DeadId::from_bytes([generation as u8; 16]));
            let at = Timestamp::from_second(now().as_second()).unwrap();
            let code = Some(Code::status(503));
            let tried = vec![Attempt { at, class: Class::Transient, code }; attempt as usize % 3];
            let stamp = Stamp { attempt, first_received: ago(age), waited, generation, replay_of, tried, waiting_since };
            let then = now() + Duration::from_millis(later);
            let read = Envelope::read(&republished(&with(&[]), &stamp).properties, then);
            prop_assert_eq!((read.attempt, read.generation, read.first_received), (attempt, generation, stamp.first_received));
            prop_assert_eq!((read.replay_of, &read.tried), (stamp.replay_of, &stamp.tried));
            let waiting = waiting_since.map_or(Duration::ZERO, |since| elapsed(since, then));
            prop_assert_eq!(read.waited, waited + waiting);
            prop_assert_eq!(read.age(then) + read.waited, elapsed(stamp.first_received, then));
        }

        #[test]
        fn no_headers_make_reading_panic(int in any::<i64>(), junk in "\\PC{0,30}", millis in any::<u64>(), at in any::<i32>()) {
            let at = Timestamp::from_second(at.into()).unwrap();
            for waited in [junk.clone(), format!("{millis}@{at}"), format!("{millis}@{junk}")] {
                let headers = [(ATTEMPT, HeaderValue::Int(int)), (REPLAY, HeaderValue::Int(int)), (WAITED, text(&waited)),
                    (FIRST_RECEIVED, text(&at.to_string()))];
                let read = read(&headers);
                let _ = read.age(now());
                prop_assert!(read.waited <= elapsed(read.first_received, now()));
                republished(&with(&headers), &Stamp::of(&read));
            }
        }
    }
}
