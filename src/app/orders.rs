//! Giving orders to the workers: written to the store that they share, where each finds them within seconds.

use std::sync::Arc;

use anyhow::Context;

use super::status::ask_worker;
use super::{Unreachable, parts};
use crate::config::{Config, Store};
use crate::domain::order::Order;
use crate::domain::reply::Code;
use crate::domain::route::DestinationName;
use crate::store::ledger::{Ledger, LedgerError};
use crate::store::sqlite::SqliteLedger;
use crate::telemetry::Telemetry;

/// Keeps the order, durably, beside a worker that runs; answers its number.
pub async fn give_order(config: &Config, order: Order) -> anyhow::Result<u64> {
    open_ledger(config).await?.give_order(order).await.map_err(ledger_trouble)
}

/// Opens the ledger to write beside a worker that runs.
pub(super) async fn open_ledger(config: &Config) -> anyhow::Result<SqliteLedger> {
    let (Store::Sqlite(path), keyring) = (config.store.clone(), parts::keyring(config));
    let open = move || SqliteLedger::open_beside(&path, &keyring, Arc::new(Telemetry::new()));
    tokio::task::spawn_blocking(open).await.context("opening the ledger panicked")?.map_err(ledger_trouble)
}

/// A ledger that may come back is unreachable, anything else has failed.
pub(super) fn ledger_trouble(error: LedgerError) -> anyhow::Error {
    match error {
        LedgerError::Unavailable(_) => Unreachable(error.to_string()).into(),
        LedgerError::Superseded | LedgerError::Unusable(_) => error.into(),
    }
}

/// What the worker says of a lane that is to accept its rejections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejecting {
    /// With this code.
    With(Code),
    /// It is in this state instead.
    No(String),
    /// No worker that has the lane answers; why.
    Unknown(String),
}

pub async fn rejecting(config: &Config, name: &DestinationName) -> Rejecting {
    let worker = match ask_worker(config).await {
        Ok(worker) => worker,
        Err(why) => return Rejecting::Unknown(why),
    };
    match worker.lanes.get(name.as_str()) {
        None => Rejecting::Unknown(format!("the worker is {}", worker.phase)),
        Some(lane) => match (lane.trouble.as_deref(), &lane.code) {
            (Some("rejecting"), Some(code)) => Rejecting::With(Code::foreign(code)),
            (..) => Rejecting::No(lane.state.clone()),
        },
    }
}
