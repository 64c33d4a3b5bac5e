//! The answers of one channel, all given by one task, in order.
//!
//! lapin's `Acker` sends each ack from a task of its own, and an ack with `multiple` that is overtaken kills the
//! channel (60 of 60, measured). One already acknowledged singly kills it too if a `multiple` names it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::frontier::{Answer, Frontier};
use super::islands::{Bounds, Due, Haste, due_after};
use super::together::together;
use super::trouble::answered;
use crate::broker::{AnswerChannel, BrokerError};
use crate::telemetry::Telemetry;

/// A channel has so many words on their way to a quorum queue and keeps the others back (`quorum_commands_soft_limit`); closed
/// then, it forgets them, and what was acknowledged comes again (466 of 500 of a retry queue, and once in many runs a few of the
/// inbox, on a busy machine).
const COMMANDS_AT_ONCE: usize = 32;

/// After so long it has passed them on; nothing tells when.
pub(super) const DIGESTED: Duration = Duration::from_secs(1);

/// Orders taken at once; the task sends at most one `multiple` for them.
const ORDERS_AT_ONCE: usize = 1_024;

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
        left: Arc<AtomicBool>,
        prefetch: u16,
        telemetry: Arc<Telemetry>,
        answering: &TaskTracker,
    ) -> (Arc<Self>, watch::Receiver<bool>) {
        let (orders, inbox) = mpsc::channel(usize::from(prefetch));
        let open = Arc::new(AtomicBool::new(true));
        let (held_up, told_held_up) = watch::channel(false);
        let owner = Owner {
            channel,
            lost,
            open: open.clone(),
            telemetry: telemetry.clone(),
            frontier: Frontier::new(u64::from(prefetch / 2)),
            bounds: Bounds::of(prefetch),
            left,
            held_up,
            in_vain: false,
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
    bounds: Bounds,
    /// The consumer was cancelled: nothing more comes on this channel.
    left: Arc<AtomicBool>,
    /// So many stragglers stand before so many that a fresh channel would serve better.
    held_up: watch::Sender<bool>,
    /// None came when one was waited for.
    in_vain: bool,
    /// When many were last acknowledged one by one.
    singly_at: Option<Instant>,
    /// The oldest was finished since we last looked.
    moved: bool,
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
        let mut islands_due: Option<Due> = None;
        let lost = self.lost.clone();
        loop {
            let due = islands_due.map_or_else(Instant::now, |due| due.at);
            tokio::select! {
                biased;
                () = lost.cancelled() => return Err(BrokerError::Unreachable("the connection was lost".into())),
                () = sleep_until(due), if islands_due.is_some() => {}
                count = inbox.recv_many(&mut orders, ORDERS_AT_ONCE) => {
                    if count == 0 {
                        return self.send_islands().await;
                    }
                    self.take(&mut orders).await?;
                }
            }
            if self.bounds.is_held_up(&self.frontier) {
                self.held_up.send_replace(true);
            }
            let (islands, moved) = (self.frontier.islands(), std::mem::take(&mut self.moved));
            let now = Instant::now();
            let taken_over = *self.held_up.borrow() && self.left.load(Ordering::SeqCst);
            let haste = self.bounds.haste(&self.frontier, taken_over, self.in_vain);
            islands_due = due_after(islands, moved, haste, islands_due, now);
            if islands_due.is_some_and(|due| due.at <= now) {
                self.in_vain |= haste == Haste::Soon;
                self.send_islands().await?;
                islands_due = None;
            }
        }
    }

    async fn take(&mut self, orders: &mut Vec<Order>) -> Result<(), BrokerError> {
        let mut answers = Vec::new();
        for order in orders.drain(..) {
            match order {
                Order::Ack(tag) => self.frontier.ack(tag),
                Order::HandBack(tag) => answers.extend(self.frontier.hand_back(tag)),
            }
        }
        let prefix = self.frontier.take_prefix();
        self.moved |= prefix.is_some();
        answers.extend(prefix);
        self.send(&answers).await
    }

    async fn send_islands(&mut self) -> Result<(), BrokerError> {
        let islands = self.frontier.take_islands();
        if islands.len() > COMMANDS_AT_ONCE {
            self.singly_at = Some(Instant::now());
        }
        self.send(&islands).await
    }

    /// In order.
    async fn send(&self, answers: &[Answer]) -> Result<(), BrokerError> {
        together(answers.iter().map(|answer| send(&self.channel, *answer)).collect()).await.map(drop)
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
