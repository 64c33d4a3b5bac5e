//! RabbitMQ, by lapin. Nothing of lapin leaves this module.
//!
//! Two connections, because a broker that blocks publishers does not read their acks either; each is made again, by
//! us, when it is lost. Subscriptions end with their connection, and are for the caller to begin again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Broker, BrokerError, Link, Outgoing, PublishError, Publishing, Queue, Subscription};
use crate::domain::envelope::Message;
use crate::domain::fate::Notice;
use crate::domain::route::DestinationName;
use crate::telemetry::Telemetry;
use connection::{Address, Connection, Health, State, Supervised, supervise};
use fates::Fates;
use publisher::Publisher;
use topology::Names;
use trouble::answered;

mod socket;
mod sieve;
mod connection;
mod trouble;
mod convert;
mod topology;
mod consumer;
mod together;
mod frontier;
mod islands;
mod acks;
mod publisher;
mod fates;
mod moving;
mod leaders;

pub use moving::{HELD_MAX, Moving, Taken};
pub use topology::{Depth, Difference, Pruned};

/// How long an operation waits for a connection that is being made.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(5);

/// The longest pause between two messages of a queue that holds some.
const BROWSE_PATIENCE: Duration = Duration::from_secs(5);

/// How long what we looked at may take to be back in its place. Somebody else may take it meanwhile.
const RETURN_PATIENCE: Duration = Duration::from_secs(1);

/// What the adapter needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `amqp[s]://user:password@host:port/vhost`
    pub url: SecretString,
    /// Of the names of all queues and of the exchange.
    pub prefix: String,
    pub ownership: Ownership,
    /// For `amqps`: trusted besides the system's roots, in PEM.
    pub authorities: Option<String>,
    /// Whether there is an exchange of fates.
    pub fates: bool,
}

/// Whether other workers may consume beside us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    Shared,
    /// The store is embedded: who does not hold the queue `owner` stands by.
    Exclusive,
}

/// What is wrong with a broker's URL, if anything. Connects to nothing.
pub fn check_url(url: &SecretString) -> Result<(), BrokerError> {
    Address::parse(url, None).map(drop)
}

/// Host, port and virtual host, for people: without user and password.
pub fn place(url: &SecretString) -> Result<String, BrokerError> {
    Address::parse(url, None).map(|address| address.to_string())
}

pub struct AmqpBroker {
    names: Names,
    ownership: Ownership,
    consuming: Supervised,
    publishing: Supervised,
    publisher: Publisher,
    /// Only a worker tells them.
    fates: Option<Fates>,
    link: watch::Receiver<Link>,
    link_told: Arc<watch::Sender<Link>>,
    telemetry: Arc<Telemetry>,
    /// The tasks that answer on the consuming channels.
    answering: TaskTracker,
    /// Cancelled when we say good-bye: to lose a connection is no news from then on.
    closing: CancellationToken,
    /// What keeps the connections up; ends with the broker.
    tasks: JoinSet<()>,
    address: Address,
}

impl AmqpBroker {
    /// Begins to connect, and goes on trying. Fails only on a URL that can never work.
    pub fn connect(settings: Settings, telemetry: Arc<Telemetry>) -> Result<Self, BrokerError> {
        let address = Address::parse(&settings.url, settings.authorities.clone())?;
        let names = Names::new(&settings.prefix, settings.fates)?;
        let link = Arc::new(watch::Sender::new(Link::default()));
        let mut tasks = JoinSet::new();
        let (state, consuming) = supervised();
        let observed = note_consuming(link.clone(), settings.ownership);
        let closing = CancellationToken::new();
        let supervision = supervise(address.clone(), "consuming", state, telemetry.clone(), observed);
        tasks.spawn(until(closing.clone(), supervision));
        let (state, publishing) = supervised();
        let observed = note_publishing(link.clone(), telemetry.clone());
        let supervision = supervise(address.clone(), "publishing", state, telemetry.clone(), observed);
        tasks.spawn(until(closing.clone(), supervision));
        let connections = (publishing.clone(), consuming.clone());
        let (publisher, task) = Publisher::new(connections, names.clone(), link.subscribe(), telemetry.clone());
        tasks.spawn(task);
        let (link_told, link) = (link.clone(), link.subscribe());
        let ownership = settings.ownership;
        Ok(Self {
            names,
            ownership,
            consuming,
            publishing,
            publisher,
            fates: None,
            link,
            link_told,
            telemetry,
            answering: TaskTracker::new(),
            closing,
            tasks,
            address,
        })
    }

