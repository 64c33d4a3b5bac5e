//! Consumes the inbox, as fast as the gate allows.

use std::sync::Arc;
use std::time::Duration;

use super::Shop;
use super::admission::Admission;
use super::gate::{self, Pace};
use crate::broker::settle::{About, Settlement};
use crate::broker::{BrokerError, Queue, Subscription, Unsettled};
use crate::domain::envelope::{Envelope, Stamp};
use crate::domain::verdict::Verdict;
use crate::schedule::schedule;
use crate::steps::Step;
use crate::store::ledger::LedgerError;
use tokio::time::Instant;

pub struct Intake {
    pub admission: Arc<Admission>,
}

impl Intake {
    /// Until we are to take no more.
    pub async fn run(self) {
        let shop = Arc::clone(self.admission.shop());
        let stop = shop.stop.take.clone();
        let mut reasons = shop.gate.watch();
        let mut delays = delays();
        while !stop.is_cancelled() {
            let pace = reasons.borrow_and_update().pace(Instant::now());
            let prefetch = match pace {
                Pace::Nothing { until } => {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        _ = reasons.changed() => {}
                        () = sleep_until(until) => {}
                    }
                    continue;
                }
                Pace::OneByOne => 1,
                Pace::AFew => gate::A_FEW,
                Pace::Freely => shop.settings.prefetch,
            };
            let other_pace = async {
                drop(reasons.wait_for(|reasons| reasons.pace(Instant::now()) != pace).await);
            };
            match shop.steps.around(Step::Consume, shop.broker.consume(&Queue::Inbox, prefetch)).await {
                Ok(subscription) => {
                    delays = self::delays();
                    let held_up = held_up(&subscription, &shop, pace);
                    consume(&self.admission, subscription, async {
                        tokio::select! { () = stop.cancelled() => {}, () = other_pace => {}, () = held_up => {} }
                    })
                    .await;
                }
                // It lost the broker, and another was quicker: it is to stand by.
                Err(BrokerError::Owned(_)) => shop.ledger_state.failed(&LedgerError::Superseded, &shop.telemetry),
                Err(error) => {
                    shop.telemetry.intake_failed("consent", &error.to_string());
                    let delay = delays.next().unwrap_or_default();
                    tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(delay) => {} }
                }
            }
        }
    }
}

/// A destination that hangs holds its share of what was sent to us for as long as its requests may take, and all that comes
/// later is acknowledged one by one. On a fresh channel it is not: there is room in the lane for its share alone, and the
/// rest goes to its wait queue. So what is held on channels left behind is what lanes have room for, and what cannot be
/// published: while that is more than a little, the prefetch is the bound, and stays it.
fn held_up<'a>(subscription: &Subscription, shop: &'a Shop, pace: Pace) -> impl Future<Output = ()> + use<'a> {
    let held_up = subscription.held_up();
    async move {
        if pace != Pace::Freely {
            std::future::pending().await
        }
        tokio::join!(held_up, tokio::time::sleep(FRESH));
        while shop.settler.unmovable() * 4 > usize::from(shop.settings.prefetch) {
            tokio::time::sleep(FRESH).await;
        }
    }
}

fn delays() -> impl Iterator<Item = Duration> + Send {
    schedule(Duration::from_millis(200), Duration::from_secs(10))
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// A consumer is not replaced before.
const FRESH: Duration = Duration::from_millis(250);

/// How many messages are taken in at once.
const BATCH: usize = 256;

/// Admits what a subscription brings, until it ends or `enough`. What had been sent already is admitted too: before
/// RabbitMQ 4.3 each nack counts towards the delivery limit, and 102 pauses killed healthy messages (measured). That one
/// of them may be what crashes us is no reason to hand it back either: a crash would cost the others one return, a nack
/// costs it for certain (measured: caution that came and went gave ten thousand messages back 47,000 times). It is handed
/// back only where going on with it would be wrong.
pub async fn consume(admission: &Admission, mut subscription: Subscription, enough: impl Future<Output = ()>) {
    tokio::pin!(enough);
    loop {
        let first = tokio::select! {
            biased;
            () = &mut enough => break,
            message = subscription.next() => message,
        };
        let Some(first) = first else { return };
        let mut messages = vec![first];
        while messages.len() < BATCH
            && let Some(next) = subscription.try_next()
        {
            messages.push(next);
        }
        admission.admit(messages).await;
    }
    subscription.cancel().await;
    let mut left = Vec::new();
    while let Some(unsettled) = subscription.next().await {
        left.push(unsettled);
    }
    let shop = admission.shop();
    let reasons = shop.gate.reasons();
    if shop.stop.take.is_cancelled() || reasons.ledger_gone || reasons.fuse_blown_until.is_some() {
        shop.settle(left.into_iter().map(|unsettled| hand_back(shop, unsettled)).collect());
    } else {
        admission.admit(left).await;
    }
}

/// A message that was sent to us and that we did not begin with.
fn hand_back(shop: &Shop, unsettled: Unsettled) -> Settlement {
    let envelope = Envelope::read(&unsettled.message.properties, shop.clock.now());
    shop.telemetry.received(envelope.origin);
    let (verdict, stamp) = (Verdict::Release, Stamp::of(&envelope));
    Settlement { unsettled, verdict, stamp, about: About::default(), companions: Vec::new(), room: None }
}
