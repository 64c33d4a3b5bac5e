//! Whether a destination is set up for us, for `config check --probe` and `destination test`: asked without sending a lead.

use std::sync::Arc;

use anyhow::Context;

use super::parts;
use crate::config::{Config, Kind};
pub use crate::destination::salesforce::rest::probe::Unfit;
use crate::domain::reply::Reply;
use crate::domain::route::DestinationName;
use crate::telemetry::Telemetry;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// What is wrong; nothing, if all is well.
    Told(Vec<Unfit>),
    /// It did not tell: credentials, permissions, an outage.
    Refused(Reply),
    /// Only a lead would tell.
    CannotTell,
}

/// Fails only where the destination cannot be set up.
pub async fn destination_probe(config: &Config, name: &DestinationName) -> anyhow::Result<Probed> {
    let destination = config.destination(name.as_str()).with_context(|| format!("there is no destination {name}"))?;
    match &destination.kind {
        Kind::AzureTable(_) | Kind::WebToLead(_) => Ok(Probed::CannotTell),
        Kind::Salesforce(org) => {
            let org = parts::salesforce(destination, org, Arc::new(Telemetry::new()))?;
            Ok(org.probe().await.map_or_else(Probed::Refused, Probed::Told))
        }
    }
}
