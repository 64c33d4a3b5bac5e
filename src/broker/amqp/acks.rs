//! The answers of one channel, all given by one task, in order.
//!
//! lapin's `Acker` sends each ack from a task of its own, and an ack with `multiple` that is overtaken kills the
//! channel (60 of 60, measured). One already acknowledged singly kills it too if a `multiple` names it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::trouble::answered;
use crate::broker::{AnswerChannel, BrokerError};
use crate::telemetry::Telemetry;

/// How long finished messages behind an unfinished one wait to be acknowledged together with it; while the oldest are being
/// finished, one after the other, it begins anew. Each single ack costs the broker as much as a message.
const ISLAND_PATIENCE: Duration = Duration::from_millis(250);

/// They wait no longer once they take so many of eight parts of the prefetch, which must not run dry behind a straggler.
/// Half of it is what a drain of twenty partitions, a hundred leads a batch, has finished before its oldest message.
const ISLANDS_MAX: usize = 5;

/// A channel has so many words on their way to a quorum queue and keeps the others back (`quorum_commands_soft_limit`); closed
/// then, it forgets them, and what was acknowledged comes again (466 of 500 of a retry queue, and once in many runs a few of the
/// inbox, on a busy machine).
const COMMANDS_AT_ONCE: usize = 32;

/// After so long it has passed them on; nothing tells when.
pub(super) const DIGESTED: Duration = Duration::from_secs(1);

/// Orders taken at once; the task sends at most one `multiple` for them.
const ORDERS_AT_ONCE: usize = 1_024;

/// What is sent to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ack { tag: u64, multiple: bool },
    HandBack { tag: u64 },
}

/// Which tags are finished, and which of those the broker knows of. Tags count from 1, without a gap.
#[derive(Debug)]
pub(super) struct Frontier {
    /// The lowest unfinished tag.
    base: u64,
    /// `base` and the tags after it.
    tags: VecDeque<Tag>,
    /// How many of them are owed.
    owed: usize,
    /// How many are finished, whether the broker knows or not.
    finished: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Unfinished,
    /// To be acknowledged; the broker does not know yet.
    Owed,
    /// The broker knows.
    Told,
}

impl Default for Frontier {
    fn default() -> Self {
        Self { base: 1, tags: VecDeque::new(), owed: 0, finished: 0 }
    }
}

impl Frontier {
    /// The message is done with. A second answer for a tag is no answer.
    pub fn ack(&mut self, tag: u64) {
        if let Some(state) = self.unfinished(tag) {
            *state = Tag::Owed;
            self.owed += 1;
            self.finished += 1;
        }
    }

    /// The message goes back, singly and at once.
    pub fn hand_back(&mut self, tag: u64) -> Option<Answer> {
        *self.unfinished(tag)? = Tag::Told;
        self.finished += 1;
        Some(Answer::HandBack { tag })
    }

    /// One ack for the whole finished prefix. It names the highest tag that is still unacknowledged: the broker
    /// closes the channel on an ack for a tag that it no longer holds.
    pub fn take_prefix(&mut self) -> Option<Answer> {
        let (mut highest, mut owed) = (None, 0);
        while let Some(state @ (Tag::Owed | Tag::Told)) = self.tags.front().copied() {
            if state == Tag::Owed {
                (highest, owed) = (Some(self.base), owed + 1);
            }
            self.tags.pop_front();
            self.base += 1;
            self.finished -= 1;
        }
        self.owed -= owed;
        highest.map(|tag| Answer::Ack { tag, multiple: owed > 1 })
    }

    /// Single acks for what is finished behind an unfinished message.
    pub fn take_islands(&mut self) -> Vec<Answer> {
        let base = self.base;
        self.owed = 0;
        let owed = self.tags.iter_mut().enumerate().filter(|(_, state)| **state == Tag::Owed);
        owed.map(|(offset, state)| {
            *state = Tag::Told;
            Answer::Ack { tag: base + offset as u64, multiple: false }
        })
        .collect()
    }

