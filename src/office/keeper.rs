//! What the office of the ledger's owner does beside taking letters in: counts them for whoever watches, tells how plans
//! of replay go, which run at operators' terminals and have nobody else to tell, and removes what was settled long ago.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::replay::ended_of;
use super::replay::plans::{Plan, PlanId, PlanState};
use super::{ANSWER_TIMEOUT, Parts};
use crate::domain::dead_letter::StateName;
use crate::store::dead_letters::{Aspect, Filter};

/// Between two counts.
const COUNT_EVERY: Duration = Duration::from_secs(15);
const PURGE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Letters removed in one transaction: it bounds how long others wait for it.
const PURGE_BATCH: usize = 500;

/// Plans that are looked at: each look counts the letters of each.
const LATEST_PLANS: usize = 20;

/// Until `stop`.
pub async fn run(parts: Parts, stop: CancellationToken) {
    let mut plans = Plans::default();
    let mut purge_at = Instant::now();
    loop {
        count(&parts).await;
        plans.look(&parts).await;
        if Instant::now() >= purge_at {
            purge_at = Instant::now() + PURGE_EVERY;
            purge(&parts, &stop).await;
        }
        if stop.run_until_cancelled(tokio::time::sleep(COUNT_EVERY)).await.is_none() {
            return;
        }
    }
}

/// A store that does not answer is told of by the ingester.
async fn count(parts: &Parts) {
    let dead = Filter { state: Some(StateName::Dead), ..Filter::default() };
    let counted = parts.letters.count(dead, vec![Aspect::Cause, Aspect::Destination]);
    if let Ok(Ok(groups)) = timeout(ANSWER_TIMEOUT, counted).await {
        let labels = |value: &Option<String>| value.clone().unwrap_or_default();
        let counts = groups.into_iter().filter_map(|group| match group.values.as_slice() {
            [cause, destination] => Some(((labels(cause), labels(destination)), group.count)),
            _ => None,
        });
        parts.telemetry.letters_counted(&counts.collect());
    }
}

/// The latest plans as they stood at the last look.
#[derive(Default)]
struct Plans(Option<BTreeMap<PlanId, PlanState>>);

impl Plans {
    async fn look(&mut self, parts: &Parts) {
        let Ok(Ok(plans)) = timeout(ANSWER_TIMEOUT, parts.letters.plans(LATEST_PLANS)).await else { return };
        let count = |is: fn(&PlanState) -> bool| plans.iter().filter(|plan| is(&plan.state)).count();
        let running = count(|state| *state == PlanState::Running);
        parts.telemetry.plans_counted(running, count(|state| matches!(state, PlanState::Paused(_))));
        for plan in plans.iter().rev().filter(|plan| self.is_news(plan)) {
            let why = if let PlanState::Paused(why) = &plan.state { Some(why.as_str()) } else { None };
            parts.telemetry.plan_changed(plan.id.0, plan.state.name(), why, ended_of(&plan.members), plan.members.dead);
        }
        self.0 = Some(plans.into_iter().map(|plan| (plan.id, plan.state)).collect());
    }

    /// What had ended before the first look is not.
    fn is_news(&self, plan: &Plan) -> bool {
        match &self.0 {
            Some(before) => before.get(&plan.id) != Some(&plan.state),
            None => matches!(plan.state, PlanState::Running | PlanState::Paused(_)),
        }
    }
}

async fn purge(parts: &Parts, stop: &CancellationToken) {
    let retention = SignedDuration::try_from(parts.retention).unwrap_or(SignedDuration::MAX);
    let Ok(before) = parts.clock.now().checked_sub(retention) else { return };
    let mut purged = 0;
    while !stop.is_cancelled() {
        match timeout(ANSWER_TIMEOUT, parts.letters.purge(before, PURGE_BATCH)).await {
            Ok(Ok(count)) if count > 0 => purged += count,
            Ok(Ok(_) | Err(_)) | Err(_) => break,
        }
    }
    if purged > 0 {
        parts.telemetry.letters_purged(purged);
    }
}
