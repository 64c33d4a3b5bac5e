//! Seam 3: the destinations.
//!
//! A destination sends one batch and answers for each lead; when to send, what to split and what becomes of a message
//! is decided by others.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::allowance::Daily;
use crate::domain::found::{FoundLead, Selection};
use crate::domain::lead::Lead;
use crate::domain::repeat::Write;
use crate::domain::reply::{OnUnknown, Reply};
use crate::store::ledger::Claim;

pub mod http;
pub mod azure_table;
pub mod salesforce;
pub mod held;
pub mod renewing;
pub mod memory;

#[async_trait]
pub trait Destination: Send + Sync + 'static {
    fn limits(&self) -> Limits;

    /// Leads of one group may share a batch.
    fn group(&self, lead: &Lead) -> Group;

    /// Sends one batch: at most `batch_max` parcels of one group, each key once. Bounded in time by
    /// [`Limits::send_timeout`]. Never panics on what the other side answers.
    async fn send(&self, parcels: &[Parcel<'_>]) -> Outcome;

    /// How leads are read back, and a test lead is taken out again; or a plain word why that cannot be done here.
    fn inspect(&self) -> Result<&dyn Inspect, &'static str> {
        Err("this destination only takes leads")
    }
}

/// For `destination test`, which leaves nothing behind where it can, and for `lead`, which reads. Replies other than
/// `Accepted` say what failed.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// Whether the destination holds the lead.
    async fn holds(&self, lead: &Lead) -> Result<bool, Reply>;

    /// Takes the lead out. One that is not there is out already.
    async fn remove(&self, lead: &Lead) -> Result<(), Reply>;

    /// One page of the leads that are wanted, about `at_most` of them; of what the service cannot filter, more than are
    /// wanted. `next` is what the page before has told.
    async fn page(&self, wanted: &Selection, at_most: usize, next: Option<&str>) -> Result<Page, Reply>;
}

/// A page may be empty and yet not be the last.
pub struct Page {
    pub leads: Vec<FoundLead>,
    /// Asks for the page after it.
    pub next: Option<String>,
}

/// What a destination can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub batch_max: usize,
    pub in_flight_max: usize,
    /// Sending a lead twice leaves one lead.
    pub idempotent: bool,
    /// A lead that is there can be changed.
    pub updates: bool,
    /// What becomes of a lead that may have been sent, where sending it twice makes two.
    pub on_unknown: OnUnknown,
    /// How many leads it takes within a day, where that is limited. Counted only where it is not idempotent.
    pub daily: Option<Daily>,
    /// The longest that one send may take, all its requests together.
    pub send_timeout: Duration,
}

/// Leads of the same group may share a batch: for an Azure Table, a partition.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Group(pub String);

/// One lead to send, with the proof that it is ours to send.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    pub lead: &'a Lead,
    pub write: &'a Write,
    pub claim: &'a Claim,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One reply for each parcel, in order.
    Each(Vec<Reply>),
    /// One answer for the whole batch, never `Accepted`: nothing of it was applied, and which lead is to blame is not
    /// known.
    Whole(Reply),
}
