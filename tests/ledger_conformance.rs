//! What every ledger does: one suite, on memory and on SQLite.

use std::sync::Arc;
use std::time::Duration;

use leadrelay::domain::lead::{Lead, Purpose};
use leadrelay::domain::repeat::{Write, recorded};
use leadrelay::domain::route::Offer;
use leadrelay::store::ledger::{
    Claim, Claiming, Delivered, Forgetting, Forgotten, Held, Intended, LEASE, Ledger, LedgerError, Recorded, Standing,
    Terms, VERIFIED_FOR,
};
use leadrelay::store::memory::MemoryLedger;
use leadrelay::store::sqlite::SqliteLedger;
use leadrelay::telemetry::Telemetry;
use tokio::time::{Instant, advance};

mod intents;
mod leads;
mod orders;
mod permutations;

use leads::*;

/// A ledger that several owners may open, one after the other or at once.
trait Store: Send + Sync {
    fn handle(&self) -> Box<dyn Ledger>;
}

struct Memory(MemoryLedger);

impl Store for Memory {
    fn handle(&self) -> Box<dyn Ledger> {
        Box::new(self.0.owner())
    }
}

struct Sqlite(tempfile::TempDir);

impl Store for Sqlite {
    fn handle(&self) -> Box<dyn Ledger> {
        let path = self.0.path().join("ledger.db");
        Box::new(SqliteLedger::open(&path, &keyring(), Arc::new(Telemetry::new())).expect("the ledger opens"))
    }
}

fn memory() -> Memory {
    Memory(MemoryLedger::new())
}

fn sqlite() -> Sqlite {
    Sqlite(tempfile::tempdir().expect("a folder"))
}

/// A handle that has taken over.
async fn owner(store: &dyn Store) -> Box<dyn Ledger> {
    let ledger = store.handle();
    ledger.take_over().await.expect("the ledger is taken over");
    ledger
}

macro_rules! on_every_ledger {
    ($($name:ident),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(&super::memory()).await;
            })*
        }

        mod on_sqlite {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(&super::sqlite()).await;
            })*
        }
    };
}

on_every_ledger! {
    to_a_suppressed_address_nobody_delivers_whatever_the_offer_or_the_consent,
    what_is_forgotten_is_gone_with_its_intents_and_nobody_elses_is,
    a_lead_is_claimed_by_one_at_a_time,
    of_two_asks_for_one_key_in_a_batch_the_second_is_in_hand,
    one_lead_is_claimed_for_each_destination_by_itself,
    a_lease_that_lapses_lets_the_next_have_the_lead,
    a_claim_that_lapsed_is_lost_even_if_nobody_took_it,
    renewing_makes_a_lease_last,
    releasing_a_lost_claim_leaves_the_other_claim_alone,
    the_next_claim_sees_what_was_recorded,
    a_delivery_whose_claim_was_lost_is_recorded_beside_the_other,
    a_lead_is_kept_once_in_whatever_order_a_lapsed_claim_and_the_next_are_recorded,
    a_handle_that_never_took_over_owns_nothing,
    taking_over_forgets_the_claims,
    an_earlier_owner_neither_claims_nor_renews_nor_records,
    a_claim_of_an_earlier_owner_is_void_with_the_next_one_too,
    a_claim_from_before_the_same_handle_took_over_again_is_void,
    an_earlier_owner_still_commits_a_withdrawal,
    a_withdrawal_forbids_the_grants_that_are_not_later,
    a_withdrawal_forbids_no_mark,
    a_withdrawal_speaks_of_one_person_at_one_publisher,
    an_older_withdrawal_does_not_replace_a_later_one,
    a_lead_withdrawn_while_it_was_sent_is_told_when_it_is_recorded,
    a_withdrawal_answers_the_leads_that_stand,
    the_same_withdrawal_twice_changes_nothing,
    a_marked_lead_stands_no_more_until_a_grant_lifts_the_mark,
    wait_queues_are_remembered_for_ever,
    a_lead_is_looked_up_at_every_destination,
    a_batch_with_one_void_claim_is_not_recorded_at_all,
    empty_batches_are_answered_empty,
    a_probe_succeeds_and_leaves_nothing,
    any_permutation_of_grants_and_withdrawals_ends_in_the_latest,
    every_record_comes_back_as_it_was,
    an_intent_outlives_its_owner_and_bars_all_but_a_replay,
    an_intent_bars_the_next_claim_of_the_same_owner_too,
    the_same_intention_twice_is_done_once,
    what_is_taken_back_bars_nobody_and_counts_for_nothing,
    a_claim_that_was_lost_takes_back_its_own_intent_only,
    a_replay_that_is_taken_back_leaves_the_doubt_it_found,
    a_delivery_ends_its_own_intent_and_no_other,
    an_earlier_owner_neither_intends_nor_retracts,
    a_batch_is_intended_lead_by_lead_or_not_at_all,
    a_day_takes_as_many_as_it_may_and_frees_them_by_the_hour,
    a_delivered_post_goes_on_counting,
    the_latest_order_of_each_destination_is_told_as_it_was_given,
    orders_are_given_beside_an_owner_and_outlive_every_owner,
    an_order_that_has_ended_stays_ended_and_the_next_is_another,
}

