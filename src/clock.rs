//! The only place that reads the time of day.

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells the time of day. In tests it follows tokio's clock, so that paused time pauses it too.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    System,
    Following { start: Timestamp, since: Instant },
}

impl Clock {
    /// A clock that stands at `start` now and goes with tokio's.
    pub fn following(start: Timestamp) -> Self {
        Self::Following { start, since: Instant::now() }
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => system(),
            Self::Following { start, since } => *start + since.elapsed(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn system() -> Timestamp {
    Timestamp::now()
}
