//! What every broker behind the seam does.

use std::collections::BTreeMap;

use super::*;
use crate::broker::memory::MemoryBroker;
use crate::domain::envelope::HeaderValue;
use crate::domain::retry::Tier;
use crate::domain::route::DestinationName;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

/// A broker to test, and what it needs to tell the tests.
enum Subject {
    Memory(MemoryBroker),
    Rabbit(Box<Rabbit>),
}

impl Subject {
    fn broker(&self) -> &dyn Broker {
        match self {
            Self::Memory(broker) => broker,
            Self::Rabbit(rabbit) => &rabbit.broker,
        }
    }

    fn dropped(&self) -> u64 {
        match self {
            Self::Memory(broker) => broker.dropped(),
            Self::Rabbit(rabbit) => rabbit.telemetry.metrics.unsettled_dropped.get(),
        }
    }

    async fn clean(self) {
        if let Self::Rabbit(rabbit) = self {
            rabbit.clean().await;
        }
    }
}

/// Each sentence is a test of the broker in memory and of RabbitMQ.
macro_rules! conformance {
    ($($sentence:ident)*) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $sentence() {
                let subject = super::Subject::Memory(super::MemoryBroker::new());
                super::$sentence(&subject).await;
            })*
        }
        mod rabbitmq {
            $(#[tokio::test]
            async fn $sentence() {
                let subject = super::Subject::Rabbit(Box::new(super::Rabbit::start().await));
                super::$sentence(&subject).await;
                subject.clean().await;
            })*
        }
    };
}

conformance! {
    a_message_arrives_as_it_was_published
    messages_arrive_in_the_order_in_which_they_were_published
    no_more_than_the_prefetch_is_unsettled
    what_is_acknowledged_is_gone
    acknowledging_in_any_order_leaves_nothing
    a_message_that_is_handed_back_returns_to_its_place_and_is_counted
    a_message_that_is_dropped_is_handed_back_and_the_drop_is_counted
    a_cancelled_consumer_gives_what_it_was_sent_and_ends
    what_a_cancelled_consumer_gave_can_still_be_acknowledged
    what_nobody_took_from_a_dropped_subscription_goes_back
    a_retry_queue_gives_its_messages_to_the_inbox_after_its_delay
    the_depth_is_what_is_ready_and_an_absent_queue_is_empty
    a_wait_queue_is_declared_when_it_is_first_published_to
    a_wait_queue_is_declared_when_it_is_first_consumed
    a_message_that_comes_back_too_often_is_dead_lettered_by_the_broker
    many_publishers_each_learn_what_became_of_their_own
}

fn wait() -> Queue {
    Queue::Wait(DestinationName::parse("slow").expect("a legal name"))
}

async fn a_message_arrives_as_it_was_published(subject: &Subject) {
    let list = vec![HeaderValue::Int(-7), HeaderValue::Table(BTreeMap::from([("x".into(), HeaderValue::Null)]))];
    let headers = BTreeMap::from([
        ("null".into(), HeaderValue::Null),
        ("bool".into(), HeaderValue::Bool(true)),
        ("int".into(), HeaderValue::Int(i64::MIN)),
        ("float".into(), HeaderValue::Float(0.1)),
        ("decimal".into(), HeaderValue::Decimal { scale: 2, value: 314 }),
        ("text".into(), HeaderValue::Text("Ærø, 岛".into())),
        ("bytes".into(), HeaderValue::Bytes(vec![0xff, 0, 0xfe])),
        ("time".into(), HeaderValue::Timestamp(1_700_000_000)),
        ("list".into(), HeaderValue::List(list)),
    ]);
    let properties = Properties {
        content_type: Some("application/json".into()),
        content_encoding: Some("utf-8".into()),
        message_id: Some("m".repeat(255)),
        correlation_id: Some("c".into()),
        kind: Some("consent".into()),
        app_id: Some("producer".into()),
        timestamp: Some(1_700_000_000),
        headers,
    };
    let body: Bytes = (0..200_000_u32).map(|n| n as u8).collect();
    let sent = [Message { body, properties }, Message::default()];
    let outgoing = sent.clone().map(|message| Outgoing { queue: Queue::Inbox, message });
    assert_eq!(subject.broker().publish(&outgoing).await, [Ok(()), Ok(())]);

    let mut subscription = subject.broker().consume(&Queue::Inbox, 10).await.expect("consume");
    for sent in sent {
        let received = next(&mut subscription).await;
        assert_eq!((&*received.message, &received.queue, received.delivery_count), (&sent, &Queue::Inbox, 0));
        received.ack();
    }
}

