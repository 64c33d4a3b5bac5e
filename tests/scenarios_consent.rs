//! What people agreed to, and took back, in whatever order it comes; and what repeats do to a lead.

mod support;

use std::time::Duration;

use leadrelay::broker::Queue;
use leadrelay::domain::event::CustomerField;
use leadrelay::domain::retry::Tier;
use leadrelay::steps::{Edge, Step, Steps};
use proptest::prelude::*;
use support::world::{Event, World};

const OFFER: &str = "contoso.appliance";

fn event() -> Event {
    Event::new("a@example.com", OFFER)
}

#[tokio::test(start_paused = true)]
async fn an_older_event_after_a_newer_one_adds_its_action_and_overwrites_nothing() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    let of =
        |second, phone: &str, action: &str| event().set("/CustomerInfo/Phone", phone).set("/Action", action).at(second);
    world.put(&of(100, "new", "INS"));
    world.settle().await;
    world.put(&of(50, "old", "PLT").set("/CustomerInfo/Title", "CTO"));
    world.settle().await;
    let lead = world.held("contoso", "a@example.com", OFFER).unwrap().lead;
    let field = |field| lead.fields.get(&field).map(|held| held.value.0.as_str());
    assert_eq!(field(CustomerField::Phone), Some("new"));
    assert_eq!(field(CustomerField::Title), Some("CTO"), "it fills what was empty");
    let actions: Vec<_> = lead.journey.iter().map(|step| step.action.as_str()).collect();
    assert_eq!(actions, ["PLT", "INS"], "in the order of time");
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_do_not_contact_stands_only_while_it_is_the_only_action_whichever_came_first() {
    for order in [["DNC", "INS"], ["INS", "DNC"]] {
        let world = World::new(&["contoso"]);
        let life = world.start().await;
        for (at, action) in (0..).zip(order) {
            world.put(&event().set("/Action", action).at(at));
            world.settle().await;
            let held = world.held("contoso", "a@example.com", OFFER).unwrap();
            let silent = held.lead.journey.iter().all(|step| step.action == "DNC");
            assert_eq!(silent, at == 0 && action == "DNC", "{order:?} after {action}");
        }
        assert_eq!(world.held("contoso", "a@example.com", OFFER).unwrap().created, 1);
        life.stop().await;
    }
}

/// It waits for a person to look at the ledger, uncharged, and neither the intake nor who withdrew with it waits for that.
#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_spoils_the_withdrawal_of_its_own_person_alone() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    let of = |email: &str| Event::new(email, OFFER);
    for email in ["a@example.com", "b@example.com"] {
        world.put(&of(email));
    }
    world.settle().await;
    world.ledger.spoil(world.person("a@example.com", OFFER));
    for email in ["a@example.com", "b@example.com", "c@example.com"] {
        world.put(&of(email).at(10).withdrawn());
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.broker.messages(&Queue::Retry(Tier::M10)).len(), 1);
    let marked = |email| world.held("contoso", email, OFFER).unwrap().lead.withdrawn_at.is_some();
    assert_eq!((marked("a@example.com"), marked("b@example.com")), (false, true));
    assert_eq!((world.broker.messages(&Queue::Inbox).len(), world.broker.held()), (0, 0));
    life.stop().await;
}

/// The intake stands still just before it commits the withdrawal: no lane has a lead of the same batch by then.
#[tokio::test(start_paused = true)]
async fn a_withdrawal_is_committed_before_any_lane_sees_a_lead_that_came_with_it() {
    for events in [[event().at(10).withdrawn(), event()], [event(), event().at(10).withdrawn()]] {
        let world = World::new(&["contoso"]);
        let steps = Steps::watched(Box::new(|passing| (passing.step, passing.edge) == (Step::Withdraw, Edge::Before)));
        let life = world.start_watched(steps).await;
        // The first message of a life comes alone.
        world.put(&Event::new("b@example.com", OFFER));
        world.settle().await;
        events.iter().for_each(|event| world.put(event));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.broker.held(), 2);
        assert_eq!(world.destination("contoso").calls().len(), 1, "the first message's");
        life.kill(&world.broker).await;
    }
}

/// Grants and withdrawals of one person, at distinct times, in the order of arrival, with the pauses between.
fn arrivals() -> impl Strategy<Value = Vec<(i64, bool, Duration)>> {
    let kinds = proptest::collection::vec((any::<bool>(), 0..3_u64), 1..6);
    kinds
        .prop_flat_map(|kinds| {
            let timed: Vec<_> = (0..).zip(kinds).map(|(at, (grant, pause))| (at, grant, pause)).collect();
            Just(timed).prop_shuffle()
        })
        .prop_map(|timed| {
            timed.into_iter().map(|(at, grant, pause)| (at, grant, Duration::from_secs(pause * 2))).collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn grants_and_withdrawals_end_in_the_state_of_the_latest_in_whatever_order_they_come(
        arrivals in arrivals(),
        latency in 0..3_u64,
        offers in 1..3_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new(&["contoso"]);
            world.destination("contoso").set_latency(Duration::from_secs(latency));
            let life = world.start().await;
            for (at, grant, pause) in &arrivals {
                let offer = format!("contoso.offer{}", *at as usize % offers);
                let event = Event::new("a@example.com", &offer).at(*at);
                world.put(&if *grant { event } else { event.withdrawn() });
                tokio::time::sleep(*pause).await;
            }
            world.settle().await;
            let latest = |grant| arrivals.iter().filter(|(_, kind, _)| *kind == grant).map(|(at, ..)| *at).max();
            let withdrawn_at = latest(false);
            for offer in 0..offers {
                let granted = arrivals.iter().filter(|(at, grant, _)| *grant && *at as usize % offers == offer);
                let granted_at = granted.map(|(at, ..)| *at).max();
                let held = world.held("contoso", "a@example.com", &format!("contoso.offer{offer}"));
                let may_be_contacted = held.as_ref().is_some_and(|held| held.lead.withdrawn_at.is_none());
                let expected = granted_at.is_some_and(|granted| withdrawn_at.is_none_or(|withdrawn| granted > withdrawn));
                assert_eq!(may_be_contacted, expected, "offer {offer} of {arrivals:?}: {held:?}");
            }
            assert_eq!(world.dead_reasons(), []);
            world.destination("contoso").assert_no_lead_was_created_twice();
            life.stop().await;
        });
    }
}
