//! Properties of every ledger, with a worker in small that delivers, withdraws and marks.

use std::time::Duration;

use jiff::Timestamp;
use leadrelay::domain::event::CustomerField;
use leadrelay::domain::lead::{Lead, Purpose};
use leadrelay::domain::lead_key::{Digest, PersonKey};
use leadrelay::domain::repeat::{self, FieldRecord, OnRepeat, Record, RepeatPolicy, Window, Write};
use leadrelay::store::ledger::{Claim, Claiming, Delivered, Ledger, Recorded, Standing, Withdrawal};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{Store, at, claim, destination, digests, granted, lead, owner, record};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Consent at this second, for an event with this action. Overlapping: what is withdrawn next is withdrawn while
    /// the lead is being sent.
    Grant {
        second: i64,
        action: &'static str,
        overlapping: bool,
    },
    Withdraw {
        second: i64,
    },
    /// One of the marks that are owed is made now.
    Mark,
}

fn step() -> impl Strategy<Value = Step> {
    let action = prop::sample::select(&["INS", "PLT", "DNC"][..]);
    let grant = (0..6i64, action, any::<bool>());
    prop_oneof![
        3 => grant.prop_map(|(second, action, overlapping)| Step::Grant { second, action, overlapping }),
        2 => (0..6i64).prop_map(|second| Step::Withdraw { second }),
        2 => Just(Step::Mark),
    ]
}

fn policy() -> impl Strategy<Value = RepeatPolicy> {
    let on_repeat = prop::sample::select(&[OnRepeat::Merge, OnRepeat::Drop][..]);
    let window = prop_oneof![Just(Window::Forever), Just(Window::For(Duration::from_secs(3)))];
    (on_repeat, window).prop_map(|(on_repeat, window)| RepeatPolicy { on_repeat, window, updates: true })
}

pub async fn any_permutation_of_grants_and_withdrawals_ends_in_the_latest(store: &dyn Store) {
    let (ledger, mut runner) = (owner(store).await, TestRunner::default());
    let steps = (prop::collection::vec(step(), 1..9), policy());
    // As `TestRunner::run`, which cannot await: its shrinking, without its threads.
    for case in 0..200 {
        let mut tree = steps.new_tree(&mut runner).expect("steps");
        let mut attempt = 0;
        let mut failed = None;
        loop {
            let (steps, policy) = tree.current();
            let mut worker = Worker::new(&*ledger, format!("{case}.{attempt}@example.com"), policy);
            worker.run(&steps).await;
            let fails = worker.row.contactable() != latest_is_a_grant(&steps);
            attempt += 1;
            let goes_on = if fails {
                failed = Some(format!("{steps:?} under {policy:?} ends as {:?}", worker.row));
                tree.simplify()
            } else {
                failed.is_some() && tree.complicate()
            };
            if !goes_on {
                break;
            }
        }
        assert!(failed.is_none(), "{}", failed.unwrap_or_default());
    }
}

fn latest_is_a_grant(steps: &[Step]) -> bool {
    let latest = |of: fn(&Step) -> Option<i64>| steps.iter().filter_map(of).max();
    let granted = latest(|step| if let Step::Grant { second, .. } = step { Some(*second) } else { None });
    let withdrawn = latest(|step| if let Step::Withdraw { second } = step { Some(*second) } else { None });
    granted > withdrawn
}

/// The destination's row.
#[derive(Debug, Default)]
struct Row {
    exists: bool,
    marked: bool,
}

impl Row {
    fn contactable(&self) -> bool {
        self.exists && !self.marked
    }

    fn take(&mut self, write: &Write) {
        match write {
            Write::Create => self.exists = true,
            Write::Merge(additions) if additions.lifts_mark => self.marked = false,
            Write::Merge(_) => {}
            Write::Mark { .. } => self.marked = true,
        }
    }
}

struct Worker<'a> {
    ledger: &'a dyn Ledger,
    email: String,
    policy: RepeatPolicy,
    row: Row,
    marks: Vec<Timestamp>,
    now: Timestamp,
}

impl<'a> Worker<'a> {
    fn new(ledger: &'a dyn Ledger, email: String, policy: RepeatPolicy) -> Self {
        Self { ledger, email, policy, row: Row::default(), marks: Vec::new(), now: at(1_000) }
    }

