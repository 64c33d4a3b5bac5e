//! Consumes the inbox, as fast as the gate allows.

use std::sync::Arc;
use std::time::Duration;

use super::Shop;
use super::admission::Admission;
use super::gate::{self, Pace, Reasons};
use crate::broker::settle::{About, Settlement};
use crate::broker::{BrokerError, Queue, Subscription, Unsettled};
use crate::domain::envelope::{Envelope, Stamp};
use crate::domain::verdict::Verdict;
use crate::schedule::schedule;
use crate::steps::Step;
use crate::store::ledger::LedgerError;
use tokio::sync::watch;
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
            match begin(&shop, prefetch).await {
                Ok(subscription) => {
                    delays = self::delays();
                    let mut next = Some(subscription);
                    while let Some(subscription) = next {
                        next = self.go_on_with(subscription, pace, &mut reasons).await;
                    }
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

    /// What a subscription brings, as long as this pace is wanted; or until a fresh one, which is the answer, goes on better.
    async fn go_on_with(
        &self,
        mut subscription: Subscription,
        pace: Pace,
        reasons: &mut watch::Receiver<Reasons>,
    ) -> Option<Subscription> {
        let shop = self.admission.shop();
        let held_up = held_up(&subscription, shop, pace);
        let other_pace = reasons.wait_for(|reasons| reasons.pace(Instant::now()) != pace);
        let is_held_up = async {
            tokio::select! {
                biased;
                () = shop.stop.take.cancelled() => false,
                _ = other_pace => false,
                () = held_up => true,
            }
        };
        let is_held_up = admit_until(&self.admission, &mut subscription, is_held_up).await?;
        // Begun before the other is left, so that there is no gap. If it fails, it is tried again, and then tells why.
        let fresh = if is_held_up { begin(shop, shop.settings.prefetch).await.ok() } else { None };
        leave(&self.admission, subscription).await;
        fresh
    }
}

async fn begin(shop: &Shop, prefetch: u16) -> Result<Subscription, BrokerError> {
    shop.steps.around(Step::Consume, shop.broker.consume(&Queue::Inbox, prefetch)).await
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
        held_up.await;
        while shop.settler.unmovable() * 4 > usize::from(shop.settings.prefetch) {
            tokio::time::sleep(UNMOVABLE).await;
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

/// How often we look whether what could not be published is little again.
const UNMOVABLE: Duration = Duration::from_millis(50);

/// How many messages are taken in at once.
const BATCH: usize = 256;

/// Admits what a subscription brings, until `enough`, and then what had been sent already.
pub async fn consume(admission: &Admission, mut subscription: Subscription, enough: impl Future<Output = ()>) {
    if admit_until(admission, &mut subscription, enough).await.is_some() {
        leave(admission, subscription).await;
    }
}

/// Admits what a subscription brings, until `enough`. `None`: it has ended by itself.
async fn admit_until<T>(
    admission: &Admission,
    subscription: &mut Subscription,
    enough: impl Future<Output = T>,
) -> Option<T> {
    tokio::pin!(enough);
    loop {
        let first = tokio::select! {
            biased;
            enough = &mut enough => return Some(enough),
            message = subscription.next() => message?,
        };
        let mut messages = vec![first];
        while messages.len() < BATCH
            && let Some(next) = subscription.try_next()
        {
            messages.push(next);
        }
        admission.admit(messages).await;
    }
}

/// Takes no more. What had been sent already is admitted too: before RabbitMQ 4.3 each nack counts towards the delivery
/// limit, and 102 pauses killed healthy messages (measured). That one of them may be what crashes us is no reason to hand
/// it back either: a crash would cost the others one return, a nack costs it for certain (measured: caution that came and
/// went gave ten thousand messages back 47,000 times). It is handed back only where going on with it would be wrong.
async fn leave(admission: &Admission, mut subscription: Subscription) {
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
