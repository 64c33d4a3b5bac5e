//! What a lane shows of itself, for `leadrelay status`.

use jiff::Timestamp;

use super::Lane;
use crate::domain::health::State;
use crate::telemetry::board::LaneShown;
use crate::worker::Item;

/// What of it must be remembered.
pub(super) struct Shown {
    standing: Standing,
    /// Since when it stands so.
    since: Timestamp,
    /// When the oldest lead that waits was first received, as far as we know.
    oldest_waiting: Option<Timestamp>,
}

/// Probing is no change: a lane in trouble probes again and again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Well,
    InTrouble,
    PausedByOrder,
}

impl Shown {
    pub fn new(now: Timestamp) -> Self {
        Self { standing: Standing::Well, since: now, oldest_waiting: None }
    }
}

impl Lane {
    pub(super) fn show(&mut self) {
        let (state, now) = (self.health.state(), self.shop().clock.now());
        let standing = match state {
            State::Closed => Standing::Well,
            State::Open { .. } | State::HalfOpen { .. } => Standing::InTrouble,
            State::Paused { .. } => Standing::PausedByOrder,
        };
        if standing != self.shown.standing {
            (self.shown.standing, self.shown.since) = (standing, now);
        }
        let until = match state {
            State::Open { until, .. } => {
                Some(now + until.saturating_duration_since(tokio::time::Instant::now().into_std()))
            }
            State::Closed | State::HalfOpen { .. } | State::Paused { .. } => None,
        };
        let shown = LaneShown {
            state: state.label(),
            trouble: state.trouble().map(|cause| cause.label()),
            code: self.health.code().map(ToString::to_string),
            since: self.shown.since,
            until,
            accepting_rejections: self.health.is_accepting(),
            oldest_waiting: self.shown.oldest_waiting,
        };
        self.shop().telemetry.show_lane(&self.sender.name, shown);
    }

    pub(super) fn note_diverted(&mut self, items: &[Item]) {
        let oldest = items.iter().map(|item| item.envelope.first_received).min();
        self.see_oldest([self.shown.oldest_waiting, oldest].into_iter().flatten().min());
    }

    /// It stood first in the queue; whatever still waits came after it.
    pub(super) fn note_drunk(&mut self, item: &Item) {
        self.shown.oldest_waiting = Some(item.envelope.first_received);
    }

    /// Somebody has looked how much waits.
    pub(super) fn note_depth(&mut self) {
        if !self.others_wait() {
            self.shown.oldest_waiting = None;
        }
        self.end_acceptance_if_drained();
        self.show();
    }

    fn see_oldest(&mut self, oldest: Option<Timestamp>) {
        if self.shown.oldest_waiting != oldest {
            self.shown.oldest_waiting = oldest;
            self.show();
        }
    }
}
