//! Replays a plan: takes its letters in turn, publishes each as a new event, marks it, and listens to how they end.
//!
//! Safe to be killed anywhere, and to be run twice: what was taken and not marked is published again by whoever owns the
//! plan next, under the same generation, and a lead is delivered once however often its event comes. The pace is a pure
//! machine, [`crate::domain::replay`]; here is what it drives.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, Queue};
use crate::clock::Clock;
use crate::domain::lead_key::DeadId;
use crate::domain::retry::Tier;
use crate::domain::route::DestinationName;
use crate::steps::Steps;
use crate::store::dead_letters::{
    Act, DeadLetters, LettersError, Members, NotOwned, Owning, Plan, PlanId, PlanState, Selection,
};

pub mod forecast;
pub mod lanes;
pub mod terms;
mod run;

use lanes::Lanes;
use run::Run;

/// Plans, as the store keeps them.
pub mod plans {
    pub use crate::store::dead_letters::{Members, Plan, PlanId, PlanState};
}

/// One operator's hands on a plan.
pub struct Replayer {
    pub letters: Arc<dyn DeadLetters>,
    pub broker: Arc<dyn Broker>,
    pub lanes: Arc<dyn Lanes>,
    pub clock: Clock,
    pub steps: Steps,
    /// Who does it, for the history.
    pub who: String,
    /// This process alone, for the lease.
    pub owner: String,
    /// What the broker's queues are called by: `leads`, in `leads.consent`.
    pub prefix: String,
}

/// What is told while it goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// Another owned the plan and renews its lease no more; we wait until it is over.
    WaitsForLease {
        owner: String,
        until: Timestamp,
    },
    Canary {
        published: u64,
    },
    CanaryPassed,
    Progress(Members),
    /// Nobody says whether lanes are open: only failures and silence can pause the plan.
    LanesUnseen(String),
}

/// How a run of a plan ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// Every letter is published, and its end awaited.
    Done(Plan),
    /// By us: why.
    Paused(Plan, String),
    /// By somebody else, or it had ended before.
    Halted(Plan),
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Store(#[from] LettersError),
    #[error("there is no plan {}: leadrelay dead replay --list shows them", .0.0)]
    NoSuchPlan(PlanId),
    #[error("{owner} works on plan {} now, until {until} and longer: pause it there, or by leadrelay dead replay --pause {}", .plan.0, .plan.0)]
    Owned { plan: PlanId, owner: String, until: Timestamp },
    #[error("plan {} was taken over by another while we did not renew our lease; what we published is published", .0.0)]
    TakenOver(PlanId),
}

/// How long a plan is one owner's without renewal. A killed owner keeps the next one waiting this long.
pub const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// An owner that lives renews within this.
const RENEWS_WITHIN: Duration = Duration::from_secs(15);

const TICK: Duration = Duration::from_millis(200);

/// Why a run goes no further.
enum Stop {
    Finished,
    Pause(String),
    NotOwned(NotOwned),
}

impl Stop {
    fn of(self, plan: Plan) -> Result<Ended, ReplayError> {
        match self {
            Self::Finished => Ok(Ended::Done(plan)),
            Self::Pause(why) => Ok(Ended::Paused(plan, why)),
            Self::NotOwned(NotOwned::Halted(_)) => Ok(Ended::Halted(plan)),
            Self::NotOwned(NotOwned::Absent | NotOwned::Owned(..) | NotOwned::Lapsed) => {
                Err(ReplayError::TakenOver(plan.id))
            }
        }
    }
}

impl Replayer {
    fn act(&self, why: &str) -> Act {
        Act { at: self.clock.now(), who: self.who.clone(), why: why.to_owned() }
    }

    fn owning(&self, plan: PlanId) -> Owning {
        let now = self.clock.now();
        Owning { plan, owner: self.owner.clone(), now, until: now.checked_add(LEASE).unwrap_or(Timestamp::MAX) }
    }

    /// Makes a plan of those of these letters that are dead now.
    pub async fn freeze(&self, ids: Vec<DeadId>, kept: &terms::Kept, why: &str) -> Result<Plan, ReplayError> {
        Ok(self.letters.freeze(Selection::Ids(ids), kept.write(), self.act(why)).await?)
    }

