//! Dead letters in memory: for tests, and as the specification that the others conform to.
//!
//! What it holds outlives the handle, as the ledger's does.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::dead_letters::{
    Act, Aspect, Changed, DeadLetters, Edit, Edited, Ended, Entry, Filter, Group, Kept, Letter, LettersError, NotOwned,
    Order, Owning, Place, Plan, PlanId, PlanState, Selection, TakenIn,
};
use super::letters::{self, plans};
use crate::domain::lead_key::DeadId;

mod rows;

use rows::Store;

/// A handle; its clones hold the same letters.
#[derive(Clone, Debug, Default)]
pub struct MemoryLetters(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    store: Store,
    failing: bool,
}

impl MemoryLetters {
    pub fn new() -> Self {
        Self::default()
    }

    /// While failing, every call is `Unavailable` and does nothing.
    pub fn fail(&self, failing: bool) {
        self.lock().failing = failing;
    }

    /// Every letter there is.
    pub fn all(&self) -> Vec<Kept> {
        self.lock().store.letters.values().cloned().collect()
    }

    /// A test that panics while it holds the store leaves it whole: every change is made in one go.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on<T>(&self, call: impl FnOnce(&mut Store) -> Result<T, Infallible>) -> Result<T, LettersError> {
        let mut inner = self.lock();
        if inner.failing {
            return Err(LettersError::Unavailable("told to fail".into()));
        }
        let Ok(answer) = call(&mut inner.store);
        Ok(answer)
    }
}

#[async_trait]
impl DeadLetters for MemoryLetters {
    async fn take_in(&self, letters: Vec<Letter>, act: Act) -> Result<Vec<TakenIn>, LettersError> {
        self.on(|store| letters::take_in(store, &letters, &act))
    }

    async fn list(&self, filter: Filter, after: Option<Place>, limit: usize) -> Result<Vec<Entry>, LettersError> {
        self.on(|store| Ok(store.list(&filter, after, limit)))
    }

    async fn count(&self, filter: Filter, by: Vec<Aspect>) -> Result<Vec<Group>, LettersError> {
        self.on(|store| Ok(store.count(&filter, &by)))
    }

    async fn find(&self, beginning: String, limit: usize) -> Result<Vec<DeadId>, LettersError> {
        let begins = |id: &&DeadId| id.to_string().starts_with(&beginning);
        self.on(|store| Ok(store.letters.keys().filter(begins).take(limit).copied().collect()))
    }

    async fn read(&self, ids: Vec<DeadId>) -> Result<Vec<Option<Kept>>, LettersError> {
        self.on(|store| Ok(ids.iter().map(|id| store.letters.get(id).cloned()).collect()))
    }

    async fn change(&self, orders: Vec<Order>, act: Act) -> Result<Vec<Changed>, LettersError> {
        self.on(|store| letters::change(store, &orders, &act))
    }

    async fn reveal(&self, ids: Vec<DeadId>, act: Act) -> Result<(), LettersError> {
        self.on(|store| letters::reveal(store, &ids, &act))
    }

    async fn edit(&self, edit: Edit, terms: String, act: Act) -> Result<Edited, LettersError> {
        self.on(|store| letters::edit(store, &edit, &terms, &act))?.ok_or_else(gone)
    }

    async fn remove(&self, ids: Vec<DeadId>, act: Act) -> Result<u64, LettersError> {
        self.on(|store| letters::remove(store, &ids, &act))
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, LettersError> {
        self.on(|store| letters::purge(store, before, limit))
    }

    async fn freeze(&self, selection: Selection, terms: String, act: Act) -> Result<Plan, LettersError> {
        self.on(|store| plans::freeze(store, &selection, &terms, &act))?.ok_or_else(gone)
    }

    async fn plan(&self, id: PlanId) -> Result<Option<Plan>, LettersError> {
        self.on(|store| letters::Rows::plan(store, id))
    }

    async fn plans(&self, limit: usize) -> Result<Vec<Plan>, LettersError> {
        self.on(|store| Ok(store.plans(limit)))
    }

    async fn own_plan(&self, owning: Owning) -> Result<Result<(), NotOwned>, LettersError> {
        self.on(|store| plans::own(store, &owning))
    }

    async fn disown_plan(&self, owning: Owning) -> Result<(), LettersError> {
        self.on(|store| plans::disown(store, &owning))
    }

    async fn take_next(
        &self,
        owning: Owning,
        limit: usize,
        act: Act,
    ) -> Result<Result<Vec<Kept>, NotOwned>, LettersError> {
        self.on(|store| plans::take_next(store, &owning, limit, &act))
    }

    async fn mark_published(&self, plan: PlanId, ids: Vec<DeadId>, act: Act) -> Result<(), LettersError> {
        self.on(|store| plans::mark_published(store, plan, &ids, &act))
    }

    async fn give_back(&self, owning: Owning, ids: Vec<DeadId>, act: Act) -> Result<(), LettersError> {
        self.on(|store| plans::give_back(store, &owning, &ids, &act))
    }

    async fn record_endings(&self, endings: Vec<Ended>, act: Act) -> Result<(), LettersError> {
        self.on(|store| plans::record_endings(store, &endings, &act))
    }

    async fn change_plan(&self, id: PlanId, to: PlanState, act: Act) -> Result<Option<Plan>, LettersError> {
        self.on(|store| plans::change_plan(store, id, &to, &act))
    }

    async fn probe(&self) -> Result<(), LettersError> {
        self.on(|_| Ok(()))
    }
}

fn gone() -> LettersError {
    LettersError::Unusable("a plan is gone that was just made".into())
}
