//! A destination in memory: what a table would hold, faults that a test sets while it runs, and a record of every
//! call. It watches the contract of the seam from the far side and remembers each breach.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::held::{Absorbed, Held};
use super::{Destination, Group, Limits, Outcome, Parcel};
use crate::domain::allowance::Daily;
use crate::domain::lead::Lead;
use crate::domain::lead_key::LeadKey;
use crate::domain::repeat::Write;
use crate::domain::reply::{Accepted, Code, OnUnknown, Quick, Reply};

#[derive(Debug)]
pub struct MemoryDestination {
    limits: Limits,
    state: Mutex<State>,
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct State {
    latency: Duration,
    holdings: BTreeMap<LeadKey, Holding>,
    calls: Vec<Call>,
    /// Every key of every call that has not ended.
    in_flight: Vec<LeadKey>,
    running: usize,
    running_max: usize,
    breaches: Vec<String>,
}

struct Script(Box<dyn FnMut(&Call) -> Fault + Send>);

/// One lead, as it is held.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    pub lead: Held,
    /// How often it was created: more than once only where the destination cannot tell a repeat.
    pub created: u32,
    /// How often it was written, its creation included: what a table's `Timestamp` would tell.
    pub touched: u32,
}

/// One call of [`Destination::send`].
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// By tokio's clock: exact while it is paused.
    pub at: Instant,
    pub group: Group,
    pub keys: Vec<LeadKey>,
    pub writes: Vec<Write>,
}

/// What goes wrong in a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    Nothing,
    /// Every lead gets this reply, and nothing is written.
    Each(Reply),
    /// This lead gets this reply, and its neighbours are written.
    One(LeadKey, Reply),
    /// The batch gets this reply, and nothing is written.
    Whole(Reply),
    /// All is written, and the answer is lost.
    AnswerLost(Reply),
    /// Nothing is written, and no answer comes within `send_timeout`.
    TimesOut,
    /// Breaks the seam's promise: never returns.
    HangsForEver,
    /// Breaks the seam's promise: panics.
    Panics,
}

