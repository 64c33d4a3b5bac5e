//! What the operators' commands do, on the real broker and the real ledger.

use std::sync::Arc;
use std::time::Duration;

use super::{Unpublished, Unreachable, parts};
use crate::broker::amqp::{AmqpBroker, Difference, Ownership, Pruned};
use crate::broker::{Broker, BrokerError, Outgoing, Queue};
use crate::config::{self, Config, Store};
use crate::domain::envelope::Message;
use crate::domain::lead_key::LeadKey;
use crate::domain::repeat::Record;
use crate::domain::route::DestinationName;
pub use crate::store::intents::Intent;
use crate::store::sqlite::LedgerReader;
use crate::telemetry::Telemetry;

/// One exchange, binding or queue of the topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub state: PartState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartState {
    AsDesigned,
    /// It was not there, and is now.
    Declared,
    Missing,
    /// It is there and empty, and no node leads it: what is published to it is never confirmed.
    Leaderless,
    /// It is there, with other arguments: what differs, line by line. Nothing was touched.
    Differs(String),
    /// It belongs to no destination any more, and is gone now.
    Pruned,
    /// It belongs to no destination any more, and still holds so many messages.
    Retired(u64),
}

/// Declares what is missing, unless something differs: then nothing is touched.
pub async fn topology_apply(config: &Config) -> anyhow::Result<Vec<Part>> {
    let broker = connect(config).await?;
    let mut found = compare(&broker, config).await?;
    if !found.iter().any(|part| matches!(part.state, PartState::Differs(_))) {
        broker.apply_topology(&parts::names(config)).await.map_err(explain)?;
        for part in found.iter_mut().filter(|part| part.state == PartState::Missing) {
            part.state = PartState::Declared;
        }
    }
    broker.close().await;
    Ok(found)
}

/// Compares, and touches nothing.
pub async fn topology_check(config: &Config) -> anyhow::Result<Vec<Part>> {
    let broker = connect(config).await?;
    let mut found = compare(&broker, config).await?;
    let mut empty = Vec::new();
    for queue in broker.queues(&parts::names(config)) {
        let name = broker.name(&queue);
        let as_designed = found.iter().any(|part| part.name == name && part.state == PartState::AsDesigned);
        if as_designed && broker.depth(&queue).await.map_err(explain)? == 0 {
            empty.push(name);
        }
    }
    broker.close().await;
    // On a connection that is thrown away after it.
    let leaderless = connect(config).await?.leaderless(&empty).await.map_err(explain)?;
    for part in found.iter_mut().filter(|part| leaderless.contains(&part.name)) {
        part.state = PartState::Leaderless;
    }
    Ok(found)
}

/// Removes retired queues that are empty.
pub async fn topology_prune(config: &Config) -> anyhow::Result<Vec<Part>> {
    let configured = parts::names(config);
    let known = reader(config)?.summary()?.wait_queues;
    let retired: Vec<DestinationName> = known.into_iter().filter(|name| !configured.contains(name)).collect();
    let broker = connect(config).await?;
    let pruned = broker.prune_topology(&retired).await.map_err(explain)?;
    broker.close().await;
    Ok(pruned.into_iter().filter_map(pruned_part).collect())
}

fn pruned_part(pruned: Pruned) -> Option<Part> {
    match pruned {
        Pruned::Absent(_) => None,
        Pruned::Removed(name) => Some(Part { name, state: PartState::Pruned }),
        Pruned::InUse { queue, messages, .. } => Some(Part { name: queue, state: PartState::Retired(messages.into()) }),
    }
}

async fn compare(broker: &AmqpBroker, config: &Config) -> anyhow::Result<Vec<Part>> {
    let names = parts::names(config);
    let differences = broker.check_topology(&names).await.map_err(explain)?;
    let part = |name: String| {
        let differs = differences.iter().find_map(|difference| match difference {
            Difference::Missing(missing) if *missing == name => Some(PartState::Missing),
            Difference::Changed(change) => {
                let change = change.strip_prefix(&name)?.strip_prefix(": ")?;
                Some(PartState::Differs(change.to_owned()))
            }
            Difference::Missing(_) => None,
        });
        Part { state: differs.unwrap_or(PartState::AsDesigned), name }
    };
    Ok(broker.topology_names(&names).into_iter().map(part).collect())
}

/// A destination, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub kind: &'static str,
    /// The host that its leads go to.
    pub at: String,
    /// The patterns that lead there.
    pub offers: Vec<String>,
    pub batch_max: usize,
    pub in_flight_max: usize,
}

pub fn destinations(config: &Config) -> Vec<Listed> {
    let listed = |destination: &config::Destination| {
        let (kind, at) = parts::kind_and_host(&destination.kind);
        Listed {
            name: destination.name.to_string(),
            kind,
            at,
            offers: config.routes.to(&destination.name).iter().map(ToString::to_string).collect(),
            batch_max: destination.batch.max,
            in_flight_max: destination.batch.in_flight_max,
        }
    };
    config.destinations.iter().map(listed).collect()
}

/// A confirmed way into the inbox.
pub struct Producer(AmqpBroker);

impl Producer {
    /// Connects, or fails as [`Unreachable`].
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        connect(config).await.map(Self)
    }

    /// Publishes to the inbox, persistent, mandatory and confirmed; the fate of each, in order.
    pub async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), Unpublished>> {
        let outgoing = |message| Outgoing { queue: Queue::Inbox, message };
        self.0.publish(&messages.into_iter().map(outgoing).collect::<Vec<_>>()).await
    }
}

/// The dead letters that are in the queue now, which stay there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Browsed {
    /// In the order of the queue, at most as many as were asked for.
    pub letters: Vec<Message>,
    /// How many the queue holds.
    pub depth: u64,
}

pub async fn browse_dead(config: &Config, at_most: usize) -> anyhow::Result<Browsed> {
    let broker = connect(config).await?;
    let depth = broker.depth(&Queue::Dead).await.map_err(explain)?;
    let at_most = u16::try_from(at_most).unwrap_or(u16::MAX);
    let letters = broker.browse(&Queue::Dead, at_most).await.map_err(explain)?;
    broker.close().await;
    Ok(Browsed { letters, depth })
}

/// What the ledger knows of one lead, at every destination.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    pub records: Vec<(DestinationName, Record)>,
    /// It may have been sent there, and that was never answered; or it is being sent now.
    pub intents: Vec<(DestinationName, Intent)>,
}

/// Reads beside a worker that runs.
pub async fn ledger_look_up(config: &Config, key: LeadKey) -> anyhow::Result<Known> {
    let reader = reader(config)?;
    Ok(Known { records: reader.look_up(key)?, intents: reader.intents(key)? })
}

fn reader(config: &Config) -> anyhow::Result<LedgerReader> {
    let Store::Sqlite(path) = &config.store;
    Ok(LedgerReader::open(path)?)
}

/// An operator waits this long for the broker.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn connect(config: &Config) -> anyhow::Result<AmqpBroker> {
    let settings = parts::broker(config, Ownership::Shared);
    let broker = AmqpBroker::connect(settings, Arc::new(Telemetry::new()))?;
    broker.ready(PATIENCE).await.map_err(explain)?;
    Ok(broker)
}

pub(super) fn explain(error: BrokerError) -> anyhow::Error {
    match error {
        BrokerError::Unreachable(_) => Unreachable(format!("{error}. Start it, or mend broker.url")).into(),
        other => other.into(),
    }
}
