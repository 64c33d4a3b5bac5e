//! Of plans: frozen, owned, worked through, and told how each letter ended.

use leadrelay::domain::dead_letter::{Cause, Ending, State, StateName};
use leadrelay::domain::lead_key::DeadId;
use leadrelay::store::dead_letters::*;

use super::Store;
use super::letters::*;

/// So many dead letters, and a plan of them all that `one` owns for a minute from noon on.
async fn planned(handle: &dyn DeadLetters, count: u32) -> (Vec<DeadId>, Plan) {
    let letters: Vec<_> = (0..count).map(letter).collect();
    take_in(handle, &letters).await;
    let plan = handle.freeze(Selection::Filter(dead()), "terms".into(), act(0)).await.unwrap();
    handle.own_plan(one(&plan)).await.unwrap().unwrap();
    (letters.iter().map(|letter| letter.id).collect(), plan)
}

fn one(plan: &Plan) -> Owning {
    owning(plan, "one", (0, 60))
}

async fn next(handle: &dyn DeadLetters, owning: Owning, limit: usize) -> Vec<DeadId> {
    let act = Act { at: owning.now, ..act(0) };
    let taken = handle.take_next(owning, limit, act).await.unwrap().expect("owned");
    taken.iter().map(|kept| kept.entry.id).collect()
}

async fn members(handle: &dyn DeadLetters, plan: &Plan) -> Members {
    handle.plan(plan.id).await.unwrap().expect("the plan is there").members
}

async fn end(handle: &dyn DeadLetters, id: DeadId, generation: u32, ending: Ending) {
    handle.record_endings(vec![Ended { id, generation, ending }], act(30)).await.unwrap();
}

pub async fn a_plan_is_what_stood_dead_when_it_was_frozen_in_the_order_of_death(store: &dyn Store) {
    let handle = store.handle();
    let letters: Vec<_> = [3, 1, 4, 2, 5].map(letter).into();
    take_in(&*handle, &letters).await;
    take_in(&*handle, &[letter_with(6, |facts| facts.cause = Cause::Expired)]).await;
    order(&*handle, letters[4].id, 1, Wish::Discard).await;
    let filter = Filter { cause: Some(Cause::Rejected), ..Filter::default() };
    let plan = handle.freeze(Selection::Filter(filter), "rate 5".into(), act(7)).await.unwrap();
    take_in(&*handle, &[letter(0)]).await;
    assert_eq!((plan.state.clone(), &plan.terms[..], &plan.owner), (PlanState::Running, "rate 5", &None));
    assert_eq!((&plan.made, &plan.changed), (&act(7), &act(7)));
    assert_eq!(plan.members, Members { waiting: 4, ..Members::default() });
    assert_eq!(handle.plan(plan.id).await.unwrap(), Some(plan.clone()));
    handle.own_plan(one(&plan)).await.unwrap().unwrap();
    let expected = [1, 2, 3, 4].map(|n| letter(n).id);
    assert_eq!(next(&*handle, one(&plan), 10).await, expected, "neither the later nor the discarded one");
    let discarded = Filter { state: Some(StateName::Discarded), ..Filter::default() };
    let none = handle.freeze(Selection::Filter(discarded), String::new(), act(8)).await.unwrap();
    assert_eq!(none.members, Members::default());
    assert_eq!(handle.plans(10).await.unwrap().iter().map(|plan| plan.id).collect::<Vec<_>>(), [none.id, plan.id]);
    assert_eq!(handle.plan(PlanId(99)).await.unwrap(), None);
}

pub async fn a_plan_of_named_letters_has_those_that_are_dead(store: &dyn Store) {
    let (handle, letters) = (store.handle(), [letter(2), letter(1), letter(3)]);
    take_in(&*handle, &letters).await;
    order(&*handle, letters[2].id, 1, Wish::Discard).await;
    let ids = [letters[0].id, letters[1].id, letters[0].id, letters[2].id, letter(9).id];
    let plan = handle.freeze(Selection::Ids(ids.to_vec()), String::new(), act(0)).await.unwrap();
    handle.own_plan(one(&plan)).await.unwrap().unwrap();
    assert_eq!(next(&*handle, one(&plan), 10).await, [letters[1].id, letters[0].id]);
}

