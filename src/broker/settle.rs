//! To settle: to carry out a verdict. The only file that answers the broker.
//!
//! The order that loses nothing: what replaces a message is published and confirmed first, then the message is
//! acknowledged. A crash between the two duplicates; the ledger and the destination's own identity absorb that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Broker, Outgoing, PublishError, Publishing, Queue, Unsettled};
use crate::clock::Clock;
use crate::domain::envelope::{self, HeaderValue, Message, Stamp};
use crate::domain::fate::{Ending, Notice, Subject};
use crate::domain::lead_key::Keyring;
use crate::domain::verdict::{Reason, Verdict};
use crate::schedule::schedule;
use crate::steps::{Step, Steps};
use crate::telemetry::Telemetry;

/// A message with its verdict.
#[derive(Debug)]
pub struct Settlement {
    pub unsettled: Unsettled,
    pub verdict: Verdict,
    /// What it says of itself if it is published again.
    pub stamp: Stamp,
    pub about: About,
    /// Messages of their own that are published and confirmed before this one is acknowledged.
    pub companions: Vec<Outgoing>,
    /// The place in the lane that it gives up when it is settled.
    pub room: Option<OwnedSemaphorePermit>,
}

/// What is known of a message, for its dead letter and for the metrics. No personal data.
#[derive(Clone, Debug, Default)]
pub struct About {
    pub subject: Subject,
    pub occurred_at: Option<Timestamp>,
}

pub struct Settler {
    pub broker: Arc<dyn Broker>,
    pub keyring: Keyring,
    pub telemetry: Arc<Telemetry>,
    pub clock: Clock,
    pub steps: Steps,
    /// Work may go on until this: then what is not settled is handed back.
    pub halt: CancellationToken,
    /// Changes when what cannot be published is to be handed back once (the broker has been blocked for too long).
    pub relief: watch::Receiver<u64>,
    /// Nothing is held unacknowledged longer than this for want of a confirm.
    pub hold_max: Duration,
    unmovable: AtomicUsize,
}

/// A settlement that owes the broker something before its message may be acknowledged.
struct Owing {
    settlement: Settlement,
    outgoing: Vec<Outgoing>,
}

impl Settler {
    pub fn new(
        broker: Arc<dyn Broker>,
        keyring: Keyring,
        telemetry: Arc<Telemetry>,
        (clock, steps): (Clock, Steps),
        (halt, relief): (CancellationToken, watch::Receiver<u64>),
        hold_max: Duration,
    ) -> Self {
        Self { broker, keyring, telemetry, clock, steps, halt, relief, hold_max, unmovable: AtomicUsize::new(0) }
    }

    /// Messages whose replacement is not confirmed yet.
    pub fn unmovable(&self) -> usize {
        self.unmovable.load(Ordering::Relaxed)
    }

    /// Carries out verdicts. Returns when every message has been answered, one way or the other.
    pub async fn settle(&self, settlements: Vec<Settlement>) {
        let (mut acks, mut releases, mut owing) = (Vec::with_capacity(settlements.len()), Vec::new(), Vec::new());
        for settlement in settlements {
            if settlement.unsettled.is_stale() || settlement.verdict == Verdict::Release {
                releases.push(settlement);
                continue;
            }
            let outgoing = self.outgoing(&settlement);
            if outgoing.is_empty() {
                acks.push(settlement);
            } else {
                owing.push(Owing { settlement, outgoing });
            }
        }
        self.ack(acks).await;
        self.hand_back(releases).await;
        if !owing.is_empty() {
            let count = owing.len();
            self.unmovable.fetch_add(count, Ordering::Relaxed);
            self.publish(owing).await;
            self.unmovable.fetch_sub(count, Ordering::Relaxed);
        }
    }

    /// What must be published and confirmed before the message may be acknowledged.
    fn outgoing(&self, settlement: &Settlement) -> Vec<Outgoing> {
        let replacement = replacement(settlement, &self.keyring, self.clock.now());
        settlement.companions.iter().cloned().chain(replacement).collect()
    }

