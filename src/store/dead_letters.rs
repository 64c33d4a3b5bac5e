//! The dead letters: what will not be delivered without a person, whole, with all that is known of it.
//!
//! Beside the ledger and apart from it: the ledger holds no personal data, letters are nothing but. One worker's
//! ingester writes here while operators' commands, processes of their own, read and write beside it. Every call takes a
//! batch and may fail only as a whole: then nothing of it was done. Every change of a letter compares and swaps on the
//! version that the caller has seen, and writes its row of the history in the same transaction. Times are kept to the
//! microsecond, and are the caller's: nothing here reads a clock.
//!
//! What is to be built on it:
//!
//! - **Replay.** [`DeadLetters::freeze`] makes a plan of what stands dead now; [`DeadLetters::own_plan`] makes the caller
//!   the one who works on it, for a lease to be renewed the same way; then, until there is no more:
//!   [`DeadLetters::take_next`], publish each with `generation` in `x-leadrelay-replay` and the letter's id in
//!   `x-leadrelay-dead-id` (without `-attempt`, `-first-received`, `-waited`), confirmed, and
//!   [`DeadLetters::mark_published`]. What was for certain not published is given back ([`DeadLetters::give_back`]).
//!   After a crash the next owner's `take_next` hands out first what had been taken and was neither published nor seen to
//!   end, under the same generation, so that publishing it twice is harmless. The worker tells each ending
//!   ([`DeadLetters::record_endings`]); [`DeadLetters::plan`] counts them, which is what a canary waits for. Anybody may
//!   pause or cancel ([`DeadLetters::change_plan`]): the owner is told by its next call, which answers [`NotOwned`].
//! - **Edit.** [`DeadLetters::edit`] replaces the body, keeps the first one, and makes a plan of this one letter, all in
//!   one go: while the plan runs nobody else edits the letter.
//! - **Forget.** [`DeadLetters::list`] by [`Filter::address`] finds a person's letters in every state;
//!   [`DeadLetters::remove`] removes them whatever their state, and leaves a row of history that tells no more than the
//!   dead-id. Letters whose address could not be read have none (`reason` `malformed`, mostly): read those, and look.
//! - **Backup.** The SQLite adapter is one file in WAL; SQLite's online backup copies it beside writers.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::domain::dead_letter::{Attempt, Cause, Change, Ending, State, StateName};
use crate::domain::envelope::Message;
use crate::domain::lead_key::{AddressKey, DeadId, LeadKey};
use crate::domain::reply::{Class, Code};
use crate::domain::route::{DestinationName, OfferPattern};

mod plan;

pub use plan::{Ended, Members, NotOwned, Owning, Plan, PlanId, PlanState, Selection};