pub async fn a_plan_is_one_owners_until_the_lease_is_over(store: &dyn Store) {
    let (handle, other) = (store.handle(), store.handle());
    let (_, plan) = planned(&*handle, 1).await;
    let ask = async |owner: &str, now, until| other.own_plan(owning(&plan, owner, (now, until))).await.unwrap();
    assert_eq!(ask("two", 59, 119).await, Err(NotOwned::Owned("one".into(), at(60))));
    assert_eq!(ask("one", 30, 90).await, Ok(()), "renewed");
    assert_eq!(ask("two", 60, 120).await, Err(NotOwned::Owned("one".into(), at(90))));
    assert_eq!(ask("two", 90, 150).await, Ok(()), "taken over");
    assert_eq!(ask("one", 91, 151).await, Err(NotOwned::Owned("two".into(), at(150))));
    handle.disown_plan(owning(&plan, "one", (92, 0))).await.unwrap();
    assert_eq!(ask("one", 93, 153).await, Err(NotOwned::Owned("two".into(), at(150))), "only one's own");
    handle.disown_plan(owning(&plan, "two", (94, 0))).await.unwrap();
    assert_eq!(ask("one", 95, 155).await, Ok(()));
    assert_eq!(handle.plan(plan.id).await.unwrap().unwrap().owner, Some(("one".into(), at(155))));
    let absent = Owning { plan: PlanId(99), ..one(&plan) };
    assert_eq!(handle.own_plan(absent.clone()).await.unwrap(), Err(NotOwned::Absent));
    assert_eq!(handle.take_next(absent, 1, act(0)).await.unwrap(), Err(NotOwned::Absent));
}

pub async fn letters_are_taken_in_turn_with_a_higher_generation_and_only_by_the_owner(store: &dyn Store) {
    let handle = store.handle();
    let (ids, plan) = planned(&*handle, 5).await;
    assert_eq!(next(&*handle, one(&plan), 2).await, ids[..2]);
    assert_eq!(next(&*handle, one(&plan), 2).await, ids[2..4], "what is in hand is not handed out again");
    let taken = entry(&*handle, ids[0]).await;
    assert_eq!((taken.state, taken.generation, taken.facts.generation), (State::Replaying { until: at(60) }, 1, 0));
    assert_eq!(members(&*handle, &plan).await, Members { waiting: 1, taken: 4, ..Members::default() });
    let take = async |owning: Owning| handle.take_next(owning, 9, act(0)).await.unwrap().unwrap_err();
    assert_eq!(take(owning(&plan, "two", (1, 61))).await, NotOwned::Owned("one".into(), at(60)));
    assert_eq!(take(owning(&plan, "one", (60, 120))).await, NotOwned::Lapsed);
    assert_eq!(next(&*handle, one(&plan), 9).await, ids[4..]);
    assert_eq!(next(&*handle, one(&plan), 9).await, [], "there is no more");
}

pub async fn what_is_taken_is_nobody_elses_to_discard_or_take(store: &dyn Store) {
    let (handle, other) = (store.handle(), store.handle());
    let (ids, plan) = planned(&*handle, 1).await;
    next(&*handle, one(&plan), 1).await;
    let version = entry(&*other, ids[0]).await.version;
    for wish in [Wish::Discard, Wish::Undo] {
        assert!(matches!(order(&*other, ids[0], version, wish).await, Changed::Not(_)), "{wish:?}");
    }
    let second = other.freeze(Selection::Ids(ids), String::new(), act(1)).await.unwrap();
    assert_eq!(second.members, Members::default());
}

pub async fn what_is_published_is_replayed_once_however_often_that_is_said(store: &dyn Store) {
    let handle = store.handle();
    let (ids, plan) = planned(&*handle, 2).await;
    next(&*handle, one(&plan), 2).await;
    for second in [1, 2] {
        handle.mark_published(plan.id, vec![ids[0], letter(9).id], act(second)).await.unwrap();
    }
    let published = entry(&*handle, ids[0]).await;
    assert_eq!((published.state, published.generation, published.changed_at), (State::Replayed, 1, at(1)));
    assert_eq!(deeds(&*handle, ids[0]).await, ["taken", "published"]);
    assert_eq!(members(&*handle, &plan).await, Members { taken: 1, published: 1, ..Members::default() });
    assert_eq!(entry(&*handle, ids[1]).await.state.name(), StateName::Replaying);
}

pub async fn what_an_owner_left_behind_is_taken_first_by_the_next_with_the_same_generation(store: &dyn Store) {
    let (handle, other) = (store.handle(), store.handle());
    let (ids, plan) = planned(&*handle, 4).await;
    next(&*handle, one(&plan), 3).await;
    handle.mark_published(plan.id, vec![ids[1]], act(1)).await.unwrap();
    let two = owning(&plan, "two", (60, 120));
    other.own_plan(two.clone()).await.unwrap().unwrap();
    assert_eq!(next(&*other, two.clone(), 2).await, [ids[0], ids[2]]);
    let again = entry(&*other, ids[0]).await;
    assert_eq!((again.state, again.generation), (State::Replaying { until: at(120) }, 1));
    assert_eq!(next(&*other, two, 9).await, [ids[3]]);
    // The first owner was only slow: what it published is published.
    handle.mark_published(plan.id, vec![ids[0]], act(70)).await.unwrap();
    assert_eq!(entry(&*other, ids[0]).await.state, State::Replayed);
}

