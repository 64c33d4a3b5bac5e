//! A destination's health: a pure state machine. Time and chance are arguments.
//!
//! A destination's trouble is never a message's fault: while the lane is not closed, nothing is charged to a message.
//! What operators order stands above what the destination does: while they have it paused, nothing ends the pause but
//! their own word.

use std::time::{Duration, Instant};

use super::lead_key::LeadKey;
use super::reply::{Code, Reply};

/// Why a lane is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Round after round failed.
    Transient,
    /// The destination asked for it.
    Throttled,
    /// Credentials or configuration are wrong, until a probe succeeds.
    Credentials,
    /// Lead after lead was rejected with one code: rejected by everybody is not rejected.
    Rejecting,
    /// It has had as many leads as it takes in a day.
    DailyLimit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed,
    Open {
        cause: Cause,
        until: Instant,
    },
    /// One lead at a time probes it.
    HalfOpen {
        cause: Cause,
    },
    /// By an operator's order, until another order; it was in this trouble then.
    Paused {
        trouble: Option<Cause>,
    },
}

impl Cause {
    pub fn label(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Credentials => "credentials",
            Self::Rejecting => "rejecting",
            Self::DailyLimit => "daily_limit",
        }
    }
}

impl State {
    /// The `state` label of `leadrelay_lane_state`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen { .. } => "half_open",
            Self::Open { cause, .. } => cause.label(),
            Self::Paused { .. } => "paused",
        }
    }

    /// The trouble that the destination is in.
    pub fn trouble(self) -> Option<Cause> {
        match self {
            Self::Closed => None,
            Self::Open { cause, .. } | Self::HalfOpen { cause } => Some(cause),
            Self::Paused { trouble } => trouble,
        }
    }

    pub const LABELS: [&'static str; 8] =
        ["closed", "transient", "throttled", "credentials", "rejecting", "daily_limit", "half_open", "paused"];
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Rounds that fail transiently in a row before the lane opens.
    pub transient_rounds: u32,
    /// Rejections in a row with one code, none accepted between, before the lane opens.
    pub reject_fuse: u32,
    /// The first pause; each following one doubles.
    pub pause_first: Duration,
    pub pause_max: Duration,
    /// Between probes of a lane that rejects everything.
    pub rejecting_probe: Duration,
    /// A longer Retry-After is taken for this.
    pub retry_after_max: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            transient_rounds: 5,
            reject_fuse: 20,
            pause_first: Duration::from_secs(1),
            pause_max: Duration::from_secs(5 * 60),
            rejecting_probe: Duration::from_secs(5 * 60),
            retry_after_max: Duration::from_secs(60 * 60),
        }
    }
}

/// What to do with leads that were rejected and are held, because all might be the destination's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspects {
    /// Too early to tell.
    Hold,
    /// The destination accepts others: they are to blame.
    Blame,
    /// The destination rejects everybody: they wait.
    Clear,
}

#[derive(Clone, Debug)]
pub struct Health {
    policy: Policy,
    state: State,
    /// Pauses since the lane was last closed by a success.
    pauses: u32,
    failed_rounds: u32,
    /// The one lead of which every failed round in the row consisted, while that is so.
    failing_alone: Option<LeadKey>,
    rejections: Option<(Code, u32)>,
    /// Rejections that an operator has called right.
    accepted: Option<Acceptance>,
    /// What the destination said when it was last opened.
    code: Option<Code>,
    last_success: Option<Instant>,
    opened_at: Option<Instant>,
}

/// Which rejections are right.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Acceptance {
    With(Code),
    /// Those with the code that comes next.
    WithTheNext,
}

impl Health {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Closed,
            pauses: 0,
            failed_rounds: 0,
            failing_alone: None,
            rejections: None,
            accepted: None,
            code: None,
            last_success: None,
            opened_at: None,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// What the destination said that brought it into its trouble.
    pub fn code(&self) -> Option<&Code> {
        self.code.as_ref().filter(|_| self.state.trouble().is_some())
    }