    /// Once the prefix has been taken, what is owed is islands.
    pub fn islands(&self) -> usize {
        self.owed
    }

    /// How many finished ones stand behind the unfinished, once the prefix has been taken.
    pub fn behind(&self) -> usize {
        self.finished
    }

    fn unfinished(&mut self, tag: u64) -> Option<&mut Tag> {
        let offset = usize::try_from(tag.checked_sub(self.base)?).ok()?;
        while self.tags.len() <= offset {
            self.tags.push_back(Tag::Unfinished);
        }
        self.tags.get_mut(offset).filter(|state| **state == Tag::Unfinished)
    }
}

/// One generation of a consuming channel. Once closed it stays closed, so an answer that comes late reaches nobody:
/// on the next channel its tag is another message's.
pub(super) struct Answers {
    orders: mpsc::Sender<Order>,
    open: Arc<AtomicBool>,
    telemetry: Arc<Telemetry>,
}

enum Order {
    Ack(u64),
    HandBack(u64),
}

impl Answers {
    /// Starts the channel's task. It ends, and closes the channel, when the consumer has ended and every message of
    /// it is settled: then nobody holds this any more.
    ///
    /// A message has one answer, so there are never more orders than the `prefetch` allows messages.
    pub fn start(
        (channel, lost): (Channel, CancellationToken),
        prefetch: u16,
        telemetry: Arc<Telemetry>,
        answering: &TaskTracker,
    ) -> (Arc<Self>, watch::Receiver<bool>) {
        let (orders, inbox) = mpsc::channel(usize::from(prefetch));
        let open = Arc::new(AtomicBool::new(true));
        let (told, frontier) = (telemetry.clone(), Frontier::default());
        let islands_max = (usize::from(prefetch) * ISLANDS_MAX).div_ceil(8);
        let (held_up, told_held_up) = watch::channel(false);
        let owner = Owner {
            channel,
            lost,
            open: open.clone(),
            telemetry: told,
            frontier,
            islands_max,
            held_up,
            singly_at: None,
            moved: false,
        };
        answering.spawn(owner.run(inbox));
        (Arc::new(Self { orders, open, telemetry }), told_held_up)
    }

    /// The broker has closed the channel, and has taken back what was not acknowledged.
    pub fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
    }

    fn order(&self, order: Order) {
        if self.is_open() {
            // Fails only when the task has stopped, and then the channel is closed.
            let _ = self.orders.try_send(order);
        }
    }
}

impl AnswerChannel for Answers {
    fn ack(&self, tag: u64) {
        self.order(Order::Ack(tag));
    }

    fn hand_back(&self, tag: u64) {
        self.order(Order::HandBack(tag));
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    fn dropped(&self) {
        // What the broker took back by itself was not lost by us.
        if self.is_open() {
            self.telemetry.unsettled_dropped();
        }
    }
}

/// The one task that answers on a channel.
struct Owner {
    channel: Channel,
    /// Cancelled when the connection is lost: the consumer may have ended long before, and nobody else would notice.
    lost: CancellationToken,
    open: Arc<AtomicBool>,
    telemetry: Arc<Telemetry>,
    frontier: Frontier,
    islands_max: usize,
    /// A straggler stands before so many that a fresh channel would serve better.
    held_up: watch::Sender<bool>,
    /// When many were last acknowledged one by one.
    singly_at: Option<Instant>,
    /// The oldest was finished since we last looked.
    moved: bool,
}

/// When islands are to be acknowledged one by one: after the patience, which begins when there are some, and anew whenever the
/// oldest unfinished message is finished.
fn due_after(islands: usize, moved: bool, due: Option<Instant>, now: Instant) -> Option<Instant> {
    let due = due.filter(|due| *due > now && !moved);
    (islands > 0).then(|| due.unwrap_or(now + ISLAND_PATIENCE))
}

impl Owner {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let answered = self.answer_until_settled(&mut inbox).await;
        if let Some(at) = self.singly_at {
            sleep_until(at + DIGESTED).await;
        }
        self.open.store(false, Ordering::SeqCst);
        if let Err(error) = answered {
            self.telemetry.answers_lost(&error.to_string());
        }
        // After an error too: left open, the broker would go on to fill the prefetch with messages that nobody can
        // answer, and wait.
        drop(super::trouble::answered(self.channel.close(200, "done".into())).await);
    }

