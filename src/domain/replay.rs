//! The pace of a replay: a canary first, then a ramp up to the rate, and a halt by itself when too much fails or nothing
//! is heard any more. Time is an argument: how long this run has lasted.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// What an operator decided about a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Letters that go alone, first.
    pub canary: u32,
    /// How long nothing need be heard of letters that are on their way.
    pub canary_timeout: Duration,
    /// Letters a second, once the ramp is climbed.
    pub rate: u32,
    /// More than this share of the letters may not die again.
    pub max_failures: Percent,
}

impl Default for Terms {
    fn default() -> Self {
        Self { canary: 5, canary_timeout: Duration::from_secs(120), rate: 100, max_failures: Percent(10) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a share: write 0% to 100%")]
pub struct NotAShare;

impl Percent {
    pub fn of(percent: u8) -> Result<Self, NotAShare> {
        if percent <= 100 { Ok(Self(percent)) } else { Err(NotAShare) }
    }

    pub fn parse(text: &str) -> Result<Self, NotAShare> {
        let number = text.trim().strip_suffix('%').unwrap_or(text.trim());
        number.parse().map_err(|_| NotAShare).and_then(Self::of)
    }

    pub fn value(self) -> u8 {
        self.0
    }

    pub fn is_passed_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 100 > u128::from(whole) * u128::from(self.0)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// What is known of the letters of this run: while the canary is out, of the canary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Published, and not known to have ended.
    pub outstanding: u64,
    /// Known to have ended, however.
    pub ended: u64,
    /// Of these: dead again.
    pub dead: u64,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Publish at most so many.
    Publish(u32),
    /// Nothing: look again soon.
    Look,
    Pause(Why),
    /// Every letter is published, and has ended or is given up waiting for.
    Finish,
}

/// Why a plan pauses by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// So many of so many died again.
    Failing { dead: u64, of: u64 },
    /// So many are on their way, and for too long none has come to its end.
    Silent { outstanding: u64, ended: u64 },
}

/// The ramp begins at this many a second, or at the canary's number, and doubles every [`DOUBLING`].
const RAMP_FROM: f64 = 5.0;
const DOUBLING: Duration = Duration::from_secs(2);

/// How many a second, so long after the ramp began.
pub fn ramp(elapsed: Duration, canary: u32, rate: u32) -> f64 {
    let doublings = (elapsed.as_secs_f64() / DOUBLING.as_secs_f64()).min(64.0);
    (f64::from(canary).max(RAMP_FROM) * doublings.exp2()).min(f64::from(rate))
}

/// No more are on their way at once than the rate brings in this time: a destination that fails late fails few.
const AHEAD: u64 = 10;
const AHEAD_MIN: u64 = 20;
/// Letters published at once.
const BATCH: u32 = 250;

/// The share of failures is that of the latest so many endings.
const WINDOW: u64 = 100;
/// Of fewer endings no share is spoken of, but for the canary's.
const WINDOW_MIN: u64 = 20;

/// How one run of a plan goes on.
#[derive(Debug)]
pub struct Pace {
    terms: Terms,
    phase: Phase,
    /// There is nothing left to take.
    exhausted: bool,
    /// When something last happened: a letter published, or ended.
    stirred_at: Duration,
    ended: u64,
    recent: Recent,
}

#[derive(Debug)]
enum Phase {
    Canary {
        sent: u32,
    },
    Ramp {
        since: Duration,
        /// Until when the budget was filled.
        filled_at: Duration,
        budget: f64,
    },
}

impl Pace {
    pub fn new(terms: Terms) -> Self {
        let phase = Phase::Canary { sent: 0 };
        Self { terms, phase, exhausted: false, stirred_at: Duration::ZERO, ended: 0, recent: Recent::default() }
    }

    /// Whether the canary is out, and what is seen is to be seen of it alone.
    pub fn is_canary(&self) -> bool {
        matches!(self.phase, Phase::Canary { .. })
    }

    pub fn published(&mut self, count: u32, now: Duration) {
        self.stirred_at = now;
        match &mut self.phase {
            Phase::Canary { sent } => *sent += count,
            Phase::Ramp { budget, .. } => *budget -= f64::from(count),
        }
    }

    /// There is no letter left to take.
    pub fn exhausted(&mut self) {
        self.exhausted = true;
    }

    pub fn next(&mut self, seen: Seen, now: Duration) -> Next {
        if seen.ended != self.ended {
            (self.ended, self.stirred_at) = (seen.ended, now);
        }
        let silent = now.saturating_sub(self.stirred_at) >= self.terms.canary_timeout;
        if self.exhausted && (seen.outstanding == 0 || silent) {
            return Next::Finish;
        }
        match &mut self.phase {
            Phase::Canary { sent } => {
                let sent = *sent;
                self.next_of_canary(sent, seen, silent, now)
            }
            Phase::Ramp { .. } => self.next_of_ramp(seen, silent, now),
        }
    }

    fn next_of_canary(&mut self, sent: u32, seen: Seen, silent: bool, now: Duration) -> Next {
        if !self.exhausted && sent < self.terms.canary {
            return Next::Publish(self.terms.canary - sent);
        }
        if !self.exhausted && self.terms.max_failures.is_passed_by(seen.dead, sent.into()) {
            return Next::Pause(Why::Failing { dead: seen.dead, of: sent.into() });
        }
        if seen.outstanding == 0 {
            self.phase = Phase::Ramp { since: now, filled_at: now, budget: 0.0 };
            (self.ended, self.stirred_at) = (0, now);
            return Next::Look;
        }
        if silent {
            return Next::Pause(Why::Silent { outstanding: seen.outstanding, ended: seen.ended });
        }
        Next::Look
    }

    fn next_of_ramp(&mut self, seen: Seen, silent: bool, now: Duration) -> Next {
        self.recent.push(seen.ended, seen.dead);
        let (dead, of) = self.recent.share();
        if !self.exhausted && of >= WINDOW_MIN && self.terms.max_failures.is_passed_by(dead, of) {
            return Next::Pause(Why::Failing { dead, of });
        }
        let Phase::Ramp { since, filled_at, budget } = &mut self.phase else { return Next::Look };
        let speed = ramp(now.saturating_sub(*since), self.terms.canary, self.terms.rate);
        // Not spent within a second, it is gone: after a halt there is no burst.
        *budget = (*budget + speed * now.saturating_sub(*filled_at).as_secs_f64()).min(speed.max(1.0));
        *filled_at = now;
        if self.exhausted {
            return Next::Look;
        }
        let ahead = (u64::from(self.terms.rate) * AHEAD).max(AHEAD_MIN);
        let room = u32::try_from(ahead.saturating_sub(seen.outstanding)).unwrap_or(u32::MAX);
        match (*budget as u32).min(room).min(BATCH) {
            0 if seen.outstanding > 0 && silent => {
                Next::Pause(Why::Silent { outstanding: seen.outstanding, ended: seen.ended })
            }
            0 => Next::Look,
            count => Next::Publish(count),
        }
    }
}

/// The latest endings: as many looks back as it takes to have a window of them.
#[derive(Debug, Default)]
struct Recent(VecDeque<(u64, u64)>);

impl Recent {
    /// Counts since the run began; they never fall.
    fn push(&mut self, ended: u64, dead: u64) {
        if self.0.is_empty() {
            self.0.push_back((0, 0));
        }
        self.0.push_back((ended, dead));
        while self.0.len() > 2 && ended - self.0[1].0.min(ended) >= WINDOW {
            self.0.pop_front();
        }
    }

    /// Dead, of how many.
    fn share(&self) -> (u64, u64) {
        match (self.0.front(), self.0.back()) {
            (Some(first), Some(last)) => (last.1.saturating_sub(first.1), last.0.saturating_sub(first.0)),
            _ => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests;
