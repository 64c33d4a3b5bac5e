//! Of letters: kept, listed, changed by operators, removed.

use std::collections::BTreeSet;

use leadrelay::domain::dead_letter::{Cause, State, StateName};
use leadrelay::domain::envelope::{Message, Properties};
use leadrelay::store::dead_letters::*;

use super::Store;
use super::letters::*;

pub async fn a_letter_comes_back_as_it_went_in_whoever_opens_the_store(store: &dyn Store) {
    let letter = letter(1);
    assert_eq!(take_in(&*store.handle(), std::slice::from_ref(&letter)).await, [TakenIn::New]);
    let Kept { entry, attempts, message, original, history } = kept(&*store.handle(), letter.id).await.unwrap();
    assert_eq!((&entry.facts, &attempts, &message), (&letter.facts, &letter.attempts, &letter.message));
    assert_eq!(attempts[0].code.as_ref().and_then(|code| code.http_status()), Some(400));
    assert_eq!((entry.state, entry.generation, entry.version), (State::Dead, 0, 1));
    assert_eq!((entry.changed_at, entry.ending), (at(0), None));
    assert_eq!((original, history), (None, vec![]));
}

pub async fn a_letter_of_which_nothing_is_known_comes_back_too(store: &dyn Store) {
    let (handle, id) = (store.handle(), keyring().dead_id(b"\xff\x00", None, 7));
    let facts = Facts {
        cause: Cause::Foreign,
        detail: None,
        class: None,
        code: None,
        destination: None,
        offer: None,
        lead: None,
        address: None,
        trace_id: None,
        attempts: 0,
        first_received: None,
        dead_at: at(0),
        generation: 7,
        replay_of: Some(letter(1).id),
        size: 2,
    };
    let message = Message { body: vec![255, 0].into(), properties: Properties::default() };
    let letter = Letter { id, facts, attempts: vec![], message };
    take_in(&*handle, std::slice::from_ref(&letter)).await;
    let kept = kept(&*handle, id).await.unwrap();
    assert_eq!((kept.entry.facts, kept.attempts, kept.message), (letter.facts, letter.attempts, letter.message));
    assert_eq!(kept.entry.generation, 7);
}

pub async fn the_same_letter_twice_is_one_letter(store: &dyn Store) {
    let handle = store.handle();
    let later = letter_with(1, |facts| facts.dead_at = at(999));
    assert_eq!(
        take_in(&*handle, &[letter(1), letter(2), letter(1)]).await,
        [TakenIn::New, TakenIn::New, TakenIn::Same]
    );
    assert_eq!(take_in(&*handle, &[later]).await, [TakenIn::Same]);
    assert_eq!(listed(&*handle, Filter::default()).await, [2, 1], "and dead since when it died first");
}

pub async fn a_letter_that_arrives_again_is_dead_again_unless_it_is_dead_or_being_replayed(store: &dyn Store) {
    let (handle, letters) = (store.handle(), [letter(1), letter(2), letter(3)]);
    take_in(&*handle, &letters).await;
    order(&*handle, letters[0].id, 1, Wish::Discard).await;
    let plan = handle.freeze(Selection::Filter(dead()), String::new(), act(0)).await.unwrap();
    handle.own_plan(owning(&plan, "one", (0, 60))).await.unwrap().unwrap();
    let taken = handle.take_next(owning(&plan, "one", (0, 60)), 2, act(0)).await.unwrap().unwrap();
    assert_eq!(taken.len(), 2);
    handle.mark_published(plan.id, vec![letters[1].id], act(1)).await.unwrap();
    assert_eq!(take_in(&*handle, &letters).await, [TakenIn::Reopened, TakenIn::Reopened, TakenIn::Same]);
    let states: Vec<_> = letters.iter().map(|letter| letter.id).collect();
    let states = handle.read(states).await.unwrap().into_iter().map(|kept| kept.unwrap().entry.state.name());
    assert_eq!(states.collect::<Vec<_>>(), [StateName::Dead, StateName::Dead, StateName::Replaying]);
    assert_eq!(deeds(&*handle, letters[0].id).await, ["discarded", "reopened"]);
    assert_eq!(entry(&*handle, letters[1].id).await.generation, 1, "a second replay is not the first one again");
}