use intents::*;
use orders::*;

use permutations::{any_permutation_of_grants_and_withdrawals_ends_in_the_latest, every_record_comes_back_as_it_was};

fn is_in_hand(claiming: &Claiming) -> bool {
    matches!(claiming, Claiming::InHand)
}

fn is_withdrawn(claiming: &Claiming) -> bool {
    matches!(claiming, Claiming::Withdrawn)
}

fn superseded<T: std::fmt::Debug>(result: Result<T, LedgerError>) {
    assert!(matches!(result, Err(LedgerError::Superseded)), "{result:?}");
}

async fn a_lead_is_claimed_by_one_at_a_time(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    let claim = granted(&*ledger, &lead).await;
    assert_eq!((claim.key(), claim.destination(), claim.record()), (lead.key, &lead.destination, None));
    assert!(is_in_hand(&leads::claim(&*ledger, &lead).await));
    ledger.release(vec![claim]).await;
    let again = granted(&*ledger, &lead).await;
    assert!(is_in_hand(&leads::claim(&*ledger, &lead).await));
    ledger.release(vec![again]).await;
}

async fn of_two_asks_for_one_key_in_a_batch_the_second_is_in_hand(store: &dyn Store) {
    let (ledger, one, other) = (owner(store).await, lead(EMAIL, 0), lead("other@example.com", 0));
    let claiming = ledger.claim(vec![ask(&one), ask(&other), ask(&one)]).await.expect("an answer");
    assert!(matches!(claiming[..], [Claiming::Granted(_), Claiming::Granted(_), Claiming::InHand]), "{claiming:?}");
}

async fn one_lead_is_claimed_for_each_destination_by_itself(store: &dyn Store) {
    let (ledger, here) = (owner(store).await, lead(EMAIL, 0));
    let there = Lead { destination: destination("fabrikam"), ..here.clone() };
    let claims = [granted(&*ledger, &here).await, granted(&*ledger, &there).await];
    ledger.release(claims.into()).await;
}

async fn a_lease_that_lapses_lets_the_next_have_the_lead(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    let lost = granted(&*ledger, &lead).await;
    assert!(lost.covers(Duration::from_secs(14), Instant::now()));
    advance(VERIFIED_FOR).await;
    assert!(!lost.covers(Duration::from_secs(14), Instant::now()), "not verified for too long");
    advance(LEASE - VERIFIED_FOR - Duration::from_millis(1)).await;
    assert!(is_in_hand(&claim(&*ledger, &lead).await));
    advance(Duration::from_millis(1)).await;
    let taken = granted(&*ledger, &lead).await;
    assert!(ledger.renew(vec![lost]).await.expect("an answer")[0].is_none());
    assert!(ledger.renew(vec![taken]).await.expect("an answer")[0].is_some());
}

async fn a_claim_that_lapsed_is_lost_even_if_nobody_took_it(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    let lost = granted(&*ledger, &lead).await;
    advance(LEASE).await;
    assert!(ledger.renew(vec![lost]).await.expect("an answer")[0].is_none());
}

async fn renewing_makes_a_lease_last(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    let mut claim = granted(&*ledger, &lead).await;
    for _ in 0..5 {
        advance(LEASE / 2).await;
        claim = ledger.renew(vec![claim]).await.expect("an answer").remove(0).expect("still ours");
        assert!(claim.covers(VERIFIED_FOR, Instant::now()));
        assert!(is_in_hand(&leads::claim(&*ledger, &lead).await));
    }
    ledger.release(vec![claim]).await;
}

