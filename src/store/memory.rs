//! The ledger in memory: for tests, and as the specification that the others conform to.
//!
//! What it holds outlives the handle, so that a test can let one worker die and another take over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

use super::claims::{Claims, Subject};
use super::intents::{self, Back, Intent, Met};
use super::ledger::{
    Ask, Claim, Claiming, Delivered, Forgetting, Forgotten, Held, Intended, Intention, Ledger, LedgerError, Recorded,
    Standing, Terms, Withdrawal,
};
use crate::domain::lead_key::{AddressKey, LeadKey, PersonKey};
use crate::domain::order::{Kept, Order};
use crate::domain::repeat::{self, Record};
use crate::domain::route::DestinationName;

/// One owner's handle. It owns nothing before it takes over.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    store: Arc<Mutex<Store>>,
    /// The epoch in which this handle took over.
    epoch: Mutex<Option<u64>>,
}

#[derive(Debug, Default)]
struct Store {
    epoch: u64,
    claims: Claims,
    records: BTreeMap<Subject, Record>,
    intents: BTreeMap<Subject, Intent>,
    /// By the hour.
    posts: BTreeMap<(DestinationName, i64), u64>,
    withdrawals: HashMap<PersonKey, Timestamp>,
    suppressions: BTreeMap<AddressKey, Timestamp>,
    forgettings: Vec<Forgetting>,
    wait_queues: BTreeSet<DestinationName>,
    /// All that were ever given, the first with number 1.
    orders: Vec<Kept>,
    failing: bool,
    /// Whose records cannot be read.
    spoiled: BTreeSet<PersonKey>,
    calls: Calls,
}

/// How many leads went through the ledger, for tests that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub asked: usize,
    pub renewed: usize,
    pub intended: usize,
    pub retracted: usize,
    pub recorded: usize,
    pub released: usize,
}

impl MemoryLedger {
    pub fn new() -> Self {
        Self::default()
    }

    /// Another handle on the same store: a standby, or the worker's next life.
    pub fn owner(&self) -> Self {
        Self { store: Arc::clone(&self.store), epoch: Mutex::default() }
    }

    /// While failing, every call of every handle is `Unavailable` and does nothing.
    pub fn fail(&self, failing: bool) {
        lock(&self.store).failing = failing;
    }

    /// A record of this person cannot be read from now on: a withdrawal of theirs is `Unusable`, with all that came with it.
    pub fn spoil(&self, person: PersonKey) {
        lock(&self.store).spoiled.insert(person);
    }

    pub fn calls(&self) -> Calls {
        lock(&self.store).calls
    }

    /// Every record there is.
    pub fn records(&self) -> Vec<(LeadKey, DestinationName, Record)> {
        let store = lock(&self.store);
        store.records.iter().map(|((key, at), record)| (*key, at.clone(), record.clone())).collect()
    }

    /// Every intent that stands.
    pub fn intents(&self) -> Vec<(LeadKey, DestinationName, Intent)> {
        let store = lock(&self.store);
        store.intents.iter().map(|((key, at), intent)| (*key, at.clone(), *intent)).collect()
    }

    fn store(&self) -> Result<MutexGuard<'_, Store>, LedgerError> {
        let store = lock(&self.store);
        if store.failing { Err(LedgerError::Unavailable("told to fail".into())) } else { Ok(store) }
    }

    /// The store, and the epoch in which it is ours.
    fn owned(&self) -> Result<(MutexGuard<'_, Store>, u64), LedgerError> {
        let store = self.store()?;
        match *lock(&self.epoch) {
            Some(epoch) if epoch == store.epoch => Ok((store, epoch)),
            _ => Err(LedgerError::Superseded),
        }
    }
}