    async fn answer_until_settled(&mut self, inbox: &mut mpsc::Receiver<Order>) -> Result<(), BrokerError> {
        let mut orders = Vec::new();
        let mut islands_due: Option<Instant> = None;
        let lost = self.lost.clone();
        loop {
            let due = islands_due.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = lost.cancelled() => return Err(BrokerError::Unreachable("the connection was lost".into())),
                () = sleep_until(due), if islands_due.is_some() => {
                    self.send_islands().await?;
                }
                count = inbox.recv_many(&mut orders, ORDERS_AT_ONCE) => {
                    if count == 0 {
                        return self.send_islands().await;
                    }
                    self.take(&mut orders).await?;
                }
            }
            if self.frontier.behind() >= self.islands_max {
                self.held_up.send_replace(true);
            }
            let (islands, moved) = (self.frontier.islands(), std::mem::take(&mut self.moved));
            islands_due = match islands >= self.islands_max {
                true => Some(Instant::now()),
                false => due_after(islands, moved, islands_due, Instant::now()),
            };
        }
    }

    async fn take(&mut self, orders: &mut Vec<Order>) -> Result<(), BrokerError> {
        for order in orders.drain(..) {
            match order {
                Order::Ack(tag) => self.frontier.ack(tag),
                Order::HandBack(tag) => {
                    if let Some(answer) = self.frontier.hand_back(tag) {
                        send(&self.channel, answer).await?;
                    }
                }
            }
        }
        match self.frontier.take_prefix() {
            Some(answer) => {
                self.moved = true;
                self.send(answer).await
            }
            None => Ok(()),
        }
    }

    async fn send_islands(&mut self) -> Result<(), BrokerError> {
        let islands = self.frontier.take_islands();
        if islands.len() > COMMANDS_AT_ONCE {
            self.singly_at = Some(Instant::now());
        }
        for answer in islands {
            self.send(answer).await?;
        }
        Ok(())
    }

    async fn send(&self, answer: Answer) -> Result<(), BrokerError> {
        send(&self.channel, answer).await
    }
}

