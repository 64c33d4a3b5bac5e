//! Intents, on every ledger: what stands, for whom, and until when.

use std::time::Duration;

use jiff::Timestamp;
use leadrelay::domain::lead::Lead;
use leadrelay::domain::reply::OnUnknown;
use leadrelay::store::ledger::{Claim, Delivered, Intended, Intention, LEASE, Ledger, Terms};
use tokio::time::advance;

use super::{EMAIL, Store, at, destination, first_record, granted, lead, owner, record, superseded};

const ONCE: Terms = Terms { on_unknown: OnUnknown::DeadLetter, daily_max: None };
const AGAIN: Terms = Terms { on_unknown: OnUnknown::Resend, daily_max: None };

async fn intend(ledger: &dyn Ledger, intention: Intention, terms: Terms) -> Intended {
    let mut intended = ledger.intend(vec![intention], terms).await.expect("an answer");
    assert_eq!(intended.len(), 1);
    intended.remove(0)
}

/// As a lane does at first, and as it is left when the worker dies.
async fn abandoned(ledger: &dyn Ledger, lead: &Lead, generation: u32) -> Claim {
    let claim = granted(ledger, lead).await;
    assert_eq!(intend(ledger, claim.intention(generation, at(0)), ONCE).await, Intended::Done);
    claim
}

async fn of_next_owner(store: &dyn Store, lead: &Lead, generation: u32, terms: Terms) -> Intended {
    let ledger = owner(store).await;
    let claim = granted(&*ledger, lead).await;
    intend(&*ledger, claim.intention(generation, at(1)), terms).await
}

pub async fn an_intent_outlives_its_owner_and_bars_all_but_a_replay(store: &dyn Store) {
    let lead = lead(EMAIL, 0);
    let _claim = abandoned(&*owner(store).await, &lead, 1).await;
    assert_eq!(of_next_owner(store, &lead, 0, ONCE).await, Intended::SentBefore);
    assert_eq!(of_next_owner(store, &lead, 1, ONCE).await, Intended::SentBefore);
    assert_eq!(of_next_owner(store, &lead, 2, ONCE).await, Intended::Done);
    // The replay died too: now it bars its own generation.
    assert_eq!(of_next_owner(store, &lead, 2, ONCE).await, Intended::SentBefore);
    assert_eq!(of_next_owner(store, &lead, 0, AGAIN).await, Intended::Done);
}

pub async fn an_intent_bars_the_next_claim_of_the_same_owner_too(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    let claim = abandoned(&*ledger, &lead, 0).await;
    ledger.release(vec![claim]).await;
    let claim = granted(&*ledger, &lead).await;
    assert_eq!(intend(&*ledger, claim.intention(0, at(1)), ONCE).await, Intended::SentBefore);
}

pub async fn the_same_intention_twice_is_done_once(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    let claim = granted(&*ledger, &lead).await;
    for _ in 0..3 {
        assert_eq!(intend(&*ledger, claim.intention(0, at(1)), ONCE).await, Intended::Done);
    }
    assert_eq!(ledger.posted(&lead.destination, at(1)).await.expect("an answer"), 1);
    let renewed = ledger.renew(vec![claim]).await.expect("an answer").remove(0).expect("still ours");
    assert_eq!(intend(&*ledger, renewed.intention(0, at(2)), ONCE).await, Intended::Done);
}

pub async fn what_is_taken_back_bars_nobody_and_counts_for_nothing(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    let claim = abandoned(&*ledger, &lead, 0).await;
    for _ in 0..2 {
        ledger.retract(vec![claim.intention(0, at(0))]).await.expect("committed");
    }
    assert_eq!(ledger.posted(&lead.destination, at(1)).await.expect("an answer"), 0);
    assert_eq!(of_next_owner(store, &lead, 0, ONCE).await, Intended::Done);
}

pub async fn a_claim_that_was_lost_takes_back_its_own_intent_only(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    let lost = abandoned(&*ledger, &lead, 0).await;
    advance(LEASE).await;
    let claim = granted(&*ledger, &lead).await;
    assert_eq!(intend(&*ledger, claim.intention(0, at(1)), AGAIN).await, Intended::Done);
    ledger.retract(vec![lost.intention(0, at(0))]).await.expect("committed");
    ledger.release(vec![claim]).await;
    assert_eq!(of_next_owner(store, &lead, 0, ONCE).await, Intended::SentBefore);
}

pub async fn a_replay_that_is_taken_back_leaves_the_doubt_it_found(store: &dyn Store) {
    let lead = lead(EMAIL, 0);
    let _claim = abandoned(&*owner(store).await, &lead, 0).await;
    let ledger = owner(store).await;
    let claim = abandoned(&*ledger, &lead, 1).await;
    ledger.retract(vec![claim.intention(1, at(0))]).await.expect("committed");
    assert_eq!(of_next_owner(store, &lead, 0, ONCE).await, Intended::SentBefore);
    assert_eq!(of_next_owner(store, &lead, 1, ONCE).await, Intended::Done);
}

