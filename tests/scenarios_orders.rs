//! Operators' orders on a paused clock: obeyed within seconds, through restarts, and never at a lead's cost.

mod support;

use std::time::Duration;

use leadrelay::broker::Queue;
use leadrelay::destination::memory::{Call, Fault};
use leadrelay::domain::order::{Order, Ordered, Reason};
use leadrelay::domain::reply::{Code, Quick, Reply};
use leadrelay::domain::route::DestinationName;
use leadrelay::store::ledger::Ledger;
use leadrelay::worker::Settings;
use support::world::{Event, World};
use tokio::time::Instant;

const OFFER: &str = "contoso.appliance";
const WITHIN: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn contoso() -> DestinationName {
    DestinationName::parse("contoso").unwrap()
}

fn world(names: &[&str]) -> World {
    let mut world = World::new(names);
    world.settings.orders_every = Settings::default().orders_every;
    world
}

fn waiting(world: &World) -> usize {
    world.broker.messages(&Queue::Wait(contoso())).len()
}

fn put(world: &World, from: usize, count: usize) {
    for n in from..from + count {
        world.put(&Event::new(&format!("lead{n}@example.com"), OFFER));
    }
}

/// By another process, which owns nothing.
async fn order(world: &World, what: Ordered) -> u64 {
    let reason = Reason::parse("a test").unwrap();
    let order = Order { destination: contoso(), what, reason, by: "dashan@ops-1".into(), at: world.clock.now() };
    world.ledger.owner().give_order(order).await.unwrap()
}

fn rejected(code: &'static str) -> Reply {
    Reply::Rejected(Code::known(code))
}

fn transient() -> Reply {
    Reply::Transient { code: Code::known("http_500"), quick: Quick::Pointless }
}

const PAUSED: &str = "leadrelay_lane_state{destination=\"contoso\",state=\"paused\"}";
const CLOSED: &str = "leadrelay_lane_state{destination=\"contoso\",state=\"closed\"}";
const REJECTING: &str = "leadrelay_lane_state{destination=\"contoso\",state=\"rejecting\"}";