#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// Takes letters in, durably; one answer each, in order. The same letter again is the same letter; if it had been
    /// replayed or discarded, it is dead again.
    async fn take_in(&self, letters: Vec<Letter>, act: Act) -> Result<Vec<TakenIn>, LettersError>;

    /// What fits the filter, the latest first, beyond `after`, at most `limit`.
    async fn list(&self, filter: Filter, after: Option<Place>, limit: usize) -> Result<Vec<Entry>, LettersError>;

    /// How many fit the filter, by these aspects, the largest group first; by none, all in one.
    async fn count(&self, filter: Filter, by: Vec<Aspect>) -> Result<Vec<Group>, LettersError>;

    /// The ids that begin with these hexadecimal digits, at most `limit`, in order.
    async fn find(&self, beginning: String, limit: usize) -> Result<Vec<DeadId>, LettersError>;

    /// Letters whole, with their history; one answer each, in order. `None`: there is no such letter.
    async fn read(&self, ids: Vec<DeadId>) -> Result<Vec<Option<Kept>>, LettersError>;

    /// Changes letters as an operator orders, each if it is as the operator saw it and may change so.
    async fn change(&self, orders: Vec<Order>, act: Act) -> Result<Vec<Changed>, LettersError>;

    /// Writes down that somebody saw personal data.
    async fn reveal(&self, ids: Vec<DeadId>, act: Act) -> Result<(), LettersError>;

    /// Replaces a dead letter's body, and what is known by it, and freezes a plan to replay it. The first body stays. What
    /// waits in a plan that runs is not edited: whoever made that plan knows it otherwise.
    async fn edit(&self, edit: Edit, terms: String, act: Act) -> Result<Edited, LettersError>;

    /// Removes letters for good, whatever their state; answers how many there were.
    async fn remove(&self, ids: Vec<DeadId>, act: Act) -> Result<u64, LettersError>;

    /// Removes replayed and discarded letters, at most `limit`, that have been so since before `before`, and histories
    /// of removed letters as old; answers how many letters.
    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, LettersError>;

    /// Freezes what stands dead now into a plan, in the order in which it died.
    async fn freeze(&self, selection: Selection, terms: String, act: Act) -> Result<Plan, LettersError>;

    async fn plan(&self, id: PlanId) -> Result<Option<Plan>, LettersError>;

    /// The latest first.
    async fn plans(&self, limit: usize) -> Result<Vec<Plan>, LettersError>;

    /// Makes `owner` the one who works on the plan until `until`, if nobody else is and it is running; or renews that.
    async fn own_plan(&self, owning: Owning) -> Result<Result<(), NotOwned>, LettersError>;

    /// Ends owning, so that another need not wait for the lease.
    async fn disown_plan(&self, owning: Owning) -> Result<(), LettersError>;

    /// Takes the next letters of the plan, at most `limit`, for as long as the owner's lease lasts: first what an earlier
    /// owner took and left. What is dead no more is passed over. None: there is nothing left to take, unless somebody
    /// else has it until a lease is over ([`Members::taken`]).
    async fn take_next(
        &self,
        owning: Owning,
        limit: usize,
        act: Act,
    ) -> Result<Result<Vec<Kept>, NotOwned>, LettersError>;

    /// These are in the inbox, confirmed. That is so whoever owns the plan now, and whatever became of it.
    async fn mark_published(&self, plan: PlanId, ids: Vec<DeadId>, act: Act) -> Result<(), LettersError>;

    /// These were for certain not published: they are dead, and of the plan, as before. Without the lease nothing is done.
    async fn give_back(&self, owning: Owning, ids: Vec<DeadId>, act: Act) -> Result<(), LettersError>;

    /// How replayed letters ended. The ending of a generation that is not the letter's latest is nobody's; one that was
    /// taken and not marked has been published for certain.
    async fn record_endings(&self, endings: Vec<Ended>, act: Act) -> Result<(), LettersError>;

    /// Pauses, resumes, cancels or ends a plan, whoever owns it. `None`: no such plan, or it may not become so.
    async fn change_plan(&self, id: PlanId, to: PlanState, act: Act) -> Result<Option<Plan>, LettersError>;

    /// Succeeds if a write of a batch would be durable now.
    async fn probe(&self) -> Result<(), LettersError>;
}

/// A letter as it is taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    pub id: DeadId,
    pub facts: Facts,
    /// Of the message that died, and of each retry, as far as its headers tell; the oldest first.
    pub attempts: Vec<Attempt>,
    /// As it came out of the queue.
    pub message: Message,
}

/// What is known of a letter beside what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub cause: Cause,
    /// JSON pointers of what is wrong, or the destination's code.
    pub detail: Option<String>,
    /// How the last attempt ended, and with which code and HTTP status.
    pub class: Option<Class>,
    pub code: Option<Code>,
    pub destination: Option<DestinationName>,
    /// `publisher.offer`, in lower case.
    pub offer: Option<String>,
    pub lead: Option<LeadKey>,
    pub address: Option<AddressKey>,
    pub trace_id: Option<String>,
    /// Attempts that were charged.
    pub attempts: u32,
    /// By a worker; `None`: none ever had it.
    pub first_received: Option<Timestamp>,
    pub dead_at: Timestamp,
    /// The replay generation of the message that died.
    pub generation: u32,
    /// The letter whose replay this was.
    pub replay_of: Option<DeadId>,
    /// Bytes of the body.
    pub size: u64,
}

/// What became of a letter that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenIn {
    New,
    Same,
    /// It had been replayed or discarded.
    Reopened,
}

