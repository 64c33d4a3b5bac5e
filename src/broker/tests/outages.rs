//! The broker killed, frozen, alarmed and closed to us. Each test has a node of its own.

use std::collections::HashSet;
use std::sync::Mutex;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::node::Node;
use super::*;
use crate::broker::{BrokerError, Link, Publishing};
use crate::domain::retry::Tier;

async fn until(broker: &AmqpBroker, what: impl FnMut(&Link) -> bool) {
    let mut link = broker.link();
    timeout(SOON, link.wait_for(what)).await.expect("the link to change, soon").expect("the broker is there");
}

/// Begins to consume, as often as that takes, within reason.
async fn consume_again(broker: &AmqpBroker, prefetch: u16) -> Subscription {
    let consuming = async {
        loop {
            match broker.consume(&Queue::Inbox, prefetch).await {
                Ok(subscription) => return subscription,
                Err(BrokerError::Unreachable(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(other) => panic!("{other:?}"),
            }
        }
    };
    timeout(SOON, consuming).await.expect("to consume again, soon")
}

/// Publishes until everything is confirmed.
async fn publish_all(broker: &AmqpBroker, mut outgoing: Vec<Outgoing>) {
    while !outgoing.is_empty() {
        let outcomes = broker.publish(&outgoing).await;
        let left = outgoing.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_err());
        outgoing = left.map(|(one, _)| one).collect();
    }
}

/// lapin's own recovery stalls without an error in 3 of 8 runs; acks and confirms that never resolve are its rule.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_every_kill_of_the_broker_consuming_and_publishing_go_on_and_nothing_is_lost() {
    let node = Node::start().await;
    let rabbit = Rabbit::at(&node.url).await;
    let broker = Arc::new(rabbit.broker);
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);

    let seen = Arc::new(Mutex::new(HashSet::new()));
    let consuming = tokio::spawn({
        let (broker, seen) = (broker.clone(), seen.clone());
        async move {
            loop {
                let mut subscription = consume_again(&broker, 100).await;
                while let Some(unsettled) = subscription.next().await {
                    seen.lock().expect("no panic").insert(text(&unsettled.message));
                    unsettled.ack();
                }
            }
        }
    });
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move {
            let mut confirmed = 0;
            while !*stopped.borrow() {
                let batch = (confirmed..confirmed + 50).map(|n| to(&Queue::Inbox, format!("message {n}")));
                publish_all(&broker, batch.collect()).await;
                confirmed += 50;
            }
            confirmed
        }
    });
    for _ in 0..4 {
        let before = seen.lock().expect("no panic").len();
        let progress = async {
            while seen.lock().expect("no panic").len() < before + 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, progress).await.expect("messages flow again after a kill");
        tokio::time::sleep(Duration::from_millis(random.random_range(0..500))).await;
        node.kill().await;
        node.start_again().await;
    }
    stop.send_replace(true);
    let confirmed: usize = timeout(SOON, publishing).await.expect("publishing goes on").expect("no panic");
    let all_seen = async {
        while seen.lock().expect("no panic").len() < confirmed {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, all_seen).await.expect("every confirmed message is seen");
    consuming.abort();
    println!("{confirmed} messages, 4 kills");
}

/// Dead-lettering at most once, the default, lost 11,846 of 20,000.
#[tokio::test]
async fn a_broker_killed_while_it_lets_retries_go_loses_none() {
    let node = Node::start().await;
    let rabbit = Rabbit::at(&node.url).await;
    let retries = numbered(20_000).map(|text| to(&Queue::Retry(Tier::S5), text)).collect();
    publish_all(&rabbit.broker, retries).await;
    // Thawed, it finds all of them due at once.
    node.signal("STOP");
    tokio::time::sleep(Tier::S5.delay() + Duration::from_secs(1)).await;
    node.signal("CONT");
    let some_gone = async { while rabbit.broker.depth(&Queue::Inbox).await.expect("the depth") < 200 {} };
    timeout(SOON, some_gone).await.expect("retries come back");
    node.signal("KILL");
    node.kill().await;
    node.start_again().await;

    let mut subscription = consume_again(&rabbit.broker, 1_000).await;
    let mut seen = HashSet::new();
    while seen.len() < 20_000 {
        match timeout(SOON, subscription.next()).await {
            Ok(Some(unsettled)) => {
                seen.insert(text(&unsettled.message));
                unsettled.ack();
            }
            Ok(None) => subscription = consume_again(&rabbit.broker, 1_000).await,
            Err(_) => panic!("{} of 20,000 came back", seen.len()),
        }
    }
}

