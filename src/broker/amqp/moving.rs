//! Moving messages of a queue to the inbox: each is published there and confirmed before it is acknowledged here, so that
//! a crash at any moment duplicates, and never loses.
//!
//! What is to stay is held, unanswered, until the end, and goes back when its channel closes. A nack would send it to the
//! back of a queue without a delivery limit (measured), behind messages that are due later, and a queue expires at its
//! head only. Returned messages stand in a line of their own, before all others; a part of them that is returned again
//! goes behind the rest of that line (measured), so we take that line to its end, and nothing is consumed any more when
//! the first channel closes. So the order is kept, but for who is killed, and for two at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use super::acks::DIGESTED;
use super::connection::Connection;
use super::convert;
use super::publisher::Publisher;
use super::topology;
use super::trouble::{answered, explain};
use crate::broker::{BrokerError, Outgoing, PublishError, Queue};
use crate::domain::envelope::Message;

/// Who has nothing for so long has nothing more, or somebody else holds it.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many are held at most: each is a burden to the broker as long as it is.
pub const HELD_MAX: u64 = 100_000;

/// The messages of one queue, on their way to the inbox.
pub struct Moving {
    connection: Arc<Connection>,
    publisher: Publisher,
    queue: String,
    prefetch: u16,
    /// In the order of the queue. What is held leaves less and less room on a channel, so another is begun when half of
    /// it is taken.
    stretches: Vec<Stretch>,
    /// Nobody had it before: no returned message comes after it.
    last_was_fresh: bool,
    held: u64,
    acknowledged_singly: bool,
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
    fresh: bool,
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
        let (prefetch, stretches) = (prefetch.max(2), Vec::new());
        let mut moving = Self {
            connection,
            publisher,
            queue,
            prefetch,
            stretches,
            last_was_fresh: true,
            held: 0,
            acknowledged_singly: false,
        };
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
        if let Some(last) = taken.last() {
            self.last_was_fresh = last.fresh;
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
        let mut confirmed = Vec::with_capacity(taken.len());
        for (taken, published) in taken.into_iter().zip(&published) {
            match published {
                Ok(()) => confirmed.push(taken),
                Err(_) => self.hold(taken).await?,
            }
        }
        for of_one in confirmed.chunk_by(|one, next| one.stretch == next.stretch) {
            self.acknowledge(of_one).await?;
        }
        Ok(published)
    }

    /// In one word where nothing is held: a channel that closes forgets the words that it keeps back, see [`DIGESTED`].
    async fn acknowledge(&mut self, of_one_stretch: &[Taken]) -> Result<(), BrokerError> {
        let Some(last) = of_one_stretch.last() else { return Ok(()) };
        let stretch = &self.stretches[last.stretch];
        if stretch.held == 0 {
            return answered(stretch.channel.basic_ack(last.tag, BasicAckOptions { multiple: true })).await;
        }
        for taken in of_one_stretch {
            answered(stretch.channel.basic_ack(taken.tag, BasicAckOptions { multiple: false })).await?;
        }
        self.acknowledged_singly = true;
        Ok(())
    }

    /// Leaves it where it is: it comes back to its place in the end, and until then it is hidden from everybody.
    pub async fn hold(&mut self, taken: Taken) -> Result<(), BrokerError> {
        self.held += 1;
        let stretch = &mut self.stretches[taken.stretch];
        stretch.held = stretch.held.saturating_add(1);
        if stretch.held >= self.prefetch / 2 {
            stretch.fill().await?;
        }
        Ok(())
    }

    /// Lets go of what is held, the first of the queue first, and waits until it is there again. Where the broker has
    /// gone, it has let go by itself.
    pub async fn end(mut self) {
        drop(self.take_returned().await);
        if self.acknowledged_singly {
            tokio::time::sleep(DIGESTED).await;
        }
        // All of them before the first closes: what comes back would go to the others, and behind what they hold.
        for stretch in &mut self.stretches {
            drop(stretch.fill().await);
        }
        for stretch in &self.stretches {
            drop(answered(stretch.channel.close(200, "moved".into())).await);
        }
        drop(timeout(PATIENCE, self.until_returned()).await);
    }

    async fn take_returned(&mut self) -> Result<(), BrokerError> {
        while !self.last_was_fresh && self.held < HELD_MAX {
            let taken = self.next(usize::from(self.prefetch)).await?;
            if taken.is_empty() {
                break;
            }
            for taken in taken {
                self.hold(taken).await?;
            }
        }
        Ok(())
    }

    async fn until_returned(&self) -> Result<(), BrokerError> {
        let channel = self.connection.channel().await?;
        while topology::passively(&channel, &self.queue)
            .await?
            .is_some_and(|depth| u64::from(depth.messages) < self.held)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
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

impl Stretch {
    async fn fill(&mut self) -> Result<(), BrokerError> {
        if !self.full {
            self.full = true;
            let tag = self.consumer.tag();
            answered(self.channel.basic_cancel(tag, BasicCancelOptions::default())).await?;
        }
        Ok(())
    }
}

impl Taken {
    fn of(delivery: Delivery, stretch: usize) -> Self {
        let (properties, count) = convert::received(&delivery.properties);
        let message = Message { body: delivery.data.into(), properties };
        Self { message, fresh: count == 0, tag: delivery.delivery_tag, stretch }
    }
}