/// A test that panics while it holds the store leaves it whole: every change is made in one go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn claim(&self, asks: Vec<Ask>) -> Result<Vec<Claiming>, LedgerError> {
        let (mut store, epoch) = self.owned()?;
        store.calls.asked += asks.len();
        let now = Instant::now();
        Ok(asks.into_iter().map(|ask| store.claim(ask, epoch, now)).collect())
    }

    async fn renew(&self, claims: Vec<Claim>) -> Result<Vec<Option<Claim>>, LedgerError> {
        let (mut store, epoch) = self.owned()?;
        store.calls.renewed += claims.len();
        let now = Instant::now();
        let renew = |claim: Claim| (claim.epoch() == epoch).then(|| store.claims.renew(claim, now)).flatten();
        Ok(claims.into_iter().map(renew).collect())
    }

    async fn record(&self, deliveries: Arc<[Delivered]>) -> Result<Vec<Recorded>, LedgerError> {
        let (mut store, epoch) = self.owned()?;
        if deliveries.iter().any(|delivered| delivered.claim.epoch() != epoch) {
            return Err(LedgerError::Superseded);
        }
        store.calls.recorded += deliveries.len();
        Ok(deliveries.iter().map(|delivered| store.record(delivered)).collect())
    }

    async fn intend(&self, intentions: Vec<Intention>, terms: Terms) -> Result<Vec<Intended>, LedgerError> {
        let (mut store, epoch) = self.owned()?;
        if intentions.iter().any(|intention| intention.holder.epoch != epoch) {
            return Err(LedgerError::Superseded);
        }
        store.calls.intended += intentions.len();
        Ok(intentions.iter().map(|intention| store.intend(intention, terms)).collect())
    }

    async fn retract(&self, intentions: Vec<Intention>) -> Result<(), LedgerError> {
        let (mut store, epoch) = self.owned()?;
        if intentions.iter().any(|intention| intention.holder.epoch != epoch) {
            return Err(LedgerError::Superseded);
        }
        store.calls.retracted += intentions.len();
        intentions.iter().for_each(|intention| store.retract(intention));
        Ok(())
    }

    async fn posted(&self, destination: &DestinationName, now: Timestamp) -> Result<u64, LedgerError> {
        Ok(self.store()?.posts_of_a_day(destination, now).map(|(_, count)| count).sum())
    }

    async fn release(&self, claims: Vec<Claim>) {
        if let Ok(mut store) = self.store() {
            store.calls.released += claims.len();
            claims.iter().for_each(|claim| store.claims.end(claim));
        }
    }

    async fn withdraw(&self, withdrawals: Vec<Withdrawal>) -> Result<Vec<Vec<Standing>>, LedgerError> {
        let mut store = self.store()?;
        if withdrawals.iter().any(|withdrawal| store.spoiled.contains(&withdrawal.person)) {
            return Err(LedgerError::Unusable("a record is spoiled".into()));
        }
        Ok(withdrawals.into_iter().map(|withdrawal| store.withdraw(withdrawal)).collect())
    }

    async fn probe(&self) -> Result<(), LedgerError> {
        self.store().map(drop)
    }

    async fn take_over(&self) -> Result<(), LedgerError> {
        let mut store = self.store()?;
        store.epoch += 1;
        store.claims.forget_all();
        *lock(&self.epoch) = Some(store.epoch);
        Ok(())
    }

    async fn remember_wait_queue(&self, destination: &DestinationName) -> Result<(), LedgerError> {
        self.store()?.wait_queues.insert(destination.clone());
        Ok(())
    }

    async fn wait_queues(&self) -> Result<Vec<DestinationName>, LedgerError> {
        Ok(self.store()?.wait_queues.iter().cloned().collect())
    }

    async fn give_order(&self, order: Order) -> Result<u64, LedgerError> {
        let mut store = self.store()?;
        let number = store.orders.len() as u64 + 1;
        store.orders.push(Kept { number, order, done: false });
        Ok(number)
    }

    async fn orders(&self) -> Result<Vec<Kept>, LedgerError> {
        let store = self.store()?;
        let latest: BTreeMap<_, _> = store.orders.iter().map(|kept| (&kept.order.destination, kept)).collect();
        Ok(latest.into_values().cloned().collect())
    }

    async fn end_order(&self, number: u64) -> Result<(), LedgerError> {
        let mut store = self.store()?;
        store.orders.iter_mut().filter(|kept| kept.number == number).for_each(|kept| kept.done = true);
        Ok(())
    }

    async fn suppress(&self, address: AddressKey, at: Timestamp) -> Result<(), LedgerError> {
        self.store()?.suppressions.entry(address).or_insert(at);
        Ok(())
    }

    async fn forget(&self, forgetting: Forgetting) -> Result<Forgotten, LedgerError> {
        let mut store = self.store()?;
        let mut forgotten = Forgotten::default();
        for Held { lead, destination, .. } in &forgetting.leads {
            let subject = &(*lead, destination.clone());
            forgotten.records += u64::from(store.records.remove(subject).is_some());
            forgotten.intents += u64::from(store.intents.remove(subject).is_some());
        }
        store.forgettings.push(forgetting);
        Ok(forgotten)
    }

    async fn look_up(&self, key: LeadKey) -> Result<Vec<(DestinationName, Record)>, LedgerError> {
        let store = self.store()?;
        let of_key = store.records.iter().filter(|((held, _), _)| *held == key);
        Ok(of_key.map(|((_, destination), record)| (destination.clone(), record.clone())).collect())
    }
}