pub async fn pages_hold_every_letter_once_though_letters_come_in_between(store: &dyn Store) {
    let handle = store.handle();
    // Many that died at the same moment: only the id tells them apart.
    let letters: Vec<_> = (0..40).map(|n| letter_with(n, |facts| facts.dead_at = at((n / 8).into()))).collect();
    take_in(&*handle, &letters).await;
    order(&*handle, letters[0].id, 1, Wish::Discard).await;
    for filter in [Filter::default(), dead()] {
        let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = handle.list(filter.clone(), after, 7).await.unwrap();
            take_in(&*handle, &[letter_with(100 + pages, |facts| facts.dead_at = at(1_000))]).await;
            let Some(last) = page.last() else { break };
            (after, pages) = (Some(last.place()), pages + 1);
            seen.extend(page);
        }
        let old: Vec<_> = seen.iter().filter(|entry| entry.facts.dead_at < at(1_000)).map(Entry::place).collect();
        assert!(old.is_sorted_by(|a, b| a > b), "the latest first, and none twice");
        assert_eq!(old.len(), if filter.state.is_none() { 40 } else { 39 });
    }
}

pub async fn each_filter_lists_what_it_says_and_all_of_them_together_too(store: &dyn Store) {
    let handle = store.handle();
    let letters = [
        letter(1),
        letter_with(2, |facts| facts.cause = Cause::Malformed),
        letter_with(3, |facts| facts.destination = Some(destination("fabrikam"))),
        letter_with(4, |facts| facts.destination = None),
        letter_with(5, |facts| facts.offer = Some("contoso.other".into())),
        letter_with(6, |facts| facts.offer = Some("fabrikam.appliance".into())),
        letter_with(7, |facts| (facts.offer, facts.lead, facts.address) = (None, None, None)),
    ];
    take_in(&*handle, &letters).await;
    order(&*handle, letters[0].id, 1, Wish::Discard).await;
    let check = async |filter: Filter, expected: &[i64]| {
        assert_eq!(listed(&*handle, filter.clone()).await, expected, "{filter:?}");
        let count = handle.count(filter.clone(), vec![]).await.unwrap();
        assert_eq!(count.iter().map(|group| group.count).sum::<u64>(), expected.len() as u64, "{filter:?}");
    };
    let none = Filter::default;
    check(none(), &[7, 6, 5, 4, 3, 2, 1]).await;
    check(dead(), &[7, 6, 5, 4, 3, 2]).await;
    check(Filter { state: Some(StateName::Discarded), ..none() }, &[1]).await;
    check(Filter { state: Some(StateName::Replayed), ..none() }, &[]).await;
    check(Filter { cause: Some(Cause::Malformed), ..none() }, &[2]).await;
    check(Filter { destination: Some(destination("fabrikam")), ..none() }, &[3]).await;
    check(Filter { offer: Some(pattern("contoso.appliance")), ..dead() }, &[4, 3, 2]).await;
    check(Filter { offer: Some(pattern("contoso.*")), ..dead() }, &[5, 4, 3, 2]).await;
    check(Filter { offer: Some(pattern("*")), ..dead() }, &[7, 6, 5, 4, 3, 2]).await;
    check(Filter { lead: letters[4].facts.lead, ..none() }, &[5]).await;
    check(Filter { address: letters[5].facts.address, ..none() }, &[6]).await;
    check(Filter { address: letters[5].facts.address, cause: Some(Cause::Malformed), ..none() }, &[]).await;
    check(Filter { since: Some(at(5)), ..none() }, &[7, 6, 5]).await;
    check(Filter { since: Some(at(3)), before: Some(at(5)), ..none() }, &[4, 3]).await;
    let all = Filter {
        state: Some(StateName::Dead),
        cause: Some(Cause::Rejected),
        destination: Some(destination("fabrikam")),
        offer: Some(pattern("contoso.*")),
        lead: letters[2].facts.lead,
        address: letters[2].facts.address,
        since: Some(at(3)),
        before: Some(at(4)),
    };
    check(all.clone(), &[3]).await;
    check(Filter { before: Some(at(3)), ..all }, &[]).await;
}