    /// From now on fates are told, if there is an exchange for them.
    pub fn tell_fates(&mut self) {
        if self.names.fates().is_some() {
            let (address, names) = (self.address.clone(), self.names.clone());
            self.fates = Some(Fates::start(address, names, self.telemetry.clone(), &mut self.tasks));
        }
    }

    /// Waits until both connections are up, or says why they are not.
    pub async fn ready(&self, patience: Duration) -> Result<(), BrokerError> {
        self.consuming.get(patience).await?;
        self.publishing.get(patience).await.map(drop)
    }

    /// Takes the token of an embedded store's one worker, if we do not hold it. Consuming does so by itself.
    pub async fn own(&self) -> Result<(), BrokerError> {
        self.own_on(&*self.consuming().await?).await
    }

    /// Says good-bye to the broker, after the answers that were given have been written. Whatever is still unsettled
    /// goes back.
    pub async fn close(&self) {
        self.answering.close();
        // An answer over a link that hangs is never written.
        drop(timeout(Duration::from_secs(5), self.answering.wait()).await);
        if let Some(fates) = &self.fates {
            fates.close().await;
        }
        self.closing.cancel();
        for connection in [self.consuming.current(), self.publishing.current()].into_iter().flatten() {
            connection.close().await;
        }
    }

    /// Declares what is missing, the wait queues of `waiting` among it; answers the names of all.
    pub async fn apply_topology(&self, waiting: &[DestinationName]) -> Result<Vec<String>, BrokerError> {
        topology::apply(&*self.consuming().await?, &self.names, waiting).await
    }

    /// Compares without changing anything.
    pub async fn check_topology(&self, waiting: &[DestinationName]) -> Result<Vec<Difference>, BrokerError> {
        topology::check(&*self.consuming().await?, &self.names, waiting).await
    }

    /// Removes the wait queues of destinations that are no more, where they are empty and nobody consumes them.
    pub async fn prune_topology(&self, retired: &[DestinationName]) -> Result<Vec<Pruned>, BrokerError> {
        topology::prune(&*self.consuming().await?, &self.names, retired).await
    }

    /// Those of these empty queues that no node leads. For a broker that is used for nothing else: the answer may be that
    /// the connection is closed.
    pub async fn leaderless(&self, queues: &[String]) -> Result<Vec<String>, BrokerError> {
        leaders::leaderless(&*self.consuming().await?, queues).await
    }

    /// Whether some worker holds the token of an embedded store.
    pub async fn is_owned(&self) -> Result<bool, BrokerError> {
        topology::is_owned(&self.consuming().await?.channel().await?, &self.names).await
    }

    /// How many messages are ready in the queue, and how many consume it; `None` if there is none.
    pub async fn standing(&self, queue: &Queue) -> Result<Option<Depth>, BrokerError> {
        let channel = self.consuming().await?.channel().await?;
        topology::passively(&channel, &self.names.queue(queue)).await
    }

    /// All queues, targets before sources.
    pub fn queues(&self, waiting: &[DestinationName]) -> Vec<Queue> {
        topology::all_queues(waiting)
    }

    pub fn name(&self, queue: &Queue) -> String {
        self.names.queue(queue)
    }

    /// Begins to move messages of a queue to the inbox. `prefetch`: so many are in hand at once.
    pub async fn begin_moving(&self, queue: &Queue, prefetch: u16) -> Result<Moving, BrokerError> {
        let (connection, publisher) = (self.consuming().await?, self.publisher.clone());
        Moving::begin(connection, publisher, self.names.queue(queue), prefetch).await
    }

    /// The names of all queues and of the exchange.
    pub fn topology_names(&self, waiting: &[DestinationName]) -> Vec<String> {
        topology::names(&self.names, waiting)
    }

    /// Publishes to the exchange, as producers do: each message under its routing key, the offer as written.
    pub async fn publish_to_exchange(&self, messages: &[(String, Message)]) -> Vec<Result<(), PublishError>> {
        self.publisher.publish_to_exchange(messages).await
    }

