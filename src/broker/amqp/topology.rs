//! The queues, as the broker is asked to keep them: declared, compared, removed.
//!
//! Every queue that dead-letters does so at least once and rejects what it cannot hold: the default lost 11,846 of
//! 20,000 expiring messages to one kill of the broker (measured). A delivery limit is always positive: before 4.0, -1
//! dead-letters at the first return.

use std::fmt;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

use super::connection::Connection;
use super::trouble::{self, answered};
use crate::broker::{BrokerError, Queue};
use crate::domain::retry::Tier;
use crate::domain::route::DestinationName;

/// Returns after which the broker itself dead-letters a message of the inbox or of a wait queue: the last net, as it
/// takes innocents that were prefetched with the guilty.
const DELIVERY_LIMIT: i64 = 100;

/// Every look at a dead letter counts as a return; the default of 4.x would delete it at the 21st.
const DEAD_DELIVERY_LIMIT: i64 = 2_147_483_647;

const PREFIX_MAX: usize = 128;

/// How our queues are called.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
    /// The exchange of fates, where fates are told.
    fates: Option<String>,
}

impl Names {
    /// With the longest destination's name the longest queue's still has to fit AMQP's 255 bytes.
    pub fn new(prefix: &str, fates: bool) -> Result<Self, BrokerError> {
        if (1..=PREFIX_MAX).contains(&prefix.len()) && !prefix.starts_with("amq.") {
            Ok(Self { prefix: prefix.to_owned(), fates: fates.then(|| format!("{prefix}.fates")) })
        } else {
            Err(BrokerError::Refused(format!("broker.prefix has 1 to {PREFIX_MAX} bytes and does not begin with amq.")))
        }
    }

    pub fn queue(&self, queue: &Queue) -> String {
        format!("{}.{queue}", self.prefix)
    }

    /// The exchange that producers publish to.
    pub fn exchange(&self) -> &str {
        &self.prefix
    }

    /// The exchange that fates are told to, if they are.
    pub fn fates(&self) -> Option<&str> {
        self.fates.as_deref()
    }

    fn exchanges(&self) -> impl Iterator<Item = &str> {
        [self.exchange()].into_iter().chain(self.fates())
    }

    pub fn owner(&self) -> String {
        format!("{}.owner", self.prefix)
    }

    /// A queue's arguments: what must not change. Lengths and limits that operators tune are policies.
    fn arguments(&self, queue: &Queue) -> FieldTable {
        let mut arguments = FieldTable::default();
        let mut set = |name: &str, value: AMQPValue| {
            arguments.insert(name.into(), value);
        };
        let text = |text: &str| AMQPValue::LongString(LongString::from(text.as_bytes()));
        set("x-queue-type", text("quorum"));
        let dead_letters_to = match queue {
            Queue::Inbox | Queue::Wait(_) => Some(Queue::Dead),
            Queue::Retry(_) => Some(Queue::Inbox),
            Queue::Dead => None,
        };
        if let Some(target) = dead_letters_to {
            set("x-dead-letter-exchange", text(""));
            set("x-dead-letter-routing-key", text(&self.queue(&target)));
            set("x-dead-letter-strategy", text("at-least-once"));
            // Without it the broker falls back to at-most-once, and says so in its log only.
            set("x-overflow", text("reject-publish"));
        }
        match queue {
            Queue::Inbox | Queue::Wait(_) => set("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
            Queue::Dead => set("x-delivery-limit", AMQPValue::LongLongInt(DEAD_DELIVERY_LIMIT)),
            Queue::Retry(tier) => {
                let millis = i64::try_from(tier.delay().as_millis()).expect("the longest delay is six hours");
                set("x-message-ttl", AMQPValue::LongLongInt(millis));
            }
        }
        arguments
    }
}

/// What stands at the broker otherwise than it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    Missing(String),
    /// `leads.consent: x-delivery-limit is 50, wanted 100`. The broker names the first argument that differs.
    Changed(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(object) => write!(f, "{object}: missing"),
            Self::Changed(difference) => f.write_str(difference),
        }
    }
}

/// What became of a retired wait queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pruned {
    Removed(String),
    Absent(String),
    /// Left alone: it holds messages, or somebody consumes it.
    InUse {
        queue: String,
        messages: u32,
        consumers: u32,
    },
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed(queue) => write!(f, "{queue}: removed"),
            Self::Absent(queue) => write!(f, "{queue}: was not there"),
            Self::InUse { queue, messages, consumers } => {
                write!(f, "{queue}: kept, it holds {messages} messages and has {consumers} consumers")
            }
        }
    }
}

/// Every queue, targets before sources: an at-least-once dead letter whose target is missing waits for three minutes
/// before the broker looks again.
pub(super) fn all_queues(waiting: &[DestinationName]) -> Vec<Queue> {
    let mut queues = vec![Queue::Dead, Queue::Inbox];
    queues.extend(Tier::ALL.map(Queue::Retry));
    queues.extend(waiting.iter().cloned().map(Queue::Wait));
    queues
}

