//! Replays a plan: takes its letters in turn, publishes each as a new event, marks it, and listens to how they end.
//!
//! Safe to be killed anywhere, and to be run twice: what was taken and not marked is published again by whoever owns the
//! plan next, under the same generation, and a lead is delivered once however often its event comes. The pace is a pure
//! machine, [`crate::domain::replay`]; here is what it drives.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, Outgoing, PublishError, Queue};
use crate::clock::Clock;
use crate::domain::dead_letter::Ending;
use crate::domain::envelope;
use crate::domain::lead_key::DeadId;
use crate::domain::replay::{Next, Pace, Seen, Why};
use crate::domain::retry::Tier;
use crate::domain::route::DestinationName;
use crate::steps::{Step, Steps};
use crate::store::dead_letters::{
    Act, DeadLetters, Kept, LettersError, Members, NotOwned, Owning, Plan, PlanId, PlanState, Selection,
};

pub mod forecast;
pub mod lanes;
pub mod terms;

use lanes::Lanes;

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
const RENEW_BELOW: SignedDuration = SignedDuration::from_secs(20);
/// An owner that lives renews within this.
const RENEWS_WITHIN: Duration = Duration::from_secs(15);

const TICK: Duration = Duration::from_millis(200);
/// Between two looks at the whole plan, which counts all its letters, and at the lanes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What was not confirmed is published again, as often, before it is left for later.
const ROUNDS: usize = 3;

/// One run of one plan.
struct Run<'a> {
    replayer: &'a Replayer,
    plan: PlanId,
    terms: &'a terms::Kept,
    pace: Pace,
    began: Instant,
    until: Timestamp,
    canary: BTreeSet<DeadId>,
    /// What stood published and unended when this run began: perhaps nobody will ever tell of it.
    stale: Members,
    seen: Members,
    looked_at: Option<Instant>,
    unseen_told: bool,
}

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
        let mut run = Run {
            replayer: self,
            plan,
            terms: kept,
            pace: Pace::new(kept.terms),
            began: Instant::now(),
            until,
            canary: BTreeSet::new(),
            stale,
            seen: stale,
            looked_at: None,
            unseen_told: false,
        };
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

