//! When a failed lead is tried again: durable delays that an operator can read as queue names.

use std::time::Duration;

/// A retry queue. Delays are queues, not per-message expirations: RabbitMQ expires at a queue's head only, so a long
/// delay in front would hold every shorter one behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    S5,
    S30,
    M2,
    M10,
    H1,
    H6,
}

impl Tier {
    pub const ALL: [Self; 6] = [Self::S5, Self::S30, Self::M2, Self::M10, Self::H1, Self::H6];

    /// The last part of the queue's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::S5 => "5s",
            Self::S30 => "30s",
            Self::M2 => "2m",
            Self::M10 => "10m",
            Self::H1 => "1h",
            Self::H6 => "6h",
        }
    }

    pub fn delay(self) -> Duration {
        Duration::from_secs(match self {
            Self::S5 => 5,
            Self::S30 => 30,
            Self::M2 => 2 * 60,
            Self::M10 => 10 * 60,
            Self::H1 => 60 * 60,
            Self::H6 => 6 * 60 * 60,
        })
    }

    /// Where a lead waits after its `attempts`-th charged attempt: the n-th waits in the n-th queue, from the sixth
    /// on in the last.
    pub fn after(attempts: u32) -> Self {
        let round = attempts.max(1) as usize;
        Self::ALL[round.min(Self::ALL.len()) - 1]
    }
}

/// Past either, a lead that only failed transiently is a person's to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub attempts: u32,
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attempts: 18, age: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}
