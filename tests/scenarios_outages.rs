//! Ledgers that go away, brokers that take no publishes, producers that send rubbish; and nothing personal in any of it.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use leadrelay::broker::Queue;
use leadrelay::destination::memory::Fault;
use leadrelay::domain::reply::{Code, Quick, Reply};
use leadrelay::domain::retry::Tier;
use leadrelay::domain::route::DestinationName;
use support::world::{Event, Life, World, raw};

const OFFER: &str = "contoso.appliance";
const HANDED_BACK: &str = "fate=\"handed_back\"";

fn put(world: &World, count: usize) {
    for n in 0..count {
        world.put(&Event::new(&format!("lead{n}@example.com"), OFFER));
    }
}

/// Of any destination.
fn settled(life: &Life, fate: &str) -> usize {
    let text = life.telemetry.metrics.render();
    let lines = text.lines().filter(|line| line.starts_with("leadrelay_settled_total") && line.contains(fate));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap()).sum()
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_down_for_half_a_minute_costs_nothing_but_the_wait() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_latency(Duration::from_secs(2));
    put(&world, 500);
    let life = world.start().await;
    seconds(1).await;
    // Some are claimed and under way, some are not.
    world.ledger.fail(true);
    seconds(30).await;
    assert_eq!((world.broker.held(), settled(&life, "")), (500, 0), "all is held, nothing acknowledged");
    world.ledger.fail(false);
    world.settle_within(Duration::from_secs(60)).await;
    assert_eq!(world.destination("contoso").holdings().len(), 500);
    assert_eq!((settled(&life, "delivered"), settled(&life, HANDED_BACK)), (500, 0));
    world.destination("contoso").assert_no_lead_was_created_twice();
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_down_for_ten_minutes_gets_everything_handed_back_once() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_latency(Duration::from_secs(2));
    put(&world, 500);
    let life = world.start().await;
    seconds(1).await;
    world.ledger.fail(true);
    seconds(90).await;
    put(&world, 600);
    seconds(510).await;
    assert_eq!((world.broker.held(), settled(&life, HANDED_BACK)), (0, 500), "once, and nothing is consumed");
    assert_eq!(world.broker.messages(&Queue::Inbox).len(), 1_100);
    world.ledger.fail(false);
    world.settle_within(Duration::from_secs(60)).await;
    assert_eq!(world.destination("contoso").holdings().len(), 600);
    assert_eq!(settled(&life, HANDED_BACK), 500);
    assert_eq!((world.broker.dropped(), world.dead_reasons().len()), (0, 0));
    world.destination("contoso").assert_no_lead_was_created_twice();
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn blocked_publishing_for_a_quarter_of_an_hour_is_relieved_once_and_stops_no_delivery() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    world.broker.block_publishing(true);
    for n in 0..50 {
        world.broker.put(raw(format!("not json {n}")));
    }
    put(&world, 200);
    seconds(5).await;
    assert_eq!(world.destination("contoso").holdings().len(), 200);
    assert_eq!(world.broker.held(), 50, "they cannot be published, and stay safe");
    seconds(9 * 60).await;
    assert_eq!(settled(&life, HANDED_BACK), 50, "before anything has been held for ten minutes");
    seconds(6 * 60).await;
    assert_eq!(settled(&life, HANDED_BACK), 50, "once");
    assert_eq!(world.broker.held(), 50, "a few at a time, so that one does not stand in the way of all");
    assert_eq!(world.dead_reasons(), []);
    world.broker.block_publishing(false);
    world.settle_within(Duration::from_secs(60)).await;
    assert_eq!(world.dead().len(), 50);
    assert_eq!(world.broker.dropped(), 0);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_published_and_fills_half_the_prefetch_is_handed_back_at_once() {
    let mut world = World::new(&["contoso"]);
    world.settings.prefetch = 60;
    let life = world.start().await;
    world.broker.block_publishing(true);
    for n in 0..40 {
        world.broker.put(raw(format!("not json {n}")));
    }
    seconds(30).await;
    assert_eq!((settled(&life, HANDED_BACK), world.broker.held()), (40, 40), "once, and then a few at a time");
    world.broker.block_publishing(false);
    world.settle_within(Duration::from_secs(60)).await;
    assert_eq!(world.dead().len(), 40);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_malformed_in_a_row_pause_the_intake_but_for_a_probe_every_five_minutes() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    put(&world, 10);
    seconds(1).await;
    for n in 0..1_000 {
        world.broker.put(raw(format!("not json {n}")));
    }
    seconds(60).await;
    assert_eq!(world.dead().len(), 100, "the rest are left where they are");
    assert_eq!(world.destination("contoso").holdings().len(), 10);
    // One probes every five minutes.
    seconds(3 * 300).await;
    assert_eq!(world.dead().len(), 103);
    assert_eq!((world.broker.messages(&Queue::Inbox).len(), world.broker.held()), (897, 0));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn malformed_messages_among_good_ones_pause_nothing() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    for n in 0..300 {
        world.broker.put(raw(format!("not json {n}")));
        if n % 60 == 59 {
            put(&world, 1);
        }
    }
    seconds(60).await;
    assert_eq!((world.dead().len(), world.broker.held()), (300, 0));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_intake_that_was_paused_goes_on_freely_when_the_probe_is_good() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    for n in 0..101 {
        world.broker.put(raw(format!("not json {n}")));
    }
    put(&world, 300);
    // One by one they would take five minutes.
    world.destination("contoso").set_latency(Duration::from_secs(1));
    seconds(60).await;
    assert_eq!((world.dead().len(), world.destination("contoso").holdings().len()), (100, 0));
    seconds(600).await;
    assert_eq!((world.dead().len(), world.destination("contoso").holdings().len()), (101, 300));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_personal_is_in_the_metrics_or_in_the_headers_of_what_is_published_again_on_any_path() {
    let mut world = World::new(&["contoso"]);
    world.settings.limits.attempts = 2;
    let life = world.start().await;
    let canary = |n: usize| {
        let event = Event::new(&format!("canary{n}@canary.example"), OFFER);
        event.set("/CustomerInfo/FirstName", "canary").set("/CustomerInfo/Phone", "canary-555")
    };
    let transient = Reply::Transient { code: Code::foreign("canary@canary.example"), quick: Quick::Pointless };
    let faults = [
        Fault::Nothing,
        Fault::One(world.key("canary10@canary.example", OFFER), Reply::Rejected(Code::foreign("canary canary"))),
        Fault::Whole(transient),
        Fault::Whole(Reply::Throttled { code: Code::known("ServerBusy"), retry_after: None }),
        Fault::Panics,
        Fault::TimesOut,
    ];
    for (round, fault) in faults.into_iter().enumerate() {
        world.destination("contoso").set_fault(fault);
        for n in 0..5 {
            world.put(&canary(10 * round + n));
        }
        world.put(&canary(0).set("/Action", "PLT").at(round as i64));
        world.put(&canary(1).withdrawn().at(round as i64));
        world.put(&canary(2).set("/Offer", "canary.canary"));
        world.put(&canary(3).set("/CustomerInfo/Email", "canary canary"));
        world.put(&canary(4).set("/canary", "canary").set("/Source", "canary"));
        world.broker.put(raw("{ \"CustomerInfo\": { \"Email\": \"canary"));
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_no_canary(&world, &life);
        }
    }
    world.destination("contoso").heal();
    world.settle().await;
    assert_no_canary(&world, &life);
    let dead: BTreeSet<String> = world.dead_reasons().into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(dead, ["attempts_exhausted", "malformed", "rejected", "unroutable"].map(str::to_owned).into());
    life.stop().await;
}

