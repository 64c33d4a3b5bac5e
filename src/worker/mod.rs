//! The worker: the life of a message.
//!
//! `intake` consumes; `admission` decodes and routes; `lane`, the page to read, holds one flow per destination; `round`
//! claims, sends and records one batch; `broker::settle` carries out what was decided.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::settle::{About, Settlement, Settler};
use crate::broker::{Broker, Outgoing, Unsettled};
use crate::clock::Clock;
use crate::destination::Destination;
use crate::domain::envelope::{Envelope, Stamp};
use crate::domain::fate::Subject;
use crate::domain::health;
use crate::domain::lead::Lead;
use crate::domain::lead_key::Keyring;
use crate::domain::repeat::RepeatPolicy;
use crate::domain::retry::Limits;
use crate::domain::route::{DestinationName, Routes};
use crate::domain::verdict::Verdict;
use crate::steps::Steps;
use crate::store::dead_letters::DeadLetters;
use crate::store::ledger::Ledger;
use crate::telemetry::Telemetry;

pub mod intake;
pub mod admission;
pub mod lane;
pub mod orders;
pub mod pending;
pub mod round;
pub mod intents;
pub mod endings;
pub mod progress;
pub mod splitting;
pub mod starting;
pub mod drinker;
pub mod gate;
pub mod allowance;
pub mod ledger_watch;
mod ledger_calls;
pub mod shutdown;

use shutdown::Stop;

/// All that a worker is made of.
pub struct Parts {
    pub broker: Arc<dyn Broker>,
    pub ledger: Arc<dyn Ledger>,
    /// Told how replayed letters end; `None`: there is no office.
    pub office: Option<Arc<dyn DeadLetters>>,
    pub destinations: Vec<(DestinationName, Arc<dyn Destination>, RepeatPolicy)>,
    pub routes: Routes,
    pub keyring: Keyring,
    pub telemetry: Arc<Telemetry>,
    pub clock: Clock,
    pub steps: Steps,
    pub settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Messages unsettled at once.
    pub prefetch: u16,
    pub limits: Limits,
    pub health: health::Policy,
    /// Undecodable messages in a row that pause the intake.
    pub intake_fuse: u32,
    /// Between probes of a paused intake.
    pub intake_probe: Duration,
    /// Above this many returns of a message, one is taken at a time.
    pub cautious_above: u64,
    /// At this many returns a message is dead-lettered unread.
    pub poison_at: u64,
    /// Nothing is held unacknowledged longer.
    pub hold_max: Duration,
    /// A rejected lead is held this long for a sign that the destination accepts others.
    pub suspect_max: Duration,
    /// The ledger may be away this long before everything is handed back.
    pub ledger_patience: Duration,
    /// How often the ledger is asked for operators' orders: they are obeyed within 5 s.
    pub orders_every: Duration,
    /// How long what is in flight may take to finish when we stop.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefetch: 4_000,
            limits: Limits::default(),
            health: health::Policy::default(),
            intake_fuse: 100,
            intake_probe: Duration::from_secs(5 * 60),
            cautious_above: 5,
            poison_at: 20,
            hold_max: Duration::from_secs(10 * 60),
            suspect_max: Duration::from_secs(5 * 60),
            ledger_patience: Duration::from_secs(60),
            orders_every: Duration::from_secs(3),
            grace: Duration::from_secs(20),
        }
    }
}

impl Settings {
    /// How many messages from the inbox one lane may hold: all, if it is the only one, else a quarter.
    pub fn share(&self, lanes: usize) -> usize {
        let prefetch = usize::from(self.prefetch);
        if lanes <= 1 { prefetch } else { (prefetch / 4).max(1) }
    }
}

/// A lead in a lane, with the message it came in.
pub struct Item {
    pub unsettled: Unsettled,
    pub envelope: Envelope,
    /// Boxed: an item is moved from hand to hand.
    pub lead: Box<Lead>,
    /// When it was received.
    pub since: Instant,
    /// Its place in the lane; none for one that came from the lane's own wait queue.
    pub room: Option<OwnedSemaphorePermit>,
}

impl Item {
    pub fn settle(self, verdict: Verdict, companions: Vec<Outgoing>) -> Settlement {
        let lead = self.lead;
        let (event_id, offer, occurred_at) = (lead.event.id, lead.event.offer, lead.event.occurred_at);
        let subject =
            Subject { event_id, lead: Some(lead.key), offer: Some(offer), destination: Some(lead.destination) };
        let about = About { subject, occurred_at: Some(occurred_at) };
        let stamp = Stamp::of(&self.envelope);
        Settlement { unsettled: self.unsettled, verdict, stamp, about, companions, room: self.room }
    }
}

/// What every part of the worker shares.
pub struct Shop {
    pub broker: Arc<dyn Broker>,
    pub ledger: Arc<dyn Ledger>,
    pub office: Option<Arc<dyn DeadLetters>>,
    pub settler: Settler,
    pub keyring: Keyring,
    pub telemetry: Arc<Telemetry>,
    pub clock: Clock,
    pub steps: Steps,
    pub settings: Settings,
    pub stop: Stop,
    /// Settlings under way.
    pub settling: TaskTracker,
    /// Cancelled when the worker has ended, or was dropped.
    pub ended: CancellationToken,
    pub ledger_state: ledger_watch::LedgerReports,
    pub gate: gate::Gate,
    pub orders: orders::Orders,
    /// Under way in all lanes.
    pub rounds: starting::Rounds,
}