/// The names of all queues and of the exchange, in the order in which they are declared: targets before sources.
pub(super) fn names(names: &Names, waiting: &[DestinationName]) -> Vec<String> {
    let queues = all_queues(waiting).iter().map(|queue| names.queue(queue)).collect::<Vec<_>>();
    queues.into_iter().chain(names.exchanges().map(|exchange| format!("exchange {exchange}"))).collect()
}

/// Declares what is missing; answers the names of all. The first difference stops it; nothing is ever deleted.
pub(super) async fn apply(
    connection: &Connection,
    names: &Names,
    waiting: &[DestinationName],
) -> Result<Vec<String>, BrokerError> {
    let channel = connection.channel().await?;
    let mut applied = Vec::new();
    for queue in all_queues(waiting) {
        declare(&channel, names, &queue).await?;
        applied.push(names.queue(&queue));
    }
    for exchange in names.exchanges() {
        declare_exchange(&channel, exchange).await?;
        applied.push(format!("exchange {exchange}"));
    }
    let (inbox, exchange) = (names.queue(&Queue::Inbox), names.exchange());
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    answered(channel.queue_bind(inbox.as_str().into(), exchange.into(), "#".into(), options, none)).await?;
    Ok(applied)
}

/// Compares without changing anything.
pub(super) async fn check(
    connection: &Connection,
    names: &Names,
    waiting: &[DestinationName],
) -> Result<Vec<Difference>, BrokerError> {
    let mut differences = Vec::new();
    for queue in all_queues(waiting) {
        // Each failure closes its channel.
        let channel = connection.channel().await?;
        if passively(&channel, &names.queue(&queue)).await?.is_none() {
            differences.push(Difference::Missing(names.queue(&queue)));
        } else if let Some(changed) = changed(declare(&channel, names, &queue).await)? {
            differences.push(changed);
        }
    }
    for exchange in names.exchanges() {
        differences.extend(check_exchange(&connection.channel().await?, exchange).await?);
    }
    Ok(differences)
}

async fn check_exchange(channel: &Channel, exchange: &str) -> Result<Option<Difference>, BrokerError> {
    let options = ExchangeDeclareOptions { passive: true, durable: true, ..Default::default() };
    let asked = channel.exchange_declare(exchange.into(), ExchangeKind::Topic, options, FieldTable::default());
    match answered(async { Ok(asked.await) }).await? {
        Ok(()) => changed(declare_exchange(channel, exchange).await),
        Err(error) if trouble::code(&error) == Some(trouble::NOT_FOUND) => {
            Ok(Some(Difference::Missing(format!("exchange {exchange}"))))
        }
        Err(error) => Err(trouble::explain(&error)),
    }
}

/// Removes wait queues of destinations that are no more, if they are empty and nobody consumes them.
///
/// Quorum queues know no conditional delete, so a message that is published between our look and our delete would be
/// lost: this is for an operator who has removed the destination from every worker.
pub(super) async fn prune(
    connection: &Connection,
    names: &Names,
    retired: &[DestinationName],
) -> Result<Vec<Pruned>, BrokerError> {
    let mut pruned = Vec::new();
    for destination in retired {
        let queue = names.queue(&Queue::Wait(destination.clone()));
        let channel = connection.channel().await?;
        pruned.push(match passively(&channel, &queue).await? {
            None => Pruned::Absent(queue),
            Some(Depth { messages: 0, consumers: 0 }) => {
                let options = QueueDeleteOptions::default();
                answered(channel.queue_delete(queue.as_str().into(), options)).await?;
                Pruned::Removed(queue)
            }
            Some(Depth { messages, consumers }) => Pruned::InUse { queue, messages, consumers },
        });
    }
    Ok(pruned)
}

pub(super) async fn declare(channel: &Channel, names: &Names, queue: &Queue) -> Result<(), BrokerError> {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    let name = names.queue(queue);
    answered(channel.queue_declare(name.as_str().into(), options, names.arguments(queue))).await.map(drop)
}

async fn declare_exchange(channel: &Channel, exchange: &str) -> Result<(), BrokerError> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let none = FieldTable::default();
    answered(channel.exchange_declare(exchange.into(), ExchangeKind::Topic, options, none)).await
}

/// Takes the token of which there is one: it goes with the connection.
pub(super) async fn own(channel: &Channel, names: &Names) -> Result<(), BrokerError> {
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    answered(channel.queue_declare(names.owner().as_str().into(), options, FieldTable::default())).await.map(drop)
}

