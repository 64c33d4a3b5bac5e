//! From a received message to a lead in a lane: count it, decode it, take a withdrawal to heart, route it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::lane::LaneHandle;
use super::{Item, Shop};
use crate::broker::settle::{About, Settlement};
use crate::broker::{Outgoing, Queue, Unsettled};
use crate::domain::envelope::{self, Envelope, HeaderValue, Headers, Message, Properties, Stamp};
use crate::domain::event::{self, Event};
use crate::domain::fate::Subject;
use crate::domain::lead::{Lead, Purpose};
use crate::domain::lead_key::Keyring;
use crate::domain::route::{DestinationName, Offer, Routes};
use crate::domain::verdict::{Finding, Lane, decide};
use crate::steps::Step;
use crate::store::ledger::{Standing, Withdrawal};

pub struct Admission {
    shop: Arc<Shop>,
    routes: Routes,
    lanes: HashMap<DestinationName, LaneHandle>,
    /// Undecodable messages in a row.
    undecodable: AtomicU32,
    /// Messages of the inbox in a row that did not come back often, and of wait queues.
    unsuspicious: AtomicU32,
    unsuspicious_waiting: AtomicU32,
}

/// So many unsuspicious messages in a row end the caution; at the start, one. Each return to full speed risks one more return of all that
/// is prefetched, so it is not for one good message between two bad ones.
const UNSUSPICIOUS: u32 = 100;

/// What a message turned out to be.
enum Read {
    Finding(Finding),
    /// No route for its offer.
    Unroutable(Box<Event>),
    Withdrawal(Box<Event>),
    Lead(Box<Lead>),
}

impl Admission {
    pub fn new(shop: Arc<Shop>, routes: Routes, lanes: Vec<LaneHandle>) -> Self {
        let lanes = lanes.into_iter().map(|lane| (lane.name.clone(), lane)).collect();
        let all_but_one = || AtomicU32::new(UNSUSPICIOUS - 1);
        let (unsuspicious, unsuspicious_waiting) = (all_but_one(), all_but_one());
        Self { shop, routes, lanes, undecodable: AtomicU32::new(0), unsuspicious, unsuspicious_waiting }
    }

    pub fn shop(&self) -> &Arc<Shop> {
        &self.shop
    }

    /// Takes in what one consumer had ready. Waits only for the ledger to take withdrawals, and for room in the one lane
    /// of a worker that has no other.
    pub async fn admit(&self, messages: Vec<Unsettled>) {
        let (mut settlements, mut withdrawals) = (Vec::new(), Vec::new());
        let mut leads = Vec::with_capacity(messages.len());
        for unsettled in messages {
            let now = self.shop.clock.now();
            let envelope = Envelope::read(&unsettled.message.properties, now);
            self.shop.telemetry.received(envelope.origin);
            let read = match self.is_paused_for(&unsettled) {
                true => Read::Finding(Finding::Interrupted),
                false => self.read(&unsettled, &envelope, now).await,
            };
            match read {
                Read::Finding(finding) => settlements.push(self.judge(unsettled, &envelope, &finding)),
                Read::Unroutable(event) => {
                    let settlement = self.judge(unsettled, &envelope, &Finding::Unroutable);
                    settlements.push(Settlement { about: about(*event), ..settlement });
                }
                Read::Withdrawal(event) => withdrawals.push((unsettled, envelope, *event)),
                Read::Lead(lead) => {
                    leads.push(Item { unsettled, envelope, lead, since: Instant::now(), room: None });
                }
            }
        }
        self.shop.settle(settlements);
        // Before any lane sees a lead of this batch, whichever of the two came first.
        if !withdrawals.is_empty() {
            self.withdraw(withdrawals).await;
        }
        let mut overflow = Vec::new();
        for item in leads {
            overflow.extend(self.place(item).await);
        }
        self.shop.settle(overflow);
    }

    /// A fuse that has blown spares what was sent before the broker knew. What is returned more than a few times for it
    /// is taken one at a time, and thus returned no more.
    fn is_paused_for(&self, unsettled: &Unsettled) -> bool {
        let blown = self.shop.gate.reasons().fuse_blown_until.is_some_and(|until| Instant::now() < until);
        blown && unsettled.queue == Queue::Inbox
    }

