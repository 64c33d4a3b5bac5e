//! What the office of the ledger's owner does beside taking letters in: counts them for whoever watches, and removes
//! what was settled long ago.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{ANSWER_TIMEOUT, Parts};
use crate::domain::dead_letter::StateName;
use crate::store::dead_letters::{Aspect, Filter};

/// Between two counts.
const COUNT_EVERY: Duration = Duration::from_secs(15);
const PURGE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Letters removed in one transaction: it bounds how long others wait for it.
const PURGE_BATCH: usize = 500;

/// Until `stop`.
pub async fn run(parts: Parts, stop: CancellationToken) {
    let mut purge_at = Instant::now();
    loop {
        count(&parts).await;
        if Instant::now() >= purge_at {
            purge_at = Instant::now() + PURGE_EVERY;
            purge(&parts, &stop).await;
        }
        if stop.run_until_cancelled(tokio::time::sleep(COUNT_EVERY)).await.is_none() {
            return;
        }
    }
}

/// A store that does not answer is told of by the ingester.
async fn count(parts: &Parts) {
    let dead = Filter { state: Some(StateName::Dead), ..Filter::default() };
    let counted = parts.letters.count(dead, vec![Aspect::Cause, Aspect::Destination]);
    if let Ok(Ok(groups)) = timeout(ANSWER_TIMEOUT, counted).await {
        let labels = |value: &Option<String>| value.clone().unwrap_or_default();
        let counts = groups.into_iter().filter_map(|group| match group.values.as_slice() {
            [cause, destination] => Some(((labels(cause), labels(destination)), group.count)),
            _ => None,
        });
        parts.telemetry.letters_counted(&counts.collect());
    }
}

async fn purge(parts: &Parts, stop: &CancellationToken) {
    let retention = SignedDuration::try_from(parts.retention).unwrap_or(SignedDuration::MAX);
    let Ok(before) = parts.clock.now().checked_sub(retention) else { return };
    let mut purged = 0;
    while !stop.is_cancelled() {
        match timeout(ANSWER_TIMEOUT, parts.letters.purge(before, PURGE_BATCH)).await {
            Ok(Ok(count)) if count > 0 => purged += count,
            Ok(Ok(_) | Err(_)) | Err(_) => break,
        }
    }
    if purged > 0 {
        parts.telemetry.letters_purged(purged);
    }
}
