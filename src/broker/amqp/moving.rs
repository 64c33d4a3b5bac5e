//! Moving messages of a queue to the inbox: each is published there and confirmed before it is acknowledged here, so that
//! a crash at any moment duplicates, and never loses.
//!
//! What is to stay is held, unanswered, until the end, and goes back to its place when its channel closes. A nack would
//! send it to the back of a queue without a delivery limit (measured), behind messages that are due later, and a queue
//! expires at its head only.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use super::connection::Connection;
use super::convert;
use super::publisher::Publisher;
use super::trouble::{answered, explain};
use crate::broker::{BrokerError, Outgoing, PublishError, Queue};
use crate::domain::envelope::Message;

/// Who has nothing for so long has nothing more, or somebody else holds it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The messages of one queue, on their way to the inbox.
pub struct Moving {
    connection: Arc<Connection>,
    publisher: Publisher,
    queue: String,
    prefetch: u16,
    /// In the order of the queue. What is held leaves less and less room on a channel, so another is begun when half of
    /// it is taken.
    stretches: Vec<Stretch>,
}

struct Stretch {
    channel: Channel,
    consumer: Consumer,
    held: u16,
    /// It is sent nothing more.
    full: bool,
}

/// A message that we have, and that the broker has not been answered for.
pub struct Taken {
    pub message: Message,
    tag: u64,
    stretch: usize,
}

impl Moving {
    pub(super) async fn begin(
        connection: Arc<Connection>,
        publisher: Publisher,
        queue: String,
        prefetch: u16,
    ) -> Result<Self, BrokerError> {
        let mut moving = Self { connection, publisher, queue, prefetch: prefetch.max(2), stretches: Vec::new() };
        moving.begin_stretch().await?;
        Ok(moving)
    }

    /// The next messages, at most `max`; none if nothing comes for a second.
    pub async fn next(&mut self, max: usize) -> Result<Vec<Taken>, BrokerError> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let at = self.stretches.len() - 1;
            let stretch = &mut self.stretches[at];
            let next = match taken.is_empty() {
                true => timeout(PATIENCE, stretch.consumer.next()).await.ok(),
                false => stretch.consumer.next().now_or_never(),
            };
            match next {
                Some(Some(Ok(delivery))) => taken.push(Taken::of(delivery, at)),
                Some(Some(Err(error))) => return Err(explain(&error)),
                Some(None) if stretch.full => self.begin_stretch().await?,
                Some(None) => return Err(BrokerError::Unreachable("the broker ended the consumer".into())),
                None => break,
            }
        }
        Ok(taken)
    }

    /// Publishes these to the inbox, and acknowledges here what was confirmed there. What was not is held.
    pub async fn move_on(
        &mut self,
        taken: Vec<(Taken, Message)>,
    ) -> Result<Vec<Result<(), PublishError>>, BrokerError> {
        let (taken, messages): (Vec<Taken>, Vec<Message>) = taken.into_iter().unzip();
        let outgoing: Vec<Outgoing> =
            messages.into_iter().map(|message| Outgoing { queue: Queue::Inbox, message }).collect();
        let published = self.publisher.publish_to_queues(&outgoing).await;
        for (taken, published) in taken.into_iter().zip(&published) {
            match published {
                Ok(()) => {
                    let channel = &self.stretches[taken.stretch].channel;
                    answered(channel.basic_ack(taken.tag, BasicAckOptions { multiple: false })).await?;
                }
                Err(_) => self.hold(taken).await?,
            }
        }
        Ok(published)
    }

    /// Leaves it where it is: it comes back to its place in the end, and until then it is hidden from everybody.
    pub async fn hold(&mut self, taken: Taken) -> Result<(), BrokerError> {
        let stretch = &mut self.stretches[taken.stretch];
        stretch.held = stretch.held.saturating_add(1);
        if stretch.held >= self.prefetch / 2 && !stretch.full {
            stretch.full = true;
            let tag = stretch.consumer.tag();
            answered(stretch.channel.basic_cancel(tag, BasicCancelOptions::default())).await?;
        }
        Ok(())
    }

    /// Lets go of what is held, the first of the queue first.
    pub async fn end(self) {
        for stretch in self.stretches {
            // A channel that is gone has let go already.
            drop(answered(stretch.channel.close(200, "moved".into())).await);
        }
    }

    async fn begin_stretch(&mut self) -> Result<(), BrokerError> {
        let channel = self.connection.channel().await?;
        answered(channel.basic_qos(self.prefetch, BasicQosOptions { global: false })).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(self.queue.as_str().into(), "".into(), options, none);
        let consumer = answered(consumer).await?;
        self.stretches.push(Stretch { channel, consumer, held: 0, full: false });
        Ok(())
    }
}

impl Taken {
    fn of(delivery: Delivery, stretch: usize) -> Self {
        let (properties, _) = convert::received(&delivery.properties);
        Self { message: Message { body: delivery.data.into(), properties }, tag: delivery.delivery_tag, stretch }
    }
}