    async fn read(&self, unsettled: &Unsettled, envelope: &Envelope, now: Timestamp) -> Read {
        let Shop { settings, .. } = &*self.shop;
        if unsettled.delivery_count >= settings.poison_at {
            return Read::Finding(Finding::Poison);
        }
        let from_inbox = unsettled.queue == Queue::Inbox;
        self.mind_returns(unsettled.delivery_count, from_inbox);
        if envelope::size_of_headers(&unsettled.message.properties.headers) > envelope::HEADERS_MAX {
            return Read::Finding(Finding::HeadersTooLarge);
        }
        let message = &unsettled.message;
        // A withdrawal's and an event's own times fall back to when we first had it, not to this attempt.
        let received = envelope.first_received;
        let received = envelope::known_since_of(&message.properties).map_or(received, |since| since.min(received));
        let decode = || catch_unwind(AssertUnwindSafe(|| event::decode(message, received)));
        let id = message.properties.message_id.as_deref();
        match self.shop.steps.around_message(Step::Decode, id, decode).await {
            Err(_) => {
                self.shop.telemetry.panicked("decoding", None);
                Read::Finding(Finding::Panicked)
            }
            Ok(Err(malformed)) => {
                if from_inbox {
                    self.count_undecodable();
                }
                Read::Finding(Finding::Malformed(malformed.to_string()))
            }
            Ok(Ok(decoded)) => {
                if from_inbox {
                    self.undecodable.store(0, Ordering::Relaxed);
                    self.shop.gate.change(|reasons| reasons.fuse_blown_until = None);
                }
                self.tell(&decoded, envelope, now);
                catch_unwind(AssertUnwindSafe(|| self.route(message, decoded.event))).unwrap_or_else(|_| {
                    self.shop.telemetry.panicked("routing", None);
                    Read::Finding(Finding::Panicked)
                })
            }
        }
    }

    /// From what is received now we learn whether to take one message at a time: if the worker crashes with many in
    /// hand, the innocent are returned as often as the guilty.
    fn mind_returns(&self, delivery_count: u64, from_inbox: bool) {
        let Shop { settings, gate, telemetry, .. } = &*self.shop;
        let unsuspicious = if from_inbox { &self.unsuspicious } else { &self.unsuspicious_waiting };
        if delivery_count > settings.cautious_above {
            self.unsuspicious.store(0, Ordering::Relaxed);
            self.unsuspicious_waiting.store(0, Ordering::Relaxed);
            gate.change(|reasons| (reasons.cautious, reasons.cautious_of_waiting) = (true, true));
            telemetry.intake_cautious(delivery_count);
        } else if unsuspicious.load(Ordering::Relaxed) < UNSUSPICIOUS
            && unsuspicious.fetch_add(1, Ordering::Relaxed) + 1 >= UNSUSPICIOUS
        {
            gate.change(|reasons| match from_inbox {
                true => reasons.cautious = false,
                false => reasons.cautious_of_waiting = false,
            });
        }
    }

    /// A hundred in a row are more likely a producer's mistake, or ours, than a hundred mistakes.
    fn count_undecodable(&self) {
        let Shop { settings, gate, telemetry, .. } = &*self.shop;
        if self.undecodable.fetch_add(1, Ordering::Relaxed) + 1 >= settings.intake_fuse {
            let until = Some(Instant::now() + settings.intake_probe);
            telemetry.intake_paused("message after message is malformed");
            gate.change(|reasons| reasons.fuse_blown_until = until);
        }
    }

    fn tell(&self, decoded: &event::Decoded, envelope: &Envelope, now: Timestamp) {
        let telemetry = &self.shop.telemetry;
        if !decoded.known_source {
            telemetry.unknown_vocabulary("source");
        }
        if !decoded.known_action {
            telemetry.unknown_vocabulary("action");
        }
        if decoded.unknown_members > 0 {
            telemetry.unknown_members(decoded.unknown_members);
        }
        if envelope.origin == envelope::Origin::New {
            let lag = now.duration_since(decoded.event.occurred_at);
            telemetry.queue_lag(Duration::try_from(lag).unwrap_or_default());
        }
    }

    fn route(&self, message: &Message, event: Event) -> Read {
        let keyring = &self.shop.keyring;
        if !event.consent.granted {
            return match marked_for(keyring, message) {
                Some(destination) if self.lanes.contains_key(&destination) => {
                    Read::Lead(Box::new(Lead::new(keyring, event, destination, Purpose::Mark)))
                }
                Some(_) => Read::Unroutable(Box::new(event)),
                None => Read::Withdrawal(Box::new(event)),
            };
        }
        match self.routes.find(&event.offer) {
            Some(destination) => Read::Lead(Box::new(Lead::new(keyring, event, destination.clone(), Purpose::Deliver))),
            None => Read::Unroutable(Box::new(event)),
        }
    }

