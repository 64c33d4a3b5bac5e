//! One consumer: a channel of its own, so that a failure of one queue is nobody else's, and so that tags have no gaps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::acks::Answers;
use super::convert;
use super::trouble::{answered, explain};
use crate::broker::{BrokerError, Consumer, Queue, Subscription, Unsettled};
use crate::domain::envelope::Message;
use crate::telemetry::Telemetry;

/// Begins to consume on a fresh channel.
pub(super) async fn consume(
    (channel, lost): (Channel, CancellationToken),
    queue: &Queue,
    name: ShortString,
    prefetch: u16,
    telemetry: Arc<Telemetry>,
    answering: &TaskTracker,
) -> Result<Subscription, BrokerError> {
    // 0 is no limit to the broker, and 2,000 on a quorum queue; global QoS closes the connection there (measured).
    let prefetch = prefetch.max(1);
    answered(channel.basic_qos(prefetch, BasicQosOptions { global: false })).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = answered(channel.basic_consume(name, "".into(), options, arguments)).await?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let handle =
        Handle { channel: channel.clone(), tag: consumer.tag(), cancelled: cancelled.clone(), lost: lost.clone() };
    let (messages, subscription) = mpsc::channel(usize::from(prefetch));
    let (answers, held_up) =
        Answers::start((channel, lost.clone()), cancelled.clone(), prefetch, telemetry.clone(), answering);
    tokio::spawn(Pump { consumer, queue: queue.clone(), messages, answers, cancelled, lost, telemetry }.run());
    Ok(Subscription::new(subscription, Arc::new(handle), held_up))
}

struct Handle {
    channel: Channel,
    tag: ShortString,
    cancelled: Arc<AtomicBool>,
    lost: CancellationToken,
}

#[async_trait]
impl Consumer for Handle {
    async fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        // On a channel that has gone there is nothing to cancel, and nobody answers.
        tokio::select! {
            _ = answered(self.channel.basic_cancel(self.tag.clone(), BasicCancelOptions::default())) => {}
            () = self.lost.cancelled() => {}
        }
    }
}

/// Carries messages from lapin to the subscription.
struct Pump {
    consumer: lapin::Consumer,
    queue: Queue,
    messages: mpsc::Sender<Unsettled>,
    answers: Arc<Answers>,
    cancelled: Arc<AtomicBool>,
    lost: CancellationToken,
    telemetry: Arc<Telemetry>,
}

impl Pump {
    async fn run(mut self) {
        loop {
            let next = tokio::select! {
                next = self.consumer.next() => next,
                // Nobody listens any more. Dropping the consumer cancels it; what it had been sent and nobody took goes
                // back when the channel closes.
                () = self.messages.closed() => return,
                () = self.lost.cancelled() => return self.end("the connection was lost"),
            };
            match next {
                Some(Ok(delivery)) => self.pass_on(delivery).await,
                Some(Err(error)) => return self.end(&explain(&error).to_string()),
                // Without an error before it: cancelled by us, or by the broker because the queue was deleted.
                None if self.cancelled.load(Ordering::SeqCst) => return,
                None => return self.end("the broker cancelled the consumer"),
            }
        }
    }

    async fn pass_on(&self, delivery: Delivery) {
        let (properties, delivery_count) = convert::received(&delivery.properties);
        let message = Message { body: delivery.data.into(), properties };
        let unsettled =
            Unsettled::new(message, self.queue.clone(), delivery_count, delivery.delivery_tag, self.answers.clone());
        if let Err(mpsc::error::SendError(mut unsettled)) = self.messages.send(unsettled).await {
            // It was never handed out, so it must not count as dropped; it goes back when the channel closes.
            unsettled.receipt = None;
        }
    }

    fn end(&self, why: &str) {
        self.answers.close();
        self.telemetry.consumer_lost(&self.queue.to_string(), why);
    }
}