pub async fn what_is_given_back_is_as_before_and_waits_again(store: &dyn Store) {
    let handle = store.handle();
    let (ids, plan) = planned(&*handle, 2).await;
    next(&*handle, one(&plan), 2).await;
    handle.give_back(one(&plan), ids.clone(), act(1)).await.unwrap();
    let back = entry(&*handle, ids[0]).await;
    assert_eq!((back.state, back.generation), (State::Dead, 0));
    assert_eq!(members(&*handle, &plan).await, Members { waiting: 2, ..Members::default() });
    assert_eq!(next(&*handle, one(&plan), 9).await, ids);
    assert_eq!(entry(&*handle, ids[0]).await.generation, 1);
}

pub async fn without_the_lease_nothing_is_given_back(store: &dyn Store) {
    let handle = store.handle();
    let (ids, plan) = planned(&*handle, 1).await;
    next(&*handle, one(&plan), 1).await;
    for stranger in [owning(&plan, "two", (1, 61)), owning(&plan, "one", (60, 120))] {
        handle.give_back(stranger, ids.clone(), act(1)).await.unwrap();
        assert_eq!(entry(&*handle, ids[0]).await.state.name(), StateName::Replaying);
    }
    // Of a plan that was cancelled meanwhile its owner still gives back what it holds.
    handle.change_plan(plan.id, PlanState::Cancelled, act(2)).await.unwrap().unwrap();
    handle.give_back(one(&plan), ids.clone(), act(3)).await.unwrap();
    assert_eq!(entry(&*handle, ids[0]).await.state, State::Dead);
}

pub async fn an_ending_is_counted_once_and_for_its_own_generation_only(store: &dyn Store) {
    let handle = store.handle();
    let (ids, plan) = planned(&*handle, 6).await;
    next(&*handle, one(&plan), 6).await;
    handle.mark_published(plan.id, ids.clone(), act(1)).await.unwrap();
    end(&*handle, ids[0], 0, Ending::Delivered).await;
    end(&*handle, ids[0], 2, Ending::Delivered).await;
    end(&*handle, letter(9).id, 1, Ending::Delivered).await;
    assert_eq!(members(&*handle, &plan).await, Members { published: 6, ..Members::default() });
    for (id, ending) in ids.iter().zip(Ending::ALL) {
        end(&*handle, *id, 1, ending).await;
        // The worker crashed before its acknowledgement: the message ended once more.
        end(&*handle, *id, 1, ending).await;
    }
    let expected =
        Members { published: 1, delivered: 1, duplicate: 1, suppressed: 1, unmarked: 1, dead: 1, ..Members::default() };
    assert_eq!(members(&*handle, &plan).await, expected);
    assert_eq!(entry(&*handle, ids[1]).await.ending, Some(Ending::Duplicate));
    end(&*handle, ids[0], 1, Ending::Duplicate).await;
    assert_eq!(entry(&*handle, ids[0]).await.ending, Some(Ending::Delivered), "the first delivery made the lead");
    assert_eq!(deeds(&*handle, ids[0]).await, ["taken", "published", "delivered"]);
}

pub async fn an_ending_says_that_what_was_taken_was_published(store: &dyn Store) {
    let handle = store.handle();
    let (ids, plan) = planned(&*handle, 1).await;
    next(&*handle, one(&plan), 1).await;
    end(&*handle, ids[0], 1, Ending::Delivered).await;
    assert_eq!(entry(&*handle, ids[0]).await.state, State::Replayed);
    assert_eq!(members(&*handle, &plan).await, Members { delivered: 1, ..Members::default() });
    handle.mark_published(plan.id, ids.clone(), act(31)).await.unwrap();
    assert_eq!(members(&*handle, &plan).await, Members { delivered: 1, ..Members::default() });
    let two = owning(&plan, "two", (60, 120));
    handle.own_plan(two.clone()).await.unwrap().unwrap();
    assert_eq!(next(&*handle, two, 9).await, [], "it is not published again");
}

pub async fn a_message_that_died_and_lived_on_has_ended_as_it_ended_last(store: &dyn Store) {
    let handle = store.handle();
    let (ids, plan) = planned(&*handle, 1).await;
    next(&*handle, one(&plan), 1).await;
    handle.mark_published(plan.id, ids.clone(), act(1)).await.unwrap();
    end(&*handle, ids[0], 1, Ending::Dead).await;
    let died = entry(&*handle, ids[0]).await.version;
    end(&*handle, ids[0], 1, Ending::Dead).await;
    assert_eq!(entry(&*handle, ids[0]).await.version, died, "told twice, after a crash, it died once");
    end(&*handle, ids[0], 1, Ending::Delivered).await;
    assert_eq!(entry(&*handle, ids[0]).await.ending, Some(Ending::Delivered));
    assert_eq!(members(&*handle, &plan).await, Members { delivered: 1, ..Members::default() });
}

