//! A dead letter: why it is dead, what was tried, and what may become of it.

use std::fmt;

use jiff::Timestamp;

use super::reply::{Class, Code, Reply};
use super::verdict::{Fate, Verdict};

/// Why a letter is dead, by name: the reasons that a worker gives, and those of letters that no worker of ours wrote.
/// The names are the contract: headers, metrics, the store, the operations guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    Malformed,
    HeadersTooLarge,
    Panicked,
    Poison,
    Unroutable,
    Rejected,
    AttemptsExhausted,
    Expired,
    Unknown,
    /// The broker gave up on it: every worker that had it went away without an answer, until its delivery limit.
    CrashedWorker,
    /// It was too old for the broker before any worker had it: its producer, or a policy, gave it so long to live.
    ExpiredInQueue,
    /// It came into the queue by another's hand.
    Foreign,
}

impl Cause {
    pub const ALL: [Self; 12] = [
        Self::Malformed,
        Self::HeadersTooLarge,
        Self::Panicked,
        Self::Poison,
        Self::Unroutable,
        Self::Rejected,
        Self::AttemptsExhausted,
        Self::Expired,
        Self::Unknown,
        Self::CrashedWorker,
        Self::ExpiredInQueue,
        Self::Foreign,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::HeadersTooLarge => "headers_too_large",
            Self::Panicked => "panicked",
            Self::Poison => "poison",
            Self::Unroutable => "unroutable",
            Self::Rejected => "rejected",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::CrashedWorker => "crashed_worker",
            Self::ExpiredInQueue => "expired_in_queue",
            Self::Foreign => "foreign",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One try to deliver it that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub at: Timestamp,
    pub class: Class,
    pub code: Option<Code>,
}

impl Attempt {
    /// `None`: it succeeded.
    pub fn of(reply: &Reply, at: Timestamp) -> Option<Self> {
        (!reply.is_accepted()).then(|| Self { at, class: reply.class(), code: reply.code().cloned() })
    }
}

/// Of more tries than this only the latest are kept: a header is bounded, and what changed last explains most.
pub const ATTEMPTS_KEPT: usize = 24;

impl Attempt {
    /// `2026-11-22T12:00:00Z transient http_503 503`; the code and the status where they are known.
    fn write(&self, out: &mut String) {
        out.push_str(&self.at.strftime("%FT%TZ").to_string());
        out.push(' ');
        out.push_str(self.class.as_str());
        if let Some(code) = &self.code {
            out.push(' ');
            out.push_str(code.as_str());
            if let Some(status) = code.http_status() {
                out.push_str(&format!(" {status}"));
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let at = words.next()?.parse().ok()?;
        let class = words.next()?;
        let class = Class::ALL.into_iter().find(|known| known.as_str() == class)?;
        let code = words.next().map(Code::foreign);
        let status = words.next().and_then(|status| status.parse().ok());
        let code = code.map(|code| code.answered(status));
        Some(Self { at, class, code })
    }
}

/// The latest attempts, as one header holds them.
pub fn write_attempts(attempts: &[Attempt]) -> String {
    let mut text = String::new();
    for attempt in &attempts[attempts.len().saturating_sub(ATTEMPTS_KEPT)..] {
        if !text.is_empty() {
            text.push_str("; ");
        }
        attempt.write(&mut text);
    }
    text
}

/// What cannot be read is left out: anybody can write a header.
pub fn read_attempts(text: &str) -> Vec<Attempt> {
    text.split(';').take(ATTEMPTS_KEPT).filter_map(Attempt::parse).collect()
}

/// Where a letter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Dead,
    /// Somebody is replaying it, and has it alone until then.
    Replaying {
        until: Timestamp,
    },
    /// It is an event again. Should it die once more, that is a letter of its own.
    Replayed,
    Discarded,
}

/// A state by its name alone: what one looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateName {
    Dead,
    Replaying,
    Replayed,
    Discarded,
}

impl StateName {
    pub const ALL: [Self; 4] = [Self::Dead, Self::Replaying, Self::Replayed, Self::Discarded];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Replaying => "replaying",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl State {
    pub fn name(self) -> StateName {
        match self {
            Self::Dead => StateName::Dead,
            Self::Replaying { .. } => StateName::Replaying,
            Self::Replayed => StateName::Replayed,
            Self::Discarded => StateName::Discarded,
        }
    }
}

/// A letter's state with the replay generation of the latest message that carried it, or may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub state: State,
    pub generation: u32,
}

/// What is done to a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// To replay it.
    Take {
        until: Timestamp,
    },
    /// Its replay is confirmed to be in the inbox, or has already been seen to end.
    Publish,
    /// Its replay was for certain not published: everything is as before it was taken.
    GiveBack,
    Discard,
    /// Takes a discard back; or a replay that was begun and abandoned, of which nobody knows whether it was published.
    Undo,
    /// The same letter comes out of the queue once more.
    Arrive,
}

