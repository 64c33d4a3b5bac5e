//! The queues of one run: leadrelay's own, and the yardstick's beside them, which gets every message too.

use anyhow::Context;
use lapin::options::{ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};

pub struct Queues {
    prefix: String,
    channel: Channel,
    _connection: Connection,
}

impl Queues {
    pub async fn open(url: &str, prefix: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, Default::default()).await?;
        let channel = connection.create_channel().await?;
        Ok(Self { prefix: prefix.to_owned(), channel, _connection: connection })
    }

    pub fn yardstick(&self) -> String {
        format!("{}.yardstick", self.prefix)
    }

    /// The same kind of queue as the inbox, bound to the same exchange.
    pub async fn declare_yardstick(&self) -> anyhow::Result<()> {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let name = self.yardstick();
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare(name.as_str().into(), options, arguments).await?;
        let (options, exchange) = (QueueBindOptions::default(), self.prefix.as_str());
        let bound = self.channel.queue_bind(name.into(), exchange.into(), "#".into(), options, FieldTable::default());
        bound.await.context("to bind the yardstick's queue")
    }

    /// Messages that are ready. Those that somebody holds are not among them.
    pub async fn depth(&self, queue: &str) -> anyhow::Result<u32> {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        Ok(self.channel.queue_declare(queue.into(), options, FieldTable::default()).await?.message_count())
    }

    pub async fn inbox_depth(&self) -> anyhow::Result<u32> {
        self.depth(&format!("{}.consent", self.prefix)).await
    }

    pub async fn dead(&self) -> anyhow::Result<u32> {
        self.depth(&format!("{}.dead", self.prefix)).await
    }

    /// Everything of this prefix. `destinations` had wait queues.
    pub async fn delete(self, destinations: u32) -> anyhow::Result<()> {
        let retries = ["5s", "30s", "2m", "10m", "1h", "6h"].map(|tier| format!("retry.{tier}"));
        let waits = (0..destinations).map(|number| format!("wait.{}", crate::worker::destination(number)));
        let rest = ["consent", "dead", "yardstick", "owner"].map(str::to_owned);
        for last in retries.into_iter().chain(waits).chain(rest) {
            // One that does not exist is no error to the broker.
            let name = format!("{}.{last}", self.prefix);
            self.channel.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
        }
        self.channel.exchange_delete(self.prefix.as_str().into(), ExchangeDeleteOptions::default()).await?;
        Ok(())
    }
}
