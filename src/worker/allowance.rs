//! Tells how much of a destination's day is used.

use std::sync::Arc;
use std::time::Duration;

use super::Shop;
use super::ledger_watch::answered;
use crate::domain::allowance::Daily;
use crate::domain::route::DestinationName;

const EVERY: Duration = Duration::from_secs(60);

/// For ever. A ledger that does not answer is told of by those who need it.
pub async fn watch(shop: Arc<Shop>, destination: DestinationName, daily: Daily) {
    let mut was_full = false;
    loop {
        if let Ok(used) = answered(shop.ledger.posted(&destination, shop.clock.now())).await {
            shop.telemetry.posted_today(&destination, used, daily.limit);
            let full = used >= daily.limit.into();
            if full && !was_full {
                shop.telemetry.day_is_full(&destination, daily);
            }
            was_full = full;
        }
        tokio::time::sleep(EVERY).await;
    }
}