    /// Publishes until confirmed, then acknowledges; hands back what could not be published in time.
    async fn publish(&self, mut owing: Vec<Owing>) {
        let deadline = Instant::now() + self.hold_max;
        let mut relief = self.relief.clone();
        relief.mark_unchanged();
        for delay in schedule(Duration::from_millis(100), Duration::from_secs(30)) {
            owing = self.without_stale(owing).await;
            tokio::select! {
                biased;
                () = self.halt.cancelled() => break,
                () = async { drop(relief.changed().await) }, if relief.has_changed().is_ok() => break,
                () = tokio::time::sleep_until(deadline) => break,
                () = self.publish_once(&mut owing) => {}
            }
            if owing.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                () = self.halt.cancelled() => break,
                () = tokio::time::sleep_until(deadline) => break,
                () = self.pause(delay) => {}
            }
        }
        self.hand_back(owing.into_iter().map(|owing| owing.settlement).collect()).await;
    }

    /// Before the next try: for `delay`, but no longer than it takes a broker that takes no publishes to take them again.
    async fn pause(&self, delay: Duration) {
        let mut link = self.broker.link();
        let shut = link.borrow().publishing != Publishing::Open;
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            Ok(_) = link.wait_for(|link| link.publishing == Publishing::Open), if shut => {}
        }
    }

    /// What the broker has taken back by itself comes again: a replacement for it would be one too many.
    async fn without_stale(&self, owing: Vec<Owing>) -> Vec<Owing> {
        let is_stale = |owing: &Owing| owing.settlement.unsettled.is_stale();
        let (stale, owing): (Vec<Owing>, Vec<Owing>) = owing.into_iter().partition(is_stale);
        self.hand_back(stale.into_iter().map(|owing| owing.settlement).collect()).await;
        owing
    }

    /// Leaves in `owing` what was not confirmed. Cancelled in mid-flight it leaves everything: what was published all
    /// the same is a duplicate, never a loss.
    async fn publish_once(&self, owing: &mut Vec<Owing>) {
        let batch: Vec<Outgoing> = owing.iter().flat_map(|owing| owing.outgoing.iter().cloned()).collect();
        let mut answers = self.steps.around(Step::Publish, self.broker.publish(&batch)).await.into_iter();
        let (mut done, mut left) = (Vec::new(), Vec::new());
        for mut one in owing.drain(..) {
            let results: Vec<_> = answers.by_ref().take(one.outgoing.len()).collect();
            let mut results = results.into_iter();
            one.outgoing.retain(|outgoing| !self.is_published(outgoing, results.next()));
            if one.outgoing.is_empty() { done.push(one.settlement) } else { left.push(one) }
        }
        *owing = left;
        self.ack(done).await;
    }

    fn is_published(&self, outgoing: &Outgoing, answer: Option<Result<(), PublishError>>) -> bool {
        match answer.unwrap_or(Err(PublishError::Unconfirmed)) {
            Ok(()) => true,
            Err(error) => {
                self.telemetry.publish_failed(&outgoing.queue.to_string(), &error.to_string());
                false
            }
        }
    }

    async fn ack(&self, settlements: Vec<Settlement>) {
        if settlements.is_empty() {
            return;
        }
        self.steps
            .around_now(Step::Ack, || {
                for settlement in settlements {
                    self.ack_one(settlement);
                }
            })
            .await;
    }

    fn ack_one(&self, Settlement { unsettled, verdict, about, stamp, room, companions: _ }: Settlement) {
        let destination = about.subject.destination.as_ref();
        // Its channel may have closed since: then the broker has it again, and this was no settling.
        if unsettled.is_stale() {
            self.telemetry.settled(&Verdict::Release, destination, None);
            unsettled.ack();
            return;
        }
        self.telemetry.settled(&verdict, destination, self.age(&verdict, &about));
        if let Verdict::DeadLetter(reason) = &verdict {
            let trace_id = envelope::trace_id(&unsettled.message.properties);
            self.telemetry.dead_lettered(reason, destination, (about.subject.lead, trace_id), stamp.attempt);
        }
        let unnamed = about.subject.event_id.is_none();
        let message_id = if unnamed { unsettled.message.properties.message_id.clone() } else { None };
        unsettled.ack();
        drop(room);
        self.announce(&verdict, about.subject, message_id);
    }

    /// Last, and without waiting: a fate that is not told costs nobody a lead.
    fn announce(&self, verdict: &Verdict, subject: Subject, message_id: Option<String>) {
        if let Some(ending) = Ending::of(verdict) {
            let subject = Subject { event_id: subject.event_id.or(message_id), ..subject };
            self.broker.announce(Notice { subject, ending, at: self.clock.now() });
        }
    }

    /// From the event to its end, where this is an end.
    fn age(&self, verdict: &Verdict, about: &About) -> Option<Duration> {
        let ended = matches!(verdict, Verdict::Ack(_) | Verdict::DeadLetter(_));
        let occurred_at = about.occurred_at.filter(|_| ended)?;
        Duration::try_from(self.clock.now().duration_since(occurred_at)).ok()
    }

    async fn hand_back(&self, settlements: Vec<Settlement>) {
        if settlements.is_empty() {
            return;
        }
        self.steps
            .around_now(Step::HandBack, || {
                for Settlement { unsettled, about, .. } in settlements {
                    self.telemetry.settled(&Verdict::Release, about.subject.destination.as_ref(), None);
                    unsettled.hand_back();
                }
            })
            .await;
    }
}