impl Shop {
    /// Carries out verdicts beside whatever else goes on: a blocked publisher stops no lane.
    pub fn settle(self: &Arc<Self>, settlements: Vec<Settlement>) {
        let (replayed, others): (Vec<_>, Vec<_>) = settlements.into_iter().partition(endings::ends_a_replay);
        if !others.is_empty() {
            let shop = Arc::clone(self);
            self.settling.spawn(self.until_ended(async move { shop.settler.settle(others).await }));
        }
        if !replayed.is_empty() {
            let shop = Arc::clone(self);
            self.settling.spawn(self.until_ended(async move {
                endings::record(&shop, &replayed).await;
                shop.settler.settle(replayed).await;
            }));
        }
    }

    /// A task that does not outlive the worker.
    fn until_ended<F: Future>(&self, task: F) -> impl Future<Output = Option<F::Output>> + use<F> {
        self.ended.clone().run_until_cancelled_owned(task)
    }
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// Another worker has taken the ledger over.
    Superseded,
    /// A part of it panicked: start anew.
    Broken,
}

/// Runs until `stop`. Everything is settled or handed back when this returns; dropped before that, all its tasks end.
pub async fn run(parts: Parts, stop: Stop) -> Ended {
    let (relieve, relief) = watch::channel(0);
    let (shop, routes, destinations) = open_shop(parts, stop.clone(), relief);
    let _ends_all = shop.ended.clone().drop_guard();
    tokio::spawn(shop.until_ended(ledger_watch::watch(Arc::clone(&shop))));
    tokio::spawn(shop.until_ended(gate::watch_publishing(Arc::clone(&shop), relieve)));
    let retired = remember_wait_queues(&shop, &destinations).await;
    orders::learn(&shop).await;
    tokio::spawn(shop.until_ended(orders::watch(Arc::clone(&shop))));
    let mut tasks = JoinSet::new();
    let share = shop.settings.share(destinations.len());
    let mut lanes = Vec::new();
    let mut drinkers = Vec::new();
    for (name, destination, policy) in destinations {
        if let Some(daily) = destination.limits().daily {
            tokio::spawn(shop.until_ended(allowance::watch(Arc::clone(&shop), name.clone(), daily)));
        }
        let (lane, handle, thirst) = lane::Lane::open(Arc::clone(&shop), name, destination, policy, share);
        tasks.spawn(shop.until_ended(lane.run()));
        drinkers.push((handle.name.clone(), handle.waiting.clone(), thirst));
        lanes.push(handle);
    }
    drinkers.extend(retired.into_iter().map(|name| (name, watch::Sender::new(0), drinker::for_ever())));
    let admission = Arc::new(admission::Admission::new(Arc::clone(&shop), routes, lanes));
    for (name, waiting, thirst) in drinkers {
        let drinker = drinker::Drinker { admission: Arc::clone(&admission), name, waiting, thirst };
        tasks.spawn(shop.until_ended(drinker.run()));
    }
    tasks.spawn(shop.until_ended(intake::Intake { admission }.run()));
    let mut broken = false;
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            // What it held was handed back; without it messages would go round and round.
            broken = true;
            shop.telemetry.panicked("the worker", None);
            shop.stop.take.cancel();
        }
    }
    shop.settling.close();
    shop.settling.wait().await;
    match broken {
        true => Ended::Broken,
        false if shop.ledger_state.is_superseded() => Ended::Superseded,
        false => Ended::Stopped,
    }
}

type Destinations = Vec<(DestinationName, Arc<dyn Destination>, RepeatPolicy)>;

fn open_shop(parts: Parts, stop: Stop, relief: watch::Receiver<u64>) -> (Arc<Shop>, Routes, Destinations) {
    let settler = Settler::new(
        Arc::clone(&parts.broker),
        parts.keyring.clone(),
        Arc::clone(&parts.telemetry),
        (parts.clock, parts.steps.clone()),
        (stop.halt.clone(), relief),
        parts.settings.hold_max,
    );
    let shop = Shop {
        broker: parts.broker,
        ledger: parts.ledger,
        office: parts.office,
        settler,
        keyring: parts.keyring,
        telemetry: parts.telemetry,
        clock: parts.clock,
        steps: parts.steps,
        settings: parts.settings,
        ledger_state: ledger_watch::LedgerReports::new(stop.take.clone()),
        stop,
        settling: TaskTracker::new(),
        ended: CancellationToken::new(),
        gate: gate::Gate::new(),
        orders: orders::Orders::new(),
        rounds: starting::Rounds::none(std::thread::available_parallelism().map_or(1, usize::from)),
    };
    (Arc::new(shop), parts.routes, parts.destinations)
}

/// Remembers every configured destination's wait queue, and answers those that are configured no more: what waits
/// there is routed afresh.
async fn remember_wait_queues(shop: &Shop, destinations: &Destinations) -> Vec<DestinationName> {
    let known = loop {
        match shop.ledger.wait_queues().await {
            Ok(known) => break known,
            Err(error) => shop.ledger_state.failed(&error, &shop.telemetry),
        }
        if shop.stop.take.run_until_cancelled(shop.ledger_state.is_up()).await.is_none() {
            break Vec::new();
        }
    };
    for (name, ..) in destinations.iter().filter(|(name, ..)| !known.contains(name)) {
        if let Err(error) = shop.ledger.remember_wait_queue(name).await {
            shop.ledger_state.failed(&error, &shop.telemetry);
        }
    }
    known.into_iter().filter(|name| !destinations.iter().any(|(configured, ..)| configured == name)).collect()
}
