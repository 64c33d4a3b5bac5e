//! What an operator wants to know at one glance. Each part is asked by itself, so that one that is down hides no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::asking::{Page, Patience};
use super::parts;
use crate::broker::amqp::{self, AmqpBroker, Ownership};
use crate::broker::{BrokerError, Queue};
use crate::clock::Clock;
use crate::config::{Config, Store};
use crate::domain::order::Kept;
use crate::domain::retry::Tier;
use crate::domain::route::DestinationName;
use crate::store::sqlite::LedgerReader;
use crate::telemetry::Telemetry;

/// Of each part what was learned, or why nothing was.
#[derive(Clone, Debug)]
pub struct Status {
    pub at: Timestamp,
    pub broker: Result<BrokerSeen, String>,
    pub worker: Result<WorkerSeen, String>,
    pub store: Result<StoreSeen, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSeen {
    /// Some worker holds the token of the store.
    pub owned: bool,
    pub queues: Vec<QueueSeen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSeen {
    pub queue: Queue,
    pub name: String,
    /// `None`: there is no such queue.
    pub messages: Option<u64>,
    pub consumers: u32,
}

/// What a worker tells at `/status`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct WorkerSeen {
    pub version: String,
    pub phase: String,
    pub unready: Option<String>,
    pub lanes: BTreeMap<String, LaneSeen>,
    pub received: Vec<Counted>,
    pub settled: Vec<Counted>,
    pub in_flight: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct LaneSeen {
    pub state: String,
    pub trouble: Option<String>,
    pub code: Option<String>,
    pub since: Timestamp,
    pub until: Option<Timestamp>,
    pub accepting_rejections: bool,
    pub oldest_waiting: Option<Timestamp>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Counted {
    #[serde(default)]
    pub fate: String,
    #[serde(default)]
    pub destination: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSeen {
    pub bytes: u64,
    pub orders: Vec<Kept>,
    /// Every destination that ever had a wait queue.
    pub wait_queues: Vec<DestinationName>,
}

/// Looks again and again over one connection.
pub struct Observer {
    config: Config,
    broker: AmqpBroker,
}

/// Who waits at a terminal does not wait long.
const PATIENCE: Duration = Duration::from_secs(3);
const ASKING: Patience = Patience { connect: Duration::from_secs(5), whole: PATIENCE };

impl Observer {
    /// Where the broker is.
    pub fn place(config: &Config) -> String {
        amqp::place(&parts::broker(config, Ownership::Shared).url).unwrap_or_default()
    }

    /// Fails only on a URL that can never work.
    pub fn new(config: Config) -> anyhow::Result<Self> {
        let settings = parts::broker(&config, Ownership::Shared);
        let broker = AmqpBroker::connect(settings, Arc::new(Telemetry::new()))?;
        Ok(Self { config, broker })
    }

    pub async fn look(&self) -> Status {
        let store = look_into_store(&self.config);
        let retired = store.as_ref().map(|store| store.wait_queues.clone()).unwrap_or_default();
        let (broker, worker) = tokio::join!(self.look_at_broker(retired), ask_worker(&self.config));
        let broker = broker.map_err(|error| error.to_string());
        Status { at: Clock::System.now(), broker, worker, store }
    }

    pub async fn close(self) {
        self.broker.close().await;
    }

    async fn look_at_broker(&self, mut waits: Vec<DestinationName>) -> Result<BrokerSeen, BrokerError> {
        self.broker.ready(PATIENCE).await?;
        waits.extend(parts::names(&self.config));
        waits.sort();
        waits.dedup();
        let waits = waits.into_iter().map(Queue::Wait);
        let all = [Queue::Inbox].into_iter().chain(waits).chain(Tier::ALL.map(Queue::Retry)).chain([Queue::Dead]);
        let mut queues = Vec::new();
        for queue in all {
            let standing = self.broker.standing(&queue).await?;
            queues.push(QueueSeen {
                name: self.broker.name(&queue),
                messages: standing.map(|standing| standing.messages.into()),
                consumers: standing.map_or(0, |standing| standing.consumers),
                queue,
            });
        }
        Ok(BrokerSeen { owned: self.broker.is_owned().await?, queues })
    }
}

fn look_into_store(config: &Config) -> Result<StoreSeen, String> {
    let Store::Sqlite(path) = &config.store;
    let look = || {
        let reader = LedgerReader::open(path)?;
        Ok(StoreSeen { bytes: reader.bytes(), orders: reader.orders()?, wait_queues: reader.wait_queues()? })
    };
    look().map_err(|error: crate::store::ledger::LedgerError| error.to_string())
}

/// Asks the worker that listens where the configuration says.
pub(super) async fn ask_worker(config: &Config) -> Result<WorkerSeen, String> {
    let page = Page::of(config.http.listen, "status", ASKING).map_err(|error| error.to_string())?;
    let nobody = |why: &str| format!("no worker answers at {} ({why})", page.address);
    let answer = page.get().await.map_err(|failure| nobody(failure.code().as_str()))?;
    if answer.status != 200 {
        return Err(nobody(&format!("something else does, with status {}", answer.status)));
    }
    serde_json::from_slice(&answer.body).map_err(|_| nobody("something else does"))
}
