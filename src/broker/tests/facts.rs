//! What was measured of lapin and of RabbitMQ, and that we live with it. Each fails when its handling is removed.

#![allow(clippy::disallowed_methods, reason = "the broker is real")]

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::future::join_all;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::domain::envelope::{self, Envelope, HeaderValue, Stamp};
use crate::domain::retry::Tier;

/// lapin takes a publish's number and queues its frames under two locks: two tasks on one channel get each other's
/// confirms (77 of 4,000 were told the wrong thing).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_publishers_of_whom_half_are_refused_are_told_the_truth() {
    let rabbit = Rabbit::start().await;
    declare_dead_with_room_for(&rabbit, 10).await;
    let publishes = (0..32).map(|publisher| {
        let broker = &rabbit.broker;
        async move {
            let mut told = Vec::new();
            for round in 0..25 {
                let queue = |n| if (publisher + n) % 2 == 0 { Queue::Dead } else { Queue::Inbox };
                let texts: Vec<String> = (0..5).map(|n| format!("{publisher}/{round}/{n}")).collect();
                let outgoing: Vec<Outgoing> = (0..5).map(|n| to(&queue(n), &texts[n])).collect();
                told.extend(texts.into_iter().zip(broker.publish(&outgoing).await));
            }
            told
        }
    });
    let told: Vec<(String, Result<(), PublishError>)> = join_all(publishes).await.into_iter().flatten().collect();

    let mut there: HashSet<String> = drain(&rabbit.broker, &Queue::Dead).await.iter().map(text).collect();
    there.extend(drain(&rabbit.broker, &Queue::Inbox).await.iter().map(text));
    let refused = told.iter().filter(|(_, outcome)| *outcome == Err(PublishError::Refused)).count();
    assert!(refused > 1_500 && there.len() >= 2_000, "{refused} refused, {} there: one queue was full", there.len());
    let wrong: Vec<_> = told.iter().filter(|(text, outcome)| outcome.is_ok() != there.contains(text)).collect();
    assert_eq!(wrong, Vec::<&(String, Result<(), PublishError>)>::new());
    rabbit.clean().await;
}

/// lapin hands a returned message to whichever confirm resolves first (up to 101 of 4,000 unroutable ones seemed
/// routed).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_no_queue_took_never_seems_published() {
    let rabbit = Rabbit::bare(&url(), &fresh_prefix()).await;
    declare_dead_with_room_for(&rabbit, 1_000_000).await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let choose = |_| if random.random_bool(0.3) { Queue::Retry(Tier::H6) } else { Queue::Dead };
    let queues: Vec<Queue> = (0..8_000).map(choose).collect();

    let shares = join_all(queues.chunks(1_000).map(|share| async {
        let outgoing: Vec<Outgoing> = share.iter().map(|queue| to(queue, "x")).collect();
        rabbit.broker.publish(&outgoing).await
    }));
    let outcomes = shares.await.concat();
    let wrong = queues.iter().zip(&outcomes).filter(|(queue, outcome)| match queue {
        Queue::Dead => **outcome != Ok(()),
        _ => **outcome != Err(PublishError::Returned),
    });
    assert_eq!(wrong.count(), 0);
    rabbit.clean().await;
}

/// The broker reads `x-death` even if a client wrote it, and up to 3.13 drops or holds for ever a message that it
/// takes to go round in a cycle, confirmed or not.
#[tokio::test]
async fn a_message_that_was_dead_goes_through_the_retry_queues_twice() {
    let rabbit = Rabbit::start().await;
    let broker = &rabbit.broker;
    publish(broker, &Queue::Inbox, numbered(1)).await;
    let mut inbox = broker.consume(&Queue::Inbox, 1).await.expect("consume");
    for _ in 0..=100 {
        next(&mut inbox).await.hand_back();
    }
    let mut dead = broker.consume(&Queue::Dead, 1).await.expect("consume");
    let letter = next(&mut dead).await;
    assert!(letter.message.properties.headers.contains_key("x-death"), "the inbox's own death is recorded");

    let mut message = letter.message.clone();
    for _ in 0..2 {
        let envelope = Envelope::read(&message.properties, jiff::Timestamp::UNIX_EPOCH);
        let message_again = envelope::republished(&message, &Stamp::of(&envelope));
        let retried = [Outgoing { queue: Queue::Retry(Tier::S5), message: message_again }];
        assert_eq!(broker.publish(&retried).await, [Ok(())]);
        let back = next(&mut inbox).await;
        message = back.message.clone();
        back.ack();
    }
    assert_eq!(text(&message), "message 0");
    letter.ack();
    rabbit.clean().await;
}

/// On 4.x a queue without a limit of its own has one of 20, and every look counts.
#[tokio::test]
async fn dead_letters_survive_being_looked_at() {
    let rabbit = Rabbit::start().await;
    publish(&rabbit.broker, &Queue::Dead, numbered(50)).await;
    for _ in 0..25 {
        let seen = rabbit.broker.browse(&Queue::Dead, 30).await.expect("browse");
        assert_eq!(seen.iter().map(text).collect::<Vec<_>>(), numbered(30).collect::<Vec<_>>());
    }
    until_depth(&rabbit.broker, &Queue::Dead, 50).await;
    let left = drain(&rabbit.broker, &Queue::Dead).await;
    assert_eq!(left.iter().map(text).collect::<Vec<_>>(), numbered(50).collect::<Vec<_>>());
    rabbit.clean().await;
}

