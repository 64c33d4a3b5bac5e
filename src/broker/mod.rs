//! Seam 1: the broker. Cut low (consume, publish, answer), so that order and policy are ours, and tested.
//!
//! Everything of lapin stays inside [`amqp`]; [`memory`] is a broker for tests; only [`settle`] answers.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::domain::envelope::Message;
use crate::domain::fate::Notice;
use crate::domain::retry::Tier;
use crate::domain::route::DestinationName;

pub mod settle;
pub mod memory;
pub mod amqp;

/// The queues of leadrelay, by what they are for. Names (with the configured prefix) are the adapter's business.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Queue {
    Inbox,
    Wait(DestinationName),
    Retry(Tier),
    Dead,
}

impl fmt::Display for Queue {
    /// Without the prefix: `consent`, `wait.contoso-table`, `retry.5s`, `dead`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inbox => f.write_str("consent"),
            Self::Wait(destination) => write!(f, "wait.{destination}"),
            Self::Retry(tier) => write!(f, "retry.{}", tier.name()),
            Self::Dead => f.write_str("dead"),
        }
    }
}

#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Begins to consume `queue`, at most `prefetch` messages unsettled. A wait queue that does not exist is declared.
    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Subscription, BrokerError>;

    /// Publishes persistent, mandatory and confirmed; answers when the fate of each is known, in the order given.
    /// A wait queue that does not exist is declared. While the broker blocks publishing, this waits.
    async fn publish(&self, outgoing: &[Outgoing]) -> Vec<Result<(), PublishError>>;

    /// Messages ready in the queue (not those that somebody holds). A queue that does not exist is empty.
    async fn depth(&self, queue: &Queue) -> Result<u64, BrokerError>;

    /// Tells of a fate whoever listens, if fates are told at all. It never waits, and what cannot be told is dropped.
    fn announce(&self, notice: Notice);

    /// How the broker is doing, now and from now on.
    fn link(&self) -> watch::Receiver<Link>;
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub queue: Queue,
    pub message: Message,
}

/// The state of both connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Link {
    /// The consuming connection is up, and was heard within the last 15 s.
    pub consuming: bool,
    pub publishing: Publishing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Publishing {
    #[default]
    Down,
    /// The broker has raised an alarm (memory or disk) and takes no publishes.
    Blocked,
    Open,
}

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The broker is not reachable, or the connection went while we waited; to be tried again.
    #[error("broker unreachable: {0}")]
    Unreachable(String),
    /// Another process owns the embedded store's broker-side token: stand by.
    #[error("another worker holds {0}")]
    Owned(String),
    /// A queue exists with other arguments: a person must look.
    #[error("{0}. Leadrelay changes no queue: delete it once it is empty, or set another broker.prefix")]
    Topology(String),
    /// A queue that does not exist.
    #[error("{0} does not exist: run `leadrelay topology apply`, or mend broker.prefix")]
    Missing(String),
    /// Wrong user, password, virtual host or permission, or a broker that is too old.
    #[error("{0}")]
    Refused(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The broker said no: a full queue, most likely.
    #[error("the broker refused the message")]
    Refused,
    /// No queue took it (basic.return).
    #[error("no queue took the message")]
    Returned,
    /// It may have been published or not: publish again.
    #[error("the broker did not confirm in time")]
    Unconfirmed,
}

/// The messages of one consumer.
pub struct Subscription {
    messages: mpsc::Receiver<Unsettled>,
    consumer: Arc<dyn Consumer>,
    held_up: watch::Receiver<bool>,
}

/// The consumer's other end, inside the adapter.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Stops the broker from sending more. Messages that were sent already may still come out of the subscription.
    async fn cancel(&self);
}

impl Subscription {
    pub(in crate::broker) fn new(
        messages: mpsc::Receiver<Unsettled>,
        consumer: Arc<dyn Consumer>,
        held_up: watch::Receiver<bool>,
    ) -> Self {
        Self { messages, consumer, held_up }
    }

    /// Resolves once so many messages are finished behind one that is not that a fresh consumer would go on faster: what
    /// stands behind a straggler is acknowledged one by one. May never resolve.
    pub fn held_up(&self) -> impl Future<Output = ()> + use<> {
        let mut held_up = self.held_up.clone();
        async move {
            if held_up.wait_for(|held_up| *held_up).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// The next message. `None`: the consumer has ended; unless it was cancelled that is a failure.
    pub async fn next(&mut self) -> Option<Unsettled> {
        self.messages.recv().await
    }

    /// What is there already, without waiting.
    pub fn try_next(&mut self) -> Option<Unsettled> {
        self.messages.try_recv().ok()
    }

    /// Stops taking. What had been sent already can still be read with [`Self::next`] until it answers `None`.
    pub async fn cancel(&mut self) {
        self.consumer.cancel().await;
    }
}

/// A message that has been received and not settled. It is used up by settling; dropped, it is handed back to the
/// broker and counted, and that count must stay zero.
#[must_use = "an unsettled message must be settled"]
pub struct Unsettled {
    /// Boxed: it is moved from hand to hand.
    pub message: Box<Message>,
    /// Where we took it from.
    pub queue: Queue,
    /// How often it was handed out before and came back, as the broker counts.
    pub delivery_count: u64,
    receipt: Option<Receipt>,
}

/// What is needed to answer the broker for one message: the tag, and the channel that it is valid on.
struct Receipt {
    tag: u64,
    channel: Arc<dyn AnswerChannel>,
}

/// One generation of a consuming channel: an answer given to it after it has closed goes nowhere, so that a tag can
/// never name another message on a later channel.
pub trait AnswerChannel: Send + Sync {
    fn ack(&self, tag: u64);
    /// Puts the message back on its queue.
    fn hand_back(&self, tag: u64);
    /// Whether answers still reach the broker. `false`: the broker has taken the message back by itself.
    fn is_open(&self) -> bool;
    /// Called when a message is dropped unsettled, after it was handed back.
    fn dropped(&self);
}

impl fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = self.receipt.as_ref().map(|receipt| receipt.tag);
        f.debug_struct("Unsettled").field("queue", &self.queue).field("tag", &tag).finish_non_exhaustive()
    }
}

impl Unsettled {
    pub(in crate::broker) fn new(
        message: Message,
        queue: Queue,
        delivery_count: u64,
        tag: u64,
        channel: Arc<dyn AnswerChannel>,
    ) -> Self {
        Self { message: Box::new(message), queue, delivery_count, receipt: Some(Receipt { tag, channel }) }
    }

    /// Whether the broker has taken it back by itself: the channel it came on is gone.
    pub fn is_stale(&self) -> bool {
        !self.receipt.as_ref().is_some_and(|receipt| receipt.channel.is_open())
    }

    fn ack(mut self) {
        if let Some(receipt) = self.receipt.take() {
            receipt.channel.ack(receipt.tag);
        }
    }

    fn hand_back(mut self) {
        if let Some(receipt) = self.receipt.take() {
            receipt.channel.hand_back(receipt.tag);
        }
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        // Its channel gone, the broker has taken it back by itself.
        if let Some(receipt) = self.receipt.take().filter(|receipt| receipt.channel.is_open()) {
            receipt.channel.hand_back(receipt.tag);
            receipt.channel.dropped();
        }
    }
}

#[cfg(test)]
mod tests;
