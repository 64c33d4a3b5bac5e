//! A world in memory: a broker, a ledger and destinations that outlive any worker, on a paused clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use leadrelay::broker::memory::MemoryBroker;
use leadrelay::broker::{Broker, Queue};
use leadrelay::clock::Clock;
use leadrelay::destination::Destination;
use leadrelay::destination::memory::{Holding, MemoryDestination};
use leadrelay::domain::allowance::Daily;
use leadrelay::domain::envelope::{self, HeaderValue, Message, Properties};
use leadrelay::domain::lead_key::{Keyring, LeadKey, PersonKey};
use leadrelay::domain::repeat::RepeatPolicy;
use leadrelay::domain::reply::OnUnknown;
use leadrelay::domain::retry::Tier;
use leadrelay::domain::route::{DestinationName, Offer, OfferPattern, Routes};
use leadrelay::office;
use leadrelay::steps::Steps;
use leadrelay::store::ledger::Ledger;
use leadrelay::store::memory::MemoryLedger;
use leadrelay::store::memory_letters::MemoryLetters;
use leadrelay::telemetry::Telemetry;
use leadrelay::worker::shutdown::Stop;
use leadrelay::worker::{self, Ended, Parts, Settings};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub struct World {
    pub broker: MemoryBroker,
    pub ledger: MemoryLedger,
    pub letters: MemoryLetters,
    /// The office takes letters out of the dead queue.
    pub ingest: bool,
    pub destinations: BTreeMap<String, Arc<MemoryDestination>>,
    pub routes: Routes,
    pub keyring: Keyring,
    pub clock: Clock,
    pub settings: Settings,
    pub policy: RepeatPolicy,
}

pub type Configured = (DestinationName, Arc<dyn Destination>, RepeatPolicy);

/// One life of a worker.
pub struct Life {
    pub telemetry: Arc<Telemetry>,
    stop: Stop,
    task: JoinHandle<Ended>,
}

pub const NOON: &str = "2026-11-22T12:00:00Z";

impl World {
    /// One destination a name, each with the offers `name.*`.
    pub fn new(names: &[&str]) -> Self {
        let mut routes = Routes::default();
        let destinations = names.iter().map(|name| {
            let pattern = OfferPattern::parse(&format!("{name}.*")).unwrap();
            routes.add(pattern, DestinationName::parse(name).unwrap()).unwrap();
            ((*name).to_owned(), Arc::new(MemoryDestination::like_a_table()))
        });
        Self {
            broker: MemoryBroker::new(),
            ledger: MemoryLedger::new(),
            letters: MemoryLetters::new(),
            ingest: false,
            destinations: destinations.collect(),
            routes,
            keyring: Keyring::new(b"a secret of the test's own"),
            clock: Clock::following(NOON.parse().unwrap()),
            // Most tests give no order, and asking for one every three seconds of nine days takes its time.
            settings: Settings { orders_every: Duration::from_secs(600), ..Settings::default() },
            policy: RepeatPolicy { updates: true, ..RepeatPolicy::default() },
        }
    }

    /// One destination that cannot tell a repeat, with the offers `name.*`.
    pub fn posting(name: &str, on_unknown: OnUnknown, daily: Option<Daily>) -> Self {
        let mut world = Self::new(&[name]);
        world.policy.updates = false;
        let destination = MemoryDestination::like_web_to_lead(on_unknown, daily);
        world.destinations.insert(name.to_owned(), Arc::new(destination));
        world
    }

    pub fn destination(&self, name: &str) -> &Arc<MemoryDestination> {
        &self.destinations[name]
    }

    pub async fn start(&self) -> Life {
        self.start_watched(Steps::default()).await
    }

    pub async fn start_watched(&self, steps: Steps) -> Life {
        self.launch(Arc::new(self.broker.clone()), self.in_memory(), steps).await
    }