    /// Works on the plan until it is done, pauses, or `stop`.
    pub async fn run(
        &self,
        plan: PlanId,
        kept: &terms::Kept,
        stop: &CancellationToken,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<Ended, ReplayError> {
        let until = match self.own(plan, tell).await? {
            Ok(until) => until,
            Err(NotOwned::Absent) => return Err(ReplayError::NoSuchPlan(plan)),
            Err(NotOwned::Owned(owner, until)) => return Err(ReplayError::Owned { plan, owner, until }),
            Err(NotOwned::Halted(_) | NotOwned::Lapsed) => return Ok(Ended::Halted(self.plan(plan).await?)),
        };
        let stale = self.plan(plan).await?.members;
        let mut run = Run::new(self, plan, kept, until, stale);
        let stopped = run.go(stop, tell).await?;
        let ended = self.write_down(plan, stopped).await;
        self.letters.disown_plan(self.owning(plan)).await?;
        ended?.of(self.plan(plan).await?)
    }

    pub async fn plan(&self, plan: PlanId) -> Result<Plan, ReplayError> {
        self.letters.plan(plan).await?.ok_or(ReplayError::NoSuchPlan(plan))
    }

    /// Owns the plan. Where another does, who may have been killed: waits for its lease to end, unless it is renewed.
    async fn own(
        &self,
        plan: PlanId,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<Result<Timestamp, NotOwned>, ReplayError> {
        let mut found: Option<(String, Timestamp)> = None;
        loop {
            let owning = self.owning(plan);
            let until = owning.until;
            match self.letters.own_plan(owning).await? {
                Ok(()) => return Ok(Ok(until)),
                Err(NotOwned::Owned(owner, until))
                    if found.as_ref().is_none_or(|before| *before == (owner.clone(), until)) =>
                {
                    if found.is_none() {
                        tell(News::WaitsForLease { owner: owner.clone(), until });
                    }
                    found = Some((owner, until));
                    let left = Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default();
                    tokio::time::sleep(left.min(RENEWS_WITHIN).max(TICK)).await;
                }
                Err(not_owned) => return Ok(Err(not_owned)),
            }
        }
    }

    /// Writes down how the run ended; somebody may have halted the plan just now.
    async fn write_down(&self, plan: PlanId, stop: Stop) -> Result<Stop, ReplayError> {
        let (to, why) = match &stop {
            Stop::Finished => (PlanState::Done, ""),
            Stop::Pause(why) => (PlanState::Paused(why.clone()), why.as_str()),
            Stop::NotOwned(_) => return Ok(stop),
        };
        match self.letters.change_plan(plan, to, self.act(why)).await? {
            Some(_) => Ok(stop),
            None => Ok(Stop::NotOwned(NotOwned::Halted(self.plan(plan).await?.state))),
        }
    }

    /// What a letter that is silent may be waiting behind, the longest queue first.
    async fn behind(&self, destinations: &[DestinationName]) -> String {
        let waits = destinations.iter().cloned().map(Queue::Wait);
        let mut found = Vec::new();
        for queue in [Queue::Inbox].into_iter().chain(waits).chain(Tier::ALL.map(Queue::Retry)) {
            match self.broker.depth(&queue).await {
                Ok(0) => {}
                Ok(depth) => found.push((depth, queue)),
                Err(error) => return format!("; what they wait behind is not known: {error}"),
            }
        }
        found.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
        let told = found.iter().map(|(depth, queue)| {
            let messages = if *depth == 1 { "message" } else { "messages" };
            format!("{} {messages} in {}.{queue}", grouped(*depth), self.prefix)
        });
        match told.collect::<Vec<_>>().as_slice() {
            [] => "; no queue holds anything: a worker has them in hand, and holds back the rejections of a destination that accepts nothing".to_owned(),
            told => format!("; behind {}", told.join(", ")),
        }
    }
}

/// Letters of a plan that came to an end after they were published.
pub fn ended_of(members: &Members) -> u64 {
    let Members { delivered, duplicate, suppressed, unmarked, dead, .. } = members;
    delivered + duplicate + suppressed + unmarked + dead
}

/// `1,200,000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}