impl Standing {
    /// What a change makes of it at `now`; `None`: that may not happen to such a letter.
    ///
    /// A replay that is taken over from one who abandoned it keeps its generation: should both have been published,
    /// then the second is a repeat of the first, and a destination that cannot tell a repeat is not asked twice.
    pub fn after(self, change: Change, now: Timestamp) -> Option<Self> {
        let Self { state, generation } = self;
        let to = |state, generation| Some(Self { state, generation });
        match (state, change) {
            (State::Dead, Change::Take { until }) => to(State::Replaying { until }, generation.saturating_add(1)),
            (State::Replaying { until: lease }, Change::Take { until }) if lease <= now => {
                to(State::Replaying { until }, generation)
            }
            (State::Replaying { .. } | State::Replayed, Change::Publish) => to(State::Replayed, generation),
            (State::Replaying { .. }, Change::GiveBack) => to(State::Dead, generation.saturating_sub(1)),
            (State::Replaying { until: lease }, Change::Undo) if lease <= now => to(State::Dead, generation),
            (State::Dead, Change::Discard) => to(State::Discarded, generation),
            (State::Discarded, Change::Undo) => to(State::Dead, generation),
            (State::Dead | State::Replaying { .. }, Change::Arrive) => Some(self),
            (State::Replayed | State::Discarded, Change::Arrive) => to(State::Dead, generation),
            (State::Dead, Change::Publish | Change::GiveBack | Change::Undo)
            | (State::Replaying { .. }, Change::Take { .. } | Change::Discard | Change::Undo)
            | (State::Replayed, Change::Take { .. } | Change::GiveBack | Change::Discard | Change::Undo)
            | (State::Discarded, Change::Take { .. } | Change::Publish | Change::GiveBack | Change::Discard) => None,
        }
    }
}

/// How a replayed letter's message came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    Delivered,
    Duplicate,
    Suppressed,
    Unmarked,
    /// It died again, as another letter.
    Dead,
}

impl Ending {
    pub const ALL: [Self; 5] = [Self::Delivered, Self::Duplicate, Self::Suppressed, Self::Unmarked, Self::Dead];

    /// `None`: it has not come to its end.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Ack(Fate::Delivered) => Some(Self::Delivered),
            Verdict::Ack(Fate::Duplicate) => Some(Self::Duplicate),
            Verdict::Ack(Fate::Suppressed) => Some(Self::Suppressed),
            Verdict::Ack(Fate::Unmarked) => Some(Self::Unmarked),
            Verdict::DeadLetter(_) => Some(Self::Dead),
            Verdict::Retry { .. } | Verdict::Wait | Verdict::Release => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Duplicate => "duplicate",
            Self::Suppressed => "suppressed",
            Self::Unmarked => "unmarked",
            Self::Dead => "dead",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.as_str() == name)
    }
}

#[cfg(test)]
mod tests;