pub async fn letters_are_counted_by_any_aspects(store: &dyn Store) {
    let handle = store.handle();
    let letters: Vec<_> = (0..6)
        .map(|n| {
            letter_with(n, |facts| {
                facts.cause = if n < 4 { Cause::Rejected } else { Cause::Malformed };
                facts.destination = (n % 2 == 0).then(|| destination("contoso"));
                facts.offer = (n > 0).then(|| format!("p{}.offer", n % 2));
            })
        })
        .collect();
    take_in(&*handle, &letters).await;
    let counted = async |filter: Filter, by: &[Aspect]| {
        let groups = handle.count(filter, by.to_vec()).await.unwrap();
        let told = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        let row = |group: &Group| (group.values.iter().map(told).collect::<Vec<_>>().join(" "), group.count);
        groups.iter().map(row).collect::<Vec<_>>()
    };
    let row = |name: &str, count| (name.to_owned(), count);
    assert_eq!(counted(dead(), &[Aspect::Cause]).await, [row("rejected", 4), row("malformed", 2)]);
    assert_eq!(
        counted(dead(), &[Aspect::Cause, Aspect::Destination]).await,
        [row("rejected -", 2), row("rejected contoso", 2), row("malformed -", 1), row("malformed contoso", 1)]
            .into_iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(counted(dead(), &[Aspect::Publisher]).await, [row("p1", 3), row("p0", 2), row("-", 1)]);
    assert_eq!(
        counted(Filter { cause: Some(Cause::Malformed), ..dead() }, &[Aspect::Offer]).await,
        [row("p0.offer", 1), row("p1.offer", 1)]
    );
    order(&*handle, letters[0].id, 1, Wish::Discard).await;
    assert_eq!(counted(Filter::default(), &[Aspect::State]).await, [row("dead", 5), row("discarded", 1)]);
    let all = handle.count(Filter::default(), vec![]).await.unwrap();
    assert_eq!(all, [Group { values: vec![], count: 6, oldest: at(0), latest: at(5) }]);
    let none = Filter { since: Some(at(60)), ..Filter::default() };
    assert_eq!(handle.count(none, vec![]).await.unwrap(), []);
}

pub async fn an_id_is_found_by_its_beginning(store: &dyn Store) {
    let handle = store.handle();
    let letters: Vec<_> = (0..50).map(letter).collect();
    take_in(&*handle, &letters).await;
    let all: BTreeSet<_> = letters.iter().map(|letter| letter.id).collect();
    assert_eq!(handle.find(String::new(), 100).await.unwrap(), all.iter().copied().collect::<Vec<_>>());
    for id in &all {
        for digits in [1, 7, 8, 32] {
            let beginning = id.to_string()[..digits].to_owned();
            let expected: Vec<_> = all.iter().filter(|id| id.to_string().starts_with(&beginning)).copied().collect();
            assert_eq!(handle.find(beginning.clone(), 100).await.unwrap(), expected, "{beginning}");
        }
    }
    assert_eq!(handle.find(String::new(), 2).await.unwrap().len(), 2);
    for wrong in ["xyz", &format!("{}0", letters[0].id)] {
        assert_eq!(handle.find(wrong.to_owned(), 2).await.unwrap(), []);
    }
}

pub async fn of_two_operators_who_saw_the_same_one_wins(store: &dyn Store) {
    let (one, other, letter) = (store.handle(), store.handle(), letter(1));
    take_in(&*one, std::slice::from_ref(&letter)).await;
    let seen = entry(&*one, letter.id).await.version;
    let (first, second) =
        tokio::join!(order(&*one, letter.id, seen, Wish::Discard), order(&*other, letter.id, seen, Wish::Discard));
    let won = |changed: &Changed| matches!(changed, Changed::Done(_));
    assert!(won(&first) != won(&second), "{first:?} {second:?}");
    // Undone meanwhile, it stands as it stood; it was not seen so.
    order(&*one, letter.id, seen + 1, Wish::Undo).await;
    let stale = order(&*other, letter.id, seen, Wish::Discard).await;
    assert!(matches!(stale, Changed::Not(ref entry) if entry.state == State::Dead), "{stale:?}");
    assert_eq!(order(&*one, super::letters::letter(2).id, 1, Wish::Discard).await, Changed::Absent);
}

pub async fn a_discarded_letter_comes_back_by_undo_and_no_other_does(store: &dyn Store) {
    let (handle, letter) = (store.handle(), letter(1));
    take_in(&*handle, std::slice::from_ref(&letter)).await;
    assert!(matches!(order(&*handle, letter.id, 1, Wish::Undo).await, Changed::Not(_)));
    let Changed::Done(discarded) = order(&*handle, letter.id, 1, Wish::Discard).await else { panic!("not discarded") };
    assert_eq!((discarded.state, discarded.version, discarded.changed_at), (State::Discarded, 2, at(10)));
    assert!(listed(&*handle, dead()).await.is_empty());
    assert!(matches!(order(&*handle, letter.id, 2, Wish::Discard).await, Changed::Not(_)));
    assert!(matches!(order(&*handle, letter.id, 2, Wish::Undo).await, Changed::Done(_)));
    assert_eq!(listed(&*handle, dead()).await, [1]);
}

pub async fn every_change_leaves_who_when_what_and_why(store: &dyn Store) {
    let (handle, letter) = (store.handle(), letter(1));
    take_in(&*handle, std::slice::from_ref(&letter)).await;
    order(&*handle, letter.id, 1, Wish::Discard).await;
    order(&*handle, letter.id, 1, Wish::Undo).await;
    let second = Act { at: at(20), who: "ömer".into(), why: "it is a customer's".into() };
    let undo = Order { id: letter.id, version: 2, wish: Wish::Undo };
    handle.change(vec![undo], second.clone()).await.unwrap();
    let history = kept(&*handle, letter.id).await.unwrap().history;
    assert_eq!(history, [Deed { act: act(10), what: What::Discarded }, Deed { act: second, what: What::Undone }]);
}

pub async fn what_is_revealed_is_written_down_and_changes_nothing(store: &dyn Store) {
    let (handle, letter) = (store.handle(), letter(1));
    take_in(&*handle, std::slice::from_ref(&letter)).await;
    let before = entry(&*handle, letter.id).await;
    handle.reveal(vec![letter.id], act(5)).await.unwrap();
    let after = kept(&*handle, letter.id).await.unwrap();
    assert_eq!((after.entry, after.history), (before, vec![Deed { act: act(5), what: What::Revealed }]));
}

fn edit(id: leadrelay::domain::lead_key::DeadId, version: u64, body: &'static str) -> Edit {
    let offer = leadrelay::domain::route::Offer::parse("fabrikam.other").unwrap();
    let (lead, address) = (keyring().lead_key("x@example.com", &offer), keyring().address_key("x@example.com"));
    let offer = Some("fabrikam.other".to_owned());
    Edit { id, version, body: body.as_bytes().into(), offer, lead: Some(lead), address: Some(address) }
}

pub async fn an_edited_letter_keeps_its_id_and_its_first_body(store: &dyn Store) {
    let (handle, letter) = (store.handle(), letter(1));
    take_in(&*handle, std::slice::from_ref(&letter)).await;
    for (version, body) in [(1, "second"), (2, "third")] {
        let edited = handle.edit(edit(letter.id, version, body), "terms".into(), act(5)).await.unwrap();
        let Edited::Done(plan) = edited else { panic!("{edited:?}") };
        assert_eq!((plan.members.waiting, plan.terms.as_str(), plan.made), (1, "terms", act(5)));
        assert!(handle.change_plan(plan.id, PlanState::Cancelled, act(6)).await.unwrap().is_some());
    }
    let kept = kept(&*handle, letter.id).await.unwrap();
    assert_eq!((&kept.message.body[..], kept.original), (&b"third"[..], Some(letter.message.body.clone())));
    assert_eq!(kept.message.properties, letter.message.properties);
    assert_eq!((kept.entry.version, kept.entry.facts.size, kept.history.len()), (3, 5, 2));
    assert_eq!(listed(&*handle, Filter { offer: Some(pattern("fabrikam.*")), ..dead() }).await, [1]);
    assert!(listed(&*handle, Filter { address: letter.facts.address, ..dead() }).await.is_empty());
    assert_eq!(listed(&*handle, Filter { address: kept.entry.facts.address, ..dead() }).await, [1]);
    assert_eq!(take_in(&*handle, &[letter]).await, [TakenIn::Same], "the queue's is the same letter still");
}

pub async fn of_two_who_edit_a_letter_one_wins_and_the_other_cannot_change_what_is_to_be_replayed(store: &dyn Store) {
    let (olga, ivan, letter) = (store.handle(), store.handle(), letter(1));
    take_in(&*olga, std::slice::from_ref(&letter)).await;
    let by = |body: &'static str, version| (edit(letter.id, version, body), String::new(), act(5));
    let ((first, terms, at), (second, ..)) = (by("of olga", 1), by("of ivan", 1));
    let Edited::Done(plan) = olga.edit(first, terms.clone(), at.clone()).await.unwrap() else { panic!("she is first") };
    assert!(matches!(ivan.edit(second, terms.clone(), at.clone()).await.unwrap(), Edited::Not(_)));
    // He has seen what she made of it, and she has not begun to replay it.
    let (again, ..) = by("of ivan", 2);
    assert_eq!(ivan.edit(again.clone(), terms.clone(), at.clone()).await.unwrap(), Edited::Waits(plan.id));
    let hers = owning(&plan, "olga", (6, 60));
    olga.own_plan(hers.clone()).await.unwrap().unwrap();
    let taken = olga.take_next(hers, 10, act(6)).await.unwrap().unwrap();
    assert_eq!((taken.len(), &taken[0].message.body[..]), (1, &b"of olga"[..]));
    assert!(matches!(ivan.edit(again, terms, at).await.unwrap(), Edited::Not(_)), "it is being replayed");
    assert_eq!(kept(&*ivan, letter.id).await.unwrap().original, Some(letter.message.body));
}

pub async fn only_a_dead_letter_as_it_was_seen_is_edited(store: &dyn Store) {
    let (handle, letter) = (store.handle(), letter(1));
    let edited = async |version| handle.edit(edit(letter.id, version, "x"), String::new(), act(0)).await.unwrap();
    assert_eq!(edited(1).await, Edited::Absent);
    take_in(&*handle, std::slice::from_ref(&letter)).await;
    assert!(matches!(edited(2).await, Edited::Not(_)));
    order(&*handle, letter.id, 1, Wish::Discard).await;
    assert!(matches!(edited(2).await, Edited::Not(_)));
    assert_eq!(handle.plans(10).await.unwrap(), [], "nothing is to be replayed of it");
    let kept = kept(&*handle, letter.id).await.unwrap();
    assert_eq!((kept.message, kept.original), (letter.message, None));
}

pub async fn what_is_removed_is_gone_with_its_history_and_comes_in_as_new(store: &dyn Store) {
    let (handle, letters) = (store.handle(), [letter(1), letter(2)]);
    take_in(&*handle, &letters).await;
    order(&*handle, letters[0].id, 1, Wish::Discard).await;
    assert_eq!(handle.remove(vec![letters[0].id, letter(3).id], act(5)).await.unwrap(), 1);
    assert_eq!(kept(&*handle, letters[0].id).await, None);
    assert_eq!(listed(&*handle, Filter::default()).await, [2]);
    assert_eq!(take_in(&*handle, &letters).await, [TakenIn::New, TakenIn::Same]);
    let history = kept(&*handle, letters[0].id).await.unwrap().history;
    assert!(history.iter().all(|deed| deed.what == What::Removed), "{history:?}");
}

pub async fn what_was_settled_long_ago_is_purged_and_nothing_else_is(store: &dyn Store) {
    let (handle, letters) = (store.handle(), [letter(1), letter(2), letter(3), letter(4)]);
    take_in(&*handle, &letters).await;
    for (n, at) in [(0, 10), (1, 20), (2, 30)] {
        let discard = Order { id: letters[n].id, version: 1, wish: Wish::Discard };
        handle.change(vec![discard], act(at)).await.unwrap();
    }
    assert_eq!(handle.purge(at(10), 10).await.unwrap(), 0, "not before its time");
    assert_eq!(handle.purge(at(30), 1).await.unwrap(), 1, "the oldest first");
    assert_eq!(listed(&*handle, Filter::default()).await, [4, 3, 2]);
    assert_eq!(handle.purge(at(30), 10).await.unwrap(), 1);
    assert_eq!(handle.purge(at(1_000), 10).await.unwrap(), 1);
    assert_eq!(listed(&*handle, Filter::default()).await, [4], "a dead letter is kept for ever");
}

pub async fn empty_batches_are_answered_empty(store: &dyn Store) {
    let handle = store.handle();
    assert_eq!(take_in(&*handle, &[]).await, []);
    assert_eq!(handle.read(vec![]).await.unwrap(), []);
    assert_eq!(handle.change(vec![], act(0)).await.unwrap(), []);
    assert_eq!(handle.remove(vec![], act(0)).await.unwrap(), 0);
    handle.reveal(vec![], act(0)).await.unwrap();
    handle.record_endings(vec![], act(0)).await.unwrap();
    assert_eq!(handle.list(Filter::default(), None, 10).await.unwrap(), []);
}

pub async fn a_probe_succeeds_and_leaves_nothing(store: &dyn Store) {
    let handle = store.handle();
    handle.probe().await.unwrap();
    assert!(listed(&*handle, Filter::default()).await.is_empty());
}