async fn releasing_a_lost_claim_leaves_the_other_claim_alone(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    let lost = granted(&*ledger, &lead).await;
    advance(LEASE).await;
    let taken = granted(&*ledger, &lead).await;
    ledger.release(vec![lost]).await;
    assert!(is_in_hand(&claim(&*ledger, &lead).await));
    ledger.release(vec![taken]).await;
}

async fn the_next_claim_sees_what_was_recorded(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    assert_eq!(deliver(&*ledger, &lead).await, Recorded::Done);
    let claim = granted(&*ledger, &lead).await;
    assert_eq!(claim.record(), Some(&first_record(&lead)));
    let next = owner(store).await;
    let claim = granted(&*next, &lead).await;
    assert_eq!(claim.record(), Some(&first_record(&lead)));
}

async fn a_delivery_whose_claim_was_lost_is_recorded_beside_the_other(store: &dyn Store) {
    let ledger = owner(store).await;
    let install = lead(EMAIL, 0);
    let mut plot = lead(EMAIL, 5);
    plot.event.action = "PLT".into();
    let lost = granted(&*ledger, &install).await;
    advance(LEASE).await;
    assert_eq!(deliver(&*ledger, &plot).await, Recorded::Done);
    record(&*ledger, lost, first_record(&install)).await.expect("recorded all the same");
    let both = granted(&*ledger, &install).await;
    let both = both.record().expect("delivered");
    assert_eq!(both.actions.keys().collect::<Vec<_>>(), ["INS", "PLT"]);
    assert_eq!((both.granted_at, both.last_event_at), (at(5), at(5)));
}

async fn a_lead_is_kept_once_in_whatever_order_a_lapsed_claim_and_the_next_are_recorded(store: &dyn Store) {
    let ledger = owner(store).await;
    for (order, together) in
        [(["INS", "PLT"], false), (["PLT", "INS"], false), (["INS", "PLT"], true), (["PLT", "INS"], true)]
    {
        let lead = lead(&format!("{order:?}{together}@example.com"), 0);
        let lost = granted(&*ledger, &lead).await;
        advance(LEASE).await;
        let taken = granted(&*ledger, &lead).await;
        let delivered = |(claim, action): (Claim, &str)| {
            let mut acted = lead.clone();
            acted.event.action = action.into();
            Delivered { claim, record: first_record(&acted) }
        };
        let mut both: Vec<_> = [(lost, "INS"), (taken, "PLT")].map(delivered).into();
        if order[0] == "PLT" {
            both.reverse();
        }
        if together {
            ledger.record(both.into()).await.expect("recorded");
        } else {
            for one in both {
                ledger.record([one].into()).await.expect("recorded");
            }
        }
        let found = ledger.look_up(lead.key).await.expect("an answer");
        let [(_, record)] = &found[..] else { panic!("kept {} times, {order:?}, {together}", found.len()) };
        assert_eq!(record.actions.keys().collect::<Vec<_>>(), ["INS", "PLT"]);
    }
}

async fn a_handle_that_never_took_over_owns_nothing(store: &dyn Store) {
    let (standby, lead) = (store.handle(), lead(EMAIL, 0));
    superseded(standby.claim(vec![ask(&lead)]).await);
    let owner = owner(store).await;
    superseded(standby.claim(vec![ask(&lead)]).await);
    granted(&*owner, &lead).await.covers(LEASE, Instant::now());
}

async fn taking_over_forgets_the_claims(store: &dyn Store) {
    let (first, lead) = (owner(store).await, lead(EMAIL, 0));
    let _abandoned = granted(&*first, &lead).await;
    let second = owner(store).await;
    let claim = granted(&*second, &lead).await;
    second.release(vec![claim]).await;
}

async fn an_earlier_owner_neither_claims_nor_renews_nor_records(store: &dyn Store) {
    let (frozen, one, other) = (owner(store).await, lead(EMAIL, 0), lead("other@example.com", 0));
    let [claim, sent] = [granted(&*frozen, &one).await, granted(&*frozen, &other).await];
    let next = owner(store).await;
    superseded(frozen.claim(vec![ask(&one)]).await);
    superseded(frozen.renew(vec![claim]).await);
    superseded(record(&*frozen, sent, first_record(&other)).await);
    assert_eq!(next.look_up(other.key).await.expect("an answer"), []);
    let claim = granted(&*next, &one).await;
    assert_eq!(claim.record(), None);
}

