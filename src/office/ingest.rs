//! How letters come in: out of the dead queue, a batch at a time, committed, and only then acknowledged. A crash between
//! the two brings the same letters again, and the same letter is the same letter.
//!
//! While the store takes nothing, nothing is taken from the queue: the letters are safe there.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{ANSWER_TIMEOUT, Parts, letter};
use crate::broker::settle::{leave, put_away};
use crate::broker::{Queue, Subscription, Unsettled};
use crate::domain::envelope::Message;
use crate::schedule::schedule;
use crate::steps::Step;
use crate::store::dead_letters::{Act, Letter, LettersError, TakenIn};

/// Letters in hand at once.
const PREFETCH: u16 = 500;
/// A batch takes no more letters once its bodies have this many bytes.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Until `stop`.
pub async fn run(parts: Parts, stop: CancellationToken) {
    let mut delays = self::delays();
    while !stop.is_cancelled() {
        let served = match answered(parts.letters.probe()).await {
            Ok(()) => {
                parts.telemetry.office_up();
                take_in_all(&parts, &stop).await
            }
            Err(error) => Err(Trouble::Store(error)),
        };
        let delay = match served {
            Ok(()) => {
                delays = self::delays();
                continue;
            }
            Err(Trouble::Store(error)) => {
                parts.telemetry.office_down(&error);
                delays.next().unwrap_or_default()
            }
            Err(Trouble::Broker(why)) => {
                parts.telemetry.intake_failed("dead", &why);
                delays.next().unwrap_or_default()
            }
        };
        stop.run_until_cancelled(tokio::time::sleep(delay)).await;
    }
}

/// Who keeps us from taking letters in.
enum Trouble {
    Store(LettersError),
    Broker(String),
}

fn delays() -> impl Iterator<Item = Duration> + Send {
    schedule(Duration::from_millis(500), Duration::from_secs(15))
}

async fn answered<T>(call: impl Future<Output = Result<T, LettersError>>) -> Result<T, LettersError> {
    let late = |_| Err(LettersError::Unavailable("it does not answer".into()));
    timeout(ANSWER_TIMEOUT, call).await.unwrap_or_else(late)
}

/// Until `stop`, or until the broker ends the consumer, or the store fails: then what is in hand is left in the queue.
async fn take_in_all(parts: &Parts, stop: &CancellationToken) -> Result<(), Trouble> {
    let consume = parts.steps.around(Step::Consume, parts.broker.consume(&Queue::Dead, PREFETCH));
    let mut subscription = consume.await.map_err(|error| Trouble::Broker(error.to_string()))?;
    loop {
        let first = match stop.run_until_cancelled(subscription.next()).await {
            Some(Some(first)) => first,
            // Told by the broker's adapter.
            Some(None) => return Err(Trouble::Broker("the consumer ended".into())),
            None => break,
        };
        let batch = gather(first, &mut subscription);
        if let Err(error) = take_in(parts, batch).await {
            end(parts, subscription).await;
            return Err(Trouble::Store(error));
        }
    }
    end(parts, subscription).await;
    Ok(())
}

/// All that is there, up to the bounds.
fn gather(first: Unsettled, subscription: &mut Subscription) -> Vec<Unsettled> {
    let mut bytes = first.message.body.len();
    let mut batch = vec![first];
    while batch.len() < usize::from(PREFETCH)
        && bytes < BATCH_BYTES
        && let Some(next) = subscription.try_next()
    {
        bytes += next.message.body.len();
        batch.push(next);
    }
    batch
}

async fn take_in(parts: &Parts, batch: Vec<Unsettled>) -> Result<(), LettersError> {
    let now = parts.clock.now();
    let letters: Vec<Letter> =
        batch.iter().map(|unsettled| letter::of(Message::clone(&unsettled.message), &parts.keyring, now)).collect();
    let take_in = answered(parts.letters.take_in(letters, Act::of_the_worker(now)));
    match parts.steps.around(Step::TakeIn, take_in).await {
        Ok(taken) => {
            put_away(batch, &parts.steps).await;
            let count = |wanted: TakenIn| taken.iter().filter(|taken| **taken == wanted).count();
            parts.telemetry.letters_taken_in(count(TakenIn::New), count(TakenIn::Same), count(TakenIn::Reopened));
            Ok(())
        }
        Err(error) => {
            leave(batch, &parts.steps).await;
            Err(error)
        }
    }
}

/// Takes no more, and leaves what had been sent already where it was.
async fn end(parts: &Parts, mut subscription: Subscription) {
    subscription.cancel().await;
    let mut left = Vec::new();
    while let Some(unsettled) = subscription.next().await {
        left.push(unsettled);
    }
    leave(left, &parts.steps).await;
}
