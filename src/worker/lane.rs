//! A lane: the flow to one destination. This is the page to read.
//!
//! ```text
//! arrivals ─▶ pending ─▶ round (claim ▸ send ▸ record) ─▶ health, then one verdict a lead ─▶ settle
//!    ▲           │ paused or full                                       │ rejected, and nobody accepted yet
//!    └── wait queue ◀┘                                                suspects
//! ```
//! Each turn selects one event, takes it in, and starts what rounds it may. Nothing here waits for the broker or the
//! ledger: rounds and settlings run beside it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::drinker::Thirst;
use super::ledger_watch::LedgerState;
use super::orders::Latest;
use super::pending::Pending;
use super::round::{Found, RoundEnd, Sender};
use super::starting::{Standing, Start, may_start, turn};
use super::{Item, Shop};
use crate::broker::{Link, Queue};
use crate::destination::Destination;
use crate::domain::health::{Health, State, Suspects};
use crate::domain::repeat::RepeatPolicy;
use crate::domain::reply::Reply;
use crate::domain::route::DestinationName;
use crate::domain::verdict::{self, Finding};

mod judging;
mod obedience;
mod shown;

use judging::Suspect;

/// How the intake reaches a lane.
pub struct LaneHandle {
    pub name: DestinationName,
    pub arrivals: mpsc::Sender<Item>,
    /// Places for messages from the inbox.
    pub room: Arc<Semaphore>,
    /// Messages in the wait queue, told by the drinker.
    pub waiting: watch::Sender<u64>,
}

pub struct Lane {
    sender: Arc<Sender>,
    health: Health,
    pending: Pending,
    rounds: JoinSet<RoundEnd>,
    suspects: Vec<Suspect>,
    arrivals: mpsc::Receiver<Item>,
    waiting: watch::Receiver<u64>,
    ledger: watch::Receiver<LedgerState>,
    link: watch::Receiver<Link>,
    orders: watch::Receiver<Latest>,
    /// The number of the last order that we have obeyed.
    obeyed: u64,
    shown: shown::Shown,
    thirst: watch::Sender<Thirst>,
    /// When a message last went to the wait queue: for a while more may be there than we were told.
    diverted_at: Option<Instant>,
    share: usize,
    /// When the next batch need not grow any more.
    grown_at: Option<Instant>,
}

enum Event {
    Arrived(Box<Item>),
    NoMoreArrivals,
    RoundEnded(Box<RoundEnd>),
    /// An operator has ordered something, of us or of others.
    Ordered,
    /// Somebody has looked how much waits.
    DepthTold,
    /// Time has passed, or something that we watch has changed.
    Woken,
}

impl Lane {
    pub fn open(
        shop: Arc<Shop>,
        name: DestinationName,
        destination: Arc<dyn Destination>,
        policy: RepeatPolicy,
        share: usize,
    ) -> (Self, LaneHandle, watch::Receiver<Thirst>) {
        let (thirst, thirsty) = watch::channel(Thirst { prefetch: 0, watchful: true });
        let (offer, arrivals) = mpsc::channel(2 * share);
        let waiting = watch::Sender::new(0);
        let health = Health::new(shop.settings.health);
        let handle = LaneHandle {
            name: name.clone(),
            arrivals: offer,
            room: Arc::new(Semaphore::new(share)),
            waiting: waiting.clone(),
        };
        let mut lane = Self {
            health,
            pending: Pending::new(destination.limits().batch_max),
            rounds: JoinSet::new(),
            suspects: Vec::new(),
            arrivals,
            waiting: waiting.subscribe(),
            ledger: shop.ledger_state.watch(),
            link: shop.broker.link(),
            orders: shop.orders.watch(),
            obeyed: 0,
            shown: shown::Shown::new(shop.clock.now()),
            thirst,
            diverted_at: None,
            share,
            grown_at: None,
            sender: Arc::new(Sender::new(shop, name, destination, policy)),
        };
        lane.show();
        lane.obey();
        (lane, handle, thirsty)
    }

    /// Until nothing can arrive any more and nothing is in flight.
    pub async fn run(mut self) {
        let mut open = true;
        while open || !self.rounds.is_empty() {
            self.start_rounds();
            match self.next_event(open).await {
                Event::Arrived(item) => self.arrive(*item),
                Event::NoMoreArrivals => open = false,
                Event::RoundEnded(end) => self.end_round(*end),
                Event::Ordered => self.obey(),
                Event::DepthTold => self.note_depth(),
                Event::Woken => {}
            }
            self.keep_house();
        }
        let left = self.pending.drain();
        self.settle_all(left, &Finding::Interrupted);
        self.release_suspects(verdict::Lane::Paused, Some(&Finding::Interrupted));
    }