pub async fn a_delivery_ends_its_own_intent_and_no_other(store: &dyn Store) {
    let (ledger, sent, other) = (owner(store).await, lead(EMAIL, 0), lead("other@example.com", 0));
    let claim = abandoned(&*ledger, &sent, 0).await;
    record(&*ledger, claim, first_record(&sent)).await.expect("committed");
    let claim = granted(&*ledger, &sent).await;
    assert_eq!(intend(&*ledger, claim.intention(0, at(1)), ONCE).await, Intended::Done, "past its window, say");
    // A duplicate that is recorded without being sent says nothing of a send that was never answered.
    let claim = abandoned(&*ledger, &other, 0).await;
    ledger.release(vec![claim]).await;
    let confirmed = granted(&*ledger, &other).await;
    record(&*ledger, confirmed, first_record(&other)).await.expect("committed");
    assert_eq!(of_next_owner(store, &other, 0, ONCE).await, Intended::SentBefore);
}

pub async fn an_earlier_owner_neither_intends_nor_retracts(store: &dyn Store) {
    let (frozen, one, other) = (owner(store).await, lead(EMAIL, 0), lead("other@example.com", 0));
    let sent = abandoned(&*frozen, &one, 0).await;
    let claim = granted(&*frozen, &other).await;
    let next = owner(store).await;
    superseded(frozen.intend(vec![claim.intention(0, at(1))], AGAIN).await);
    superseded(frozen.retract(vec![sent.intention(0, at(0))]).await);
    // Nor does the next one for it.
    superseded(next.intend(vec![claim.intention(0, at(1))], AGAIN).await);
    superseded(next.retract(vec![sent.intention(0, at(0))]).await);
    drop(next);
    assert_eq!(of_next_owner(store, &one, 0, ONCE).await, Intended::SentBefore);
    assert_eq!(of_next_owner(store, &other, 0, ONCE).await, Intended::Done);
}

pub async fn a_batch_is_intended_lead_by_lead_or_not_at_all(store: &dyn Store) {
    let (ledger, one, other) = (owner(store).await, lead(EMAIL, 0), lead("other@example.com", 0));
    let doubtful = abandoned(&*ledger, &one, 0).await;
    ledger.release(vec![doubtful]).await;
    let claims = [granted(&*ledger, &one).await, granted(&*ledger, &other).await];
    let intentions = claims.iter().map(|claim| claim.intention(0, at(1))).collect();
    let intended = ledger.intend(intentions, ONCE).await.expect("an answer");
    assert_eq!(intended, [Intended::SentBefore, Intended::Done]);
    let void = granted(&*ledger, &lead("third@example.com", 0)).await;
    ledger.take_over().await.expect("taken over");
    let ours = granted(&*ledger, &lead("fourth@example.com", 0)).await;
    superseded(ledger.intend(vec![ours.intention(0, at(1)), void.intention(0, at(1))], ONCE).await);
    assert_eq!(ledger.posted(&one.destination, at(1)).await.expect("an answer"), 2);
}

pub async fn a_day_takes_as_many_as_it_may_and_frees_them_by_the_hour(store: &dyn Store) {
    let ledger = owner(store).await;
    let terms = Terms { daily_max: Some(3), ..ONCE };
    let start: Timestamp = "2026-11-22T10:30:00Z".parse().expect("a time");
    let hours = |hours: u64| start + Duration::from_secs(hours * 3_600);
    let post = async |n: u32, now| {
        let claim = granted(&*ledger, &lead(&format!("{n}@example.com"), 0)).await;
        intend(&*ledger, claim.intention(0, now), terms).await
    };
    for n in 0..3 {
        assert_eq!(post(n, hours(n.into())).await, Intended::Done);
    }
    let frees_at = "2026-11-23T11:00:00Z".parse().expect("a time");
    for now in [hours(2), hours(23)] {
        assert_eq!(post(10 + now.as_second() as u32, now).await, Intended::DayIsFull { frees_at });
    }
    assert_eq!(ledger.posted(&destination("contoso"), hours(24)).await.expect("an answer"), 3);
    assert_eq!(ledger.posted(&destination("contoso"), hours(25)).await.expect("an answer"), 2);
    assert_eq!(ledger.posted(&destination("fabrikam"), hours(2)).await.expect("an answer"), 0);
    assert_eq!(post(20, hours(25)).await, Intended::Done, "one has its place again");
    assert!(matches!(post(21, hours(25)).await, Intended::DayIsFull { .. }));
    // The count outlives the owner.
    assert_eq!(owner(store).await.posted(&destination("contoso"), hours(25)).await.expect("an answer"), 3);
}

pub async fn a_delivered_post_goes_on_counting(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    let claim = abandoned(&*ledger, &lead, 0).await;
    ledger.record([Delivered { claim, record: first_record(&lead) }].into()).await.expect("committed");
    assert_eq!(ledger.posted(&lead.destination, at(1)).await.expect("an answer"), 1);
}