    /// Whether a pause has run out, and one lead may probe.
    pub fn tick(&mut self, now: Instant) {
        if let State::Open { cause, until } = self.state
            && now >= until
        {
            self.state = State::HalfOpen { cause };
        }
    }

    /// Takes in the replies of one round that was started at `started` and ended at `now`; `alone` is its lead, if it
    /// was of one lead only; `jitter` is in `0..1`.
    pub fn observe(
        &mut self,
        replies: &[Reply],
        alone: Option<LeadKey>,
        (started, now): (Instant, Instant),
        jitter: f64,
    ) -> Suspects {
        if matches!(self.state, State::Paused { .. }) {
            // Sent before the order, as nothing starts after it.
            return Suspects::Hold;
        }
        if self.opened_at.is_some_and(|opened| started <= opened) {
            // Sent before the pause, for none starts in it: it says nothing of the destination as it is now.
            return if matches!(self.state, State::Open { cause: Cause::Rejecting, .. }) {
                Suspects::Clear
            } else {
                Suspects::Hold
            };
        }
        if replies.iter().any(Reply::is_accepted) {
            self.succeed(now);
            return Suspects::Blame;
        }
        let succeeded_since = self.last_success.is_some_and(|success| success > started);
        if let Some(pause) = (!succeeded_since).then(|| self.asked_pause(replies, jitter)).flatten() {
            self.open(pause.0, now + pause.1, now);
            self.code = replies.iter().find_map(Reply::code).cloned();
            return Suspects::Hold;
        }
        if replies.iter().any(|reply| matches!(reply, Reply::Rejected(_))) {
            return self.reject(replies, succeeded_since, now);
        }
        if !replies.is_empty() {
            self.fail(alone, now, jitter);
            self.code = replies.iter().find_map(Reply::code).cloned();
        }
        Suspects::Hold
    }

    fn succeed(&mut self, now: Instant) {
        self.state = State::Closed;
        self.pauses = 0;
        self.failed_rounds = 0;
        self.rejections = None;
        self.last_success = Some(now);
        self.opened_at = None;
    }

    /// A pause that the destination itself asks for: nothing in the round was accepted.
    fn asked_pause(&self, replies: &[Reply], jitter: f64) -> Option<(Cause, Duration)> {
        let doubling = || self.next_pause(jitter);
        replies.iter().find_map(|reply| match reply {
            Reply::Credentials(_) => Some((Cause::Credentials, doubling())),
            Reply::Throttled { retry_after, .. } => {
                // Jitter only ever adds: a hint is never undercut.
                // A hint of nothing is no hint to come back at once, for ever.
                let hint = retry_after.map(|hint| hint.min(self.policy.retry_after_max).max(self.policy.pause_first));
                Some((Cause::Throttled, hint.map_or_else(doubling, |hint| hint + hint.mul_f64(jitter * 0.1))))
            }
            Reply::Accepted(_) | Reply::Rejected(_) | Reply::Transient { .. } | Reply::Unknown(_) => None,
        })
    }

    /// 1 s, 2 s, 4 s … 5 min, up to a quarter longer.
    fn next_pause(&self, jitter: f64) -> Duration {
        let doubled = self.policy.pause_first.saturating_mul(1 << self.pauses.min(16));
        doubled.min(self.policy.pause_max).mul_f64(1.0 + jitter * 0.25)
    }

    /// No lead may be sent before `until`, whatever the destination says: its day is full.
    pub fn fill(&mut self, until: Instant, now: Instant) {
        if !matches!(self.state, State::Open { .. } | State::Paused { .. }) {
            self.state = State::Open { cause: Cause::DailyLimit, until };
            self.code = None;
            self.opened_at = Some(now);
        }
    }

    /// As an operator ordered, whatever the destination says.
    pub fn pause(&mut self, now: Instant) {
        self.state = State::Paused { trouble: self.state.trouble() };
        self.opened_at = Some(now);
    }

