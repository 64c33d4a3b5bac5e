//! What is seen from outside: every observable event is one function that both logs and counts, once.

pub mod metrics;
pub mod events;
pub mod refusals;
pub mod logs;
pub mod server;

use std::sync::{Mutex, PoisonError};

use metrics::Metrics;
use refusals::Refusals;
use server::Phase;

/// Handed to everything that has something to tell.
#[derive(Debug)]
pub struct Telemetry {
    pub metrics: Metrics,
    refusals: Refusals,
    phase: Mutex<Phase>,
}

impl Telemetry {
    pub fn new() -> Self {
        Self { metrics: Metrics::new(), refusals: Refusals::default(), phase: Mutex::new(Phase::Starting) }
    }

    pub fn phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Why no event can be brought to its end now, if so.
    pub fn unready(&self) -> Option<&'static str> {
        let up = |connection| self.metrics.broker_connected.with_label_values(&[connection]).get() == 1;
        match *self.phase.lock().unwrap_or_else(PoisonError::into_inner) {
            Phase::Starting => Some("starting"),
            Phase::StandingBy => Some("standing by for the worker that owns the ledger, or for the broker"),
            Phase::Stopping => Some("stopping"),
            Phase::Working if !up("consuming") || !up("publishing") => Some("the broker is not connected"),
            Phase::Working if self.metrics.ledger_up.get() == 0 => Some("the ledger does not answer"),
            Phase::Working => None,
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}
