//! Plans of replay.

use jiff::Timestamp;

use super::{Act, Filter};
use crate::domain::dead_letter::Ending;
use crate::domain::lead_key::DeadId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanId(pub u64);

/// What a plan is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    Filter(Filter),
    Ids(Vec<DeadId>),
}

/// A plan of replay and how far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub id: PlanId,
    pub state: PlanState,
    /// Who made it, when, and why.
    pub made: Act,
    /// Who brought it into its state.
    pub changed: Act,
    /// What its maker wants to remember, such as the rate; not read here.
    pub terms: String,
    /// Who works on it, until when.
    pub owner: Option<(String, Timestamp)>,
    pub members: Members,
}

/// The letters of a plan, by what has become of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub waiting: u64,
    /// Taken, and not known to be published.
    pub taken: u64,
    /// Published, and not known to have ended.
    pub published: u64,
    /// Dead no more when their turn came.
    pub passed_over: u64,
    pub delivered: u64,
    pub duplicate: u64,
    pub suppressed: u64,
    pub unmarked: u64,
    pub dead: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanState {
    Running,
    /// Why.
    Paused(String),
    Done,
    Cancelled,
}

impl PlanState {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused(_) => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// A plan that has ended stays so.
    pub fn may_become(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Running | Self::Paused(_), _) => true,
            (Self::Done | Self::Cancelled, _) => false,
        }
    }
}

/// Who works on a plan now. The owner's name is one process's alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owning {
    pub plan: PlanId,
    pub owner: String,
    pub now: Timestamp,
    /// The end of the lease.
    pub until: Timestamp,
}

/// Why a plan is not the caller's to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOwned {
    /// Another works on it, until then.
    Owned(String, Timestamp),
    /// It is not running.
    Halted(PlanState),
    Absent,
    /// The caller's lease is over.
    Lapsed,
}

/// A replayed message that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The letter that was replayed.
    pub id: DeadId,
    pub generation: u32,
    pub ending: Ending,
}