/// `Channel::basic_ack` queues the frame in the order of the calls, which `Acker::ack` does not. That it resolves
/// means only that the frame was written; over a dead link it still does (measured), so the ledger is the truth.
async fn send(channel: &Channel, answer: Answer) -> Result<(), BrokerError> {
    match answer {
        Answer::Ack { tag, multiple } => answered(channel.basic_ack(tag, BasicAckOptions { multiple })).await,
        Answer::HandBack { tag } => {
            answered(channel.basic_nack(tag, BasicNackOptions { multiple: false, requeue: true })).await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::rngs::SmallRng;
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// The broker's view of a channel: it closes it on an answer for a tag that it does not hold.
    #[derive(Default)]
    struct Broker {
        held: BTreeSet<u64>,
        acknowledged: BTreeSet<u64>,
        handed_back: BTreeSet<u64>,
    }

    impl Broker {
        fn holding(messages: u64) -> Self {
            Self { held: (1..=messages).collect(), ..Self::default() }
        }

        fn hear(&mut self, answer: Answer) {
            match answer {
                Answer::Ack { tag, multiple } => {
                    assert!(self.held.contains(&tag), "PRECONDITION_FAILED - unknown delivery tag {tag}");
                    let first = if multiple { 0 } else { tag };
                    let named: Vec<u64> = self.held.range(first..=tag).copied().collect();
                    self.held.retain(|tag| !named.contains(tag));
                    self.acknowledged.extend(named);
                }
                Answer::HandBack { tag } => {
                    assert!(self.held.remove(&tag), "PRECONDITION_FAILED - unknown delivery tag {tag}");
                    self.handed_back.insert(tag);
                }
            }
        }
    }

    /// One run over a random order of answers, told to the broker at random moments. The seed is all of it: drawing
    /// the steps through proptest takes a hundred times as long.
    fn run(seed: u64) {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut order: Vec<u64> = (1..=random.random_range(1..25)).collect();
        order.shuffle(&mut random);
        let (mut frontier, mut broker) = (Frontier::default(), Broker::holding(order.len() as u64));
        let (mut acked, mut handed_back) = (BTreeSet::new(), BTreeSet::new());
        for tag in order {
            if random.random_ratio(1, 5) {
                frontier.hand_back(tag).into_iter().for_each(|answer| broker.hear(answer));
                handed_back.insert(tag);
            } else {
                frontier.ack(tag);
                acked.insert(tag);
            }
            if random.random_ratio(1, 10) {
                // The same message is answered once more, which does nothing.
                frontier.ack(tag);
                assert_eq!(frontier.hand_back(tag), None);
            }
            if random.random_ratio(1, 2) {
                frontier.take_prefix().into_iter().for_each(|answer| broker.hear(answer));
            }
            if random.random_ratio(1, 8) {
                frontier.take_islands().into_iter().for_each(|answer| broker.hear(answer));
                assert_eq!(frontier.islands(), 0);
            }
            assert!(broker.acknowledged.is_subset(&acked), "acknowledged unasked");
        }
        frontier.take_prefix().into_iter().for_each(|answer| broker.hear(answer));
        assert_eq!((broker.acknowledged, broker.handed_back), (acked, handed_back));
        assert!(frontier.islands() == 0, "everything is finished, so the prefix is all");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn in_any_order_no_tag_is_answered_twice_and_none_unasked(seed: u64) {
            run(seed);
        }
    }

    #[test]
    fn islands_wait_for_the_oldest_as_long_as_it_is_being_finished() {
        let now = Instant::now();
        let later = now + ISLAND_PATIENCE / 2;
        let due = due_after(1, false, None, now);
        assert_eq!(due, Some(now + ISLAND_PATIENCE));
        assert_eq!(due_after(5, false, due, later), due, "stuck, it is due when it was");
        assert_eq!(due_after(5, true, due, later), Some(later + ISLAND_PATIENCE));
        assert_eq!(due_after(0, false, due, later), None);
    }

    #[test]
    fn what_stands_behind_an_unfinished_message_counts_though_the_broker_knows_of_it() {
        let mut frontier = Frontier::default();
        (2..=9).for_each(|tag| frontier.ack(tag));
        assert_eq!((frontier.take_prefix(), frontier.take_islands().len()), (None, 8));
        frontier.hand_back(10);
        assert_eq!((frontier.islands(), frontier.behind()), (0, 9));
        frontier.ack(1);
        assert_eq!(frontier.take_prefix(), Some(Answer::Ack { tag: 1, multiple: false }));
        assert_eq!(frontier.behind(), 0);
    }

    #[test]
    fn a_finished_prefix_is_one_ack() {
        let mut frontier = Frontier::default();
        [3, 1, 2, 5].into_iter().for_each(|tag| frontier.ack(tag));
        assert_eq!(frontier.take_prefix(), Some(Answer::Ack { tag: 3, multiple: true }));
        assert_eq!(frontier.take_prefix(), None);
        assert_eq!(frontier.take_islands(), [Answer::Ack { tag: 5, multiple: false }]);
        frontier.ack(4);
        // It stops at 4: the broker knows of 5 already, and closes the channel on an ack that names it.
        assert_eq!(frontier.take_prefix(), Some(Answer::Ack { tag: 4, multiple: false }));
    }
}