pub async fn a_letter_that_is_dead_no_more_is_passed_over(store: &dyn Store) {
    let handle = store.handle();
    let (ids, plan) = planned(&*handle, 4).await;
    order(&*handle, ids[0], 1, Wish::Discard).await;
    handle.remove(vec![ids[1]], act(1)).await.unwrap();
    assert_eq!(next(&*handle, one(&plan), 1).await, [ids[2]], "they take nobody's place");
    assert_eq!(members(&*handle, &plan).await, Members { waiting: 1, taken: 1, passed_over: 2, ..Members::default() });
}

pub async fn a_plan_that_is_halted_hands_nothing_out_and_one_that_has_ended_stays_so(store: &dyn Store) {
    let handle = store.handle();
    let (ids, plan) = planned(&*handle, 2).await;
    let turn = async |to: PlanState| handle.change_plan(plan.id, to, act(5)).await.unwrap();
    let paused = PlanState::Paused("the lane has opened".into());
    assert_eq!(turn(paused.clone()).await.unwrap().changed, act(5));
    let halted = Err(NotOwned::Halted(paused));
    assert_eq!(handle.take_next(one(&plan), 1, act(0)).await.unwrap(), halted.clone().map(|()| vec![]));
    assert_eq!(handle.own_plan(owning(&plan, "two", (60, 120))).await.unwrap(), halted);
    assert_eq!(turn(PlanState::Running).await.unwrap().state, PlanState::Running);
    assert_eq!(next(&*handle, one(&plan), 1).await, ids[..1]);
    for end in [PlanState::Cancelled, PlanState::Done] {
        let plan = handle.freeze(Selection::Filter(dead()), String::new(), act(0)).await.unwrap();
        handle.change_plan(plan.id, end.clone(), act(5)).await.unwrap().unwrap();
        assert_eq!(handle.change_plan(plan.id, PlanState::Running, act(6)).await.unwrap(), None);
        assert_eq!(handle.own_plan(one(&plan)).await.unwrap(), Err(NotOwned::Halted(end)));
    }
    assert_eq!(handle.change_plan(PlanId(99), PlanState::Done, act(0)).await.unwrap(), None);
    handle.purge(at(6), 10).await.unwrap();
    assert_eq!(handle.plans(10).await.unwrap().len(), 1, "what has ended is purged in its time");
}

pub async fn a_letter_in_two_plans_is_replayed_by_one(store: &dyn Store) {
    let (handle, other) = (store.handle(), store.handle());
    let (ids, plan) = planned(&*handle, 2).await;
    let second = other.freeze(Selection::Filter(dead()), String::new(), act(0)).await.unwrap();
    other.own_plan(owning(&second, "two", (0, 60))).await.unwrap().unwrap();
    assert_eq!(next(&*handle, one(&plan), 1).await, ids[..1]);
    assert_eq!(next(&*other, owning(&second, "two", (0, 60)), 9).await, ids[1..]);
    assert_eq!(next(&*handle, one(&plan), 9).await, []);
    end(&*handle, ids[0], 1, Ending::Delivered).await;
    assert_eq!(members(&*handle, &plan).await, Members { passed_over: 1, delivered: 1, ..Members::default() });
    assert_eq!(members(&*handle, &second).await, Members { passed_over: 1, taken: 1, ..Members::default() });
}

pub async fn an_abandoned_replay_is_dead_again_by_undo_once_its_lease_is_over(store: &dyn Store) {
    let handle = store.handle();
    let (ids, plan) = planned(&*handle, 1).await;
    next(&*handle, one(&plan), 1).await;
    let undo = Order { id: ids[0], version: entry(&*handle, ids[0]).await.version, wish: Wish::Undo };
    let early = handle.change(vec![undo], act(59)).await.unwrap();
    assert!(matches!(early[..], [Changed::Not(_)]), "{early:?}");
    let undone = handle.change(vec![undo], act(60)).await.unwrap();
    let [Changed::Done(entry)] = &undone[..] else { panic!("{undone:?}") };
    assert_eq!((entry.state, entry.generation), (State::Dead, 1), "perhaps its replay is on its way");
    let two = owning(&plan, "two", (61, 121));
    handle.own_plan(two.clone()).await.unwrap().unwrap();
    assert_eq!(next(&*handle, two, 9).await, [], "an operator took it out of the plan");
    assert_eq!(members(&*handle, &plan).await, Members { passed_over: 1, ..Members::default() });
}
