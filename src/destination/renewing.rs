//! A destination whose secrets are in files: when it refuses our credentials, the files are read again, and if they hold
//! others by now, what was refused is sent once more, before anybody hears of it.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::task::JoinError;
use tokio::time::{Instant, timeout_at};

use super::{Destination, Group, Inspect, Limits, Outcome, Page, Parcel};
use crate::domain::found::Selection;
use crate::domain::lead::Lead;
use crate::domain::reply::Reply;

/// Makes the destination anew, if its secrets have changed. May block: it reads files.
pub type Renew = Arc<dyn Fn() -> Option<Arc<dyn Destination>> + Send + Sync>;

pub struct Renewing {
    current: RwLock<Arc<dyn Destination>>,
    renew: Renew,
    /// Held while the files are read: of many sends that were refused at once, one reads.
    reading: tokio::sync::Mutex<()>,
}

impl Renewing {
    /// Of a destination to which sending again is harmless.
    pub fn new(first: Arc<dyn Destination>, renew: Renew) -> Self {
        Self { current: RwLock::new(first), renew, reading: tokio::sync::Mutex::new(()) }
    }

    fn current(&self) -> Arc<dyn Destination> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One with other secrets than `refused` has, if there is one by now.
    async fn other_than(&self, refused: &Arc<dyn Destination>) -> Option<Arc<dyn Destination>> {
        let _one_reads = self.reading.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, refused) {
            return Some(current);
        }
        let renew = Arc::clone(&self.renew);
        let renewed = tokio::task::spawn_blocking(move || renew()).await;
        let renewed = match renewed.map_err(JoinError::try_into_panic) {
            Ok(renewed) => renewed?,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime has ended.
            Err(Err(_)) => return None,
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&renewed);
        Some(renewed)
    }

    /// Sends those parcels again that were refused for their credentials.
    async fn again(&self, other: &dyn Destination, parcels: &[Parcel<'_>], refused: Outcome) -> Outcome {
        let mut replies = match refused {
            Outcome::Whole(_) => return other.send(parcels).await,
            Outcome::Each(replies) => replies,
        };
        let due = replies.iter().enumerate().filter(|(_, reply)| is_refused(reply)).map(|(index, _)| index);
        let due: Vec<usize> = due.collect();
        let again: Vec<Parcel<'_>> = due.iter().filter_map(|&index| parcels.get(index).copied()).collect();
        let answers = match other.send(&again).await {
            Outcome::Whole(reply) => vec![reply; due.len()],
            Outcome::Each(answers) => answers,
        };
        for (index, answer) in due.into_iter().zip(answers) {
            replies[index] = answer;
        }
        Outcome::Each(replies)
    }
}

fn is_refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Credentials(_))
}

#[async_trait]
impl Destination for Renewing {
    fn limits(&self) -> Limits {
        self.current().limits()
    }

    fn group(&self, lead: &Lead) -> Group {
        self.current().group(lead)
    }

    async fn send(&self, parcels: &[Parcel<'_>]) -> Outcome {
        let current = self.current();
        let deadline = Instant::now() + current.limits().send_timeout;
        let outcome = current.send(parcels).await;
        let refused = match &outcome {
            Outcome::Whole(reply) => is_refused(reply),
            Outcome::Each(replies) => replies.iter().any(is_refused),
        };
        if !refused {
            return outcome;
        }
        match self.other_than(&current).await {
            // Both sends share the time of one: the claims cover no more.
            Some(other) => {
                let again = timeout_at(deadline, self.again(&*other, parcels, outcome.clone())).await;
                again.unwrap_or(outcome)
            }
            None => outcome,
        }
    }

    fn inspect(&self) -> Result<&dyn Inspect, &'static str> {
        self.current().inspect().map(|_| self as &dyn Inspect)
    }
}

#[async_trait]
impl Inspect for Renewing {
    async fn holds(&self, lead: &Lead) -> Result<bool, Reply> {
        match self.current().inspect() {
            Ok(inspect) => inspect.holds(lead).await,
            Err(_) => Ok(false),
        }
    }

    async fn remove(&self, lead: &Lead) -> Result<(), Reply> {
        match self.current().inspect() {
            Ok(inspect) => inspect.remove(lead).await,
            Err(_) => Ok(()),
        }
    }

    async fn page(&self, wanted: &Selection, at_most: usize, next: Option<&str>) -> Result<Page, Reply> {
        let current = self.current();
        let page = page_of(&*current, wanted, at_most, next).await;
        if !page.as_ref().is_err_and(is_refused) {
            return page;
        }
        match self.other_than(&current).await {
            Some(other) => page_of(&*other, wanted, at_most, next).await,
            None => page,
        }
    }
}

async fn page_of(
    destination: &dyn Destination,
    wanted: &Selection,
    at_most: usize,
    next: Option<&str>,
) -> Result<Page, Reply> {
    match destination.inspect() {
        Ok(inspect) => inspect.page(wanted, at_most, next).await,
        Err(_) => Ok(Page { leads: Vec::new(), next: None }),
    }
}