    /// The first `max` messages of a queue, which stay there. They are hidden from others while we look, and each look
    /// raises their delivery count by one; `basic.get` would shuffle them besides (measured).
    pub async fn browse(&self, queue: &Queue, max: u16) -> Result<Vec<Message>, BrokerError> {
        let connection = self.consuming().await?;
        let channel = connection.channel().await?;
        let name = self.names.queue(queue);
        let ready = topology::passively(&channel, &name).await?.map_or(0, |depth| depth.messages);
        let count = u16::try_from(ready).unwrap_or(u16::MAX).min(max);
        if count == 0 {
            return Ok(Vec::new());
        }
        answered(channel.basic_qos(count, BasicQosOptions { global: false })).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let mut consumer = answered(channel.basic_consume(name.as_str().into(), "".into(), options, none)).await?;
        let mut messages = Vec::with_capacity(usize::from(count));
        while messages.len() < usize::from(count) {
            // Somebody else may have taken the rest.
            let Ok(Some(next)) = timeout(BROWSE_PATIENCE, consumer.next()).await else { break };
            let delivery = next.map_err(|error| trouble::explain(&error))?;
            let (properties, _) = convert::received(&delivery.properties);
            messages.push(Message { body: delivery.data.into(), properties });
        }
        answered(channel.close(200, "browsed".into())).await?;
        self.until_returned(&connection, &name, ready).await?;
        Ok(messages)
    }

    /// The broker puts back after it has closed: who looks again at once would see less.
    async fn until_returned(&self, connection: &Connection, name: &str, wanted: u32) -> Result<(), BrokerError> {
        let deadline = Instant::now() + RETURN_PATIENCE;
        let channel = connection.channel().await?;
        while Instant::now() < deadline {
            if topology::passively(&channel, name).await?.is_none_or(|depth| depth.messages >= wanted) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn consuming(&self) -> Result<Arc<Connection>, BrokerError> {
        self.consuming.get(CONNECTION_PATIENCE).await
    }

    async fn own_on(&self, connection: &Connection) -> Result<(), BrokerError> {
        let mut owns = connection.owns.lock().await;
        if !*owns {
            topology::own(&connection.channel().await?, &self.names).await?;
            *owns = true;
            self.link_told.send_modify(|link| link.consuming = true);
        }
        Ok(())
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Subscription, BrokerError> {
        let connection = self.consuming().await?;
        if self.ownership == Ownership::Exclusive {
            self.own_on(&connection).await?;
        }
        let channel = connection.channel().await?;
        if let Queue::Wait(_) = queue {
            topology::declare(&channel, &self.names, queue).await?;
        }
        let name = self.names.queue(queue).as_str().into();
        let connection = (channel, connection.lost.clone());
        consumer::consume(connection, queue, name, prefetch, self.telemetry.clone(), &self.answering).await
    }

    async fn publish(&self, outgoing: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        self.publisher.publish_to_queues(outgoing).await
    }

    async fn depth(&self, queue: &Queue) -> Result<u64, BrokerError> {
        let channel = self.consuming().await?.channel().await?;
        let depth = topology::passively(&channel, &self.names.queue(queue)).await?;
        Ok(depth.map_or(0, |depth| u64::from(depth.messages)))
    }

    fn announce(&self, notice: Notice) {
        if let Some(fates) = &self.fates {
            fates.announce(notice);
        }
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }
}

async fn until(closing: CancellationToken, task: impl Future<Output = ()>) {
    // Whether it was cancelled or ended by itself is nothing to us.
    let _ = closing.run_until_cancelled(task).await;
}

fn supervised() -> (watch::Sender<State>, Supervised) {
    let (sender, receiver) = watch::channel(State::Connecting);
    (sender, Supervised::new(receiver))
}

/// Under an embedded store, to be connected is not enough: who lost the connection may have lost the store to another.
fn note_consuming(link: Arc<watch::Sender<Link>>, ownership: Ownership) -> impl FnMut(Option<Health>) + Send {
    move |health| {
        let consuming = health.is_some_and(|health| health.heard && (health.owns || ownership == Ownership::Shared));
        link.send_if_modified(|link| std::mem::replace(&mut link.consuming, consuming) != consuming);
    }
}

/// Notes in `link` whether the connection takes publishes.
fn note_publishing_of(link: Arc<watch::Sender<Link>>) -> impl FnMut(Option<Health>) + Send {
    move |health| {
        let publishing = match health {
            None => Publishing::Down,
            Some(health) if health.blocked => Publishing::Blocked,
            Some(_) => Publishing::Open,
        };
        link.send_if_modified(|link| std::mem::replace(&mut link.publishing, publishing) != publishing);
    }
}

fn note_publishing(link: Arc<watch::Sender<Link>>, telemetry: Arc<Telemetry>) -> impl FnMut(Option<Health>) + Send {
    let mut note = note_publishing_of(link.clone());
    move |health| {
        let before = link.borrow().publishing;
        note(health);
        let publishing = link.borrow().publishing;
        match (before, publishing) {
            (Publishing::Blocked, Publishing::Open | Publishing::Down) => telemetry.publishing_unblocked(),
            (Publishing::Open | Publishing::Down, Publishing::Blocked) => telemetry.publishing_blocked(),
            _ => {}
        }
    }
}
