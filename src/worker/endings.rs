//! How replayed letters end: the office is told before the message is acknowledged, as well as that can be done. A lead
//! never waits for the office for long, and is never kept back for it: without the word of its ending a plan of replay
//! only knows less.

use std::time::Duration;

use super::Shop;
use crate::broker::settle::Settlement;
use crate::domain::dead_letter::Ending;
use crate::steps::Step;
use crate::store::dead_letters::{Act, Ended, LettersError};

/// How long a settlement waits for the office.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn ends_a_replay(settlement: &Settlement) -> bool {
    ended(settlement).is_some()
}

fn ended(settlement: &Settlement) -> Option<Ended> {
    let id = settlement.stamp.replay_of?;
    Some(Ended { id, generation: settlement.stamp.generation, ending: Ending::of(&settlement.verdict)? })
}

pub async fn record(shop: &Shop, settlements: &[Settlement]) {
    let endings: Vec<Ended> = settlements.iter().filter_map(ended).collect();
    endings.iter().for_each(|ended| shop.telemetry.replay_ended(ended.ending.as_str()));
    let Some(office) = &shop.office else { return };
    let (count, act) = (endings.len(), Act::of_the_worker(shop.clock.now()));
    let record = tokio::time::timeout(PATIENCE, office.record_endings(endings, act));
    let recorded = shop.steps.around(Step::RecordEndings, record).await;
    let late = |_| Err(LettersError::Unavailable("it does not answer".into()));
    if let Err(error) = recorded.unwrap_or_else(late) {
        shop.telemetry.endings_unrecorded(count, &error);
    }
}
