//! What the ledger's adapters tell.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use crate::telemetry::Telemetry;

impl Telemetry {
    pub fn ledger_opened(&self, file: &Path) {
        tracing::info!(file = %file.display(), "opened the ledger");
    }

    pub fn ledger_taken_over(&self, epoch: u64) {
        self.metrics.ledger_up.set(1);
        tracing::info!(epoch, "took the ledger over");
    }

    pub fn ledger_committed(&self, took: Duration) {
        self.metrics.ledger_commit_duration.observe(took.as_secs_f64());
    }

    /// At the first failure only: what follows until it recovers is the same trouble.
    pub fn ledger_failing(&self, why: &impl Display) {
        tracing::error!(%why, "the ledger fails");
    }

    pub fn ledger_recovered(&self) {
        tracing::info!("the ledger works again");
    }
}
