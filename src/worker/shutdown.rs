//! Stopping, in three phases: take no more, let what is in flight finish, hand back the rest.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Two questions, as two tokens: may I take more, and may work go on?
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Cancelled: take no more.
    pub take: CancellationToken,
    /// Cancelled: hand back what is left, at once.
    pub halt: CancellationToken,
}

impl Stop {
    /// Begins to stop, and lets what is in flight finish for `grace` or until `hurry`.
    pub async fn gracefully(&self, grace: Duration, hurry: impl Future<Output = ()>) {
        self.take.cancel();
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            () = hurry => {}
        }
        self.halt.cancel();
    }
}
