//! The ledger: what has been delivered, by lead key and destination. It holds keyed hashes and times, no personal data.
//!
//! Nothing is sent without a [`Claim`], and only a ledger makes one. Every call takes a batch, and may fail only as a
//! whole: then nothing of it was done.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

use super::intents::Holder;
use crate::domain::lead_key::{AddressKey, LeadKey, PersonKey};
use crate::domain::order::{Kept, Order};
use crate::domain::repeat::Record;
use crate::domain::reply::OnUnknown;
use crate::domain::route::DestinationName;

#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Claims leads for sending; one answer for each ask, in order. Of two asks for one key in a batch, the second is
    /// `InHand`.
    async fn claim(&self, asks: Vec<Ask>) -> Result<Vec<Claiming>, LedgerError>;

    /// Extends claims, each only if it is still ours under the current epoch. `None`: lost, send nothing.
    async fn renew(&self, claims: Vec<Claim>) -> Result<Vec<Option<Claim>>, LedgerError>;

    /// Commits what was delivered, durably, and ends the claims and their intents. A claim that was lost meanwhile is recorded all the
    /// same unless the epoch has passed: the destination has the lead.
    async fn record(&self, deliveries: Arc<[Delivered]>) -> Result<Vec<Recorded>, LedgerError>;

    /// Commits, durably, that these leads are about to be sent to a destination that cannot tell a repeat, and counts
    /// them; one answer each, in order. Asked again under the same claim, it is done already. Under an earlier epoch
    /// nothing is.
    async fn intend(&self, intentions: Vec<Intention>, terms: Terms) -> Result<Vec<Intended>, LedgerError>;

    /// Takes intents back, durably: nothing of these leads has arrived. Only what was intended under the same claim; an
    /// earlier intent that was sent over stands again.
    async fn retract(&self, intentions: Vec<Intention>) -> Result<(), LedgerError>;

    /// How many leads were intended for this destination, and not taken back, in the last 24 hours, by the hour.
    async fn posted(&self, destination: &DestinationName, now: Timestamp) -> Result<u64, LedgerError>;

    /// Ends claims of which nothing was delivered. Never fails: what cannot be released lapses.
    async fn release(&self, claims: Vec<Claim>);

    /// Commits withdrawals, durably; answers for each the leads of that person that stand delivered and unmarked,
    /// whose consent is not later. The same withdrawal twice changes nothing.
    async fn withdraw(&self, withdrawals: Vec<Withdrawal>) -> Result<Vec<Vec<Standing>>, LedgerError>;

    /// Succeeds if a write is durable now.
    async fn probe(&self) -> Result<(), LedgerError>;

    /// Takes the ledger over: from now on every claim and record of an earlier owner fails.
    async fn take_over(&self) -> Result<(), LedgerError>;

    /// Remembers, for ever, that a wait queue was declared for this destination.
    async fn remember_wait_queue(&self, destination: &DestinationName) -> Result<(), LedgerError>;

    /// Every destination that ever had a wait queue.
    async fn wait_queues(&self) -> Result<Vec<DestinationName>, LedgerError>;

    /// Keeps an operator's order, durably, and answers its number. Under no epoch: whoever gives it, whoever owns the
    /// ledger obeys it.
    async fn give_order(&self, order: Order) -> Result<u64, LedgerError>;

    /// The latest order of every destination that ever had one.
    async fn orders(&self) -> Result<Vec<Kept>, LedgerError>;

    /// Remembers, durably, that an order has come to its end.
    async fn end_order(&self, number: u64) -> Result<(), LedgerError>;

    /// Grants nobody a claim to deliver to this address any more, durably, whatever the offer or the consent. Under no
    /// epoch.
    async fn suppress(&self, address: AddressKey, at: Timestamp) -> Result<(), LedgerError>;

    /// Removes what is known of these leads, and writes down for ever that somebody was forgotten, in one go; answers how
    /// much there was. Under no epoch.
    async fn forget(&self, forgetting: Forgetting) -> Result<Forgotten, LedgerError>;

    /// What is known of one lead, at every destination.
    async fn look_up(&self, key: LeadKey) -> Result<Vec<(DestinationName, Record)>, LedgerError>;
}

/// Asks to be the one who sends this lead.
#[derive(Clone, Debug)]
pub struct Ask {
    pub key: LeadKey,
    pub destination: DestinationName,
    pub person: PersonKey,
    pub address: AddressKey,
    /// The time of the consent under which it would be sent; `None` asks to mark a lead, which no withdrawal forbids.
    pub granted_at: Option<Timestamp>,
}

