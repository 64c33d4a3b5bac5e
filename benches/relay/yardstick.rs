//! The yardstick: lapin consumes a quorum queue, parses, acknowledges many at once, and does nothing else. No worker of
//! any kind is faster here.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context;
use futures_util::StreamExt;
use lapin::Connection;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use serde::Deserialize;
use serde_json::json;

use crate::process::{self, Process};

/// Measured: no other pair is faster, and none that is as fast holds fewer messages.
const PREFETCH: u16 = 1_000;
const ACK_EVERY: u64 = 100;

pub const ROLE: &str = "yardstick";

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Measured {
    pub seconds: f64,
    pub cpu_seconds: f64,
}

/// Drains `count` messages from `queue`, in a process of its own.
pub fn measure(url: &str, queue: &str, count: usize) -> anyhow::Result<Measured> {
    let mut process = Process::role(ROLE, &[url, queue, &count.to_string()])?;
    serde_json::from_str(&process.line()?).context("the yardstick's answer")
}

/// What a worker needs at least of an event.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(dead_code, reason = "they are parsed, and that is all")]
struct Event<'a> {
    #[serde(borrow)]
    event_id: &'a str,
    source: &'a str,
    action: &'a str,
    offer: &'a str,
    customer_info: Customer<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(dead_code, reason = "it is parsed, and that is all")]
struct Customer<'a> {
    email: &'a str,
}

/// The other process.
pub async fn play(arguments: &[String]) -> anyhow::Result<()> {
    let [url, queue, count] = arguments else { anyhow::bail!("url, queue and count") };
    let count: u64 = count.parse()?;
    let connection = Connection::connect(url, Default::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut consumer = channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await?;
    let (mut received, mut started) = (0, None);
    while received < count {
        let delivery = consumer.next().await.context("the consumer ended")??;
        started.get_or_insert_with(Instant::now);
        black_box(serde_json::from_slice::<Event<'_>>(&delivery.data)?);
        received += 1;
        if received % ACK_EVERY == 0 || received == count {
            channel.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await?;
        }
    }
    let seconds = started.map_or(0.0, |started| started.elapsed().as_secs_f64());
    let cpu_seconds = process::cpu(std::process::id())?.as_secs_f64();
    println!("{}", json!({ "seconds": seconds, "cpu_seconds": cpu_seconds }));
    connection.close(200, "done".into()).await.context("to close the yardstick's connection")
}