    async fn run(&mut self, steps: &[Step]) {
        let mut steps = steps.iter().copied().peekable();
        while let Some(step) = steps.next() {
            self.now += Duration::from_secs(2);
            match step {
                Step::Grant { second, action, overlapping } => {
                    let mut lead = lead(&self.email, second);
                    lead.event.action = action.into();
                    let claiming = claim(self.ledger, &lead).await;
                    if overlapping && let Some(Step::Withdraw { second }) = steps.peek().copied() {
                        steps.next();
                        self.withdraw(second).await;
                    }
                    if let Claiming::Granted(claim) = claiming {
                        self.deliver(claim, &lead).await;
                    }
                }
                Step::Withdraw { second } => self.withdraw(second).await,
                Step::Mark => self.mark().await,
            }
        }
        while !self.marks.is_empty() {
            self.mark().await;
        }
    }

    async fn deliver(&mut self, claim: Claim, lead: &Lead) {
        let digests = digests(lead);
        let write = repeat::assess(claim.record(), lead, &digests, self.policy, self.now);
        let next = match &write {
            Some(write) => {
                self.row.take(write);
                Some(repeat::recorded(claim.record(), lead, &digests, write, self.now))
            }
            None => claim.record().and_then(|record| repeat::confirmed(record, lead, &digests)),
        };
        let Some(next) = next else { return self.ledger.release(vec![claim]).await };
        match record(self.ledger, claim, next).await.expect("committed") {
            Recorded::Done => {}
            Recorded::WithdrawnAt(at) => self.marks.push(at),
        }
    }

    async fn withdraw(&mut self, second: i64) {
        let withdrawal = Withdrawal { person: lead(&self.email, 0).person, at: at(second) };
        let standing = self.ledger.withdraw(vec![withdrawal]).await.expect("committed").remove(0);
        self.marks.extend(standing.iter().map(|_: &Standing| withdrawal.at));
    }

    /// The mark that has been owed for the longest.
    async fn mark(&mut self) {
        if self.marks.is_empty() {
            return;
        }
        let mut lead = Lead { purpose: Purpose::Mark, ..lead(&self.email, 0) };
        lead.event.consent.at = self.marks.remove(0);
        let claim = granted(self.ledger, &lead).await;
        self.deliver(claim, &lead).await;
    }
}

prop_compose! {
    fn any_record()(
        offer in ".{0,60}",
        actions in prop::collection::btree_map("[A-Za-z]{1,12}", any_time(), 0..4),
        fields in prop::collection::btree_map(prop::sample::select(&CustomerField::ALL[..]),
            (any::<[u8; 8]>(), any_time()).prop_map(|(digest, at)| FieldRecord { digest: Digest(digest), at }), 0..=7),
        (delivered_at, last_event_at, granted_at) in (any_time(), any_time(), any_time()),
        marked_for in prop::option::of(any_time()),
        person in any::<[u8; 16]>(),
    ) -> Record {
        let person = PersonKey::from_bytes(person);
        Record { offer, person, actions, fields, delivered_at, last_event_at, granted_at, marked_for }
    }
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    let seconds = Timestamp::MIN.as_second() + 1..Timestamp::MAX.as_second();
    (seconds, 0..1_000_000_000).prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).expect("a time"))
}

pub async fn every_record_comes_back_as_it_was(store: &dyn Store) {
    let (ledger, mut runner) = (owner(store).await, TestRunner::default());
    let records = prop::collection::vec(any_record(), 200).new_tree(&mut runner).expect("records");
    let records = records.current();
    let leads: Vec<Lead> = (0..records.len()).map(|n| lead(&format!("{n}@example.com"), 0)).collect();
    let mut deliveries = Vec::new();
    for (lead, record) in leads.iter().zip(&records) {
        deliveries.push(Delivered { claim: granted(&*ledger, lead).await, record: record.clone() });
    }
    ledger.record(deliveries.into()).await.expect("committed");
    for (lead, record) in leads.iter().zip(records) {
        let found = ledger.look_up(lead.key).await.expect("an answer");
        assert_eq!(found, [(destination("contoso"), record)]);
    }
}
