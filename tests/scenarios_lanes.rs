//! Lanes on a paused clock: how much at once, how soon, how long not, and who is held up by whom.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use leadrelay::broker::Queue;
use leadrelay::destination::memory::{Call, Fault, MemoryDestination};
use leadrelay::destination::{Destination, Limits};
use leadrelay::domain::reply::{Code, Quick, Reply};
use leadrelay::domain::route::{DestinationName, OfferPattern, Routes};
use leadrelay::steps::{Edge, Step, Steps};
use leadrelay::worker::shutdown::Stop;
use support::world::{Event, World};
use tokio::time::Instant;

const OFFER: &str = "contoso.appliance";

fn queue_of(name: &str) -> Queue {
    Queue::Wait(DestinationName::parse(name).unwrap())
}

fn put(world: &World, count: usize, offer: &str) {
    for n in 0..count {
        world.put(&Event::new(&format!("lead{n}@example.com"), offer));
    }
}

#[tokio::test(start_paused = true)]
async fn five_thousand_leads_of_three_offers_take_at_most_sixty_calls_and_four_at_once() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_latency(Duration::from_millis(200));
    for n in 0..5_000 {
        world.put(&Event::new(&format!("lead{n}@example.com"), ["contoso.a", "contoso.b", "contoso.c"][n % 3]));
    }
    let life = world.start().await;
    world.settle().await;
    let destination = world.destination("contoso");
    assert_eq!(destination.holdings().len(), 5_000);
    assert!(destination.calls().len() <= 60, "{} calls", destination.calls().len());
    assert!(destination.running_max() <= 4, "{} at once", destination.running_max());
    destination.assert_no_lead_was_created_twice();
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_single_lead_on_an_idle_lane_is_on_the_wire_at_the_same_instant() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    for n in 0..3 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let now = Instant::now();
        world.put(&Event::new(&format!("lead{n}@example.com"), OFFER));
        while world.destination("contoso").calls().len() <= n {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.destination("contoso").calls()[n].at, now, "lead {n}");
    }
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_is_honoured_by_the_whole_lane_and_then_one_lead_goes_first() {
    let world = World::new(&["contoso"]);
    let hint = Duration::from_secs(90);
    let began = Instant::now();
    world.destination("contoso").set_script(move |call: &Call| match call.at < began + hint {
        true => Fault::Whole(Reply::Throttled { code: Code::known("ServerBusy"), retry_after: Some(hint) }),
        false => Fault::Nothing,
    });
    put(&world, 300, OFFER);
    let life = world.start().await;
    // Those that come while it lasts wait too.
    tokio::time::sleep(Duration::from_secs(60)).await;
    put(&world, 600, OFFER);
    world.settle().await;
    let calls = world.destination("contoso").calls();
    let (asked, after): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.at < began + hint);
    assert!(asked.iter().all(|call| call.at == began), "{:?}", asked.iter().map(|call| call.at).collect::<Vec<_>>());
    let first = after[0];
    // Up to a tenth longer, so that workers do not come back together.
    assert!(first.at <= began + hint.mul_f64(1.1) + Duration::from_secs(1), "{:?}", first.at - began);
    assert_eq!(first.keys.len(), 1);
    assert!(after[1].at >= first.at);
    assert_eq!(world.destination("contoso").holdings().len(), 600);
    assert_eq!(life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"retried\"}"), 0.0);
    assert_eq!(world.dead_reasons(), []);
    life.stop().await;
}

/// Rounds that have claimed wait for their turn; the success of the one before says nothing of what they are answered.
#[tokio::test(start_paused = true)]
async fn a_retry_after_in_the_midst_of_a_busy_lane_pauses_it_too() {
    let world = World::new(&["contoso"]);
    let destination = world.destination("contoso");
    destination.set_latency(Duration::from_secs(1));
    let (began, hint) = (Instant::now(), Duration::from_secs(90));
    let busy = Reply::Throttled { code: Code::known("ServerBusy"), retry_after: Some(hint) };
    destination.set_script(move |call: &Call| match (call.at - began).as_secs() {
        0 | 90.. => Fault::Nothing,
        _ => Fault::Whole(busy.clone()),
    });
    put(&world, 1_000, OFFER);
    let life = world.start().await;
    world.settle().await;
    let pause = |call: &&Call| (3..85).contains(&(call.at - began).as_secs());
    assert_eq!(destination.calls().iter().filter(pause).count(), 0);
    assert_eq!(destination.holdings().len(), 1_000);
    assert_eq!(life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"retried\"}"), 0.0);
    life.stop().await;
}

