//! Asks a worker on this machine how it is, as what watches a container does.

use std::time::Duration;

use anyhow::Context;

use super::Unreachable;
use super::asking::{Page, Patience};
use crate::config::Config;

/// What watches gives up soon as well.
const PATIENCE: Patience = Patience { connect: Duration::from_secs(3), whole: Duration::from_secs(3) };

/// What the worker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub good: bool,
    pub said: String,
}

/// `ready`: not only that it is alive, but that it can bring events to their end now. Fails as [`Unreachable`].
pub async fn health(config: &Config, ready: bool) -> anyhow::Result<Health> {
    let path = if ready { "readyz" } else { "healthz" };
    let page = Page::of(config.http.listen, path, PATIENCE).context("http.listen")?;
    let answer = page.get().await;
    let unreachable = |code: &str| Unreachable(format!("the worker at {} ({code})", page.address));
    let answer = answer.map_err(|failure| unreachable(failure.code().as_str()))?;
    let said = String::from_utf8_lossy(&answer.body).trim().to_owned();
    Ok(Health { good: answer.status == 200, said })
}
