//! The worker before a destination that cannot tell a repeat (as Web-to-Lead), on memory adapters and a paused clock.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leadrelay::destination::memory::{Call, Fault};
use leadrelay::domain::allowance::{Daily, OnDailyLimit};
use leadrelay::domain::envelope::{self, HeaderValue};
use leadrelay::domain::reply::OnUnknown::{self, DeadLetter, Resend};
use leadrelay::domain::reply::{Code, Quick, Reply};
use leadrelay::steps::{Edge, Step, Steps};
use support::world::{Event, Life, World};

const OFFER: &str = "contoso.appliance";
const HOUR: Duration = Duration::from_secs(3_600);

fn lead(n: usize) -> Event {
    Event::new(&format!("lead{n}@example.com"), OFFER)
}

fn put(world: &World, count: usize) {
    (0..count).for_each(|n| world.put(&lead(n)));
}

fn created(world: &World) -> Vec<u32> {
    world.destination("contoso").holdings().values().map(|holding| holding.created).collect()
}

fn fate(life: &Life, fate: &str) -> f64 {
    life.metric(&format!("leadrelay_settled_total{{destination=\"contoso\",fate=\"{fate}\"}}"))
}

fn unknown(code: &str) -> (String, String) {
    ("unknown".to_owned(), code.to_owned())
}

/// Does `what` the first time that this edge is passed, and lets the worker go on.
fn once(step: Step, edge: Edge, what: impl Fn() + Send + Sync + 'static) -> Steps {
    let done = AtomicBool::new(false);
    Steps::watched(Box::new(move |passing| {
        if (passing.step, passing.edge) == (step, edge) && !done.swap(true, Ordering::SeqCst) {
            what();
        }
        false
    }))
}

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_event_is_posted_once_and_leaves_no_intent() {
    let world = World::posting("contoso", DeadLetter, None);
    let life = world.start().await;
    for _ in 0..3 {
        put(&world, 20);
        world.put(&lead(1).set("/Action", "PLT").at(5));
        world.put(&lead(2).set("/CustomerInfo/Phone", "123").at(5));
        world.settle().await;
    }
    assert_eq!(created(&world), [1; 20]);
    assert_eq!((fate(&life, "delivered"), fate(&life, "duplicate")), (20.0, 46.0));
    assert_eq!(world.ledger.intents(), []);
    assert!(world.destination("contoso").running_max() <= 8);
    world.destination("contoso").assert_no_lead_was_created_twice();
    life.stop().await;
}