/// A broker with an alarm reads nothing from a connection that has published, and lapin writes nothing to it.
#[tokio::test]
async fn while_publishing_is_blocked_acks_go_on_and_publishes_wait() {
    let node = Node::start().await;
    let rabbit = Rabbit::at(&node.url).await;
    publish(&rabbit.broker, &Queue::Inbox, numbered(10)).await;
    let mut subscription = rabbit.broker.consume(&Queue::Inbox, 10).await.expect("consume");
    let mut held = vec![];
    for _ in 0..10 {
        held.push(next(&mut subscription).await);
    }
    node.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
    let outgoing = [to(&Queue::Dead, "blocked")];
    let mut publishing = std::pin::pin!(rabbit.broker.publish(&outgoing));
    tokio::select! {
        outcome = &mut publishing => panic!("published through an alarm: {outcome:?}"),
        () = until(&rabbit.broker, |link| link.publishing == Publishing::Blocked) => {}
    }
    assert_eq!(rabbit.telemetry.metrics.publisher_blocked.get(), 1);
    held.into_iter().for_each(Unsettled::ack);
    let all_acknowledged = async {
        let queue = format!("{} 0", rabbit.name("consent"));
        let list = ["list_queues", "--no-table-headers", "name", "messages"];
        while !node.control(&list).await.replace('\t', " ").lines().any(|line| line == queue) {}
    };
    tokio::select! {
        outcome = &mut publishing => panic!("published through an alarm: {outcome:?}"),
        acknowledged = timeout(SOON, all_acknowledged) => acknowledged.expect("the acks arrive"),
    }
    node.control(&["set_vm_memory_high_watermark", "0.9"]).await;
    assert_eq!(timeout(SOON, publishing).await.expect("published, now"), [Ok(())]);
    until(&rabbit.broker, |link| link.publishing == Publishing::Open).await;
}

/// On the next channel an old tag is another message's.
#[tokio::test]
async fn an_answer_to_a_channel_that_has_gone_answers_nothing() {
    let node = Node::start().await;
    let rabbit = Rabbit::at(&node.url).await;
    publish(&rabbit.broker, &Queue::Inbox, numbered(5)).await;
    let mut subscription = rabbit.broker.consume(&Queue::Inbox, 5).await.expect("consume");
    let mut old = vec![];
    for _ in 0..5 {
        old.push(next(&mut subscription).await);
    }
    // One whose consumer has ended long before: nobody reads there any more who could notice.
    publish(&rabbit.broker, &Queue::Dead, numbered(1)).await;
    let mut ended = rabbit.broker.consume(&Queue::Dead, 1).await.expect("consume");
    let kept = next(&mut ended).await;
    ended.cancel().await;
    assert!(timeout(SOON, ended.next()).await.expect("the end, soon").is_none());
    node.kill().await;
    assert!(timeout(SOON, subscription.next()).await.expect("the end, soon").is_none());
    until(&rabbit.broker, |link| !link.consuming && link.publishing == Publishing::Down).await;
    assert!(old.iter().all(Unsettled::is_stale));
    let noticed = async {
        while !kept.is_stale() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, noticed).await.expect("that its channel has gone is noticed");
    node.start_again().await;

    let mut subscription = consume_again(&rabbit.broker, 3).await;
    let mut new = vec![];
    for _ in 0..3 {
        new.push(next(&mut subscription).await);
    }
    old.pop().expect("five were held").hand_back();
    drop(old.pop());
    old.into_iter().for_each(Unsettled::ack);
    nothing_more(&mut subscription).await;
    assert_eq!(rabbit.telemetry.metrics.unsettled_dropped.get(), 0);
    new.into_iter().for_each(Unsettled::ack);
    drop(subscription);
    assert_eq!(drain(&rabbit.broker, &Queue::Inbox).await.len(), 2);
}

/// Our exclusive queue may be another's by the time that we notice: no send may start on a silent connection.
#[tokio::test]
async fn a_broker_that_says_nothing_for_15_seconds_is_not_consuming() {
    let node = Node::start().await;
    let rabbit = Rabbit::at(&node.url).await;
    until(&rabbit.broker, |link| link.consuming).await;
    let frozen_at = tokio::time::Instant::now();
    node.signal("STOP");
    until(&rabbit.broker, |link| !link.consuming).await;
    let noticed_after = frozen_at.elapsed();
    node.signal("CONT");
    assert!((9..18).contains(&noticed_after.as_secs()), "{noticed_after:?}");
    until(&rabbit.broker, |link| link.consuming).await;
    publish_all(&rabbit.broker, vec![to(&Queue::Inbox, "after")]).await;
}

#[tokio::test]
async fn a_user_without_permissions_is_told_what_to_grant() {
    let node = Node::start().await;
    node.control(&["add_user", "nobody", "hunter2"]).await;
    node.control(&["set_permissions", "nobody", "^$", "^$", "^$"]).await;
    let url = node.url.replace("guest:guest@", "nobody:hunter2@");
    let rabbit = Rabbit::bare(&url, "leads").await;
    match rabbit.broker.apply_topology(&[]).await {
        Err(BrokerError::Refused(said)) => {
            assert!(said.contains("leads.dead") && said.contains("set_permissions"), "{said}");
            assert!(!said.contains("hunter2") && !said.contains("nobody"), "{said}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn with_tls_only_a_broker_that_the_authority_vouches_for_is_talked_to() {
    let node = Node::start().await;
    let (url, authority) = node.listen_with_tls().await;
    let connect = |url: &str, authorities| {
        let settings = Settings { authorities, ..settings(url, "leads") };
        AmqpBroker::connect(settings, Arc::new(Telemetry::new())).expect("a legal URL")
    };
    let broker = connect(&url, Some(authority.clone()));
    broker.ready(SOON).await.expect("the authority vouches for it");
    broker.apply_topology(&[]).await.expect("declare the queues");
    publish(&broker, &Queue::Inbox, numbered(100)).await;
    assert_eq!(drain(&broker, &Queue::Inbox).await.len(), 100);
    broker.close().await;

    let by_address = url.replace("localhost", "127.0.0.1");
    for (url, authorities) in [(&url, None), (&by_address, Some(authority))] {
        let error = connect(url, authorities).ready(Duration::from_secs(3)).await.expect_err("nobody vouches for it");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}