    /// The destinations in memory, as the worker takes them.
    pub fn in_memory(&self) -> Vec<Configured> {
        let configured = |(name, destination): (&String, &Arc<MemoryDestination>)| {
            (DestinationName::parse(name).unwrap(), Arc::clone(destination) as Arc<dyn Destination>, self.policy)
        };
        self.destinations.iter().map(configured).collect()
    }

    /// On a broker, or to destinations, that are not this world's own.
    pub async fn launch(&self, broker: Arc<dyn Broker>, destinations: Vec<Configured>, steps: Steps) -> Life {
        let ledger = self.ledger.owner();
        ledger.take_over().await.unwrap();
        let telemetry = Arc::new(Telemetry::new());
        let stop = Stop::default();
        let office = self.ingest.then(|| office::Parts {
            broker: Arc::clone(&broker),
            letters: Arc::new(self.letters.clone()),
            keyring: self.keyring.clone(),
            telemetry: Arc::clone(&telemetry),
            clock: self.clock,
            steps: steps.clone(),
            retention: Duration::from_secs(30 * 24 * 3_600),
        });
        let parts = Parts {
            broker,
            ledger: Arc::new(ledger),
            office: Some(Arc::new(self.letters.clone())),
            destinations,
            routes: self.routes.clone(),
            keyring: self.keyring.clone(),
            telemetry: Arc::clone(&telemetry),
            clock: self.clock,
            steps,
            settings: self.settings,
        };
        let (worker, take) = (worker::run(parts, stop.clone()), stop.take.clone());
        let office = async {
            if let Some(office) = office {
                office::run(office, take).await;
            }
        };
        Life { telemetry, task: tokio::spawn(async { tokio::join!(worker, office).0 }), stop }
    }

    pub fn person(&self, email: &str, offer: &str) -> PersonKey {
        self.keyring.person_key(email, &Offer::parse(offer).unwrap())
    }

    pub fn key(&self, email: &str, offer: &str) -> LeadKey {
        self.keyring.lead_key(email, &Offer::parse(offer).unwrap())
    }

    pub fn held(&self, name: &str, email: &str, offer: &str) -> Option<Holding> {
        self.destination(name).held(self.key(email, offer))
    }

    pub fn put(&self, event: &Event) {
        self.broker.put(event.message());
    }

    /// Lets (paused) time pass until nothing is owed: inbox, retry and wait queues empty, nothing held.
    pub async fn settle(&self) {
        self.settle_within(Duration::from_secs(30 * 24 * 3_600)).await;
    }

    pub async fn settle_within(&self, bound: Duration) {
        let waits = self.destinations.keys().map(|name| Queue::Wait(DestinationName::parse(name).unwrap()));
        let dead = self.ingest.then_some(Queue::Dead);
        let owed: Vec<Queue> = waits.chain(Tier::ALL.map(Queue::Retry)).chain([Queue::Inbox]).chain(dead).collect();
        let settled = || self.broker.held() == 0 && owed.iter().all(|queue| self.broker.messages(queue).is_empty());
        let quiesce = async {
            // Twice in a row: a message may be between two queues.
            let (mut times, mut pause) = (0, Duration::from_millis(700));
            while times < 2 {
                tokio::time::sleep(pause).await;
                times = if settled() { times + 1 } else { 0 };
                pause = (pause * 5 / 4).min(Duration::from_secs(600));
            }
        };
        if tokio::time::timeout(bound, quiesce).await.is_err() {
            let left: Vec<_> = owed.iter().map(|queue| (queue, self.broker.messages(queue).len())).collect();
            panic!("not settled within {bound:?}: {} held, {left:?}", self.broker.held());
        }
        assert_eq!(self.broker.stuck(), [], "the broker took them to go round in a cycle");
    }

    pub fn dead(&self) -> Vec<Message> {
        self.broker.messages(&Queue::Dead)
    }