/// A letter as it stands, without what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub id: DeadId,
    pub facts: Facts,
    pub state: State,
    /// The generation of the latest message that carried it.
    pub generation: u32,
    /// Raised by every change.
    pub version: u64,
    pub changed_at: Timestamp,
    /// How its latest replay ended.
    pub ending: Option<Ending>,
}

impl Entry {
    pub fn place(&self) -> Place {
        Place { dead_at: self.facts.dead_at, id: self.id }
    }
}

/// A letter, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub entry: Entry,
    pub attempts: Vec<Attempt>,
    pub message: Message,
    /// The body before it was first edited.
    pub original: Option<Bytes>,
    /// The oldest first.
    pub history: Vec<Deed>,
}

/// Who does something, when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub at: Timestamp,
    pub who: String,
    pub why: String,
}

impl Act {
    /// What nobody ordered.
    pub fn of_the_worker(at: Timestamp) -> Self {
        Self { at, who: "leadrelay".into(), why: String::new() }
    }
}

/// What was done to a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub act: Act,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Reopened,
    Discarded,
    Undone,
    Revealed,
    Edited,
    Taken,
    Published,
    GivenBack,
    Ended(Ending),
    Removed,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            Self::Reopened => "reopened",
            Self::Discarded => "discarded",
            Self::Undone => "undone",
            Self::Revealed => "revealed",
            Self::Edited => "edited",
            Self::Taken => "taken",
            Self::Published => "published",
            Self::GivenBack => "given_back",
            Self::Removed => "removed",
            Self::Ended(ending) => ending.as_str(),
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        let others = [
            Self::Reopened,
            Self::Discarded,
            Self::Undone,
            Self::Revealed,
            Self::Edited,
            Self::Taken,
            Self::Published,
            Self::GivenBack,
            Self::Removed,
        ];
        let endings = Ending::ALL.map(Self::Ended);
        others.into_iter().chain(endings).find(|what| what.name() == name)
    }
}

/// Where a page ends: the next one begins beyond it, whatever has come in or gone since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub dead_at: Timestamp,
    pub id: DeadId,
}

/// All of it together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// `None`: in any.
    pub state: Option<StateName>,
    pub cause: Option<Cause>,
    pub destination: Option<DestinationName>,
    pub offer: Option<OfferPattern>,
    pub lead: Option<LeadKey>,
    pub address: Option<AddressKey>,
    /// Dead at this time or later.
    pub since: Option<Timestamp>,
    /// Dead before this time.
    pub before: Option<Timestamp>,
}

/// What letters are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    State,
    Cause,
    Destination,
    Offer,
    Publisher,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// One an aspect; `None`: the letter has none.
    pub values: Vec<Option<String>>,
    pub count: u64,
    pub oldest: Timestamp,
    pub latest: Timestamp,
}

/// A change that an operator orders, of a letter as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub id: DeadId,
    pub version: u64,
    pub wish: Wish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Discard,
    Undo,
}

impl Wish {
    pub fn change(self) -> Change {
        match self {
            Self::Discard => Change::Discard,
            Self::Undo => Change::Undo,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    Done(Entry),
    /// It is not as it was seen, or may not change so: nothing was done. As it is.
    Not(Entry),
    /// There is no such letter.
    Absent,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Edited {
    /// The plan that replays it.
    Done(Plan),
    /// It is not as it was seen, or is not dead: nothing was done. As it is.
    Not(Entry),
    /// It waits to be replayed by this plan as it is: nothing was done.
    Waits(PlanId),
    /// There is no such letter.
    Absent,
}

/// Another body for a dead letter.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    pub id: DeadId,
    pub version: u64,
    pub body: Bytes,
    pub offer: Option<String>,
    pub lead: Option<LeadKey>,
    pub address: Option<AddressKey>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum LettersError {
    /// Locked, full, or its disk is gone: to be tried again.
    #[error("the store of dead letters is unavailable: {0}")]
    Unavailable(String),
    /// Broken, foreign, or kept under another secret: a person must look.
    #[error("{0}")]
    Unusable(String),
}