    async fn next_event(&mut self, open: bool) -> Event {
        let stop = self.shop().stop.take.clone();
        let stopping = stop.is_cancelled();
        let wake_at = self.wake_at();
        tokio::select! {
            Some(ended) = self.rounds.join_next() => match ended {
                Ok(end) => Event::RoundEnded(Box::new(end)),
                // The round contains its panics; its messages, if any were lost with it, were handed back.
                Err(_) => Event::Woken,
            },
            item = self.arrivals.recv(), if open => item.map_or(Event::NoMoreArrivals, |item| Event::Arrived(Box::new(item))),
            () = stop.cancelled(), if !stopping => Event::Woken,
            Ok(()) = self.waiting.changed() => Event::DepthTold,
            Ok(()) = self.orders.changed() => Event::Ordered,
            Ok(()) = self.ledger.changed() => Event::Woken,
            Ok(()) = self.link.changed() => Event::Woken,
            () = tokio::time::sleep_until(wake_at) => Event::Woken,
        }
    }

    /// What has arrived goes on, or waits where the lane is paused, or where others wait before it.
    fn arrive(&mut self, item: Item) {
        let mut diverted = Vec::new();
        self.sort_in(item, &mut diverted);
        while let Ok(item) = self.arrivals.try_recv() {
            self.sort_in(item, &mut diverted);
        }
        if !diverted.is_empty() {
            self.divert(diverted);
        }
    }

    fn divert(&mut self, items: Vec<Item>) {
        self.diverted_at = Some(Instant::now());
        self.note_diverted(&items);
        self.settle_all(items, &Finding::LaneShut);
    }

    fn sort_in(&mut self, item: Item, diverted: &mut Vec<Item>) {
        let waited = matches!(item.unsettled.queue, Queue::Wait(_)) && item.room.is_none();
        let goes_on = match self.health.state() {
            // A waiting message never overflows again.
            State::Closed => waited || !self.others_wait(),
            State::Open { .. } | State::Paused { .. } => false,
            State::HalfOpen { .. } => waited || self.is_idle() && !self.others_wait(),
        };
        if goes_on {
            if waited {
                self.note_drunk(&item);
            }
            let group = self.sender.destination.group(&item.lead);
            self.pending.push(group, (item.lead.key, item.since), item);
        } else {
            diverted.push(item);
        }
    }

    fn is_idle(&self) -> bool {
        self.rounds.is_empty() && self.pending.is_empty()
    }

    /// Later messages join the tail of the wait queue while it holds any.
    fn others_wait(&self) -> bool {
        *self.waiting.borrow() > 0
    }

    fn start_rounds(&mut self) {
        self.grown_at = None;
        self.health.tick(Instant::now().into_std());
        let limits = self.sender.limits;
        let (sends_max, batch_max, probe) = match self.health.state() {
            _ if self.shop().stop.take.is_cancelled() => return,
            _ if *self.ledger.borrow() != LedgerState::Up => return,
            // Another worker may own the ledger by now: no send starts.
            _ if !self.link.borrow().consuming => return,
            State::Closed => (limits.in_flight_max, limits.batch_max, false),
            State::Open { .. } | State::Paused { .. } => return,
            State::HalfOpen { .. } => (1, 1, true),
        };
        while let Some(oldest) = self.pending.oldest() {
            let oldest = oldest.elapsed();
            let turn = turn(oldest);
            let standing = Standing {
                here: self.rounds.len(),
                many_everywhere: self.shop().rounds.are_many(),
                sends_max,
                held: self.pending.len(),
                batch_max,
                full: self.pending.has_a_full(turn),
                oldest,
            };
            match may_start(standing) {
                // One lead probes, and nothing beside it.
                Start::Now if probe && standing.here > 0 => return,
                Start::Now => {}
                Start::In(growing) => {
                    self.grown_at = Some(Instant::now() + growing);
                    return;
                }
                Start::Later => return,
            }
            let batch = self.pending.take(turn, batch_max);
            let (sender, counted) = (Arc::clone(&self.sender), self.shop().rounds.begin());
            self.rounds.spawn(counted.during(async move { sender.round(batch, probe).await }));
        }
    }

