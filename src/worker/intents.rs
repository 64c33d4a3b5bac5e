//! Where a destination cannot tell a repeat: nothing is sent before the ledger knows that it is about to be, and what is
//! known not to have arrived is taken back before its message is settled.
//!
//! Whatever stops us between the two, a crash, a halt, a ledger that stays away, leaves the intent standing. The message
//! comes again and finds it: then it may have been sent, and `on_unknown` says what becomes of it.

use std::time::Duration;

use super::Item;
use super::progress::{Plan, Progress};
use super::round::Sender;
use crate::domain::allowance::Daily;
use crate::domain::reply::Reply;
use crate::domain::verdict::Finding;
use crate::steps::Step;
use crate::store::ledger::{Intended, Intention, Terms};

impl Sender {
    /// Commits an intent for every lead that is ready to be sent.
    pub(super) async fn intend(&self, items: &[Item], progress: &mut [Progress]) {
        if self.limits.idempotent {
            return;
        }
        let now = self.shop.clock.now();
        let (mut ready, mut intentions) = (Vec::new(), Vec::new());
        for (index, progress) in progress.iter().enumerate() {
            if let Progress::Ready { claim, .. } = progress {
                ready.push(index);
                intentions.push(claim.intention(items[index].envelope.generation, now));
            }
        }
        if ready.is_empty() {
            return;
        }
        let terms = Terms { on_unknown: self.limits.on_unknown, daily_max: self.limits.daily.and_then(Daily::max) };
        // Tried again, it is the same intention: one that was committed although the answer was lost is done.
        let intend = || self.shop.ledger.intend(intentions.clone(), terms);
        let intended = self.shop.while_down(Step::Intend, &self.shop.stop.halt, intend).await;
        let outcomes: Vec<Result<(), Finding>> = match intended {
            Ok(intended) => intended.into_iter().map(|intended| judged(intended, now)).collect(),
            Err(finding) => vec![Err(finding); ready.len()],
        };
        let mut not_sent = Vec::new();
        for ((index, intention), outcome) in ready.into_iter().zip(intentions).zip(outcomes) {
            match (outcome, &mut progress[index]) {
                (Ok(()), Progress::Ready { plan, .. }) => plan.intention = Some(intention),
                (Ok(()), _) => {}
                (Err(finding), slot) => {
                    if let Progress::Ready { claim, .. } = std::mem::replace(slot, Progress::Known(finding)) {
                        not_sent.push(claim);
                    }
                }
            }
        }
        self.release(not_sent).await;
    }

    /// Takes back the intents of leads that were answered with a definite no. Of an unknown outcome it stays: the dead
    /// letter tells a person, and the intent keeps every other message of the lead from being sent as if nothing were.
    pub(super) async fn take_back(&self, progress: &mut [Progress]) {
        let (mut indices, mut intentions) = (Vec::new(), Vec::new());
        for (index, progress) in progress.iter().enumerate() {
            if let Progress::Answered { plan: Plan { intention: Some(intention), .. }, reply, .. } = progress
                && !reply.is_accepted()
                && !matches!(reply, Reply::Unknown(_))
            {
                indices.push(index);
                intentions.push(intention.clone());
            }
        }
        // With the ledger away, the message must not be settled: retried, it would find the intent and pass for sent.
        // It is handed back, and does so all the same if the ledger comes back with the intent in it. A lead that was
        // never posted is then a dead letter (`unknown`), which costs a person a look; had we forgotten an intent that
        // may stand, a lead might be posted twice, and nobody would know.
        if let Err(finding) = self.retract(intentions).await {
            for index in indices {
                if let Progress::Answered { claim, .. } =
                    std::mem::replace(&mut progress[index], Progress::Known(finding.clone()))
                {
                    self.release(vec![claim]).await;
                }
            }
        }
    }

    /// A lead that was intended, and for which the claim was lost, or the connection, before it was sent.
    pub(super) async fn never_sent(&self, progress: &mut Progress, plan: Plan) {
        if let Err(finding) = self.retract(plan.intention.into_iter().collect()).await {
            *progress = Progress::Known(finding);
        }
    }

    async fn retract(&self, intentions: Vec<Intention>) -> Result<(), Finding> {
        if intentions.is_empty() {
            return Ok(());
        }
        self.shop.while_down(Step::Retract, &self.shop.stop.halt, || self.shop.ledger.retract(intentions.clone())).await
    }
}

fn judged(intended: Intended, now: jiff::Timestamp) -> Result<(), Finding> {
    match intended {
        Intended::Done => Ok(()),
        Intended::SentBefore => Err(Finding::SentBefore),
        Intended::DayIsFull { frees_at } => {
            let frees_in = Duration::try_from(frees_at.duration_since(now)).unwrap_or_default();
            Err(Finding::DayIsFull { frees_in: frees_in.max(Duration::from_secs(1)) })
        }
    }
}
