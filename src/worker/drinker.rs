//! Drinks from a destination's wait queue as much as its lane asks for, and tells the lane how much waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::admission::Admission;
use super::intake;
use crate::broker::Queue;
use crate::domain::route::DestinationName;
use crate::steps::Step;

/// What a lane asks of its wait queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thirst {
    /// Messages at once; 0 for none.
    pub prefetch: u16,
    /// Something may have gone there lately: look often.
    pub watchful: bool,
}

/// The thirst for the wait queue of a destination that is configured no more: what waits there is routed afresh.
pub fn for_ever() -> watch::Receiver<Thirst> {
    watch::Sender::new(Thirst { prefetch: 200, watchful: false }).subscribe()
}

pub struct Drinker {
    pub admission: Arc<Admission>,
    pub name: DestinationName,
    /// Told to the lane.
    pub waiting: watch::Sender<u64>,
    pub thirst: watch::Receiver<Thirst>,
}

const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(15);

impl Drinker {
    /// Until we are to take no more.
    pub async fn run(mut self) {
        let shop = Arc::clone(self.admission.shop());
        let stop = shop.stop.take.clone();
        let queue = Queue::Wait(self.name.clone());
        while !stop.is_cancelled() {
            let thirst = *self.thirst.borrow_and_update();
            let depth = shop.broker.depth(&queue).await.ok();
            if let Some(depth) = depth {
                shop.telemetry.waiting(&self.name, depth);
                self.waiting.send_replace(depth);
            }
            if thirst.prefetch > 0 && depth.is_some_and(|depth| depth > 0) && !shop.gate.reasons().ledger_gone {
                self.drink(&queue, thirst).await;
                continue;
            }
            let pause = if thirst.watchful { OFTEN } else { SELDOM };
            tokio::select! {
                () = stop.cancelled() => {}
                () = until(&mut self.thirst, |asked| *asked != thirst) => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Until the queue is empty, the lane asks for something else, or we are to stop.
    async fn drink(&mut self, queue: &Queue, thirst: Thirst) {
        let shop = Arc::clone(self.admission.shop());
        let mut reasons = shop.gate.watch();
        let before = *reasons.borrow_and_update();
        let prefetch = if before.cautious_of_waiting { 1 } else { thirst.prefetch };
        let subscription = match shop.steps.around(Step::Consume, shop.broker.consume(queue, prefetch)).await {
            Ok(subscription) => subscription,
            Err(error) => {
                shop.telemetry.intake_failed(&queue.to_string(), &error.to_string());
                tokio::select! { () = shop.stop.take.cancelled() => {}, () = tokio::time::sleep(OFTEN) => {} }
                return;
            }
        };
        let enough = async {
            tokio::select! {
                () = shop.stop.take.cancelled() => {}
                () = until(&mut self.thirst, |asked| asked.prefetch != thirst.prefetch) => {}
                _ = reasons.wait_for(|now| now.cautious_of_waiting != before.cautious_of_waiting || now.ledger_gone) => {}
                () = empty(&shop, queue, &self.name, &self.waiting) => {}
            }
        };
        intake::consume(&self.admission, subscription, enough).await;
    }
}

/// A lane that has gone asks for nothing else.
async fn until(thirst: &mut watch::Receiver<Thirst>, asked: impl FnMut(&Thirst) -> bool) {
    if thirst.wait_for(asked).await.is_err() {
        std::future::pending().await
    }
}

/// Looks every second how much is left; ends when nothing is ready.
async fn empty(shop: &super::Shop, queue: &Queue, name: &DestinationName, waiting: &watch::Sender<u64>) {
    loop {
        tokio::time::sleep(OFTEN).await;
        if let Ok(depth) = shop.broker.depth(queue).await {
            shop.telemetry.waiting(name, depth);
            if depth == 0 {
                return;
            }
            waiting.send_replace(depth);
        }
    }
}