async fn a_claim_of_an_earlier_owner_is_void_with_the_next_one_too(store: &dyn Store) {
    let (first, lead) = (owner(store).await, lead(EMAIL, 0));
    let [renewed, recorded] = [lead.clone(), Lead { destination: destination("fabrikam"), ..lead }];
    let claims = [granted(&*first, &renewed).await, granted(&*first, &recorded).await];
    let next = owner(store).await;
    // The same leads are claimed in the same order: nothing but the epoch tells the claims apart.
    let ours = [granted(&*next, &renewed).await, granted(&*next, &recorded).await];
    let [claim, sent] = claims;
    assert!(next.renew(vec![claim]).await.expect("an answer")[0].is_none());
    superseded(record(&*next, sent, first_record(&recorded)).await);
    next.release(ours.into()).await;
}

async fn a_claim_from_before_the_same_handle_took_over_again_is_void(store: &dyn Store) {
    let (ledger, one, other) = (owner(store).await, lead(EMAIL, 0), lead("other@example.com", 0));
    let [claim, sent] = [granted(&*ledger, &one).await, granted(&*ledger, &other).await];
    ledger.take_over().await.expect("taken over");
    assert!(ledger.renew(vec![claim]).await.expect("an answer")[0].is_none());
    superseded(record(&*ledger, sent, first_record(&other)).await);
    let claim = granted(&*ledger, &one).await;
    ledger.release(vec![claim]).await;
}

async fn an_earlier_owner_still_commits_a_withdrawal(store: &dyn Store) {
    let (frozen, lead) = (owner(store).await, lead(EMAIL, 0));
    let next = owner(store).await;
    frozen.withdraw(vec![withdrawal(lead.person, 5)]).await.expect("it is true whoever says so");
    assert!(is_withdrawn(&claim(&*next, &lead).await));
}

async fn a_withdrawal_forbids_the_grants_that_are_not_later(store: &dyn Store) {
    let ledger = owner(store).await;
    let withdrawn = withdrawal(lead(EMAIL, 0).person, 5);
    assert_eq!(ledger.withdraw(vec![withdrawn]).await.expect("committed"), [vec![]]);
    let next = owner(store).await;
    assert!(is_withdrawn(&claim(&*next, &lead(EMAIL, 4)).await));
    assert!(is_withdrawn(&claim(&*next, &lead(EMAIL, 5)).await));
    let mut barely = lead(EMAIL, 5);
    barely.event.consent.at += Duration::from_nanos(1);
    assert_eq!(deliver(&*next, &barely).await, Recorded::Done);
    assert_eq!(deliver(&*next, &lead(EMAIL, 6)).await, Recorded::Done);
}

async fn a_withdrawal_forbids_no_mark(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 0));
    ledger.withdraw(vec![withdrawal(lead.person, 5)]).await.expect("committed");
    let mark = Lead { purpose: Purpose::Mark, ..lead };
    let claim = granted(&*ledger, &mark).await;
    ledger.release(vec![claim]).await;
}

async fn a_withdrawal_speaks_of_one_person_at_one_publisher(store: &dyn Store) {
    let (ledger, withdrawn, other) = (owner(store).await, lead(EMAIL, 0), lead("other@example.com", 0));
    ledger.withdraw(vec![withdrawal(withdrawn.person, 5)]).await.expect("committed");
    assert_eq!(deliver(&*ledger, &other).await, Recorded::Done);
    assert_eq!(ledger.withdraw(vec![withdrawal(withdrawn.person, 6)]).await.expect("committed"), [vec![]]);
}

async fn an_older_withdrawal_does_not_replace_a_later_one(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 7));
    for second in [5, 8, 3] {
        ledger.withdraw(vec![withdrawal(lead.person, second)]).await.expect("committed");
    }
    assert!(is_withdrawn(&claim(&*ledger, &lead).await));
}

async fn a_lead_withdrawn_while_it_was_sent_is_told_when_it_is_recorded(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 5));
    let claim = granted(&*ledger, &lead).await;
    ledger.withdraw(vec![withdrawal(lead.person, 5)]).await.expect("committed");
    let recorded = record(&*ledger, claim, first_record(&lead)).await.expect("committed");
    assert_eq!(recorded, Recorded::WithdrawnAt(at(5)));
}

