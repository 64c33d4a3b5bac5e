//! May the intake take more, and how fast: one answer from several reasons.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Shop;
use crate::broker::Publishing;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Nothing, until the reasons change or this moment.
    Nothing {
        until: Option<Instant>,
    },
    /// One message at a time.
    OneByOne,
    /// So many at once that one which cannot be settled does not hold up all others.
    AFew,
    Freely,
}

pub const A_FEW: u16 = 100;

/// Why the intake might hold back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    /// The ledger has been away for too long.
    pub ledger_gone: bool,
    /// The broker has taken no publishes for too long.
    pub blocked: bool,
    /// Messages arrive that came back often: one of them may be what crashes us. Also until the first message of the
    /// inbox has shown otherwise.
    pub cautious: bool,
    /// The same of the wait queues, where a first message shows nothing of the inbox, nor the other way round.
    pub cautious_of_waiting: bool,
    /// Message after message was undecodable: until then nothing, then one probes.
    pub fuse_blown_until: Option<Instant>,
}

impl Reasons {
    pub fn pace(&self, now: Instant) -> Pace {
        match self.fuse_blown_until {
            _ if self.ledger_gone => Pace::Nothing { until: None },
            Some(until) if now < until => Pace::Nothing { until: Some(until) },
            Some(_) => Pace::OneByOne,
            None if self.cautious => Pace::OneByOne,
            None if self.blocked => Pace::AFew,
            None => Pace::Freely,
        }
    }
}

pub struct Gate(watch::Sender<Reasons>);

impl Gate {
    pub fn new() -> Self {
        // Until the first message shows otherwise: what crashes us may crash us before we have seen anything.
        Self(watch::Sender::new(Reasons { cautious: true, cautious_of_waiting: true, ..Reasons::default() }))
    }

    pub fn change(&self, change: impl FnOnce(&mut Reasons)) {
        self.0.send_if_modified(|reasons| {
            let before = *reasons;
            change(reasons);
            *reasons != before
        });
    }

    pub fn reasons(&self) -> Reasons {
        *self.0.borrow()
    }

    pub fn watch(&self) -> watch::Receiver<Reasons> {
        self.0.subscribe()
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// Watches whether the broker takes publishes. While it does not, lanes go on; when what cannot be published fills half
/// the prefetch, or after the longest hold, it is handed back once, and the inbox is consumed a few at a time.
pub async fn watch_publishing(shop: Arc<Shop>, relieve: watch::Sender<u64>) {
    let mut link = shop.broker.link();
    loop {
        if link.wait_for(|link| link.publishing == Publishing::Blocked).await.is_err() {
            return;
        }
        tokio::select! {
            gone = link.wait_for(|link| link.publishing != Publishing::Blocked) => if gone.is_err() { return },
            () = relieve_when_due(&shop, &relieve) => {}
        }
        shop.gate.change(|reasons| reasons.blocked = false);
    }
}

/// Handed back so long before the longest hold, by which the settler gives up message by message.
const MARGIN: Duration = Duration::from_secs(60);

/// Never ends by itself.
async fn relieve_when_due(shop: &Shop, relieve: &watch::Sender<u64>) {
    let mut held_since = Instant::now();
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    loop {
        every_second.tick().await;
        let unmovable = shop.settler.unmovable();
        // Only once by number: what is handed back comes again, and each time is counted against it.
        let too_many = !shop.gate.reasons().blocked && unmovable * 2 > usize::from(shop.settings.prefetch);
        let too_long = unmovable > 0 && held_since.elapsed() + MARGIN > shop.settings.hold_max;
        if too_many || too_long {
            shop.gate.change(|reasons| reasons.blocked = true);
            shop.telemetry.handed_back_unmovable(unmovable);
            relieve.send_modify(|times| *times += 1);
            held_since = Instant::now();
        }
    }
}
