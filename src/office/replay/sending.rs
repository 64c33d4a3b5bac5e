//! The next letters of a plan, on their way: taken, published and confirmed, marked.

use super::*;

impl Run<'_> {
    /// Takes, publishes, marks. In this order a crash between any two publishes a letter twice at most, as one event.
    pub(super) async fn publish(
        &mut self,
        count: u32,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<Option<Stop>, ReplayError> {
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