async fn messages_arrive_in_the_order_in_which_they_were_published(subject: &Subject) {
    publish(subject.broker(), &Queue::Inbox, numbered(1_200)).await;
    let mut subscription = subject.broker().consume(&Queue::Inbox, 100).await.expect("consume");
    for expected in numbered(1_200) {
        let received = next(&mut subscription).await;
        assert_eq!(text(&received.message), expected);
        received.ack();
    }
}

async fn no_more_than_the_prefetch_is_unsettled(subject: &Subject) {
    publish(subject.broker(), &Queue::Inbox, numbered(5)).await;
    let mut subscription = subject.broker().consume(&Queue::Inbox, 3).await.expect("consume");
    let mut held = vec![];
    for _ in 0..3 {
        held.push(next(&mut subscription).await);
    }
    nothing_more(&mut subscription).await;
    held.remove(0).ack();
    held.push(next(&mut subscription).await);
    nothing_more(&mut subscription).await;
    held.into_iter().for_each(Unsettled::ack);
}

async fn what_is_acknowledged_is_gone(subject: &Subject) {
    publish(subject.broker(), &Queue::Inbox, numbered(3)).await;
    assert_eq!(drain(subject.broker(), &Queue::Inbox).await.len(), 3);
    assert_eq!(drain(subject.broker(), &Queue::Inbox).await, []);
}

async fn acknowledging_in_any_order_leaves_nothing(subject: &Subject) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    publish(subject.broker(), &Queue::Inbox, numbered(2_000)).await;
    let mut subscription = subject.broker().consume(&Queue::Inbox, 400).await.expect("consume");
    let mut held = vec![];
    for _ in 0..2_000 {
        held.push(next(&mut subscription).await);
        if held.len() == 400 {
            held.shuffle(&mut random);
            held.drain(..300).for_each(Unsettled::ack);
        }
    }
    held.shuffle(&mut random);
    held.into_iter().for_each(Unsettled::ack);
    subscription.cancel().await;
    while subscription.next().await.is_some() {}
    drop(subscription);
    assert_eq!(drain(subject.broker(), &Queue::Inbox).await, []);
    assert_eq!(subject.dropped(), 0);
}

async fn a_message_that_is_handed_back_returns_to_its_place_and_is_counted(subject: &Subject) {
    publish(subject.broker(), &Queue::Inbox, numbered(4)).await;
    let mut subscription = subject.broker().consume(&Queue::Inbox, 2).await.expect("consume");
    let (first, second) = (next(&mut subscription).await, next(&mut subscription).await);
    first.hand_back();
    let again = next(&mut subscription).await;
    assert_eq!((text(&again.message).as_str(), again.delivery_count), ("message 0", 1));
    second.ack();
    again.ack();
    for expected in ["message 2", "message 3"] {
        let received = next(&mut subscription).await;
        assert_eq!((text(&received.message).as_str(), received.delivery_count), (expected, 0));
        received.ack();
    }
}

async fn a_message_that_is_dropped_is_handed_back_and_the_drop_is_counted(subject: &Subject) {
    publish(subject.broker(), &Queue::Inbox, numbered(1)).await;
    let mut subscription = subject.broker().consume(&Queue::Inbox, 1).await.expect("consume");
    drop(next(&mut subscription).await);
    let again = next(&mut subscription).await;
    assert_eq!((again.delivery_count, subject.dropped()), (1, 1));
    again.ack();
}

async fn a_cancelled_consumer_gives_what_it_was_sent_and_ends(subject: &Subject) {
    publish(subject.broker(), &Queue::Inbox, numbered(3)).await;
    let mut subscription = subject.broker().consume(&Queue::Inbox, 10).await.expect("consume");
    let first = next(&mut subscription).await;
    subscription.cancel().await;
    publish(subject.broker(), &Queue::Inbox, ["too late".into()]).await;
    let mut rest = vec![];
    while let Some(unsettled) = timeout(SOON, subscription.next()).await.expect("the end, soon") {
        rest.push(text(&unsettled.message));
        unsettled.ack();
    }
    first.ack();
    assert!(rest.len() <= 2 && !rest.contains(&"too late".to_owned()), "{rest:?}");
    drop(subscription);
    let left = drain(subject.broker(), &Queue::Inbox).await;
    assert_eq!(left.len(), 3 - rest.len(), "nothing is lost and nothing is doubled");
}

async fn what_a_cancelled_consumer_gave_can_still_be_acknowledged(subject: &Subject) {
    publish(subject.broker(), &Queue::Inbox, numbered(2)).await;
    let mut subscription = subject.broker().consume(&Queue::Inbox, 10).await.expect("consume");
    let (first, second) = (next(&mut subscription).await, next(&mut subscription).await);
    subscription.cancel().await;
    assert!(timeout(SOON, subscription.next()).await.expect("the end, soon").is_none());
    drop(subscription);
    assert!(!first.is_stale() && !second.is_stale());
    first.ack();
    second.ack();
    assert_eq!(drain(subject.broker(), &Queue::Inbox).await, []);
}

