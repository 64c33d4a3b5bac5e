//! A broker in memory: RabbitMQ as far as leadrelay can tell, on tokio's clock, for scenario and crash tests.
//!
//! A message that comes back keeps its place and is counted, as on a quorum queue with a delivery limit; past the
//! limit the broker moves it to `dead` without any header of ours. A retry queue expires at its head only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    AnswerChannel, Broker, BrokerError, Consumer, Link, Outgoing, PublishError, Publishing, Queue, Subscription,
};
use crate::domain::envelope::Message;
use crate::domain::fate::Notice;
use crate::domain::retry::Tier;
use queues::Queues;

mod queues;
mod death;

/// How long a publish waits for a lost connection.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(30);

/// A handle; clones share the broker.
#[derive(Clone)]
pub struct MemoryBroker(Arc<Inner>);

/// What becomes of the publishes to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The broker says no, as a full queue does.
    Refuse,
    /// No queue takes it.
    Return,
    /// It arrives, and nobody learns so.
    LoseConfirm,
    /// It does not arrive, and nobody learns so.
    LoseMessage,
}

/// Whether a message that is handed back counts towards the delivery limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandBacks {
    /// Up to RabbitMQ 4.2.
    Counted,
    /// From RabbitMQ 4.3.
    Free,
}

struct Inner {
    queues: Mutex<Queues>,
    link: watch::Sender<Link>,
    dropped: AtomicU64,
    /// The generation of the connection.
    connection: AtomicU64,
}

/// One consumer's channel: ours are never shared.
struct Channel {
    id: u64,
    /// The connection that it belongs to: it closes with that, whether its consumer was cancelled or not.
    connection: u64,
    broker: Weak<Inner>,
}

impl MemoryBroker {
    pub fn new() -> Self {
        Self::with(HandBacks::Counted)
    }

    pub fn with(hand_backs: HandBacks) -> Self {
        let link = watch::Sender::new(Link { consuming: true, publishing: Publishing::Open });
        let queues = Mutex::new(Queues::new(hand_backs));
        Self(Arc::new(Inner { queues, link, dropped: AtomicU64::new(0), connection: AtomicU64::new(0) }))
    }

    /// A producer's confirmed publish to the inbox, over a connection of its own.
    pub fn put(&self, message: Message) {
        self.0.enter(&Queue::Inbox, message);
    }

    /// A message in the inbox that came back so often before.
    pub fn put_returned(&self, message: Message, times: u64) {
        self.0.with(|queues| queues.enter_returned(&Queue::Inbox, message, None, times));
    }

    /// The messages that are ready, in order.
    pub fn messages(&self, queue: &Queue) -> Vec<Message> {
        self.0.with(|queues| queues.ready(queue).cloned().collect())
    }

    /// Messages that consumers have and have not settled.
    pub fn held(&self) -> usize {
        self.0.with(|queues| queues.held())
    }

    /// Messages that were dropped unsettled: must stay 0.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// The fates that were told, in order.
    pub fn notices(&self) -> Vec<Notice> {
        self.0.with(|queues| queues.notices.clone())
    }

    /// Messages that a republished `x-death` has stuck for ever: must stay empty.
    pub fn stuck(&self) -> Vec<Message> {
        self.0.with(|queues| queues.stuck.clone())
    }

    /// Closes every channel: what was held goes back, subscriptions end. Also how a killed worker looks.
    pub fn drop_connection(&self) {
        self.0.link.send_replace(Link::default());
        self.0.connection.fetch_add(1, Ordering::SeqCst);
        self.0.with(Queues::close_all_channels);
    }

    pub fn reconnect(&self) {
        self.0.link.send_replace(Link { consuming: true, publishing: Publishing::Open });
    }

    /// The broker says nothing for a while: whether it is still ours to consume nobody knows. Every channel lives on.
    pub fn fall_silent(&self, silent: bool) {
        self.0.link.send_modify(|link| link.consuming = !silent);
    }

    /// An alarm of the broker (memory or disk), and its end.
    pub fn block_publishing(&self, blocked: bool) {
        let publishing = if blocked { Publishing::Blocked } else { Publishing::Open };
        self.0.link.send_modify(|link| link.publishing = publishing);
    }

    /// From now on, until [`Self::mend`].
    pub fn break_publishes(&self, queue: &Queue, fault: Fault) {
        self.0.with(|queues| queues.faults.insert(queue.clone(), fault));
    }

    pub fn mend(&self, queue: &Queue) {
        self.0.with(|queues| queues.faults.remove(queue));
    }

    /// Those who consume this now would do better on a fresh channel. Here a straggler costs the others nothing, so nobody is
    /// held up otherwise.
    pub fn hold_up(&self, queue: &Queue) {
        self.0.with(|queues| queues.hold_up(queue));
    }

    /// How many consume this.
    pub fn consumers(&self, queue: &Queue) -> usize {
        self.0.with(|queues| queues.consumers(queue))
    }