#[tokio::test(start_paused = true)]
async fn a_pause_is_obeyed_within_five_seconds_nothing_goes_out_and_all_waits_uncharged_until_it_is_resumed() {
    let world = world(&["contoso", "fabrikam"]);
    world.destination("contoso").set_latency(Duration::from_millis(500));
    let life = world.start().await;
    put(&world, 0, 2_000);
    tokio::time::sleep(Duration::from_millis(600)).await;
    order(&world, Ordered::Pause).await;
    tokio::time::sleep(WITHIN).await;
    assert_eq!(life.metric(PAUSED), 1.0);
    let calls = world.destination("contoso").calls().len();
    put(&world, 2_000, 500);
    world.put(&Event::new("other@example.com", "fabrikam.x"));
    // Not one probe, however long it lasts.
    tokio::time::sleep(DAY).await;
    assert_eq!(world.destination("contoso").calls().len(), calls);
    assert_eq!(world.destination("contoso").holdings().len() + waiting(&world), 2_500);
    assert!(waiting(&world) >= 500);
    assert_eq!(world.broker.held(), 0);
    assert_eq!(world.destination("fabrikam").holdings().len(), 1, "the other goes on");
    order(&world, Ordered::Resume).await;
    tokio::time::sleep(WITHIN).await;
    assert_eq!(life.metric(CLOSED), 1.0);
    assert!(world.destination("contoso").calls().len() > calls);
    world.settle_within(Duration::from_secs(600)).await;
    assert_eq!(world.destination("contoso").holdings().len(), 2_500);
    assert_eq!(life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"retried\"}"), 0.0);
    assert_eq!((world.dead_reasons(), world.broker.dropped()), (vec![], 0));
    world.destination("contoso").assert_no_lead_was_created_twice();
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_starts_under_a_pause_sends_nothing_not_even_at_first() {
    let world = world(&["contoso"]);
    put(&world, 0, 300);
    order(&world, Ordered::Pause).await;
    for _ in 0..3 {
        let life = world.start().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(life.metric(PAUSED), 1.0);
        life.stop().await;
    }
    assert_eq!(world.destination("contoso").calls().len(), 0);
    assert_eq!(waiting(&world), 300);
    order(&world, Ordered::Resume).await;
    let life = world.start().await;
    world.settle_within(Duration::from_secs(60)).await;
    assert_eq!(world.destination("contoso").holdings().len(), 300);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rounds_that_are_under_way_when_the_pause_comes_are_charged_nothing() {
    for reply in [transient(), rejected("bad"), Reply::Credentials(Code::known("http_403"))] {
        let world = world(&["contoso"]);
        world.destination("contoso").set_latency(Duration::from_secs(10));
        world.destination("contoso").set_fault(Fault::Whole(reply.clone()));
        let life = world.start().await;
        put(&world, 0, 400);
        tokio::time::sleep(Duration::from_secs(1)).await;
        order(&world, Ordered::Pause).await;
        let ordered = Instant::now();
        tokio::time::sleep(DAY).await;
        assert_eq!(waiting(&world), 400, "{reply:?}");
        let calls = world.destination("contoso").calls();
        assert!(calls.iter().all(|call| call.at < ordered + WITHIN), "no batch is split under a pause: {reply:?}");
        assert_eq!(life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"retried\"}"), 0.0, "{reply:?}");
        assert_eq!(world.dead_reasons(), [], "{reply:?}");
        assert_eq!(life.metric(PAUSED), 1.0, "{reply:?}");
        life.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn resuming_a_destination_in_trouble_probes_it_at_once_with_one_lead() {
    let world = world(&["contoso"]);
    world.destination("contoso").set_fault(Fault::Whole(Reply::Credentials(Code::known("http_403"))));
    let life = world.start().await;
    put(&world, 0, 300);
    // Long enough for its probes to be five minutes apart.
    tokio::time::sleep(DAY).await;
    world.destination("contoso").heal();
    let calls = world.destination("contoso").calls().len();
    order(&world, Ordered::Resume).await;
    tokio::time::sleep(WITHIN + Duration::from_secs(1)).await;
    let after: Vec<usize> = world.destination("contoso").calls()[calls..].iter().map(|call| call.keys.len()).collect();
    assert_eq!(after[0], 1, "{after:?}");
    world.settle_within(Duration::from_secs(60)).await;
    assert_eq!(world.destination("contoso").holdings().len(), 300);
    life.stop().await;
}

/// Every lead is rejected but each tenth.
fn rejects_nine_of_ten(world: &World, code: &'static str, leads: usize) -> usize {
    let sound: Vec<_> = (0..leads).step_by(10).map(|n| world.key(&format!("lead{n}@example.com"), OFFER)).collect();
    let count = sound.len();
    world.destination("contoso").set_script(move |call: &Call| match call.keys.iter().all(|key| sound.contains(key)) {
        true => Fault::Nothing,
        false => Fault::Whole(rejected(code)),
    });
    count
}

#[tokio::test(start_paused = true)]
async fn accepted_rejections_dead_letter_what_is_rejected_of_what_waits_and_deliver_the_rest() {
    let world = world(&["contoso"]);
    world.destination("contoso").set_fault(Fault::Whole(rejected("InvalidInput")));
    let life = world.start().await;
    put(&world, 0, 1_000);
    tokio::time::sleep(DAY).await;
    assert_eq!((life.metric(REJECTING), waiting(&world)), (1.0, 1_000));
    let sound = rejects_nine_of_ten(&world, "InvalidInput", 1_000);
    order(&world, Ordered::AcceptRejections { code: None }).await;
    world.settle_within(Duration::from_secs(600)).await;
    assert_eq!(world.destination("contoso").holdings().len(), sound);
    assert_eq!(world.dead_reasons(), vec![("rejected".to_owned(), "InvalidInput".to_owned()); 1_000 - sound]);
    // It was an order about those leads: of what comes now, the destination must prove again that it means it.
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.destination("contoso").set_fault(Fault::Whole(rejected("InvalidInput")));
    put(&world, 1_000, 200);
    tokio::time::sleep(DAY).await;
    assert_eq!((life.metric(REJECTING), waiting(&world)), (1.0, 200));
    assert_eq!(world.dead().len(), 1_000 - sound);
    assert!(world.ledger.orders().await.unwrap()[0].done);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_acceptance_of_one_code_is_none_of_another() {
    let world = world(&["contoso"]);
    world.destination("contoso").set_fault(Fault::Whole(rejected("InvalidInput")));
    let life = world.start().await;
    put(&world, 0, 300);
    tokio::time::sleep(DAY).await;
    world.destination("contoso").set_fault(Fault::Whole(rejected("TableIsReadOnly")));
    order(&world, Ordered::AcceptRejections { code: None }).await;
    tokio::time::sleep(DAY).await;
    assert_eq!((life.metric(REJECTING), waiting(&world)), (1.0, 300));
    assert_eq!(world.dead_reasons(), []);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_acceptance_goes_on_after_a_restart_until_nothing_waits_and_then_no_more() {
    let world = world(&["contoso"]);
    world.destination("contoso").set_fault(Fault::Whole(rejected("InvalidInput")));
    let life = world.start().await;
    put(&world, 0, 500);
    tokio::time::sleep(DAY).await;
    life.stop().await;
    let code = Some(Code::known("InvalidInput"));
    order(&world, Ordered::AcceptRejections { code }).await;
    let life = world.start().await;
    world.settle_within(Duration::from_secs(600)).await;
    assert_eq!(world.dead().len(), 500);
    tokio::time::sleep(Duration::from_secs(60)).await;
    life.stop().await;
    put(&world, 500, 100);
    let life = world.start().await;
    tokio::time::sleep(DAY).await;
    assert_eq!((world.dead().len(), waiting(&world)), (500, 100), "the order of then says nothing of these");
    life.stop().await;
}
