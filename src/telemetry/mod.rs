//! What is seen from outside: every observable event is one function that both logs and counts, once.

pub mod metrics;
pub mod board;
pub mod events;
pub mod refusals;
pub mod logs;
pub mod server;

use std::sync::{Mutex, PoisonError};

use board::Board;
use metrics::Metrics;
use refusals::Refusals;
use server::Phase;

/// Handed to everything that has something to tell.
#[derive(Debug)]
pub struct Telemetry {
    pub metrics: Metrics,
    pub board: Board,
    refusals: Refusals,
    phase: Mutex<Phase>,
}

impl Telemetry {
    pub fn new() -> Self {
        let (metrics, phase) = (Metrics::new(), Mutex::new(Phase::Starting));
        Self { metrics, board: Board::default(), refusals: Refusals::default(), phase }
    }

    pub fn phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn current_phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why no event can be brought to its end now, if so.
    pub fn unready(&self) -> Option<&'static str> {
        let up = |connection| self.metrics.broker_connected.with_label_values(&[connection]).get() == 1;
        match self.current_phase() {
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