/// Each nack counts towards the delivery limit; and who waits moves once, not at every probe.
#[tokio::test(start_paused = true)]
async fn a_lane_that_pauses_puts_back_what_it_holds_by_publishing_and_leaves_the_rest_where_it_waits() {
    let world = World::new(&["contoso"]);
    let destination = world.destination("contoso");
    destination.set_latency(Duration::from_secs(1));
    let life = world.start().await;
    world.put(&Event::new("first@example.com", OFFER));
    world.settle().await;
    let began = Instant::now();
    let since = move |call: &Call| (call.at - began).as_secs();
    // It fails, works just long enough to have its hands full, and fails again.
    let mut well = 0;
    destination.set_script(move |call: &Call| match since(call) {
        600..1_800 if well < 3 => {
            well += 1;
            Fault::Nothing
        }
        0..1_800 => Fault::Whole(Reply::Credentials(Code::known("AuthenticationFailed"))),
        _ => Fault::Nothing,
    });
    put(&world, 1_000, OFFER);
    world.settle().await;
    let settled = |fate| life.metric(&format!("leadrelay_settled_total{{destination=\"contoso\",fate=\"{fate}\"}}"));
    assert_eq!(settled("handed_back"), 0.0);
    let calls = destination.calls();
    let probes = calls.iter().filter(|call| since(call) < 1_800).count() as f64;
    // Twice the lane had its hands full.
    assert!(settled("waiting") <= 2.0 * 1_000.0 + probes, "{} for {probes} probes", settled("waiting"));
    assert_eq!(destination.holdings().len(), 1_001);
    destination.assert_no_lead_was_created_twice();
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_destination_does_not_take_within_ten_minutes_waits_in_its_queue() {
    let mut world = World::new(&["contoso"]);
    let limits = Limits { batch_max: 1, in_flight_max: 1, ..MemoryDestination::like_a_table().limits() };
    world.destinations.insert("contoso".to_owned(), Arc::new(MemoryDestination::new(limits)));
    world.destination("contoso").set_latency(Duration::from_secs(10));
    put(&world, 100, OFFER);
    let life = world.start().await;
    tokio::time::sleep(Duration::from_secs(599)).await;
    let waiting = || life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"waiting\"}");
    assert_eq!(waiting(), 0.0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(waiting() >= 35.0, "{}", waiting());
    world.settle().await;
    assert_eq!(world.destination("contoso").holdings().len(), 100);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_never_sent_is_repeated_once_within_the_second() {
    let world = World::new(&["contoso"]);
    let code = Code::known("not_connected");
    let mut failures = 3;
    world.destination("contoso").set_script(move |_| {
        failures -= i32::from(failures > 0);
        let reply = Reply::Transient { code: code.clone(), quick: Quick::Worthwhile };
        if failures > 0 { Fault::Whole(reply) } else { Fault::Nothing }
    });
    let life = world.start().await;
    put(&world, 1, OFFER);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.destination("contoso").calls().len(), 2, "once, and no more");
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(world.destination("contoso").holdings().len(), 1);
    let retried = life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"retried\"}");
    assert_eq!(retried, 1.0, "two requests are one attempt");
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lead_that_is_rejected_while_no_other_comes_is_dead_after_five_minutes() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_fault(Fault::Whole(Reply::Rejected(Code::known("InvalidInput"))));
    let life = world.start().await;
    put(&world, 1, OFFER);
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert_eq!(world.dead_reasons(), []);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.dead_reasons(), [("rejected".to_owned(), "InvalidInput".to_owned())]);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_overflows_into_its_wait_queue_and_takes_no_others_place() {
    let mut world = World::new(&["contoso", "fabrikam"]);
    world.settings.prefetch = 400;
    world.destination("contoso").set_latency(Duration::from_secs(14));
    put(&world, 1_000, OFFER);
    put(&world, 500, "fabrikam.x");
    let life = world.start().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.destination("fabrikam").holdings().len(), 500);
    assert!(world.broker.messages(&queue_of("contoso")).len() >= 800 - 100);
    // A hundred places in the lane, and as many for what it drinks.
    assert!(world.broker.held() <= 200, "{}", world.broker.held());
    world.settle().await;
    assert_eq!(world.destination("contoso").holdings().len(), 1_000);
    assert_eq!(world.dead_reasons(), []);
    assert_eq!(world.broker.dropped(), 0);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_drunk_in_batches_by_a_worker_whose_inbox_is_empty() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_fault(Fault::Whole(Reply::Credentials(Code::known("AuthenticationFailed"))));
    put(&world, 3_000, OFFER);
    let life = world.start().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    life.stop().await;
    assert!(world.broker.messages(&queue_of("contoso")).len() > 2_900);
    world.destination("contoso").heal();
    let before = world.destination("contoso").calls().len();
    let life = world.start().await;
    world.settle().await;
    let calls = world.destination("contoso").calls().len() - before;
    assert_eq!(world.destination("contoso").holdings().len(), 3_000);
    assert!(calls <= 60, "{calls} calls");
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_destination_that_was_removed_is_routed_afresh() {
    let mut world = World::new(&["contoso", "fabrikam"]);
    let wrong = Reply::Credentials(Code::known("AuthenticationFailed"));
    world.destination("fabrikam").set_fault(Fault::Whole(wrong));
    put(&world, 200, "fabrikam.x");
    put(&world, 50, "fabrikam.y");
    let life = world.start().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    life.stop().await;
    assert_eq!(world.broker.messages(&queue_of("fabrikam")).len(), 250);
    let removed = world.destinations.remove("fabrikam").unwrap();
    world.routes = Routes::default();
    for pattern in ["contoso.*", "fabrikam.x"] {
        let (pattern, name) = (OfferPattern::parse(pattern).unwrap(), DestinationName::parse("contoso").unwrap());
        world.routes.add(pattern, name).unwrap();
    }
    let life = world.start().await;
    world.settle().await;
    assert!(world.broker.messages(&queue_of("fabrikam")).is_empty());
    assert_eq!(world.destination("contoso").holdings().len(), 200);
    assert_eq!(removed.holdings().len(), 0);
    let reasons: Vec<_> = world.dead_reasons().into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["unroutable"; 50]);
    life.stop().await;
}