    /// Reason and detail of every dead letter.
    pub fn dead_reasons(&self) -> Vec<(String, String)> {
        let text = |message: &Message, name: &str| {
            message.properties.headers.get(name).and_then(HeaderValue::as_text).unwrap_or_default().to_owned()
        };
        self.dead().iter().map(|letter| (text(letter, envelope::REASON), text(letter, envelope::DETAIL))).collect()
    }
}

impl Life {
    pub fn stopping(&self) -> Stop {
        self.stop.clone()
    }

    pub async fn stop(self) -> Ended {
        let Self { stop, task, telemetry } = self;
        let grace = stop.gracefully(Duration::from_secs(20), std::future::pending());
        let (ended, ()) = tokio::join!(
            async {
                let ended = task.await.expect("the worker does not panic");
                stop.halt.cancel();
                ended
            },
            async {
                tokio::select! { () = grace => {}, () = stop.halt.cancelled() => {} }
            }
        );
        assert_conserved(&telemetry);
        ended
    }

    /// As after a second signal: nothing goes on, and what is in hand is handed back.
    pub async fn hurry(self) -> Ended {
        self.stop.take.cancel();
        self.stop.halt.cancel();
        let ended = self.task.await.expect("the worker does not panic");
        assert_conserved(&self.telemetry);
        ended
    }

    pub fn kill_handle(&self) -> KillHandle {
        KillHandle { task: self.task.abort_handle(), alive: Arc::downgrade(&self.telemetry) }
    }

    /// As a kill -9 does: no task goes on, every channel closes.
    pub async fn kill(self, broker: &MemoryBroker) {
        let handle = self.kill_handle();
        drop(self);
        handle.kill(broker).await;
    }

    pub fn metric(&self, line: &str) -> f64 {
        metric(&self.telemetry, line)
    }
}

/// Kills a worker whose [`Life`] somebody else has.
pub struct KillHandle {
    task: tokio::task::AbortHandle,
    alive: Weak<Telemetry>,
}

impl KillHandle {
    pub async fn kill(self, broker: &MemoryBroker) {
        broker.drop_connection();
        self.task.abort();
        // The tasks of the worker's own end at their next turn; every one of them holds on to its telemetry.
        while self.alive.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
        broker.reconnect();
    }
}

/// The sum of all samples whose line begins with `prefix`.
pub fn metric(telemetry: &Telemetry, prefix: &str) -> f64 {
    let text = telemetry.metrics.render();
    let of_line = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
    text.lines().filter(|line| line.starts_with(prefix)).filter_map(of_line).sum()
}

/// One fate a receipt.
#[track_caller]
pub fn assert_conserved(telemetry: &Telemetry) {
    let of = |prefix| metric(telemetry, prefix);
    let (received, settled) = (of("leadrelay_received_total"), of("leadrelay_settled_total"));
    let in_flight = of("leadrelay_in_flight");
    assert_eq!(received, settled + in_flight, "{}", telemetry.metrics.render());
}

/// A consent event, as a producer writes it.
#[derive(Clone, Debug)]
pub struct Event(pub Value);

impl Event {
    pub fn new(email: &str, offer: &str) -> Self {
        Self(json!({
            "OccurredAt": NOON, "Source": "AzureMarketplace", "Action": "INS", "Offer": offer,
            "Consent": { "Granted": true },
            "CustomerInfo": { "Email": email, "FirstName": "Dashan", "LastName": "Liang" }
        }))
    }

    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = self.0.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.insert(name.to_owned(), value.into());
        self
    }

    /// Seconds after noon.
    pub fn at(self, seconds: i64) -> Self {
        let noon: Timestamp = NOON.parse().unwrap();
        let at = noon + jiff::SignedDuration::from_secs(seconds);
        self.set("/OccurredAt", at.to_string())
    }

    pub fn withdrawn(self) -> Self {
        self.set("/Consent/Granted", false)
    }

    pub fn message(&self) -> Message {
        raw(self.0.to_string())
    }
}

pub fn raw(body: impl Into<String>) -> Message {
    Message { body: body.into().into(), properties: Properties::default() }
}