impl MemoryDestination {
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), script: Mutex::new(Script(Box::new(|_| Fault::Nothing))) }
    }

    /// Like an Azure Table: 100 × 4, idempotent, updates, 15 s.
    pub fn like_a_table() -> Self {
        let send_timeout = Duration::from_secs(15);
        Self::new(Limits {
            batch_max: 100,
            in_flight_max: 4,
            idempotent: true,
            updates: true,
            on_unknown: OnUnknown::default(),
            daily: None,
            send_timeout,
        })
    }

    /// Like Salesforce Web-to-Lead: 1 × 8, neither idempotent nor updating, 15 s.
    pub fn like_web_to_lead(on_unknown: OnUnknown, daily: Option<Daily>) -> Self {
        let send_timeout = Duration::from_secs(15);
        Self::new(Limits {
            batch_max: 1,
            in_flight_max: 8,
            idempotent: false,
            updates: false,
            on_unknown,
            daily,
            send_timeout,
        })
    }

    /// How long each call takes from now on, by tokio's clock.
    pub fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// Every call from now on asks the script what goes wrong.
    pub fn set_script(&self, script: impl FnMut(&Call) -> Fault + Send + 'static) {
        *self.script() = Script(Box::new(script));
    }

    pub fn set_fault(&self, fault: Fault) {
        self.set_script(move |_| fault.clone());
    }

    /// Any batch that contains this lead fails as a whole, and may succeed later; the others work.
    pub fn poison(&self, key: LeadKey) {
        let reply = Reply::Transient { code: Code::known("poisoned"), quick: Quick::Pointless };
        self.set_script(
            move |call| {
                if call.keys.contains(&key) { Fault::Whole(reply.clone()) } else { Fault::Nothing }
            },
        );
    }

    pub fn heal(&self) {
        self.set_fault(Fault::Nothing);
    }

    pub fn held(&self, key: LeadKey) -> Option<Holding> {
        self.state().holdings.get(&key).cloned()
    }

    pub fn holdings(&self) -> BTreeMap<LeadKey, Holding> {
        self.state().holdings.clone()
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The most calls that were seen at once.
    pub fn running_max(&self) -> usize {
        self.state().running_max
    }

    /// What the caller did that the seam forbids: a key twice in a batch or in flight, a batch too large, mixed or
    /// empty, too many at once, a claim that is another lead's or could end before the send does.
    pub fn breaches(&self) -> Vec<String> {
        self.state().breaches.clone()
    }

    /// # Panics
    /// If a lead was created twice, or the caller broke a rule of the seam.
    #[track_caller]
    pub fn assert_no_lead_was_created_twice(&self) {
        let state = self.state();
        let twice: Vec<_> = state.holdings.iter().filter(|(_, held)| held.created > 1).map(|(key, _)| key).collect();
        assert!(twice.is_empty(), "created more than once: {twice:?}");
        assert!(state.breaches.is_empty(), "the seam's rules were broken: {:?}", state.breaches);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock but an assertion, which has changed nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the call, and asks what goes wrong with it.
    fn arrive(&self, parcels: &[Parcel<'_>]) -> (Running<'_>, Duration, Fault) {
        let call = Call {
            at: Instant::now(),
            group: parcels.first().map_or(Group(String::new()), |parcel| self.group(parcel.lead)),
            keys: parcels.iter().map(|parcel| parcel.lead.key).collect(),
            writes: parcels.iter().map(|parcel| parcel.write.clone()).collect(),
        };
        let mut state = self.state();
        self.inspect(&mut state, parcels, &call);
        state.running += 1;
        state.running_max = state.running_max.max(state.running);
        state.in_flight.extend(&call.keys);
        state.calls.push(call.clone());
        let latency = state.latency;
        drop(state);
        let running = Running { destination: self, keys: call.keys.clone() };
        let fault = (self.script().0)(&call);
        (running, latency, fault)
    }

    fn inspect(&self, state: &mut State, parcels: &[Parcel<'_>], call: &Call) {
        let size = parcels.len();
        if size == 0 || size > self.limits.batch_max {
            state.breaches.push(format!("a batch of {size}"));
        }
        if state.running >= self.limits.in_flight_max {
            state.breaches.push(format!("{} calls at once", state.running + 1));
        }
        for (index, parcel) in parcels.iter().enumerate() {
            let key = parcel.lead.key;
            if self.group(parcel.lead) != call.group {
                state.breaches.push(format!("{key} is of another group than its batch"));
            }
            if call.keys[..index].contains(&key) || state.in_flight.contains(&key) {
                state.breaches.push(format!("{key} was in flight twice"));
            }
            if parcel.claim.key() != key || *parcel.claim.destination() != parcel.lead.destination {
                state.breaches.push(format!("{key} was sent on another's claim"));
            }
            if !parcel.claim.covers(self.limits.send_timeout, call.at) {
                state.breaches.push(format!("{key} was sent on a claim that could end before the send"));
            }
        }
    }

    fn apply(&self, parcels: &[Parcel<'_>], spared: Option<(LeadKey, Reply)>) -> Outcome {
        let mut state = self.state();
        let reply = |parcel: &Parcel<'_>| match &spared {
            Some((key, reply)) if *key == parcel.lead.key => reply.clone(),
            _ => Reply::Accepted(self.write(&mut state.holdings, parcel.lead, parcel.write)),
        };
        Outcome::Each(parcels.iter().map(reply).collect())
    }

    fn write(&self, holdings: &mut BTreeMap<LeadKey, Holding>, lead: &Lead, write: &Write) -> Accepted {
        let Some(holding) = holdings.get_mut(&lead.key) else {
            if matches!(write, Write::Mark { .. }) {
                return Accepted::Already;
            }
            holdings.insert(lead.key, Holding { lead: Held::new(lead), created: 1, touched: 1 });
            return Accepted::Created;
        };
        if !self.limits.idempotent && *write == Write::Create {
            holding.created += 1;
            holding.touched += 1;
            return Accepted::Created;
        }
        match holding.lead.absorb(lead, write) {
            Absorbed::Nothing => Accepted::Already,
            Absorbed::Something => {
                holding.touched += 1;
                Accepted::Updated
            }
        }
    }

    fn no_answer(&self) -> Reply {
        let code = Code::known("timeout");
        match self.limits.idempotent {
            true => Reply::Transient { code, quick: Quick::Pointless },
            false => Reply::Unknown(code),
        }
    }
}

#[async_trait]
impl Destination for MemoryDestination {
    fn limits(&self) -> Limits {
        self.limits
    }

    /// By offer, as a table's partitions.
    fn group(&self, lead: &Lead) -> Group {
        Group(lead.event.offer.normalised().to_owned())
    }

    async fn send(&self, parcels: &[Parcel<'_>]) -> Outcome {
        let (_running, latency, fault) = self.arrive(parcels);
        tokio::time::sleep(latency).await;
        match fault {
            Fault::Nothing => self.apply(parcels, None),
            Fault::Each(reply) => Outcome::Each(vec![reply; parcels.len()]),
            Fault::One(key, reply) => self.apply(parcels, Some((key, reply))),
            Fault::Whole(reply) => Outcome::Whole(reply),
            Fault::AnswerLost(reply) => {
                self.apply(parcels, None);
                Outcome::Whole(reply)
            }
            Fault::TimesOut => {
                tokio::time::sleep(self.limits.send_timeout.saturating_sub(latency)).await;
                Outcome::Whole(self.no_answer())
            }
            Fault::HangsForEver => std::future::pending().await,
            Fault::Panics => panic!("a destination that panics, by order"),
        }
    }
}

/// A call that has not ended: also one that is dropped ends.
struct Running<'a> {
    destination: &'a MemoryDestination,
    keys: Vec<LeadKey>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.destination.state();
        state.running -= 1;
        for key in &self.keys {
            if let Some(index) = state.in_flight.iter().position(|other| other == key) {
                state.in_flight.swap_remove(index);
            }
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}
