//! The retry queues: what is in them, and back to the inbox with it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::operator::{connect, explain};
use super::parts;
use crate::broker::amqp::{AmqpBroker, Moving, Taken};
use crate::broker::{Broker, Queue};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::envelope::{self, Envelope, Message, Stamp};
use crate::domain::event;
use crate::domain::lead_key::Keyring;
use crate::domain::retry::Tier;
use crate::domain::route::{DestinationName, Routes};
use crate::worker::admission::marked_for;

/// One retry queue, as far as it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryQueue {
    pub tier: Tier,
    /// How many messages it holds.
    pub depth: u64,
    /// How many of them were read, from its head.
    pub read: u64,
    /// Of those that were read, by the destination that they would go to now.
    pub destinations: BTreeMap<Option<DestinationName>, Due>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    pub count: u64,
    /// When the first of them comes back, if that is known.
    pub next: Option<Timestamp>,
}

/// Looks at the first `at_most` messages of each retry queue, which stay there.
pub async fn retries(config: &Config, at_most: u16) -> anyhow::Result<Vec<RetryQueue>> {
    let broker = connect(config).await?;
    let addressing = Addressing::of(config);
    let mut queues = Vec::new();
    for tier in Tier::ALL {
        let depth = broker.depth(&Queue::Retry(tier)).await.map_err(explain)?;
        let messages = match depth {
            0 => Vec::new(),
            _ => broker.browse(&Queue::Retry(tier), at_most).await.map_err(explain)?,
        };
        let mut queue = RetryQueue { tier, depth, read: messages.len() as u64, destinations: BTreeMap::new() };
        for message in &messages {
            let due = queue.destinations.entry(addressing.destination(message)).or_default();
            due.count += 1;
            due.next = [due.next, envelope::due(&message.properties)].into_iter().flatten().min();
        }
        queues.push(queue);
    }
    broker.close().await;
    Ok(queues)
}

/// Where a message would go now: by the routes as they are, not as they were.
struct Addressing {
    routes: Routes,
    keyring: Keyring,
    now: Timestamp,
}

impl Addressing {
    fn of(config: &Config) -> Self {
        Self { routes: config.routes.clone(), keyring: parts::keyring(config), now: Clock::System.now() }
    }

    /// `None`: to the dead letters.
    fn destination(&self, message: &Message) -> Option<DestinationName> {
        if let Some(marked) = marked_for(&self.keyring, message) {
            return Some(marked);
        }
        let event = event::decode(message, self.now).ok()?.event;
        self.routes.find(&event.offer).cloned()
    }
}

/// What to move.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `None`: whatever destination they are for.
    pub destination: Option<DestinationName>,
    pub tiers: Vec<Tier>,
    /// Messages a second, at most.
    pub rate: Option<u32>,
}

/// What became of the messages of one retry queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    pub tier: Tier,
    /// Are in the inbox.
    pub moved: u64,
    /// Stay, being of other destinations.
    pub kept: u64,
    /// Were there when we came, and were not looked at.
    pub unseen: u64,
}

/// How moving ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MovingEnded {
    Done,
    /// It was asked to.
    Cancelled,
    /// The broker takes no more into the inbox.
    Refused(String),
}

/// Told again and again: messages looked at of those that are there, and moved.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub looked_at: u64,
    pub total: u64,
    pub moved: u64,
}

/// Windows of the publisher have so many.
const BATCH_MAX: usize = 500;
const PREFETCH_MAX: u16 = 1_000;
/// So many are held for others at most: each is a burden to the broker as long as it is.
const HELD_MAX: u64 = 100_000;
/// When asked to stop, what is being published has so long to be confirmed; it is there twice otherwise.
const LAST_CONFIRM: Duration = Duration::from_secs(5);

/// Moves messages of retry queues to the inbox, each confirmed there before it leaves here. Stopped at any moment, it
/// may be begun again, here or elsewhere: what was not moved is where it was. Only what was there at the beginning is
/// moved, or leads that fail again at once would be moved for ever.
pub async fn retry_now(
    config: &Config,
    wanted: &Wanted,
    stop: &CancellationToken,
    mut tell: impl FnMut(Progress),
) -> anyhow::Result<(Vec<Moved>, MovingEnded)> {
    let broker = connect(config).await?;
    let mut depths = Vec::new();
    for tier in &wanted.tiers {
        depths.push((*tier, broker.depth(&Queue::Retry(*tier)).await.map_err(explain)?));
    }
    let mut run = Run {
        broker: &broker,
        addressing: Addressing::of(config),
        wanted,
        stop,
        since: Instant::now(),
        progress: Progress { looked_at: 0, total: depths.iter().map(|(_, depth)| depth).sum(), moved: 0 },
        tell: &mut tell,
    };
    let (mut all, mut ended) = (Vec::new(), MovingEnded::Done);
    for (tier, depth) in depths {
        let (moved, how) = match ended {
            MovingEnded::Done => run.empty(tier, depth).await?,
            MovingEnded::Cancelled | MovingEnded::Refused(_) => {
                (Moved { tier, moved: 0, kept: 0, unseen: depth }, ended)
            }
        };
        all.push(moved);
        ended = how;
    }
    broker.close().await;
    Ok((all, ended))
}