    /// Health first, then one verdict for each lead: what failed is charged only if the lane is still closed.
    fn end_round(&mut self, end: RoundEnd) {
        let RoundEnd { found, started, probe } = end;
        let before = self.health.state();
        let replies: Vec<Reply> = found.iter().filter_map(|found| found.reply().cloned()).collect();
        let alone = if let [found] = &found[..] { Some(found.item.lead.key) } else { None };
        let times = (started.into_std(), Instant::now().into_std());
        let suspects = self.health.observe(&replies, alone, times, rand::random());
        if let Some(frees_in) = found.iter().find_map(Found::frees_in) {
            self.health.fill(times.1 + frees_in, times.1);
        }
        let state = self.health.state();
        if state != before {
            self.change_state(before, state);
        }
        let lane = match state {
            State::Closed => verdict::Lane::Closed,
            State::Open { .. } | State::HalfOpen { .. } if probe => verdict::Lane::Probed,
            State::Open { .. } | State::HalfOpen { .. } | State::Paused { .. } => verdict::Lane::Paused,
        };
        for found in &found {
            self.pending.done(found.item.lead.key);
        }
        if found.iter().any(|found| matches!(found.finding, Finding::LaneShut)) {
            self.diverted_at = Some(Instant::now());
        }
        let hold = suspects == Suspects::Hold && state == State::Closed;
        let held = |found: &Found| hold && found.is_rejected() && !found.is_accepted_by(&self.health);
        let (held, settled): (Vec<_>, Vec<_>) = found.into_iter().partition(held);
        let settlements = settled.into_iter().map(|found| self.judge(found, lane)).collect();
        self.shop().settle(settlements);
        let since = Instant::now();
        self.suspects.extend(held.into_iter().map(|found| Suspect { found, since }));
        if suspects != Suspects::Hold || state != State::Closed {
            self.release_suspects(lane, None);
        }
    }

    fn change_state(&mut self, before: State, state: State) {
        self.shop().telemetry.lane_state(&self.sender.name, before, state);
        self.sender.closed.store(state == State::Closed, Ordering::Relaxed);
        self.sender.paused.store(matches!(state, State::Paused { .. }), Ordering::Relaxed);
        self.show();
        if matches!(state, State::Open { .. } | State::Paused { .. }) {
            let put_back = self.pending.drain();
            self.divert(put_back);
        }
    }

    /// What is due after every event: the long-held, a ledger that is gone, the stop, and how thirsty we are.
    fn keep_house(&mut self) {
        let suspect_max = self.shop().settings.suspect_max;
        let long_held = |suspect: &mut Suspect| suspect.since.elapsed() >= suspect_max;
        let long_held: Vec<Suspect> = self.suspects.extract_if(.., long_held).collect();
        self.release(long_held, verdict::Lane::Closed, None);
        if self.pending.oldest().is_some_and(|since| since.elapsed() >= self.shop().settings.hold_max) {
            let too_slow = self.pending.drain();
            self.divert(too_slow);
        }
        if *self.ledger.borrow() == LedgerState::Gone || self.shop().stop.take.is_cancelled() {
            let left = self.pending.drain();
            self.settle_all(left, &Finding::Interrupted);
        }
        let before = self.health.state();
        self.health.tick(Instant::now().into_std());
        if self.health.state() != before {
            self.change_state(before, self.health.state());
        }
        if self.others_wait() {
            self.diverted_at = Some(Instant::now());
        }
        let thirst = self.thirst();
        self.thirst.send_if_modified(|asked| std::mem::replace(asked, thirst) != thirst);
    }

    fn thirst(&self) -> Thirst {
        let lately = self.diverted_at.is_some_and(|at| at.elapsed() < Duration::from_secs(60));
        let state = self.health.state();
        let prefetch = match state {
            State::Closed => self.share.min(usize::from(u16::MAX)) as u16,
            State::Open { .. } | State::Paused { .. } => 0,
            // One at a time, and none while something is under way: it would only be put back.
            State::HalfOpen { .. } => u16::from(self.is_idle()),
        };
        let paused = matches!(state, State::Open { .. } | State::Paused { .. });
        Thirst { prefetch, watchful: !paused && (lately || state != State::Closed || self.others_wait()) }
    }

    /// The next moment at which something is due without an event.
    fn wake_at(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3_600);
        let reopens = match self.health.state() {
            State::Open { until, .. } => Instant::from_std(until),
            State::Closed | State::HalfOpen { .. } | State::Paused { .. } => far,
        };
        let later = |at: Instant| if at > Instant::now() { at } else { far };
        let oldest = self.suspects.iter().map(|suspect| suspect.since).min();
        let suspect = oldest.map_or(far, |since| since + self.shop().settings.suspect_max);
        let unwatch = self.diverted_at.map_or(far, |at| at + Duration::from_secs(60));
        let oldest = self.pending.oldest().map_or(far, |since| since + self.shop().settings.hold_max);
        let grown = self.grown_at.unwrap_or(far);
        grown.min(reopens).min(suspect).min(later(oldest)).min(later(unwatch))
    }

    fn shop(&self) -> &Arc<Shop> {
        &self.sender.shop
    }
}
