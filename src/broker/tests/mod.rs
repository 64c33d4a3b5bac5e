//! The seam's tests, in here because only this module may answer a message without a verdict.
//!
//! `conformance` runs one suite on the broker in memory and on RabbitMQ; `facts` holds us to what was measured of
//! lapin and RabbitMQ; `outages` kills brokers of its own.

#![allow(clippy::disallowed_methods, reason = "the broker is real")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use tokio::time::timeout;

use super::amqp::{AmqpBroker, Ownership, Settings};
use super::{Broker, Outgoing, PublishError, Queue, Subscription, Unsettled};
use crate::domain::envelope::{Message, Properties};
use crate::telemetry::Telemetry;

mod conformance;
mod facts;
mod fates;
mod node;
mod outages;
mod topology;

/// The longest that anything here may take to happen.
const SOON: Duration = Duration::from_secs(60);

/// How long nothing happens before we believe that it will not.
const NEVER: Duration = Duration::from_millis(300);

/// The broker that `make test` starts.
fn url() -> String {
    std::env::var("LEADRELAY_TEST_AMQP_URL")
        .expect("LEADRELAY_TEST_AMQP_URL is not set: run `make test`, which starts a RabbitMQ and sets it")
}

fn settings(url: &str, prefix: &str) -> Settings {
    Settings {
        url: SecretString::from(url),
        prefix: prefix.to_owned(),
        ownership: Ownership::Shared,
        authorities: None,
        fates: false,
    }
}

/// Queues that no other test has.
fn fresh_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{:016x}-{}", rand::random::<u64>(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A broker with its queues, of which none are left behind.
struct Rabbit {
    broker: AmqpBroker,
    url: String,
    prefix: String,
    telemetry: Arc<Telemetry>,
}

impl Rabbit {
    async fn start() -> Self {
        Self::at(&url()).await
    }

    async fn at(url: &str) -> Self {
        let rabbit = Self::bare(url, &fresh_prefix()).await;
        rabbit.broker.apply_topology(&[]).await.expect("declare the queues");
        rabbit
    }

    /// Without any queues.
    async fn bare(url: &str, prefix: &str) -> Self {
        let telemetry = Arc::new(Telemetry::new());
        let broker = AmqpBroker::connect(settings(url, prefix), telemetry.clone()).expect("a legal URL");
        broker.ready(SOON).await.expect("connect to RabbitMQ");
        Self { broker, url: url.to_owned(), prefix: prefix.to_owned(), telemetry }
    }

    fn name(&self, queue: &str) -> String {
        format!("{}.{queue}", self.prefix)
    }

    /// A client of its own, to look at and to meddle with what stands at the broker.
    async fn raw(&self) -> lapin::Channel {
        raw(&self.url).await
    }

    /// Removes the queues.
    async fn clean(self) {
        let queues = ["consent", "dead", "retry.5s", "retry.30s", "retry.2m", "retry.10m", "retry.1h", "retry.6h"];
        let names = queues.iter().map(|queue| self.name(queue)).chain([self.name("wait.slow")]);
        let channel = self.raw().await;
        for name in names {
            channel.queue_delete(name.as_str().into(), Default::default()).await.expect("delete a queue");
        }
        channel.exchange_delete(self.prefix.as_str().into(), Default::default()).await.expect("delete the exchange");
        self.broker.close().await;
    }
}

async fn raw(url: &str) -> lapin::Channel {
    let connection = lapin::Connection::connect(url, Default::default()).await.expect("connect to RabbitMQ");
    connection.create_channel().await.expect("open a channel")
}

fn message(text: impl Into<String>) -> Message {
    let text = text.into();
    let properties = Properties { message_id: Some(text.clone()), ..Properties::default() };
    Message { body: Bytes::from(text), properties }
}

fn to(queue: &Queue, text: impl Into<String>) -> Outgoing {
    Outgoing { queue: queue.clone(), message: message(text) }
}

fn text(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).expect("our bodies are text")
}

async fn publish(broker: &dyn Broker, queue: &Queue, texts: impl IntoIterator<Item = String>) {
    let outgoing: Vec<Outgoing> = texts.into_iter().map(|text| to(queue, text)).collect();
    let outcomes = broker.publish(&outgoing).await;
    assert!(outcomes.iter().all(Result::is_ok), "published: {outcomes:?}");
}

fn numbered(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("message {n}"))
}

async fn next(subscription: &mut Subscription) -> Unsettled {
    timeout(SOON, subscription.next()).await.expect("a message, soon").expect("the consumer goes on")
}

async fn nothing_more(subscription: &mut Subscription) {
    if let Ok(Some(unsettled)) = timeout(NEVER, subscription.next()).await {
        panic!("unexpected: {}", text(&unsettled.message));
    }
}

/// Takes and acknowledges everything that is in the queue.
async fn drain(broker: &dyn Broker, queue: &Queue) -> Vec<Message> {
    let mut subscription = broker.consume(queue, 1_000).await.expect("consume");
    let mut messages = Vec::new();
    while let Ok(Some(unsettled)) = timeout(NEVER * 3, subscription.next()).await {
        messages.push(Message::clone(&unsettled.message));
        unsettled.ack();
    }
    messages
}

async fn until_depth(broker: &dyn Broker, queue: &Queue, wanted: u64) {
    let arrived = async {
        while broker.depth(queue).await.expect("the depth") != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, arrived).await.expect("the queue to hold what it should");
}
