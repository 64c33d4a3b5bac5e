//! Salesforce, rehearsed, for the command line.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

pub use crate::sandbox::options::WebToLeadSettings;
pub use crate::sandbox::schema::{CustomField, ExternalId};
pub use crate::sandbox::{DuplicateRule, Fault, Options, Sandbox, Settings, StartError, TooLong};

/// Serves until SIGTERM or SIGINT. `listening` is told once clients can come.
pub async fn run(options: Options, listening: impl FnOnce(&Sandbox) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen to SIGINT")?;
    let mut sandbox = Sandbox::start(options).await?;
    listening(&sandbox)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = sandbox.wait() => {}
    }
    Ok(())
}