    /// Another worker takes, or gives up, `owner`.
    pub fn owned_by_another(&self, owned: bool) {
        self.0.with(|queues| queues.owned = owned);
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Subscription, BrokerError> {
        self.0.reachable()?;
        let (messages, subscription) = mpsc::channel(usize::from(prefetch.max(1)));
        self.0.with(|queues| {
            if queues.owned {
                return Err(BrokerError::Owned("leads.owner".into()));
            }
            let id = queues.take_next();
            let connection = self.0.connection.load(Ordering::SeqCst);
            let channel = Arc::new(Channel { id, connection, broker: Arc::downgrade(&self.0) });
            let held_up = queues.add_consumer(channel.clone(), queue, messages);
            Ok(Subscription::new(subscription, channel, held_up))
        })
    }

    async fn publish(&self, outgoing: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        match self.0.writable().await {
            true => outgoing.iter().map(|one| self.0.publish(one)).collect(),
            false => vec![Err(PublishError::Unconfirmed); outgoing.len()],
        }
    }

    async fn depth(&self, queue: &Queue) -> Result<u64, BrokerError> {
        self.0.reachable()?;
        Ok(self.0.with(|queues| queues.ready(queue).count() as u64))
    }

    fn announce(&self, notice: Notice) {
        self.0.with(|queues| queues.notices.push(notice));
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.0.link.subscribe()
    }
}

impl Inner {
    fn with<T>(&self, act: impl FnOnce(&mut Queues) -> T) -> T {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = act(&mut queues);
        let ended = std::mem::take(&mut queues.ended);
        drop(queues);
        // A message that was still on its way to one of these is handed back, which takes the lock again.
        drop(ended);
        answer
    }

    fn reachable(&self) -> Result<(), BrokerError> {
        match self.link.borrow().consuming {
            true => Ok(()),
            false => Err(BrokerError::Unreachable("the connection is dropped".into())),
        }
    }

    /// Waits as long as an alarm lasts, but not for ever for a connection: nobody could say what was published.
    async fn writable(&self) -> bool {
        let mut link = self.link.subscribe();
        loop {
            let publishing = link.borrow_and_update().publishing;
            let changed = match publishing {
                Publishing::Open => return true,
                Publishing::Blocked => link.changed().await.is_ok(),
                Publishing::Down => matches!(timeout(UNREACHABLE_AFTER, link.changed()).await, Ok(Ok(()))),
            };
            if !changed {
                return false;
            }
        }
    }

    fn publish(self: &Arc<Self>, outgoing: &Outgoing) -> Result<(), PublishError> {
        let fault = self.with(|queues| queues.faults.get(&outgoing.queue).copied());
        if matches!(fault, None | Some(Fault::LoseConfirm)) {
            self.enter(&outgoing.queue, outgoing.message.clone());
        }
        match fault {
            None => Ok(()),
            Some(Fault::Refuse) => Err(PublishError::Refused),
            Some(Fault::Return) => Err(PublishError::Returned),
            Some(Fault::LoseConfirm | Fault::LoseMessage) => Err(PublishError::Unconfirmed),
        }
    }

    fn enter(self: &Arc<Self>, queue: &Queue, message: Message) {
        match queue {
            Queue::Retry(tier) => {
                let due = Instant::now() + tier.delay();
                if self.with(|queues| queues.enter(queue, message, Some(due))) {
                    tokio::spawn(release(Arc::downgrade(self), *tier, due));
                }
            }
            Queue::Inbox | Queue::Wait(_) | Queue::Dead => {
                self.with(|queues| queues.enter(queue, message, None));
            }
        }
    }
}

/// Lets a retry queue's messages go as they come due, until it is empty.
async fn release(broker: Weak<Inner>, tier: Tier, mut due: Instant) {
    loop {
        sleep_until(due).await;
        let Some(broker) = broker.upgrade() else { return };
        let Some(next) = broker.with(|queues| queues.expire(tier, Instant::now())) else { return };
        due = next;
    }
}

impl Channel {
    fn with(&self, act: impl FnOnce(&mut Queues)) {
        if let Some(broker) = self.broker.upgrade() {
            broker.with(act);
        }
    }
}

impl AnswerChannel for Channel {
    fn ack(&self, tag: u64) {
        self.with(|queues| queues.ack(tag));
    }

    fn hand_back(&self, tag: u64) {
        self.with(|queues| queues.hand_back(tag));
    }

    fn is_open(&self) -> bool {
        self.broker.upgrade().is_some_and(|broker| broker.connection.load(Ordering::SeqCst) == self.connection)
    }

    fn dropped(&self) {
        // What the broker took back by itself was not lost by us.
        if let (true, Some(broker)) = (self.is_open(), self.broker.upgrade()) {
            broker.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Consumer for Channel {
    async fn cancel(&self) {
        self.with(|queues| queues.end_consumer(self.id));
    }
}