/// Acknowledges letters that the office has committed. They have had their fate when they died, and are not counted again.
pub async fn put_away(kept: Vec<Unsettled>, steps: &Steps) {
    steps.around_now(Step::Ack, || kept.into_iter().for_each(Unsettled::ack)).await;
}

/// Leaves letters in their queue that the office could not take.
pub async fn leave(refused: Vec<Unsettled>, steps: &Steps) {
    if !refused.is_empty() {
        steps.around_now(Step::HandBack, || refused.into_iter().for_each(Unsettled::hand_back)).await;
    }
}

/// The message that takes the place of a settled one, where its verdict asks for one.
fn replacement(settlement: &Settlement, keyring: &Keyring, now: Timestamp) -> Option<Outgoing> {
    let Settlement { unsettled, verdict, stamp, about, .. } = settlement;
    let message = &unsettled.message;
    let mut stamp = stamp.clone();
    match verdict {
        Verdict::Ack(_) | Verdict::Release => None,
        Verdict::Retry { tier, charged } => {
            stamp.attempt += u32::from(*charged);
            let mut message = envelope::republished(message, &stamp);
            let due = HeaderValue::Text((now + tier.delay()).to_string());
            message.properties.headers.insert(envelope::DUE.to_owned(), due);
            Some(Outgoing { queue: Queue::Retry(*tier), message })
        }
        Verdict::Wait => {
            stamp.waiting_since = Some(now);
            let destination = about.subject.destination.clone().expect("only a lead with a destination waits");
            Some(Outgoing { queue: Queue::Wait(destination), message: envelope::republished(message, &stamp) })
        }
        Verdict::DeadLetter(reason) => {
            let letter = dead_letter(message, stamp, reason, about, (keyring, now));
            Some(Outgoing { queue: Queue::Dead, message: letter })
        }
    }
}

fn dead_letter(
    message: &Message,
    mut stamp: Stamp,
    reason: &Reason,
    about: &About,
    (keyring, now): (&Keyring, Timestamp),
) -> Message {
    stamp.attempt += u32::from(matches!(reason, Reason::AttemptsExhausted(_) | Reason::Expired(_)));
    let replay_of = stamp.replay_of.take();
    let mut letter = envelope::republished(message, &stamp);
    let dead_id = keyring.dead_id(&message.body, message.properties.message_id.as_deref(), stamp.generation);
    let mut put = |name: &str, value: String| {
        letter.properties.headers.insert(name.to_owned(), HeaderValue::Text(value));
    };
    put(envelope::REASON, reason.name().to_owned());
    put(envelope::DEAD_ID, dead_id.to_string());
    put(envelope::DEAD_AT, now.to_string());
    if let Some(replay_of) = replay_of {
        put(envelope::REPLAY_OF, replay_of.to_string());
    }
    if let Some(detail) = reason.detail() {
        put(envelope::DETAIL, detail.to_owned());
    }
    if let Some(destination) = &about.subject.destination {
        put(envelope::DESTINATION, destination.to_string());
    }
    if let Some(lead) = about.subject.lead {
        put(envelope::LEAD_KEY, lead.to_string());
    }
    letter
}