async fn unanswered(on_unknown: OnUnknown, fault: Fault) -> World {
    let world = World::posting("contoso", on_unknown, None);
    let (bad, mut hit) = (world.key("lead3@example.com", OFFER), false);
    world.destination("contoso").set_script(move |call: &Call| match call.keys[0] == bad && !hit {
        true => {
            hit = true;
            fault.clone()
        }
        false => Fault::Nothing,
    });
    put(&world, 10);
    let life = world.start().await;
    world.settle().await;
    life.stop().await;
    world
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_sent_is_dead_lettered_and_never_sent_again_unless_a_person_replays_it() {
    let lost = Fault::AnswerLost(Reply::Unknown(Code::known("connection_lost")));
    for (fault, code, arrived) in [
        (lost, "connection_lost", 1),
        (Fault::TimesOut, "timeout", 0),
        (Fault::HangsForEver, "timeout", 0),
        (Fault::Panics, "panic", 0),
    ] {
        let world = unanswered(DeadLetter, fault).await;
        assert_eq!(created(&world), [vec![1; 9], vec![1; arrived]].concat());
        assert_eq!(world.dead_reasons(), [unknown(code)]);
        // The same event again, and another of the same lead: neither goes as if nothing had been.
        let life = world.start().await;
        world.put(&lead(3));
        world.put(&lead(3).set("/Action", "PLT").at(5));
        world.settle().await;
        assert_eq!(world.dead_reasons(), [unknown(code), unknown("sent_before"), unknown("sent_before")]);
        let mut replay = world.dead()[0].clone();
        replay.properties.headers = [(envelope::REPLAY.to_owned(), HeaderValue::Int(1))].into();
        world.broker.put(replay.clone());
        world.broker.put(replay);
        world.settle().await;
        assert_eq!(world.held("contoso", "lead3@example.com", OFFER).unwrap().created, 1 + arrived as u32);
        assert_eq!((world.dead().len(), world.ledger.intents().len()), (3, 0));
        life.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn with_resend_it_is_sent_again_until_there_is_an_answer() {
    let lost = Fault::AnswerLost(Reply::Unknown(Code::known("connection_lost")));
    for (fault, times) in [(lost, 2), (Fault::TimesOut, 1), (Fault::HangsForEver, 1), (Fault::Panics, 1)] {
        let world = unanswered(Resend, fault).await;
        assert_eq!(world.held("contoso", "lead3@example.com", OFFER).unwrap().created, times);
        assert_eq!((created(&world).len(), world.dead_reasons(), world.ledger.intents()), (10, vec![], vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn unanswered_posts_pause_the_lane_and_each_probe_risks_one_lead() {
    let world = World::posting("contoso", DeadLetter, None);
    world.destination("contoso").set_fault(Fault::TimesOut);
    put(&world, 500);
    let life = world.start().await;
    minutes(30).await;
    let dead = world.dead().len();
    assert!((8..40).contains(&dead), "{dead} dead letters in half an hour");
    world.destination("contoso").heal();
    world.settle().await;
    assert_eq!(created(&world).len() + world.dead().len(), 500);
    world.destination("contoso").assert_no_lead_was_created_twice();
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn halted_in_the_middle_of_a_send_a_lead_is_handed_back_and_found_again_with_its_intent() {
    for (on_unknown, dead, held) in [(DeadLetter, 3, 0), (Resend, 0, 3)] {
        let world = World::posting("contoso", on_unknown, None);
        world.destination("contoso").set_latency(Duration::from_secs(10));
        put(&world, 3);
        let life = world.start().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        life.hurry().await;
        assert_eq!((world.ledger.intents().len(), world.broker.dropped()), (3, 0));
        let life = world.start().await;
        world.settle().await;
        assert_eq!((world.dead().len(), created(&world).len()), (dead, held), "{on_unknown:?}");
        life.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lead_that_was_intended_and_for_certain_not_sent_is_sent_later() {
    let world = World::posting("contoso", DeadLetter, None);
    let broker = world.broker.clone();
    put(&world, 10);
    // The consuming connection goes between the intent and the send: another worker may own the ledger by now.
    let life = world.start_watched(once(Step::Intend, Edge::After, move || broker.drop_connection())).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((created(&world).len(), world.ledger.intents().len()), (0, 0), "it gave up, and took back");
    world.broker.reconnect();
    world.settle().await;
    assert_eq!((created(&world), world.dead_reasons()), (vec![1; 10], vec![]));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_intent_that_cannot_be_taken_back_ends_as_unknown_and_never_as_two() {
    let world = Arc::new(World::posting("contoso", DeadLetter, None));
    let refused = Reply::Transient { code: Code::known("not_connected"), quick: Quick::Pointless };
    world.destination("contoso").set_fault(Fault::Whole(refused));
    world.put(&lead(0));
    let weak = Arc::downgrade(&world);
    let fail = move || {
        if let Some(world) = weak.upgrade() {
            world.ledger.fail(true);
        }
    };
    let life = world.start_watched(once(Step::Send, Edge::After, fail)).await;
    minutes(3).await;
    assert_eq!((world.broker.held(), fate(&life, "handed_back")), (0, 1.0));
    world.ledger.fail(false);
    world.destination("contoso").heal();
    world.settle().await;
    assert_eq!((created(&world), world.dead_reasons()), (vec![], vec![unknown("sent_before")]));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_away_for_a_while_costs_a_post_nothing() {
    for step in [Step::Intend, Step::Retract, Step::Record] {
        let world = Arc::new(World::posting("contoso", DeadLetter, None));
        let (bad, mut hit) = (world.key("lead3@example.com", OFFER), false);
        world.destination("contoso").set_script(move |call: &Call| match call.keys[0] == bad && !hit {
            true => {
                hit = true;
                Fault::Whole(Reply::Transient { code: Code::known("http_503"), quick: Quick::Pointless })
            }
            false => Fault::Nothing,
        });
        put(&world, 10);
        let weak = Arc::downgrade(&world);
        let fail = move || {
            let Some(world) = weak.upgrade() else { return };
            world.ledger.fail(true);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(30)).await;
                world.ledger.fail(false);
            });
        };
        let life = world.start_watched(once(step, Edge::Before, fail)).await;
        world.settle().await;
        assert_eq!((created(&world), world.dead_reasons()), (vec![1; 10], vec![]), "{step:?}");
        assert_eq!((world.ledger.intents(), fate(&life, "handed_back")), (vec![], 0.0), "{step:?}");
        life.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_oid_over_a_thousand_leads_costs_none_of_them_anything() {
    let world = World::posting("contoso", DeadLetter, None);
    let exception = Code::known("common.exception.SalesforceGenericException");
    world.destination("contoso").set_fault(Fault::Each(Reply::Rejected(exception)));
    put(&world, 1_000);
    let life = world.start().await;
    tokio::time::sleep(HOUR).await;
    assert_eq!((world.dead_reasons(), created(&world).len()), (vec![], 0));
    assert_eq!(life.metric("leadrelay_lane_state{destination=\"contoso\",state=\"rejecting\"}"), 1.0);
    // Twenty, what was in flight beside them, and a probe every five minutes.
    assert!(world.destination("contoso").calls().len() < 60, "{}", world.destination("contoso").calls().len());
    world.destination("contoso").heal();
    world.settle().await;
    assert_eq!((world.dead_reasons(), created(&world)), (vec![], vec![1; 1_000]));
    assert_eq!((fate(&life, "delivered"), fate(&life, "retried")), (1_000.0, 0.0));
    assert_eq!(world.ledger.intents(), []);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_of_a_lead_that_cannot_be_marked_is_unmarked_and_no_duplicate() {
    let world = World::posting("contoso", DeadLetter, None);
    let life = world.start().await;
    put(&world, 2);
    world.settle().await;
    world.put(&lead(0).at(10).withdrawn());
    world.settle().await;
    assert_eq!((fate(&life, "unmarked"), fate(&life, "duplicate")), (1.0, 0.0));
    // A grant that is not later is suppressed; a later one is a duplicate, and lifts the withdrawal.
    world.put(&lead(0).at(5));
    world.settle().await;
    assert_eq!(fate(&life, "suppressed"), 1.0);
    world.put(&lead(0).at(20));
    world.settle().await;
    world.put(&lead(0).at(15).withdrawn());
    world.settle().await;
    assert_eq!((fate(&life, "unmarked"), fate(&life, "duplicate")), (1.0, 1.0));
    assert_eq!((created(&world), world.dead_reasons()), (vec![1, 1], vec![]));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lead_withdrawn_while_it_was_posted_is_told_to_be_unmarked() {
    let world = World::posting("contoso", DeadLetter, None);
    world.destination("contoso").set_latency(Duration::from_secs(5));
    let life = world.start().await;
    put(&world, 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.put(&lead(0).at(10).withdrawn());
    world.settle().await;
    assert_eq!((created(&world), fate(&life, "delivered"), fate(&life, "unmarked")), (vec![1], 1.0, 1.0));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_do_not_contact_never_keeps_a_later_action_from_being_heard() {
    let world = World::posting("contoso", DeadLetter, None);
    let life = world.start().await;
    for (n, actions) in [["DNC", "PLT"], ["PLT", "DNC"]].into_iter().enumerate() {
        for (at, action) in (0..).zip(actions) {
            world.put(&lead(n).set("/Action", action).at(at));
            world.settle().await;
        }
    }
    let times = |n: usize| world.held("contoso", &format!("lead{n}@example.com"), OFFER).unwrap().created;
    assert_eq!((times(0), times(1)), (2, 1));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn when_its_day_is_full_a_lane_waits_and_charges_nobody_anything() {
    let daily = Daily { limit: 100, on_limit: OnDailyLimit::Wait };
    let world = World::posting("contoso", DeadLetter, Some(daily));
    world.destination("contoso").set_latency(Duration::from_millis(200));
    put(&world, 250);
    let life = world.start().await;
    tokio::time::sleep(3 * HOUR).await;
    assert_eq!(created(&world).len(), 100);
    let state = "leadrelay_lane_state{destination=\"contoso\",state=\"daily_limit\"}";
    assert_eq!(life.metric(state), 1.0);
    let daily = |name| life.metric(&format!("leadrelay_daily_{name}{{destination=\"contoso\"}}"));
    assert_eq!((daily("posts"), daily("limit")), (100.0, 100.0));
    life.stop().await;
    // The count outlives the worker.
    let life = world.start().await;
    tokio::time::sleep(12 * HOUR).await;
    assert_eq!(created(&world).len(), 100);
    tokio::time::sleep(12 * HOUR).await;
    assert_eq!(created(&world).len(), 200);
    world.settle().await;
    assert_eq!((created(&world), world.dead_reasons()), (vec![1; 250], vec![]));
    assert_eq!(fate(&life, "retried"), 0.0);
    let calls = world.destination("contoso").calls();
    for (first, other) in calls.iter().zip(calls.iter().skip(100)) {
        assert!(other.at - first.at >= 24 * HOUR, "more than a hundred in a day");
    }
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn by_default_what_exceeds_a_day_is_sent_all_the_same_and_counted() {
    let daily = Daily { limit: 100, on_limit: OnDailyLimit::Send };
    let world = World::posting("contoso", DeadLetter, Some(daily));
    let refused = Reply::Transient { code: Code::known("http_503"), quick: Quick::Pointless };
    let bad = world.key("lead3@example.com", OFFER);
    world.destination("contoso").set_script(move |call: &Call| match call.keys[0] == bad {
        true => Fault::Whole(refused.clone()),
        false => Fault::Nothing,
    });
    put(&world, 250);
    let life = world.start().await;
    minutes(10).await;
    assert_eq!(created(&world).len(), 249);
    assert_eq!(life.metric("leadrelay_daily_posts{destination=\"contoso\"}"), 249.0, "what was refused is not counted");
    assert_eq!(life.metric("leadrelay_daily_limit{destination=\"contoso\"}"), 100.0);
    tokio::time::sleep(25 * HOUR).await;
    assert_eq!(life.metric("leadrelay_daily_posts{destination=\"contoso\"}"), 0.0);
    life.stop().await;
}