async fn a_withdrawal_answers_the_leads_that_stand(store: &dyn Store) {
    let (ledger, here) = (owner(store).await, lead(EMAIL, 5));
    let there = Lead { destination: destination("fabrikam"), ..here.clone() };
    for lead in [&here, &there, &lead("other@example.com", 0)] {
        assert_eq!(deliver(&*ledger, lead).await, Recorded::Done);
    }
    let withdrawals = vec![withdrawal(here.person, 4), withdrawal(here.person, 5)];
    let mut standing = ledger.withdraw(withdrawals).await.expect("committed");
    standing[1].sort_by(|one, other| one.destination.cmp(&other.destination));
    let stands = |lead: &Lead| Standing {
        key: lead.key,
        destination: lead.destination.clone(),
        offer: lead.event.offer.written().into(),
    };
    assert_eq!(standing, [vec![], vec![stands(&here), stands(&there)]]);
}

async fn the_same_withdrawal_twice_changes_nothing(store: &dyn Store) {
    let (ledger, lead) = (owner(store).await, lead(EMAIL, 5));
    deliver(&*ledger, &lead).await;
    let before = ledger.look_up(lead.key).await.expect("an answer");
    let once = ledger.withdraw(vec![withdrawal(lead.person, 6)]).await.expect("committed");
    let twice = ledger.withdraw(vec![withdrawal(lead.person, 6)]).await.expect("committed");
    assert_eq!((once[0].len(), &once), (1, &twice));
    assert_eq!(ledger.look_up(lead.key).await.expect("an answer"), before);
}

async fn a_marked_lead_stands_no_more_until_a_grant_lifts_the_mark(store: &dyn Store) {
    let (ledger, first) = (owner(store).await, lead(EMAIL, 5));
    deliver(&*ledger, &first).await;
    ledger.withdraw(vec![withdrawal(first.person, 6)]).await.expect("committed");
    let mark = Lead { purpose: Purpose::Mark, ..first.clone() };
    for (lead, write, outcome) in [
        (&mark, Write::Mark { withdrawn_at: at(6) }, Recorded::Done),
        (&lead(EMAIL, 8), Write::Merge(Default::default()), Recorded::Done),
    ] {
        let claim = granted(&*ledger, lead).await;
        let next = recorded(claim.record(), lead, &digests(lead), &write, at(100));
        assert_eq!(record(&*ledger, claim, next).await.expect("committed"), outcome);
        let standing = ledger.withdraw(vec![withdrawal(lead.person, 7)]).await.expect("committed");
        assert_eq!(standing, [vec![]]);
    }
    let standing = ledger.withdraw(vec![withdrawal(first.person, 8)]).await.expect("committed");
    assert_eq!(standing[0].len(), 1);
}

async fn wait_queues_are_remembered_for_ever(store: &dyn Store) {
    let (first, one, other) = (owner(store).await, destination("contoso"), destination("fabrikam"));
    assert_eq!(first.wait_queues().await.expect("an answer"), []);
    for destination in [&other, &one, &other] {
        first.remember_wait_queue(destination).await.expect("committed");
    }
    assert_eq!(owner(store).await.wait_queues().await.expect("an answer"), [one, other]);
}

async fn a_lead_is_looked_up_at_every_destination(store: &dyn Store) {
    let (ledger, here) = (owner(store).await, lead(EMAIL, 5));
    let there = Lead { destination: destination("fabrikam"), ..here.clone() };
    assert_eq!(ledger.look_up(here.key).await.expect("an answer"), []);
    for lead in [&there, &here, &lead("other@example.com", 5)] {
        deliver(&*ledger, lead).await;
    }
    let expected = [(here.destination.clone(), first_record(&here)), (there.destination.clone(), first_record(&there))];
    assert_eq!(ledger.look_up(here.key).await.expect("an answer"), expected);
}