#[derive(Debug)]
pub enum Claiming {
    Granted(Claim),
    /// Somebody else has a live claim.
    InHand,
    /// The person has withdrawn, not before this consent, or is to be forgotten.
    Withdrawn,
}

/// How long a claim lasts without being renewed, by the store's clock.
pub const LEASE: Duration = Duration::from_secs(60);

/// A claim not verified against the ledger for this long must be renewed before a send: an owner that was frozen does
/// not know that another took over, which takes the broker over 20 s (measured: up to 28 s).
pub const VERIFIED_FOR: Duration = Duration::from_secs(15);

/// Proof that we alone may send this lead now. Made by a ledger, used up by recording or releasing it.
#[derive(Debug)]
#[must_use = "a claim must be recorded or released"]
pub struct Claim {
    key: LeadKey,
    destination: DestinationName,
    /// Boxed: mostly there is none.
    record: Option<Box<Record>>,
    /// Distinguishes this claim from every other of the same key.
    token: u64,
    epoch: u64,
    verified_at: Instant,
    expires_at: Instant,
}

impl Claim {
    pub(in crate::store) fn new(
        (key, destination): (LeadKey, DestinationName),
        record: Option<Record>,
        (token, epoch): (u64, u64),
        now: Instant,
    ) -> Self {
        let record = record.map(Box::new);
        Self { key, destination, record, token, epoch, verified_at: now, expires_at: now + LEASE }
    }

    pub(in crate::store) fn renewed(mut self, now: Instant) -> Self {
        self.verified_at = now;
        self.expires_at = now + LEASE;
        self
    }

    pub fn key(&self) -> LeadKey {
        self.key
    }

    pub fn destination(&self) -> &DestinationName {
        &self.destination
    }

    /// What had been delivered before.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_deref()
    }

    pub(in crate::store) fn token(&self) -> u64 {
        self.token
    }

    pub(in crate::store) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(in crate::store) fn holder(&self) -> Holder {
        Holder { token: self.token, epoch: self.epoch }
    }

    /// To send this lead, in a message of this replay generation.
    pub fn intention(&self, generation: u32, at: Timestamp) -> Intention {
        let (key, destination) = (self.key, self.destination.clone());
        Intention { key, destination, generation, at, holder: self.holder() }
    }

    /// Whether a send that may take `timeout` may start at `now` without asking the ledger again.
    pub fn covers(&self, timeout: Duration, now: Instant) -> bool {
        now + timeout < self.expires_at && now < self.verified_at + VERIFIED_FOR
    }
}

/// A lead that is about to be sent to a destination that cannot tell a repeat. Made by a claim.
#[derive(Clone, Debug)]
pub struct Intention {
    pub key: LeadKey,
    pub destination: DestinationName,
    /// The replay generation of its message.
    pub generation: u32,
    pub at: Timestamp,
    pub(in crate::store) holder: Holder,
}

/// Under which leads may be sent that may have been sent before, or of which a day takes only so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Terms {
    pub on_unknown: OnUnknown,
    /// `None`: as many as come. They are counted all the same.
    pub daily_max: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intended {
    /// Send it.
    Done,
    /// It may have been sent before, and that was never answered. Nothing was done.
    SentBefore,
    /// The destination has had its leads for a day. Nothing was done.
    DayIsFull { frees_at: Timestamp },
}

/// A lead that its destination accepted.
#[derive(Debug)]
pub struct Delivered {
    pub claim: Claim,
    pub record: Record,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Done,
    /// The person withdrew while it was being sent, at this time: it must be marked.
    WithdrawnAt(Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    pub person: PersonKey,
    pub at: Timestamp,
}

/// A delivered lead that is to be marked do-not-contact.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub key: LeadKey,
    pub destination: DestinationName,
    /// As written when it was delivered.
    pub offer: String,
}

/// Where a lead of a person stands, or may.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    pub person: PersonKey,
    pub lead: LeadKey,
    pub destination: DestinationName,
}

/// Somebody is forgotten: what is told of it says nothing of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgetting {
    pub leads: Vec<Held>,
    pub at: Timestamp,
    pub by: String,
    pub why: String,
    /// Dead letters that were removed for it.
    pub letters: u64,
    /// Leads that were removed at their destinations.
    pub at_destinations: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub records: u64,
    pub intents: u64,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// Locked, full, or its disk is gone: nothing may be acked until it is back.
    #[error("ledger unavailable: {0}")]
    Unavailable(String),
    /// Another worker took the ledger over.
    #[error("another worker has taken the ledger over")]
    Superseded,
    /// Broken, foreign, or kept under another secret: a person must look.
    #[error("{0}")]
    Unusable(String),
}
