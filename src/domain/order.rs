//! What operators order of a destination. Orders are kept in the store, and every worker obeys the latest of each
//! destination.

use jiff::Timestamp;

use super::reply::Code;
use super::route::DestinationName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub destination: DestinationName,
    pub what: Ordered,
    /// In the operator's words.
    pub reason: Reason,
    /// `user@host`.
    pub by: String,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// Nothing is sent, not even a probe; what comes waits.
    Pause,
    Resume,
    /// The rejections of a lane that pauses because of them are right: its leads are to blame. It resumes, too.
    AcceptRejections {
        /// Rejections with this code. `None`: with the one that comes next.
        code: Option<Code>,
    },
}

/// An order as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Later orders have higher numbers.
    pub number: u64,
    pub order: Order,
    /// It has come to its end, and is not to begin again after a restart.
    pub done: bool,
}

impl Kept {
    /// The destination is to be paused.
    pub fn pauses(&self) -> bool {
        self.order.what == Ordered::Pause
    }
}

/// An operator's words: one line, not long. They are logged and shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason(String);

const REASON_MAX: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reason is one line of 1 to {REASON_MAX} characters")]
pub struct NotAReason;

impl Reason {
    pub fn parse(text: &str) -> Result<Self, NotAReason> {
        let text = text.trim();
        let fits = (1..=REASON_MAX).contains(&text.chars().count());
        if fits && !text.contains(char::is_control) { Ok(Self(text.to_owned())) } else { Err(NotAReason) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_that_cannot_speak_to_a_terminal() {
        assert_eq!(Reason::parse(" key is being rotated ").map(|reason| reason.0), Ok("key is being rotated".into()));
        for bad in ["", "  ", "two\nlines", "\x1b[2J", &"x".repeat(201)] {
            assert_eq!(Reason::parse(bad), Err(NotAReason), "{bad:?}");
        }
        assert!(Reason::parse(&"岛".repeat(200)).is_ok());
    }
}
