//! What the stores' adapters tell: the ledger's and the dead letters'.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use crate::telemetry::Telemetry;

/// What a store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Ledger,
    Letters,
}

impl Kept {
    fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Letters => "office",
        }
    }
}

impl Telemetry {
    pub fn store_opened(&self, kept: Kept, file: &Path) {
        tracing::info!(store = kept.name(), file = %file.display(), "opened the store");
    }

    pub fn ledger_taken_over(&self, epoch: u64) {
        self.metrics.ledger_up.set(1);
        tracing::info!(epoch, "took the ledger over");
    }

    pub fn store_committed(&self, kept: Kept, took: Duration) {
        let histogram = match kept {
            Kept::Ledger => &self.metrics.ledger_commit_duration,
            Kept::Letters => &self.metrics.office_commit_duration,
        };
        histogram.observe(took.as_secs_f64());
    }

    /// At the first failure only: what follows until it recovers is the same trouble.
    pub fn store_failing(&self, kept: Kept, why: &impl Display) {
        tracing::error!(store = kept.name(), %why, "the store fails");
    }

    pub fn store_recovered(&self, kept: Kept) {
        tracing::info!(store = kept.name(), "the store works again");
    }
}