struct Run<'a> {
    broker: &'a AmqpBroker,
    addressing: Addressing,
    wanted: &'a Wanted,
    stop: &'a CancellationToken,
    since: Instant,
    progress: Progress,
    tell: &'a mut dyn FnMut(Progress),
}

impl Run<'_> {
    async fn empty(&mut self, tier: Tier, depth: u64) -> anyhow::Result<(Moved, MovingEnded)> {
        let mut moved = Moved { tier, moved: 0, kept: 0, unseen: depth };
        if depth == 0 {
            return Ok((moved, MovingEnded::Done));
        }
        let mut moving = self.broker.begin_moving(&Queue::Retry(tier), self.prefetch()).await.map_err(explain)?;
        let ended = self.move_all(&mut moving, &mut moved).await;
        moving.end().await;
        Ok((moved, ended?))
    }

    async fn move_all(&mut self, moving: &mut Moving, moved: &mut Moved) -> anyhow::Result<MovingEnded> {
        while moved.unseen > 0 && moved.kept < HELD_MAX {
            if self.stop.run_until_cancelled(self.pace()).await.is_none() {
                return Ok(MovingEnded::Cancelled);
            }
            let max = self.batch_max().min(usize::try_from(moved.unseen).unwrap_or(usize::MAX));
            let taken = moving.next(max).await.map_err(explain)?;
            if taken.is_empty() {
                // Whatever was there has come back by itself, or is in other hands.
                moved.unseen = 0;
                break;
            }
            moved.unseen -= taken.len() as u64;
            self.progress.looked_at += taken.len() as u64;
            let wanted = self.sort(moving, taken, moved).await?;
            if let Some(ended) = self.move_on(moving, wanted, moved).await? {
                return Ok(ended);
            }
            (self.tell)(self.progress);
        }
        Ok(MovingEnded::Done)
    }

    /// Those that are wanted, as they go to the inbox.
    async fn sort(
        &self,
        moving: &mut Moving,
        taken: Vec<Taken>,
        moved: &mut Moved,
    ) -> anyhow::Result<Vec<(Taken, Message)>> {
        let mut wanted = Vec::with_capacity(taken.len());
        for taken in taken {
            let is_wanted = match &self.wanted.destination {
                None => true,
                Some(name) => self.addressing.destination(&taken.message).as_ref() == Some(name),
            };
            if is_wanted {
                let again = again(&taken.message, self.addressing.now);
                wanted.push((taken, again));
            } else {
                moved.kept += 1;
                moving.hold(taken).await.map_err(explain)?;
            }
        }
        Ok(wanted)
    }

    /// Why not to go on, if so.
    async fn move_on(
        &mut self,
        moving: &mut Moving,
        wanted: Vec<(Taken, Message)>,
        moved: &mut Moved,
    ) -> anyhow::Result<Option<MovingEnded>> {
        if wanted.is_empty() {
            return Ok(None);
        }
        let count = wanted.len() as u64;
        let hurry = async {
            self.stop.cancelled().await;
            tokio::time::sleep(LAST_CONFIRM).await;
        };
        let published = tokio::select! {
            biased;
            published = moving.move_on(wanted) => published.map_err(explain)?,
            () = hurry => {
                moved.unseen += count;
                return Ok(Some(MovingEnded::Cancelled));
            }
        };
        let confirmed = published.iter().filter(|published| published.is_ok()).count() as u64;
        moved.moved += confirmed;
        moved.unseen += count - confirmed;
        self.progress.moved += confirmed;
        Ok(published.into_iter().find_map(Result::err).map(|error| MovingEnded::Refused(error.to_string())))
    }

    /// Waits until as many may have been moved as have been.
    async fn pace(&self) {
        if let Some(rate) = self.wanted.rate {
            let due = Duration::from_secs_f64(self.progress.moved as f64 / f64::from(rate));
            tokio::time::sleep_until(self.since + due).await;
        }
    }

    /// Four batches a second, where there is a rate.
    fn batch_max(&self) -> usize {
        self.wanted.rate.map_or(BATCH_MAX, |rate| (rate as usize / 4).clamp(1, BATCH_MAX))
    }

    /// What is in hand is not to stay there longer than a broker allows, which is half an hour.
    fn prefetch(&self) -> u16 {
        let a_minute = self.wanted.rate.map_or(u32::MAX, |rate| rate.saturating_mul(60));
        u16::try_from(a_minute).unwrap_or(PREFETCH_MAX).min(PREFETCH_MAX)
    }
}

/// As it was, with its attempts and the time of its first receipt: only sooner.
fn again(message: &Message, now: Timestamp) -> Message {
    envelope::republished(message, &Stamp::of(&Envelope::read(&message.properties, now)))
}
