//! The memory broker's queues: what is ready, what is held, and who consumes. No waiting, no clock of its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Channel, Fault, HandBacks, death};
use crate::broker::{Queue, Unsettled};
use crate::domain::envelope::Message;
use crate::domain::fate::Notice;
use crate::domain::retry::Tier;

/// As `topology` declares it: the inbox and the wait queues give a message up past this many returns.
const DELIVERY_LIMIT: u64 = 100;

pub(super) struct Queues {
    hand_backs: HandBacks,
    ready: HashMap<Queue, BTreeMap<Place, Stored>>,
    held: BTreeMap<u64, Held>,
    consumers: Vec<Consuming>,
    pub faults: HashMap<Queue, Fault>,
    /// Another worker holds `owner`.
    pub owned: bool,
    /// Messages that the broker will never move again: their `x-death` says that they go round in a cycle.
    pub stuck: Vec<Message>,
    /// The fates that were told.
    pub notices: Vec<Notice>,
    /// Consumers that have ended, to be dropped once nobody holds our lock: what is left in them is handed back.
    pub ended: Vec<Consuming>,
    /// The next place, tag or channel. Never given twice, so that a stale answer names nothing.
    next: u64,
}

/// Where a message stands in its queue; it keeps it when it is handed back.
type Place = u64;

struct Stored {
    message: Message,
    delivery_count: u64,
    /// When its queue's TTL ends.
    due: Option<Instant>,
}

/// A message that a consumer has and has not settled.
struct Held {
    stored: Stored,
    queue: Queue,
    place: Place,
    channel: u64,
}

pub(super) struct Consuming {
    pub channel: Arc<Channel>,
    pub queue: Queue,
    pub prefetch: usize,
    pub messages: mpsc::Sender<Unsettled>,
    held_up: watch::Sender<bool>,
    held: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Return {
    HandedBack,
    ChannelLost,
}

impl Queues {
    pub fn new(hand_backs: HandBacks) -> Self {
        Self {
            hand_backs,
            ready: HashMap::new(),
            held: BTreeMap::new(),
            consumers: Vec::new(),
            faults: HashMap::new(),
            owned: false,
            stuck: Vec::new(),
            notices: Vec::new(),
            ended: Vec::new(),
            next: 1,
        }
    }