async fn what_nobody_took_from_a_dropped_subscription_goes_back(subject: &Subject) {
    publish(subject.broker(), &Queue::Inbox, numbered(20)).await;
    let mut subscription = subject.broker().consume(&Queue::Inbox, 10).await.expect("consume");
    next(&mut subscription).await.ack();
    drop(subscription);
    until_depth(subject.broker(), &Queue::Inbox, 19).await;
}

async fn a_retry_queue_gives_its_messages_to_the_inbox_after_its_delay(subject: &Subject) {
    let mut subscription = subject.broker().consume(&Queue::Inbox, 10).await.expect("consume");
    let published = tokio::time::Instant::now();
    publish(subject.broker(), &Queue::Retry(Tier::S5), numbered(2)).await;
    publish(subject.broker(), &Queue::Retry(Tier::S30), ["later".into()]).await;
    for expected in numbered(2) {
        let received = next(&mut subscription).await;
        let took = published.elapsed();
        assert_eq!(text(&received.message), expected);
        assert!(took > Duration::from_millis(4_900) && took < Duration::from_secs(15), "{took:?}");
        assert!(received.message.properties.headers.contains_key("x-death"));
        received.ack();
    }
    assert_eq!(subject.broker().depth(&Queue::Retry(Tier::S30)).await.expect("the depth"), 1);
}

async fn the_depth_is_what_is_ready_and_an_absent_queue_is_empty(subject: &Subject) {
    let broker = subject.broker();
    publish(broker, &Queue::Dead, numbered(3)).await;
    until_depth(broker, &Queue::Dead, 3).await;
    let mut subscription = broker.consume(&Queue::Dead, 1).await.expect("consume");
    let held = next(&mut subscription).await;
    until_depth(broker, &Queue::Dead, 2).await;
    held.hand_back();
    assert_eq!(broker.depth(&wait()).await.expect("the depth"), 0);
}

async fn a_wait_queue_is_declared_when_it_is_first_published_to(subject: &Subject) {
    let broker = subject.broker();
    let outgoing = [to(&Queue::Inbox, "a"), to(&wait(), "b"), to(&Queue::Dead, "c"), to(&wait(), "d")];
    assert_eq!(broker.publish(&outgoing).await, [Ok(()), Ok(()), Ok(()), Ok(())]);
    assert_eq!(drain(broker, &wait()).await.iter().map(text).collect::<Vec<_>>(), ["b", "d"]);
}

async fn a_wait_queue_is_declared_when_it_is_first_consumed(subject: &Subject) {
    let mut subscription = subject.broker().consume(&wait(), 10).await.expect("consume");
    publish(subject.broker(), &wait(), numbered(1)).await;
    let received = next(&mut subscription).await;
    assert_eq!(received.queue, wait());
    received.ack();
}

async fn a_message_that_comes_back_too_often_is_dead_lettered_by_the_broker(subject: &Subject) {
    publish(subject.broker(), &Queue::Inbox, numbered(1)).await;
    let mut subscription = subject.broker().consume(&Queue::Inbox, 1).await.expect("consume");
    for returns in 0..=100 {
        let received = next(&mut subscription).await;
        assert_eq!(received.delivery_count, returns);
        received.hand_back();
    }
    nothing_more(&mut subscription).await;
    until_depth(subject.broker(), &Queue::Dead, 1).await;
    let dead = drain(subject.broker(), &Queue::Dead).await.remove(0);
    assert_eq!(text(&dead), "message 0");
    assert!(!dead.properties.headers.keys().any(|name| name.starts_with("x-leadrelay")), "{dead:?}");
    let reason = dead.properties.headers.get("x-first-death-reason").and_then(HeaderValue::as_text);
    assert_eq!(reason, Some("delivery_limit"));
}

async fn many_publishers_each_learn_what_became_of_their_own(subject: &Subject) {
    let publishes = (0..40).map(|n| async move {
        let outgoing: Vec<Outgoing> = (0..n).map(|m| to(&Queue::Inbox, format!("{n}/{m}"))).collect();
        let outcomes = subject.broker().publish(&outgoing).await;
        assert_eq!(outcomes, vec![Ok::<(), PublishError>(()); n]);
    });
    futures_util::future::join_all(publishes).await;
    assert_eq!(drain(subject.broker(), &Queue::Inbox).await.len(), (0..40).sum::<usize>());
}
