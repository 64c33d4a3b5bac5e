//! The fate of a message: one total function from what was found to what becomes of it.

use std::time::Duration;

use super::dead_letter::Cause;
use super::reply::{Accepted, Code, Reply};
use super::retry::{Limits, Tier};

/// Everything that the shell learned about one message.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// It came back so often that it must be what crashes its consumers.
    Poison,
    /// Its headers are too large to be published again.
    HeadersTooLarge,
    /// Not a consent event; what is wrong, by JSON pointer.
    Malformed(String),
    /// Reading it panicked: a defect of ours.
    Panicked,
    /// No route for its offer.
    Unroutable,
    /// A withdrawal of consent, committed.
    Withdrawal,
    /// A consent that was withdrawn since.
    Withdrawn,
    /// Delivered before, and nothing new in it.
    Duplicate,
    /// The person withdrew, and the destination cannot mark the lead that it holds.
    Unmarkable,
    /// An earlier send of it may have arrived and was never answered, at a destination that cannot tell a repeat.
    SentBefore,
    /// The destination has had as many leads as it takes in a day; some are taken again after this long.
    DayIsFull { frees_in: Duration },
    /// Another worker is sending this lead.
    ClaimedElsewhere,
    /// The ledger cannot read what it holds of this lead: a person must look.
    Unreadable,
    /// The lane is paused, or full.
    LaneShut,
    /// What the destination said.
    Replied(Reply),
    /// We cannot go on with it: stopping, ledger gone, channel gone.
    Interrupted,
}

/// The lane as it is when the finding is judged, after the finding has been taken into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Closed,
    /// Paused; it was not this message that probed it.
    Paused,
    /// Paused (still, or again), and this message was the probe.
    Probed,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Ack(Fate),
    Retry {
        tier: Tier,
        charged: bool,
    },
    Wait,
    DeadLetter(Reason),
    /// Back to the broker as it is.
    Release,
}

/// Why a message is acknowledged without a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Delivered,
    Duplicate,
    Suppressed,
    /// Withdrawn, and the lead stands at its destination as it was: a person must mark it.
    Unmarked,
}

/// Why a message will not be delivered without a person, and what is known besides.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    Malformed(String),
    HeadersTooLarge,
    Panicked,
    Poison,
    Unroutable,
    Rejected(Code),
    AttemptsExhausted(Code),
    Expired(Code),
    Unknown(Code),
}

impl Fate {
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Duplicate => "duplicate",
            Self::Suppressed => "suppressed",
            Self::Unmarked => "unmarked",
        }
    }
}

impl Reason {
    pub fn name(&self) -> &'static str {
        self.cause().name()
    }

    pub fn cause(&self) -> Cause {
        match self {
            Self::Malformed(_) => Cause::Malformed,
            Self::HeadersTooLarge => Cause::HeadersTooLarge,
            Self::Panicked => Cause::Panicked,
            Self::Poison => Cause::Poison,
            Self::Unroutable => Cause::Unroutable,
            Self::Rejected(_) => Cause::Rejected,
            Self::AttemptsExhausted(_) => Cause::AttemptsExhausted,
            Self::Expired(_) => Cause::Expired,
            Self::Unknown(_) => Cause::Unknown,
        }
    }

    /// What a person needs to know besides: pointers, or the destination's code.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Malformed(problems) => Some(problems),
            Self::Rejected(code) | Self::AttemptsExhausted(code) | Self::Expired(code) | Self::Unknown(code) => {
                Some(code.as_str())
            }
            Self::HeadersTooLarge | Self::Panicked | Self::Poison | Self::Unroutable => None,
        }
    }
}

impl Verdict {
    /// The `fate` label of `leadrelay_settled_total`.
    pub fn fate(&self) -> &'static str {
        match self {
            Self::Ack(fate) => fate.name(),
            Self::Retry { .. } => "retried",
            Self::Wait => "waiting",
            Self::DeadLetter(_) => "dead",
            Self::Release => "handed_back",
        }
    }
}

/// Decides what becomes of a message that was tried `attempts` times before and is `age` old.
pub fn decide(finding: &Finding, attempts: u32, age: Duration, lane: Lane, limits: Limits) -> Verdict {
    match finding {
        Finding::Poison => Verdict::DeadLetter(Reason::Poison),
        Finding::HeadersTooLarge => Verdict::DeadLetter(Reason::HeadersTooLarge),
        Finding::Malformed(problems) => Verdict::DeadLetter(Reason::Malformed(problems.clone())),
        Finding::Panicked => Verdict::DeadLetter(Reason::Panicked),
        Finding::Unroutable => Verdict::DeadLetter(Reason::Unroutable),
        Finding::Withdrawal | Finding::Withdrawn => Verdict::Ack(Fate::Suppressed),
        Finding::Duplicate => Verdict::Ack(Fate::Duplicate),
        Finding::Unmarkable => Verdict::Ack(Fate::Unmarked),
        Finding::SentBefore => Verdict::DeadLetter(Reason::Unknown(Code::known("sent_before"))),
        Finding::ClaimedElsewhere => Verdict::Retry { tier: Tier::S5, charged: false },
        Finding::Unreadable => Verdict::Retry { tier: Tier::M10, charged: false },
        Finding::LaneShut | Finding::DayIsFull { .. } => Verdict::Wait,
        Finding::Interrupted => Verdict::Release,
        Finding::Replied(reply) => decide_reply(reply, attempts, age, lane, limits),
    }
}

fn decide_reply(reply: &Reply, attempts: u32, age: Duration, lane: Lane, limits: Limits) -> Verdict {
    match (reply, lane) {
        (Reply::Accepted(Accepted::Created | Accepted::Updated | Accepted::Already), _) => {
            Verdict::Ack(Fate::Delivered)
        }
        (Reply::Unknown(code), _) => Verdict::DeadLetter(Reason::Unknown(code.clone())),
        // While the lane is closed others are accepted: this one is rejected by itself.
        (Reply::Rejected(code), Lane::Closed) => Verdict::DeadLetter(Reason::Rejected(code.clone())),
        // Credentials too: a key that is rotated under load refuses requests that were sent before others succeeded.
        (Reply::Transient { code, .. } | Reply::Throttled { code, .. } | Reply::Credentials(code), Lane::Closed) => {
            charge(code, attempts + 1, age, limits)
        }
        // The next probe is another lead.
        (Reply::Transient { .. }, Lane::Probed) => Verdict::Retry { tier: Tier::after(attempts), charged: false },
        (Reply::Transient { .. }, Lane::Paused)
        | (Reply::Rejected(_) | Reply::Credentials(_) | Reply::Throttled { .. }, Lane::Paused | Lane::Probed) => {
            Verdict::Wait
        }
    }
}

/// `attempts` counts the one that just failed.
fn charge(code: &Code, attempts: u32, age: Duration, limits: Limits) -> Verdict {
    if attempts >= limits.attempts {
        Verdict::DeadLetter(Reason::AttemptsExhausted(code.clone()))
    } else if age >= limits.age {
        Verdict::DeadLetter(Reason::Expired(code.clone()))
    } else {
        Verdict::Retry { tier: Tier::after(attempts), charged: true }
    }
}

#[cfg(test)]
pub(crate) mod tests;
