//! A broker that refuses, returns, loses and hangs up: a message is acknowledged only once what replaces it is safe.

mod support;

use std::time::Duration;

use leadrelay::broker::Queue;
use leadrelay::broker::memory::Fault as Broken;
use leadrelay::destination::memory::Fault;
use leadrelay::domain::reply::{Code, Quick, Reply};
use leadrelay::domain::retry::Tier;
use leadrelay::domain::route::DestinationName;
use leadrelay::worker::Ended;
use support::world::{Event, World, raw};
use tokio::time::Instant;

const OFFER: &str = "contoso.appliance";
const LEADS: usize = 10;

fn put_leads(world: &World, count: usize) {
    for n in 0..count {
        world.put(&Event::new(&format!("lead{n}@example.com"), OFFER));
    }
}

fn put_malformed(world: &World, count: usize) {
    for n in 0..count {
        world.broker.put(raw(format!("not json {n}")));
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// A queue that takes no message, or tells nobody that it did, and what makes messages go there.
fn heading_for(world: &World, queue: &Queue) {
    let code = Code::known("code");
    match queue {
        Queue::Dead => put_malformed(world, LEADS),
        Queue::Wait(_) => {
            let throttled = Reply::Throttled { code, retry_after: Some(Duration::from_secs(60)) };
            world.destination("contoso").set_fault(Fault::Whole(throttled));
            put_leads(world, LEADS);
        }
        Queue::Retry(_) | Queue::Inbox => {
            let transient = Reply::Transient { code, quick: Quick::Pointless };
            world.destination("contoso").set_fault(Fault::Whole(transient));
            put_leads(world, LEADS);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_published_again_is_not_acknowledged_and_arrives_once_it_can() {
    let wait = Queue::Wait(DestinationName::parse("contoso").unwrap());
    for queue in [Queue::Dead, Queue::Retry(Tier::S5), wait] {
        for fault in [Broken::Refuse, Broken::Return, Broken::LoseMessage, Broken::LoseConfirm] {
            let world = World::new(&["contoso"]);
            heading_for(&world, &queue);
            world.broker.break_publishes(&queue, fault);
            let life = world.start().await;
            seconds(4).await;
            let when = format!("{queue}, {fault:?}");
            assert_eq!(world.broker.held(), LEADS, "{when}: all are still the broker's");
            assert_eq!(life.metric("leadrelay_settled_total"), 0.0, "{when}");
            world.broker.mend(&queue);
            world.destination("contoso").heal();
            world.settle().await;
            let mut arrived: Vec<_> = world.dead().into_iter().map(|letter| letter.body).collect();
            let copies = arrived.len();
            arrived.sort();
            arrived.dedup();
            assert_eq!(arrived.len() + world.destination("contoso").holdings().len(), LEADS, "{when}");
            // Only of what was published and not confirmed may there be another.
            assert!(copies == arrived.len() || fault == Broken::LoseConfirm, "{when}: {copies} letters");
            world.destination("contoso").assert_no_lead_was_created_twice();
            life.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_connection_took_back_is_not_published_again_as_well() {
    let world = World::new(&["contoso"]);
    world.broker.break_publishes(&Queue::Dead, Broken::Refuse);
    put_malformed(&world, LEADS);
    let life = world.start().await;
    seconds(1).await;
    world.broker.drop_connection();
    seconds(1).await;
    world.broker.reconnect();
    world.broker.mend(&Queue::Dead);
    world.settle().await;
    assert_eq!(world.dead().len(), LEADS);
    assert_eq!(life.metric("leadrelay_settled_total{destination=\"\",fate=\"handed_back\"}"), LEADS as f64);
    assert_eq!(world.broker.dropped(), 0);
    life.stop().await;
}

/// The channel closes in the middle of the publish: the broker has the message again, and one fate is one receipt's.
#[tokio::test(start_paused = true)]
async fn a_message_whose_channel_closes_while_it_is_published_again_counts_as_handed_back() {
    let world = World::new(&["contoso"]);
    world.broker.block_publishing(true);
    put_malformed(&world, LEADS);
    let life = world.start().await;
    seconds(1).await;
    world.broker.drop_connection();
    seconds(1).await;
    world.broker.reconnect();
    world.settle().await;
    let settled = |fate| life.metric(&format!("leadrelay_settled_total{{destination=\"\",fate=\"{fate}\"}}"));
    assert_eq!((settled("handed_back"), settled("dead")), (LEADS as f64, LEADS as f64));
    assert_eq!(world.broker.dropped(), 0);
    life.stop().await;
}

/// A nack is no pause: each counts towards the delivery limit.
#[tokio::test(start_paused = true)]
async fn while_the_broker_says_nothing_no_send_starts_and_nothing_is_handed_back() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    put_leads(&world, 1);
    world.settle().await;
    world.broker.fall_silent(true);
    put_leads(&world, 300);
    seconds(10).await;
    assert_eq!(world.destination("contoso").calls().len(), 1);
    world.broker.fall_silent(false);
    world.settle().await;
    assert_eq!(world.destination("contoso").holdings().len(), 300);
    assert_eq!(life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"handed_back\"}"), 0.0);
    life.stop().await;
}

/// Another worker may own the ledger by then: not a part of a batch that is being split, not a batch that waits.
#[tokio::test(start_paused = true)]
async fn while_the_connection_is_lost_no_send_starts_and_what_was_under_way_is_delivered_once() {
    let world = World::new(&["contoso"]);
    let destination = world.destination("contoso");
    destination.set_latency(Duration::from_secs(2));
    let mut first = true;
    destination.set_script(move |_| match std::mem::take(&mut first) {
        true => Fault::Whole(Reply::Rejected(Code::known("InvalidInput"))),
        false => Fault::Nothing,
    });
    put_leads(&world, 1_000);
    let life = world.start().await;
    seconds(1).await;
    let lost = Instant::now();
    world.broker.drop_connection();
    seconds(10).await;
    world.broker.reconnect();
    let found = Instant::now();
    world.settle().await;
    let calls = destination.calls();
    assert!(calls.iter().any(|call| call.at < lost) && calls.iter().any(|call| call.at >= found));
    assert_eq!(calls.iter().filter(|call| (lost..found).contains(&call.at)).count(), 0);
    assert_eq!(destination.holdings().len(), 1_000);
    destination.assert_no_lead_was_created_twice();
    assert_eq!((world.dead_reasons(), world.broker.dropped()), (Vec::new(), 0));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_place_was_taken_while_it_was_cut_off_stands_by() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    put_leads(&world, 10);
    world.settle().await;
    world.broker.owned_by_another(true);
    world.broker.drop_connection();
    world.broker.reconnect();
    put_leads(&world, 20);
    seconds(60).await;
    assert_eq!(life.stop().await, Ended::Superseded);
    assert_eq!((world.destination("contoso").holdings().len(), world.broker.held()), (10, 0));
    world.broker.owned_by_another(false);
    let life = world.start().await;
    world.settle().await;
    assert_eq!(world.destination("contoso").holdings().len(), 20);
    life.stop().await;
}