#[track_caller]
fn assert_no_canary(world: &World, life: &Life) {
    let metrics = life.telemetry.metrics.render();
    assert!(!metrics.contains("canary"), "{metrics}");
    let waits = Queue::Wait(DestinationName::parse("contoso").unwrap());
    for queue in Tier::ALL.map(Queue::Retry).into_iter().chain([waits, Queue::Dead]) {
        for message in world.broker.messages(&queue) {
            let headers = format!("{:?}", message.properties);
            assert!(!headers.contains("canary"), "{queue}: {headers}");
        }
    }
}

/// After crashes the inbox is mixed: what was in hand then came back often, what arrived since did not.
#[tokio::test(start_paused = true)]
async fn messages_that_came_back_often_cost_those_between_them_no_return() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_latency(Duration::from_millis(50));
    for n in 0..3_000 {
        let message = Event::new(&format!("lead{n}@example.com"), OFFER).message();
        world.broker.put_returned(message, if n % 150 == 120 { 6 } else { 0 });
    }
    let life = world.start().await;
    world.settle_within(Duration::from_secs(600)).await;
    assert_eq!((settled(&life, "delivered"), settled(&life, HANDED_BACK)), (3_000, 0));
    assert_eq!(world.dead_reasons(), []);
    life.stop().await;
}
