//! Operators' orders: read from the ledger again and again, so that every worker obeys within seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Shop;
use super::ledger_watch::answered;
use crate::domain::order::Kept;
use crate::domain::route::DestinationName;
use crate::store::ledger::LedgerError;

/// The latest order of each destination.
pub type Latest = BTreeMap<DestinationName, Kept>;

pub struct Orders {
    latest: watch::Sender<Latest>,
    /// Numbers of orders that have come to their end, which the ledger is still to be told.
    ended: Mutex<BTreeSet<u64>>,
}

impl Orders {
    pub fn new() -> Self {
        Self { latest: watch::Sender::new(BTreeMap::new()), ended: Mutex::default() }
    }

    pub fn watch(&self) -> watch::Receiver<Latest> {
        self.latest.subscribe()
    }

    /// The order is not to begin again. The ledger learns it a little later: should we crash before, it does begin again,
    /// and ends as it ended.
    pub fn end(&self, number: u64) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
    }

    fn ended(&self) -> Vec<u64> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn told(&self, number: u64) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    fn learn(&self, kept: Vec<Kept>) {
        let latest: Latest = kept.into_iter().map(|kept| (kept.order.destination.clone(), kept)).collect();
        self.latest.send_if_modified(|known| {
            let news = *known != latest;
            *known = latest;
            news
        });
    }
}

impl Default for Orders {
    fn default() -> Self {
        Self::new()
    }
}

/// Before anything is sent: a destination that was paused before a restart is paused after it. Ends when the ledger has
/// answered, or we are to stop.
pub async fn learn(shop: &Shop) {
    loop {
        match answered(shop.ledger.orders()).await {
            Ok(kept) => return shop.orders.learn(kept),
            Err(error @ LedgerError::Unusable(_)) => {
                return shop.ledger_state.failed(&error, &shop.telemetry);
            }
            Err(error) => shop.ledger_state.failed(&error, &shop.telemetry),
        }
        if shop.stop.take.run_until_cancelled(shop.ledger_state.is_up()).await.is_none() {
            return;
        }
    }
}

/// For ever. A ledger that does not answer is told of by those who need it.
pub async fn watch(shop: Arc<Shop>) {
    loop {
        tokio::time::sleep(shop.settings.orders_every).await;
        for number in shop.orders.ended() {
            if answered(shop.ledger.end_order(number)).await.is_ok() {
                shop.orders.told(number);
            }
        }
        if let Ok(kept) = answered(shop.ledger.orders()).await {
            shop.orders.learn(kept);
        }
    }
}