    /// Into its lane, or, where that is full, to its wait queue: one bad destination must not take the others' share.
    async fn place(&self, mut item: Item) -> Option<Settlement> {
        let lane = &self.lanes[&item.lead.destination];
        if item.unsettled.queue != Queue::Wait(lane.name.clone()) {
            let room = Arc::clone(&lane.room);
            item.room =
                if self.lanes.len() == 1 { room.acquire_owned().await.ok() } else { room.try_acquire_owned().ok() };
            if item.room.is_none() {
                // From now on others join its tail, and the lane looks after it.
                lane.waiting.send_modify(|waiting| *waiting += 1);
                return Some(self.judge_lead(item, &Finding::LaneShut));
            }
        }
        match lane.arrivals.send(item).await {
            Ok(()) => None,
            Err(refused) => Some(self.judge_lead(refused.0, &Finding::Interrupted)),
        }
    }

    fn judge_lead(&self, item: Item, finding: &Finding) -> Settlement {
        let verdict = decide(finding, item.envelope.attempt, Duration::ZERO, Lane::Paused, self.shop.settings.limits);
        item.settle(verdict, Vec::new())
    }

    fn judge(&self, unsettled: Unsettled, envelope: &Envelope, finding: &Finding) -> Settlement {
        let verdict = decide(finding, envelope.attempt, Duration::ZERO, Lane::Closed, self.shop.settings.limits);
        Settlement {
            unsettled,
            verdict,
            stamp: Stamp::of(envelope),
            about: About::default(),
            companions: Vec::new(),
            room: None,
        }
    }

    /// Commits withdrawals before any lane sees what follows them, and asks for every lead that stands delivered to be
    /// marked, each by a message of its own.
    async fn withdraw(&self, messages: Vec<(Unsettled, Envelope, Event)>) {
        let shop = &self.shop;
        let withdrawal = |event: &Event| Withdrawal { person: shop.keyring.identify(event).1, at: event.consent.at };
        let withdrawals: Vec<Withdrawal> = messages.iter().map(|(_, _, event)| withdrawal(event)).collect();
        let commit = |withdrawals| shop.ledger.withdraw(withdrawals);
        let found = shop.each_while_down(Step::Withdraw, &shop.stop.take, withdrawals, commit).await;
        let settlements = messages.into_iter().zip(found).map(|((unsettled, envelope, event), found)| {
            let (finding, standing) = match found {
                Ok(standing) => (Finding::Withdrawal, standing),
                Err(finding) => (finding, Vec::new()),
            };
            let mark = |standing: Standing| {
                mark_message(&shop.keyring, &event, &standing, (event.consent.at, shop.clock.now()))
            };
            let companions = standing.into_iter().filter_map(mark).collect();
            Settlement { about: about(event), companions, ..self.judge(unsettled, &envelope, &finding) }
        });
        shop.settle(settlements.collect());
    }
}

/// What is known of an event that goes to no lane.
fn about(event: Event) -> About {
    let subject = Subject { event_id: event.id, offer: Some(event.offer), ..Subject::default() };
    About { subject, occurred_at: Some(event.occurred_at) }
}

/// Asks ourselves, through the inbox, to mark a lead do-not-contact at the destination that holds it. Signed: from a
/// producer the same header means nothing.
pub fn mark_message(
    keyring: &Keyring,
    event: &Event,
    standing: &Standing,
    (at, now): (Timestamp, Timestamp),
) -> Option<Outgoing> {
    let mut event = event.clone();
    event.offer = Offer::parse(&standing.offer).ok()?;
    event.consent.granted = false;
    event.consent.at = at;
    let body = event.to_json();
    let signature = keyring.mark_signature(standing.destination.as_str(), &body);
    let mark = HeaderValue::Text(format!("{}:{signature}", standing.destination));
    // Stamped: no producer sent it, so it must not count among what producers confirmed.
    let first_received = HeaderValue::Text(now.to_string());
    let headers =
        Headers::from([(envelope::MARK.to_owned(), mark), (envelope::FIRST_RECEIVED.to_owned(), first_received)]);
    let properties = Properties {
        content_type: Some("application/json".into()),
        message_id: event.id,
        headers,
        ..Properties::default()
    };
    Some(Outgoing { queue: Queue::Inbox, message: Message { body: body.into(), properties } })
}

/// The destination at which we asked ourselves to mark the lead in `message`, if it is we who asked.
pub fn marked_for(keyring: &Keyring, message: &Message) -> Option<DestinationName> {
    let (destination, signature) = message.properties.headers.get(envelope::MARK)?.as_text()?.split_once(':')?;
    let signed = keyring.mark_signature(destination, &message.body) == signature.parse().ok()?;
    signed.then(|| DestinationName::parse(destination).ok()).flatten()
}