impl Store {
    fn claim(&mut self, ask: Ask, epoch: u64, now: Instant) -> Claiming {
        if repeat::withdrawn(ask.granted_at, self.withdrawals.get(&ask.person).copied()) {
            return Claiming::Withdrawn;
        }
        if ask.granted_at.is_some() && self.suppressions.contains_key(&ask.address) {
            return Claiming::Withdrawn;
        }
        let subject = (ask.key, ask.destination);
        let record = self.records.get(&subject).cloned();
        self.claims.grant(subject, record, epoch, now).map_or(Claiming::InHand, Claiming::Granted)
    }

    fn intend(&mut self, intention: &Intention, Terms { on_unknown, daily_max }: Terms) -> Intended {
        let Intention { key, destination, at, .. } = intention;
        let subject = (*key, destination.clone());
        let intent = match intents::meet(self.intents.get(&subject), intention, on_unknown) {
            Met::Ours => return Intended::Done,
            Met::Barred => return Intended::SentBefore,
            Met::Free(intent) => intent,
        };
        let posted: Vec<(i64, u64)> = self.posts_of_a_day(destination, *at).collect();
        let used = posted.iter().map(|(_, count)| count).sum::<u64>();
        if daily_max.is_some_and(|max| used >= max.into()) {
            let first = posted.first().map_or(intents::hour(*at), |(hour, _)| *hour);
            return Intended::DayIsFull { frees_at: intents::frees_at(first, *at) };
        }
        self.intents.insert(subject, intent);
        *self.posts.entry((destination.clone(), intents::hour(*at))).or_default() += 1;
        Intended::Done
    }

    fn retract(&mut self, intention: &Intention) {
        let subject = (intention.key, intention.destination.clone());
        match intents::take_back(self.intents.get(&subject), intention) {
            Back::Untouched => return,
            Back::Gone => self.intents.remove(&subject),
            Back::Earlier(earlier) => self.intents.insert(subject, earlier),
        };
        if let Some(count) = self.posts.get_mut(&(intention.destination.clone(), intents::hour(intention.at))) {
            *count = count.saturating_sub(1);
        }
    }

    /// Hours with posts in them, oldest first.
    fn posts_of_a_day(&self, destination: &DestinationName, now: Timestamp) -> impl Iterator<Item = (i64, u64)> {
        let from = (destination.clone(), intents::first_hour(now));
        let to = (destination.clone(), i64::MAX);
        self.posts.range(from..=to).map(|((_, hour), count)| (*hour, *count)).filter(|(_, count)| *count > 0)
    }

    fn record(&mut self, Delivered { claim, record }: &Delivered) -> Recorded {
        self.claims.end(claim);
        let subject = (claim.key(), claim.destination().clone());
        if intents::is_ended(self.intents.get(&subject), claim) {
            self.intents.remove(&subject);
        }
        let record = repeat::reconciled(claim.record(), self.records.get(&subject), record.clone());
        let withdrawn_at = self.withdrawals.get(&record.person).copied();
        let unmarked = withdrawn_at.filter(|at| record.is_to_be_marked(*at));
        self.records.insert(subject, record);
        unmarked.map_or(Recorded::Done, Recorded::WithdrawnAt)
    }

    fn withdraw(&mut self, Withdrawal { person, at }: Withdrawal) -> Vec<Standing> {
        let latest = self.withdrawals.entry(person).or_insert(at);
        *latest = at.max(*latest);
        let stands = |record: &&Record| record.person == person && record.is_to_be_marked(at);
        let standing = |((key, destination), record): (&Subject, &Record)| {
            Some(record).filter(stands).map(|record| Standing {
                key: *key,
                destination: destination.clone(),
                offer: record.offer.clone(),
            })
        };
        self.records.iter().filter_map(standing).collect()
    }
}