    /// As an operator ordered. A destination that was in trouble shows first by one lead whether it is mended; it need
    /// not wait for that until its time has come.
    pub fn resume(&mut self) {
        self.state = match self.state.trouble() {
            None => State::Closed,
            Some(cause) => State::HalfOpen { cause },
        };
    }

    /// As an operator ordered, who has looked at them: rejections with this code (or the one for which the lane pauses,
    /// or the next one) are the leads' own fault, until [`Self::end_acceptance`].
    pub fn accept_rejections(&mut self, code: Option<Code>) {
        let rejecting = self.state.trouble() == Some(Cause::Rejecting);
        let code = code.or_else(|| self.code.clone().filter(|_| rejecting));
        self.accepted = Some(code.map_or(Acceptance::WithTheNext, Acceptance::With));
        self.resume();
        if rejecting {
            self.close();
        }
    }

    pub fn end_acceptance(&mut self) {
        self.accepted = None;
    }

    pub fn is_accepting(&self) -> bool {
        self.accepted.is_some()
    }

    /// Whether an operator has called this rejection right.
    pub fn accepts(&self, reply: &Reply) -> bool {
        matches!((&self.accepted, reply), (Some(Acceptance::With(accepted)), Reply::Rejected(code)) if accepted == code)
    }

    fn open(&mut self, cause: Cause, until: Instant, now: Instant) {
        self.state = State::Open { cause, until };
        self.pauses = self.pauses.saturating_add(1);
        self.failed_rounds = 0;
        self.opened_at = Some(now);
    }

    /// A lead that fails again and again by itself is no sign of an outage: else it would pause the lane, be charged
    /// nothing while it is paused, and come back for ever.
    fn fail(&mut self, alone: Option<LeadKey>, now: Instant, jitter: f64) {
        let same_again = self.failed_rounds > 0 && alone.is_some() && alone == self.failing_alone;
        if !same_again {
            self.failed_rounds += 1;
            self.failing_alone = alone;
        }
        let probing = matches!(self.state, State::HalfOpen { .. });
        if probing || self.failed_rounds >= self.policy.transient_rounds {
            self.open(Cause::Transient, now + self.next_pause(jitter), now);
        }
    }

    fn reject(&mut self, replies: &[Reply], succeeded_since: bool, now: Instant) -> Suspects {
        // Accepted since, by a destination that may have changed its mind between: many at once are no accident.
        let codes = self.unaccepted(replies);
        let rejected = codes.len();
        if succeeded_since && rejected < self.policy.reject_fuse as usize {
            return Suspects::Blame;
        }
        if let (State::HalfOpen { cause: Cause::Rejecting }, Some(code)) = (self.state, codes.first()) {
            self.open(Cause::Rejecting, now + self.policy.rejecting_probe, now);
            self.code = Some(code.clone());
            return Suspects::Clear;
        }
        // It answered, and neither refused our credentials nor was overloaded: whatever the pause was for is over.
        self.close();
        let mut verdict = Suspects::Hold;
        for code in codes {
            match &mut self.rejections {
                Some((held, count)) if *held == code => *count += 1,
                other => {
                    if other.replace((code, 1)).is_some() {
                        // Another code: the row is broken, and those before it are to blame themselves.
                        verdict = Suspects::Blame;
                    }
                }
            }
        }
        if let Some((code, _)) = self.rejections.take_if(|(_, count)| *count >= self.policy.reject_fuse) {
            self.open(Cause::Rejecting, now + self.policy.rejecting_probe, now);
            self.code = Some(code);
            return Suspects::Clear;
        }
        verdict
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.failed_rounds = 0;
        self.opened_at = None;
    }

    /// The codes of the rejections that no operator has called right.
    fn unaccepted(&mut self, replies: &[Reply]) -> Vec<Code> {
        let rejected = || replies.iter().filter(|reply| matches!(reply, Reply::Rejected(_)));
        if self.accepted == Some(Acceptance::WithTheNext) {
            self.accepted = rejected().find_map(Reply::code).cloned().map(Acceptance::With);
        }
        rejected().filter(|reply| !self.accepts(reply)).filter_map(Reply::code).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