/// Whether somebody has that token: to all others the queue is locked.
pub(super) async fn is_owned(channel: &Channel, names: &Names) -> Result<bool, BrokerError> {
    match passively(channel, &names.owner()).await {
        Ok(found) => Ok(found.is_some()),
        Err(BrokerError::Owned(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// What a queue holds ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    pub messages: u32,
    pub consumers: u32,
}

/// `None`: there is no such queue. The channel is closed then.
pub(super) async fn passively(channel: &Channel, name: &str) -> Result<Option<Depth>, BrokerError> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let asked = async { Ok(channel.queue_declare(name.into(), options, FieldTable::default()).await) };
    match answered(asked).await? {
        Ok(queue) => Ok(Some(Depth { messages: queue.message_count(), consumers: queue.consumer_count() })),
        Err(error) if trouble::code(&error) == Some(trouble::NOT_FOUND) => Ok(None),
        Err(error) => Err(trouble::explain(&error)),
    }
}

fn changed(declared: Result<(), BrokerError>) -> Result<Option<Difference>, BrokerError> {
    match declared {
        Ok(()) => Ok(None),
        Err(BrokerError::Topology(difference)) => Ok(Some(Difference::Changed(difference))),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(queue: &Queue, name: &str) -> Option<AMQPValue> {
        Names::new("leads", false).expect("a legal prefix").arguments(queue).inner().get(name).cloned()
    }

    fn text(value: &str) -> Option<AMQPValue> {
        Some(AMQPValue::LongString(value.into()))
    }

    #[test]
    fn every_queue_that_dead_letters_does_so_at_least_once_to_a_queue_declared_before_it() {
        let queues = all_queues(&[DestinationName::parse("slow").expect("a legal name")]);
        let names = Names::new("leads", false).expect("a legal prefix");
        for (at, queue) in queues.iter().enumerate().filter(|(_, queue)| **queue != Queue::Dead) {
            assert_eq!(argument(queue, "x-queue-type"), text("quorum"), "{queue}");
            assert_eq!(argument(queue, "x-dead-letter-strategy"), text("at-least-once"), "{queue}");
            assert_eq!(argument(queue, "x-overflow"), text("reject-publish"), "{queue}");
            assert_eq!(argument(queue, "x-dead-letter-exchange"), text(""), "{queue}");
            let target = argument(queue, "x-dead-letter-routing-key");
            let before = queues[..at].iter().any(|before| target == text(&names.queue(before)));
            // Before 3.11 a queue that dead-letters into itself loses messages.
            assert!(before, "{queue} goes to {target:?}");
        }
        assert_eq!(argument(&Queue::Dead, "x-dead-letter-exchange"), None);
    }

    #[test]
    fn every_queue_that_is_consumed_has_a_positive_delivery_limit_of_its_own() {
        let wait = Queue::Wait(DestinationName::parse("slow").expect("a legal name"));
        let limits = [Queue::Inbox, wait, Queue::Dead].map(|queue| argument(&queue, "x-delivery-limit"));
        assert_eq!(limits, [100, 100, 2_147_483_647].map(|limit| Some(AMQPValue::LongLongInt(limit))));
    }

    /// As a flow mapping of YAML.
    fn written(queue: &Queue) -> String {
        let arguments = Names::new("leads", false).expect("a legal prefix").arguments(queue);
        let value = |value: &AMQPValue| match value {
            AMQPValue::LongString(text) if text.as_bytes().is_empty() => "''".to_owned(),
            AMQPValue::LongString(text) => text.to_string(),
            AMQPValue::LongLongInt(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        let pairs: Vec<_> = arguments.inner().iter().map(|(name, it)| format!("{name}: {}", value(it))).collect();
        format!("x-queue-arguments: {{ {} }}", pairs.join(", "))
    }

    #[test]
    fn the_contract_names_every_queue_and_exchange_with_its_arguments() {
        let contract = include_str!("../../../contract/asyncapi.yaml");
        let mut found = 0;
        for queue in all_queues(&[DestinationName::parse("destination").expect("a legal name")]) {
            let name = format!("leads.{queue}").replace("wait.destination", "wait.{destination}");
            let (_, after) = contract.split_once(&format!("    address: {name}\n")).expect("the queue's channel");
            let arguments = after.lines().find(|line| line.contains("x-queue-arguments")).expect("its arguments");
            assert_eq!(arguments.trim(), written(&queue), "{name}");
            found += 1;
        }
        assert_eq!(contract.matches("is: queue").count(), found, "and no other queue");
        for exchange in Names::new("leads", true).expect("a legal prefix").exchanges() {
            let written =
                format!("exchange: {{ name: {exchange}, type: topic, durable: true, autoDelete: false, vhost: / }}");
            assert_eq!(contract.matches(&written).count(), 1, "{exchange}");
        }
        assert!(contract.contains(&format!("  version: {}\n", env!("CARGO_PKG_VERSION"))));
    }
}