async fn a_batch_with_one_void_claim_is_not_recorded_at_all(store: &dyn Store) {
    let (ledger, one, other) = (owner(store).await, lead(EMAIL, 0), lead("other@example.com", 0));
    let void = granted(&*ledger, &one).await;
    ledger.take_over().await.expect("taken over");
    let ours = granted(&*ledger, &other).await;
    let delivered = |claim, lead| Delivered { claim, record: first_record(lead) };
    superseded(ledger.record([delivered(ours, &other), delivered(void, &one)].into()).await);
    for lead in [&one, &other] {
        assert_eq!(ledger.look_up(lead.key).await.expect("an answer"), []);
    }
    assert!(is_in_hand(&claim(&*ledger, &other).await), "nothing of the call was done");
}

async fn empty_batches_are_answered_empty(store: &dyn Store) {
    let ledger = owner(store).await;
    assert!(ledger.claim(vec![]).await.expect("an answer").is_empty());
    assert!(ledger.renew(vec![]).await.expect("an answer").is_empty());
    assert!(ledger.record([].into()).await.expect("an answer").is_empty());
    assert!(ledger.withdraw(vec![]).await.expect("an answer").is_empty());
    assert!(ledger.intend(vec![], Default::default()).await.expect("an answer").is_empty());
    ledger.retract(vec![]).await.expect("an answer");
    ledger.release(vec![]).await;
}

async fn a_probe_succeeds_and_leaves_nothing(store: &dyn Store) {
    let ledger = owner(store).await;
    for _ in 0..3 {
        ledger.probe().await.expect("durable");
    }
}

async fn to_a_suppressed_address_nobody_delivers_whatever_the_offer_or_the_consent(store: &dyn Store) {
    let ledger = owner(store).await;
    let (theirs, other) = (lead(EMAIL, 0), lead("other@example.com", 0));
    ledger.suppress(keyring().address_key(&EMAIL.to_uppercase()), at(1)).await.expect("committed");
    ledger.suppress(theirs.address, at(2)).await.expect("twice is harmless");
    drop(ledger);
    let ledger = owner(store).await;
    let mut of_another_publisher = lead(EMAIL, 1_000_000).event;
    of_another_publisher.offer = Offer::parse("nobody.ever").expect("an offer");
    let of_another_publisher = Lead::new(&keyring(), of_another_publisher, destination("contoso"), Purpose::Deliver);
    for lead in [theirs.clone(), of_another_publisher] {
        assert!(matches!(claim(&*ledger, &lead).await, Claiming::Withdrawn));
    }
    assert!(matches!(claim(&*ledger, &other).await, Claiming::Granted(_)));
    let mark = Lead { purpose: Purpose::Mark, ..theirs };
    assert!(matches!(claim(&*ledger, &mark).await, Claiming::Granted(_)), "a mark is no delivery");
}

async fn what_is_forgotten_is_gone_with_its_intents_and_nobody_elses_is(store: &dyn Store) {
    let ledger = owner(store).await;
    let (theirs, intended, other) = (lead(EMAIL, 0), lead("second@example.com", 0), lead("other@example.com", 0));
    for lead in [&theirs, &other] {
        let claim = granted(&*ledger, lead).await;
        record(&*ledger, claim, first_record(lead)).await.expect("recorded");
    }
    let unanswered = granted(&*ledger, &intended).await;
    ledger.intend(vec![unanswered.intention(0, at(0))], Terms::default()).await.expect("committed");
    ledger.release(vec![unanswered]).await;
    let leads = [&theirs, &intended].map(|lead| Held {
        person: lead.person,
        lead: lead.key,
        destination: lead.destination.clone(),
    });
    let (by, why) = ("olga@desk".into(), "ticket 4711".into());
    let forgetting = Forgetting { leads: leads.into(), at: at(5), by, why, letters: 3, at_destinations: 1 };
    let forgotten = ledger.forget(forgetting.clone()).await.expect("committed");
    assert_eq!(forgotten, Forgotten { records: 1, intents: 1 });
    assert_eq!(ledger.look_up(theirs.key).await.expect("an answer"), []);
    assert_eq!(ledger.look_up(other.key).await.expect("an answer").len(), 1);
    assert_eq!(ledger.forget(forgetting).await.expect("twice is harmless"), Forgotten::default());
    // The intent is gone: it may be sent as if nothing had ever been.
    let claim = granted(&*ledger, &intended).await;
    let again = ledger.intend(vec![claim.intention(0, at(9))], Terms::default()).await.expect("an answer");
    assert_eq!(again, [Intended::Done]);
    ledger.release(vec![claim]).await;
}