/// A fuse that keeps the most consumers of the inbox that there were when one had begun, and then does something.
fn watching(world: &World, most: &Arc<AtomicUsize>, then: impl Fn() + Send + Sync + 'static) -> Steps {
    let (broker, most) = (world.broker.clone(), Arc::clone(most));
    Steps::watched(Box::new(move |passing| {
        if (passing.step, passing.edge) == (Step::Consume, Edge::After) {
            let consumers = broker.consumers(&Queue::Inbox);
            most.fetch_max(consumers, Ordering::SeqCst);
            if consumers > 1 {
                then();
            }
        }
        false
    }))
}

#[tokio::test(start_paused = true)]
async fn a_fresh_consumer_takes_over_before_the_one_that_is_held_up_is_left() {
    let world = World::new(&["contoso", "fabrikam"]);
    world.destination("fabrikam").set_latency(Duration::from_secs(12));
    let most = Arc::default();
    let life = world.start_watched(watching(&world, &most, || {})).await;
    put(&world, 300, OFFER);
    put(&world, 300, "fabrikam.appliance");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
    world.broker.hold_up(&Queue::Inbox);
    put(&world, 600, OFFER);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((most.load(Ordering::SeqCst), world.broker.consumers(&Queue::Inbox)), (2, 1));
    assert_eq!(world.destination("contoso").holdings().len(), 600);
    world.settle().await;
    assert_eq!(world.destination("fabrikam").holdings().len(), 300);
    for destination in ["contoso", "fabrikam"] {
        let handed_back = format!("leadrelay_settled_total{{destination=\"{destination}\",fate=\"handed_back\"}}");
        assert_eq!(life.metric(&handed_back), 0.0);
        world.destination(destination).assert_no_lead_was_created_twice();
    }
    assert_eq!(world.broker.dropped(), 0);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopped_while_a_fresh_consumer_takes_over_all_that_it_was_sent_goes_back() {
    let mut world = World::new(&["contoso"]);
    world.settings.prefetch = 100;
    let (most, stop) = (Arc::default(), Arc::new(OnceLock::<Stop>::new()));
    let in_fuse = Arc::clone(&stop);
    let life = world.start_watched(watching(&world, &most, move || in_fuse.get().unwrap().take.cancel())).await;
    stop.set(life.stopping()).unwrap();
    put(&world, 1, OFFER);
    world.settle().await;
    world.destination("contoso").set_latency(Duration::from_secs(5));
    put(&world, 2_000, OFFER);
    world.broker.hold_up(&Queue::Inbox);
    tokio::time::sleep(Duration::from_secs(1)).await;
    life.stop().await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert_eq!((world.broker.dropped(), world.broker.held()), (0, 0));
    let life = world.start().await;
    world.settle().await;
    assert_eq!(world.destination("contoso").holdings().len(), 2_000, "lead0 to lead1999, one of them before");
    life.stop().await;
}