    pub fn take_next(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub fn ready(&self, queue: &Queue) -> impl Iterator<Item = &Message> {
        self.ready.get(queue).into_iter().flat_map(BTreeMap::values).map(|stored| &stored.message)
    }

    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Answers whether the queue was empty before.
    pub fn enter(&mut self, queue: &Queue, message: Message, due: Option<Instant>) -> bool {
        self.enter_returned(queue, message, due, 0)
    }

    /// Likewise, of a message that came back so often before.
    pub fn enter_returned(
        &mut self,
        queue: &Queue,
        message: Message,
        due: Option<Instant>,
        delivery_count: u64,
    ) -> bool {
        let place = self.take_next();
        let ready = self.ready.entry(queue.clone()).or_default();
        let was_empty = ready.is_empty();
        ready.insert(place, Stored { message, delivery_count, due });
        self.dispatch(queue);
        was_empty
    }

    /// Moves what is due to the inbox, and says when the next is.
    pub fn expire(&mut self, tier: Tier, now: Instant) -> Option<Instant> {
        let queue = Queue::Retry(tier);
        loop {
            let head = self.ready.get_mut(&queue)?.first_entry()?;
            match head.get().due {
                Some(due) if due > now => return Some(due),
                _ => {
                    let message = head.remove().message;
                    self.dead_letter(message, &queue, "expired", &Queue::Inbox);
                }
            }
        }
    }

    fn dead_letter(&mut self, message: Message, from: &Queue, reason: &str, to: &Queue) {
        if death::is_cycle(&message, to) {
            self.stuck.push(message);
        } else {
            self.enter(to, death::stamped(message, from, reason), None);
        }
    }

    /// Tells whether it is held up.
    pub fn add_consumer(
        &mut self,
        channel: Arc<Channel>,
        queue: &Queue,
        messages: mpsc::Sender<Unsettled>,
    ) -> watch::Receiver<bool> {
        let (held_up, told_held_up) = watch::channel(false);
        let (queue, prefetch) = (queue.clone(), messages.max_capacity());
        self.consumers.push(Consuming { channel, queue: queue.clone(), prefetch, messages, held_up, held: 0 });
        self.dispatch(&queue);
        told_held_up
    }

    pub fn hold_up(&self, queue: &Queue) {
        self.consuming(queue).for_each(|consumer| consumer.held_up.send_modify(|held_up| *held_up = true));
    }

    pub fn consumers(&self, queue: &Queue) -> usize {
        self.consuming(queue).count()
    }

    fn consuming<'a>(&'a self, queue: &'a Queue) -> impl Iterator<Item = &'a Consuming> {
        self.consumers.iter().filter(move |consumer| consumer.queue == *queue)
    }

    /// Nothing more is handed out to it; what it holds stays held.
    pub fn end_consumer(&mut self, channel: u64) {
        if let Some(at) = self.consumers.iter().position(|consumer| consumer.channel.id == channel) {
            self.ended.push(self.consumers.remove(at));
        }
    }

    pub fn close_all_channels(&mut self) {
        self.ended.append(&mut self.consumers);
        for held in std::mem::take(&mut self.held).into_values() {
            self.put_back(held, Return::ChannelLost);
        }
    }

    pub fn ack(&mut self, tag: u64) {
        if let Some(held) = self.take_held(tag) {
            self.dispatch(&held.queue);
        }
    }

    pub fn hand_back(&mut self, tag: u64) {
        if let Some(held) = self.take_held(tag) {
            let queue = held.queue.clone();
            self.put_back(held, Return::HandedBack);
            self.dispatch(&queue);
        }
    }

    fn take_held(&mut self, tag: u64) -> Option<Held> {
        let held = self.held.remove(&tag)?;
        if let Some(consumer) = self.consumers.iter_mut().find(|consumer| consumer.channel.id == held.channel) {
            consumer.held -= 1;
        }
        Some(held)
    }

    fn put_back(&mut self, held: Held, why: Return) {
        let Held { mut stored, queue, place, .. } = held;
        if why == Return::ChannelLost || self.hand_backs == HandBacks::Counted {
            stored.delivery_count += 1;
        }
        let limited = matches!(queue, Queue::Inbox | Queue::Wait(_));
        if limited && stored.delivery_count > DELIVERY_LIMIT {
            self.dead_letter(stored.message, &queue, "delivery_limit", &Queue::Dead);
        } else {
            self.ready.entry(queue).or_default().insert(place, stored);
        }
    }

    /// Hands out what is ready to consumers with room, in turn.
    fn dispatch(&mut self, queue: &Queue) {
        while let Some(at) = self.consumers.iter().position(|consumer| consumer.has_room(queue)) {
            let Some((place, stored)) = self.ready.get_mut(queue).and_then(BTreeMap::pop_first) else { return };
            let tag = self.take_next();
            let mut consumer = self.consumers.remove(at);
            if consumer.hand_out(tag, &stored) {
                self.held.insert(tag, Held { stored, queue: queue.clone(), place, channel: consumer.channel.id });
                self.consumers.push(consumer);
            } else {
                self.ready.entry(queue.clone()).or_default().insert(place, stored);
                self.ended.push(consumer);
            }
        }
    }
}

impl Consuming {
    fn has_room(&self, queue: &Queue) -> bool {
        self.queue == *queue && self.held < self.prefetch
    }

    /// `false`: nobody listens any more, and the message is not handed out.
    fn hand_out(&mut self, tag: u64, stored: &Stored) -> bool {
        let message = stored.message.clone();
        let channel = self.channel.clone();
        let unsettled = Unsettled::new(message, self.queue.clone(), stored.delivery_count, tag, channel);
        match self.messages.try_send(unsettled) {
            Ok(()) => {
                self.held += 1;
                true
            }
            Err(mpsc::error::TrySendError::Full(mut unsettled) | mpsc::error::TrySendError::Closed(mut unsettled)) => {
                // It was never handed out, so it must not count as dropped.
                unsettled.receipt = None;
                false
            }
        }
    }
}