/// An ack with `multiple` that names a tag acknowledged before closes the channel, and now and then the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_from_many_tasks_in_any_order_never_close_the_channel() {
    let rabbit = Rabbit::start().await;
    publish(&rabbit.broker, &Queue::Inbox, numbered(10_000)).await;
    let mut inbox = rabbit.broker.consume(&Queue::Inbox, 500).await.expect("consume");
    let mut returns: HashMap<String, u64> = HashMap::new();
    let mut left = 10_000;
    let (settled, mut done) = tokio::sync::mpsc::channel(500);
    while left > 0 {
        tokio::select! {
            received = next(&mut inbox) => {
                let again = returns.entry(text(&received.message)).or_default();
                assert_eq!(received.delivery_count, *again, "nobody else has handed it back");
                let (late, back) = (rand::random_range(0..80), *again == 0 && rand::random_ratio(1, 50));
                *again += u64::from(back);
                let settled = settled.clone();
                tokio::spawn(async move {
                    // Some are stragglers behind which islands form.
                    tokio::time::sleep(Duration::from_millis(if late < 76 { late } else { late * 3 })).await;
                    if back { received.hand_back() } else { received.ack() }
                    settled.send(back).await
                });
            }
            Some(back) = done.recv() => left -= usize::from(!back),
        }
    }
    drop(inbox);
    assert_eq!(drain(&rabbit.broker, &Queue::Inbox).await, []);
    assert_eq!(rabbit.telemetry.metrics.unsettled_dropped.get(), 0);
    rabbit.clean().await;
}

/// A header frame over the negotiated size closes the connection, and would do so again and again.
#[tokio::test]
async fn a_message_with_too_large_a_header_is_refused_and_harms_nobody() {
    let rabbit = Rabbit::start().await;
    let mut large = to(&Queue::Inbox, "large");
    large.message.properties.headers = BTreeMap::from([("x".into(), HeaderValue::Text("x".repeat(200_000)))]);
    let mut long = to(&Queue::Inbox, "long");
    long.message.properties.message_id = Some("m".repeat(256));
    let outgoing = [to(&Queue::Inbox, "before"), large, long, to(&Queue::Inbox, "after")];
    let refused = Err(PublishError::Refused);
    assert_eq!(rabbit.broker.publish(&outgoing).await, [Ok(()), refused.clone(), refused, Ok(())]);
    assert_eq!(drain(&rabbit.broker, &Queue::Inbox).await.len(), 2);
    rabbit.clean().await;
}

/// Publishing to an exchange that is not there closes the channel under everybody who shares the window.
#[tokio::test]
async fn a_publish_that_closes_the_channel_spoils_only_itself() {
    let rabbit = Rabbit::start().await;
    let channel = rabbit.raw().await;
    channel.exchange_delete(rabbit.prefix.as_str().into(), Default::default()).await.expect("delete the exchange");
    let good: Vec<Outgoing> = numbered(20).map(|text| to(&Queue::Dead, text)).collect();
    let bad = [("some.offer".to_owned(), message("bad"))];
    let rounds = (0..10).map(|_| async {
        let (good, bad) = tokio::join!(rabbit.broker.publish(&good), rabbit.broker.publish_to_exchange(&bad));
        assert!(good.iter().all(Result::is_ok), "{good:?}");
        assert_eq!(bad, [Err(PublishError::Returned)]);
    });
    join_all(rounds).await;
    rabbit.clean().await;
}

#[tokio::test]
async fn what_is_published_to_the_exchange_is_routed_to_the_inbox() {
    let rabbit = Rabbit::start().await;
    let messages = [("arraynetworks.vAPV".to_owned(), message("a")), ("other".to_owned(), message("b"))];
    assert_eq!(rabbit.broker.publish_to_exchange(&messages).await, [Ok(()), Ok(())]);
    assert_eq!(drain(&rabbit.broker, &Queue::Inbox).await.iter().map(text).collect::<Vec<_>>(), ["a", "b"]);
    rabbit.clean().await;
}

async fn declare_dead_with_room_for(rabbit: &Rabbit, messages: i64) {
    let text = |text: &str| AMQPValue::LongString(LongString::from(text.as_bytes()));
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(messages));
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    let channel = rabbit.raw().await;
    channel.queue_delete(rabbit.name("dead").as_str().into(), Default::default()).await.expect("delete");
    channel.queue_declare(rabbit.name("dead").as_str().into(), options, arguments).await.expect("declare");
}

/// What stands behind an unfinished message can be acknowledged only one by one, each at the price of a message. A fresh
/// channel has no such message before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_straggler_a_consumer_is_held_up_and_a_fresh_one_goes_on() {
    let rabbit = Rabbit::start().await;
    let texts: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let outgoing: Vec<Outgoing> = texts.iter().map(|text| to(&Queue::Inbox, text)).collect();
    assert!(rabbit.broker.publish(&outgoing).await.iter().all(Result::is_ok));
    let mut subscription = rabbit.broker.consume(&Queue::Inbox, 16).await.expect("consume");
    let straggler = next(&mut subscription).await;
    let held_up = subscription.held_up();
    tokio::pin!(held_up);
    let mut seen = 1;
    loop {
        tokio::select! {
            biased;
            () = &mut held_up => break,
            message = next(&mut subscription) => message.ack(),
        }
        seen += 1;
        assert!(seen < 200, "nobody noticed the straggler");
    }
    subscription.cancel().await;
    while let Some(message) = subscription.next().await {
        message.ack();
        seen += 1;
    }
    let mut fresh = rabbit.broker.consume(&Queue::Inbox, 16).await.expect("consume");
    let held_up = fresh.held_up();
    for _ in seen..200 {
        next(&mut fresh).await.ack();
    }
    assert!(futures_util::FutureExt::now_or_never(held_up).is_none(), "nothing stands before these");
    straggler.ack();
    drop(fresh);
    assert_eq!(drain(&rabbit.broker, &Queue::Inbox).await, [], "the straggler could still be acknowledged");
    rabbit.clean().await;
}
