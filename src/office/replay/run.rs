//! One run of a plan: take, publish, mark, and look what became of it, until it stops.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{News, ReplayError, Replayer, Stop, TICK, ended_of, lanes, terms};
use crate::broker::{Outgoing, PublishError, Queue};
use crate::domain::dead_letter::Ending;
use crate::domain::envelope;
use crate::domain::lead_key::DeadId;
use crate::domain::replay::{Next, Pace, Seen, Why};
use crate::steps::Step;
use crate::store::dead_letters::{Kept, Members, NotOwned, PlanId, PlanState};

const RENEW_BELOW: SignedDuration = SignedDuration::from_secs(20);
/// Between two looks at the whole plan, which counts all its letters, and at the lanes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What was not confirmed is published again, as often, before it is left for later.
const ROUNDS: usize = 3;

/// One run of one plan.
pub(super) struct Run<'a> {
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

impl<'a> Run<'a> {
    pub(super) fn new(
        replayer: &'a Replayer,
        plan: PlanId,
        terms: &'a terms::Kept,
        until: Timestamp,
        stale: Members,
    ) -> Self {
        Self {
            replayer,
            plan,
            terms,
            pace: Pace::new(terms.terms),
            began: Instant::now(),
            until,
            canary: BTreeSet::new(),
            stale,
            seen: stale,
            looked_at: None,
            unseen_told: false,
        }
    }

    pub(super) async fn go(
        &mut self,
        stop: &CancellationToken,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<Stop, ReplayError> {
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