impl Run<'_> {
    async fn go(&mut self, stop: &CancellationToken, tell: &mut (dyn FnMut(News) + Send)) -> Result<Stop, ReplayError> {
        loop {
            if stop.is_cancelled() {
                return Ok(Stop::Pause(format!("interrupted by {}", self.replayer.who)));
            }
            if let Some(stop) = self.renew().await? {
                return Ok(stop);
            }
            if let Some(stop) = self.look(tell).await? {
                return Ok(stop);
            }
            let was_canary = self.pace.is_canary();
            let seen = self.seen().await?;
            let next = self.pace.next(seen, self.began.elapsed());
            if was_canary && !self.pace.is_canary() {
                tell(News::CanaryPassed);
            }
            match next {
                Next::Finish => return Ok(Stop::Finished),
                Next::Pause(why) => return Ok(Stop::Pause(self.explain(why).await)),
                Next::Publish(count) => {
                    if let Some(stop) = self.publish(count, tell).await? {
                        return Ok(stop);
                    }
                }
                Next::Look => drop(stop.run_until_cancelled(tokio::time::sleep(TICK)).await),
            }
        }
    }

    async fn renew(&mut self) -> Result<Option<Stop>, ReplayError> {
        let owning = self.replayer.owning(self.plan);
        if self.until.duration_since(owning.now) > RENEW_BELOW {
            return Ok(None);
        }
        let until = owning.until;
        match self.replayer.letters.own_plan(owning).await? {
            Ok(()) => {
                self.until = until;
                Ok(None)
            }
            Err(not_owned) => Ok(Some(Stop::NotOwned(not_owned))),
        }
    }

    /// At the plan, which anybody may have halted, and at the lanes, now and then.
    async fn look(&mut self, tell: &mut (dyn FnMut(News) + Send)) -> Result<Option<Stop>, ReplayError> {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(None);
        }
        self.looked_at = Some(Instant::now());
        let plan = self.replayer.plan(self.plan).await?;
        if plan.state != PlanState::Running {
            return Ok(Some(Stop::NotOwned(NotOwned::Halted(plan.state))));
        }
        if plan.members != self.seen {
            tell(News::Progress(plan.members));
        }
        self.seen = plan.members;
        match self.replayer.lanes.open().await {
            Ok(open) => {
                let ours = |lane: &&lanes::OpenLane| self.terms.destinations.contains(&lane.destination);
                Ok(open.iter().find(ours).map(|lane| {
                    Stop::Pause(format!("the lane of {} is not closed but {}", lane.destination, lane.state))
                }))
            }
            Err(why) => {
                if !std::mem::replace(&mut self.unseen_told, true) {
                    tell(News::LanesUnseen(why));
                }
                Ok(None)
            }
        }
    }

    /// Of the canary, letter by letter; after it, of all the plan's that this run may have published.
    async fn seen(&self) -> Result<Seen, ReplayError> {
        if !self.pace.is_canary() {
            let Members { published, dead, .. } = self.seen;
            let ended = ended_of(&self.seen).saturating_sub(ended_of(&self.stale));
            let outstanding = published.saturating_sub(self.stale.published);
            return Ok(Seen { outstanding, ended, dead: dead.saturating_sub(self.stale.dead) });
        }
        let letters = self.replayer.letters.read(self.canary.iter().copied().collect()).await?;
        let endings = letters.iter().flatten().filter_map(|kept| kept.entry.ending);
        let (ended, dead) =
            endings.fold((0, 0), |(ended, dead), ending| (ended + 1, dead + u64::from(ending == Ending::Dead)));
        Ok(Seen { outstanding: self.canary.len() as u64 - ended, ended, dead })
    }

    async fn explain(&self, why: Why) -> String {
        match why {
            Why::Failing { dead, of } => {
                let limit = self.terms.terms.max_failures;
                format!("{dead} of the last {of} died again, and the limit is {limit}")
            }
            Why::Silent { outstanding, ended } => {
                let waited = self.terms.terms.canary_timeout.as_secs();
                let behind = self.replayer.behind(&self.terms.destinations).await;
                let canary = if self.pace.is_canary() { "the canary: " } else { "" };
                format!(
                    "{canary}{ended} came to their end, and of {outstanding} nothing was heard for {waited} s{behind}"
                )
            }
        }
    }

    /// Takes, publishes, marks. In this order a crash between any two publishes a letter twice at most, as one event.
    async fn publish(&mut self, count: u32, tell: &mut (dyn FnMut(News) + Send)) -> Result<Option<Stop>, ReplayError> {
        let Replayer { letters, steps, .. } = self.replayer;
        let owning = self.replayer.owning(self.plan);
        let act = self.replayer.act(&format!("plan {}", self.plan.0));
        let take = letters.take_next(owning.clone(), count as usize, act.clone());
        let taken = match steps.around(Step::Take, take).await? {
            Ok(taken) => taken,
            Err(not_owned) => return Ok(Some(Stop::NotOwned(not_owned))),
        };
        if taken.is_empty() {
            self.pace.exhausted();
            return Ok(None);
        }
        let Fates { published, refused, unknown } = self.send(&taken).await;
        if !published.is_empty() {
            let act = self.replayer.act(&act.why);
            let mark = letters.mark_published(self.plan, published.clone(), act);
            steps.around(Step::MarkPublished, mark).await?;
        }
        if !refused.is_empty() {
            let back = letters.give_back(owning, refused.clone(), self.replayer.act(&act.why));
            steps.around(Step::GiveBack, back).await?;
        }
        self.pace.published(published.len() as u32, self.began.elapsed());
        self.seen.published += published.len() as u64;
        if self.pace.is_canary() {
            self.canary.extend(&published);
            tell(News::Canary { published: self.canary.len() as u64 });
        }
        Ok(match (refused.len(), unknown) {
            (0, 0) => None,
            (0, unknown) => Some(Stop::Pause(format!(
                "the broker did not confirm {unknown} letters; resumed, the plan publishes them again"
            ))),
            (refused, _) => Some(Stop::Pause(format!(
                "the broker refused {refused} letters, which are dead as before: is {}.consent full, or gone?",
                self.replayer.prefix
            ))),
        })
    }

    async fn send(&self, taken: &[Kept]) -> Fates {
        let Replayer { broker, steps, .. } = self.replayer;
        let mut fates = Fates::default();
        let mut left: Vec<&Kept> = taken.iter().collect();
        for _ in 0..ROUNDS {
            let outgoing: Vec<Outgoing> = left.iter().map(|kept| outgoing(kept)).collect();
            let answers = steps.around(Step::Publish, broker.publish(&outgoing)).await;
            let mut again = Vec::new();
            for (kept, answer) in left.into_iter().zip(answers) {
                match answer {
                    Ok(()) => fates.published.push(kept.entry.id),
                    Err(PublishError::Refused | PublishError::Returned) => fates.refused.push(kept.entry.id),
                    Err(PublishError::Unconfirmed) => again.push(kept),
                }
            }
            left = again;
            if left.is_empty() {
                break;
            }
        }
        fates.unknown = left.len();
        fates
    }
}

#[derive(Default)]
struct Fates {
    published: Vec<DeadId>,
    /// For certain not published.
    refused: Vec<DeadId>,
    unknown: usize,
}

fn outgoing(kept: &Kept) -> Outgoing {
    let Kept { entry, message, .. } = kept;
    let known_since = entry.facts.first_received.unwrap_or(entry.facts.dead_at);
    let message = envelope::replayed(message, entry.id, entry.generation, known_since);
    Outgoing { queue: Queue::Inbox, message }
}

/// Letters of a plan that came to an end after they were published.
pub fn ended_of(members: &Members) -> u64 {
    let Members { delivered, duplicate, suppressed, unmarked, dead, .. } = members;
    delivered + duplicate + suppressed + unmarked + dead
}

/// `1,200,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}
