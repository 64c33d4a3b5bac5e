//! What stands at the broker, and what is said when it is not as it should be.

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

use super::*;
use crate::broker::BrokerError;
use crate::broker::amqp::{Difference, Pruned};
use crate::domain::route::DestinationName;

fn slow() -> DestinationName {
    DestinationName::parse("slow").expect("a legal name")
}

fn said<T>(result: Result<T, BrokerError>) -> BrokerError {
    result.map(drop).expect_err("this cannot work")
}

#[tokio::test]
async fn applying_declares_everything_and_applying_again_changes_nothing() {
    let rabbit = Rabbit::bare(&url(), &fresh_prefix()).await;
    let missing = rabbit.broker.check_topology(&[slow()]).await.expect("check");
    assert_eq!(missing.len(), 10, "nine queues and the exchange: {missing:?}");
    assert!(missing.iter().all(|difference| matches!(difference, Difference::Missing(_))), "{missing:?}");
    for _ in 0..2 {
        assert_eq!(rabbit.broker.apply_topology(&[slow()]).await.expect("apply").len(), 10);
        assert_eq!(rabbit.broker.check_topology(&[slow()]).await.expect("check"), []);
    }
    rabbit.clean().await;
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_told_apart_and_left_alone() {
    let rabbit = Rabbit::start().await;
    let name = rabbit.name("dead");
    let channel = rabbit.raw().await;
    channel.queue_delete(name.as_str().into(), Default::default()).await.expect("delete");
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(50));
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.as_str().into(), options, arguments).await.expect("declare");

    let difference = format!("{name}: x-delivery-limit is 50, wanted 2147483647");
    let found = rabbit.broker.check_topology(&[]).await.expect("check");
    assert_eq!(found, [Difference::Changed(difference.clone())]);
    match said(rabbit.broker.apply_topology(&[]).await) {
        BrokerError::Topology(said) => assert_eq!(said, difference),
        other => panic!("{other:?}"),
    }
    publish(&rabbit.broker, &Queue::Dead, numbered(1)).await;
    rabbit.clean().await;
}

#[tokio::test]
async fn an_argument_that_is_there_or_is_not_is_told_too() {
    let rabbit = Rabbit::start().await;
    let name = rabbit.name("retry.5s");
    let channel = rabbit.raw().await;
    channel.queue_delete(name.as_str().into(), Default::default()).await.expect("delete");
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.as_str().into(), options, arguments).await.expect("declare");
    let found = rabbit.broker.check_topology(&[]).await.expect("check");
    let [Difference::Changed(said)] = found.as_slice() else { panic!("{found:?}") };
    assert!(said.starts_with(&format!("{name}: x-")) && said.contains(" is none, wanted "), "{said}");
    rabbit.clean().await;
}

#[tokio::test]
async fn pruning_removes_what_is_empty_and_keeps_what_is_not() {
    let rabbit = Rabbit::start().await;
    let (wait, name) = (Queue::Wait(slow()), rabbit.name("wait.slow"));
    let prune = async || rabbit.broker.prune_topology(&[slow()]).await.expect("prune");
    assert_eq!(prune().await, [Pruned::Absent(name.clone())]);
    publish(&rabbit.broker, &wait, numbered(2)).await;
    until_depth(&rabbit.broker, &wait, 2).await;
    assert_eq!(prune().await, [Pruned::InUse { queue: name.clone(), messages: 2, consumers: 0 }]);
    assert_eq!(drain(&rabbit.broker, &wait).await.len(), 2);
    let removed = async {
        // The consumer that has just ended counts until its channel is closed.
        while prune().await != [Pruned::Removed(name.clone())] {}
    };
    timeout(SOON, removed).await.expect("removed, soon");
    assert_eq!(prune().await, [Pruned::Absent(name)]);
    rabbit.clean().await;
}

#[tokio::test]
async fn consuming_an_inbox_that_is_not_there_says_how_to_declare_it() {
    let rabbit = Rabbit::bare(&url(), &fresh_prefix()).await;
    match said(rabbit.broker.consume(&Queue::Inbox, 1).await) {
        missing @ BrokerError::Missing(_) => {
            let said = missing.to_string();
            assert!(said.contains(&rabbit.name("consent")) && said.contains("`leadrelay topology apply`"), "{said}");
        }
        other => panic!("{other:?}"),
    }
    rabbit.clean().await;
}

#[tokio::test]
async fn a_second_owner_stands_by_until_the_first_has_gone() {
    let first = Rabbit::start().await;
    let exclusive = || Settings { ownership: Ownership::Exclusive, ..settings(&first.url, &first.prefix) };
    let connect = || AmqpBroker::connect(exclusive(), Arc::new(Telemetry::new())).expect("a legal URL");
    let (holder, standby) = (connect(), connect());
    let subscription = holder.consume(&Queue::Inbox, 1).await.expect("consume");
    holder.own().await.expect("it is ours already");
    match said(standby.consume(&Queue::Inbox, 1).await) {
        BrokerError::Owned(object) => assert_eq!(object, first.name("owner")),
        other => panic!("{other:?}"),
    }
    drop(subscription);
    holder.close().await;
    let taken_over = async { while standby.consume(&Queue::Inbox, 1).await.is_err() {} };
    timeout(SOON, taken_over).await.expect("the standby takes over");
    standby.close().await;
    first.clean().await;
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_not_repeated() {
    let wrong = url().replace("guest:guest@", "guest:hunter2@");
    assert_ne!(wrong, url(), "the test's broker has the user guest");
    let broker = AmqpBroker::connect(settings(&wrong, "x"), Arc::new(Telemetry::new())).expect("a legal URL");
    match said(broker.ready(SOON).await) {
        BrokerError::Refused(said) => {
            assert!(said.contains("broker.url") && !said.contains("hunter2") && !said.contains("guest"), "{said}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_virtual_host_that_is_not_there_is_named() {
    let url = url();
    let (server, _) = url.rsplit_once('/').expect("a virtual host");
    let elsewhere = format!("{server}/nowhere");
    let broker = AmqpBroker::connect(settings(&elsewhere, "x"), Arc::new(Telemetry::new())).expect("a legal URL");
    match said(broker.ready(SOON).await) {
        BrokerError::Refused(said) => assert!(said.contains("`nowhere`") && !said.contains("guest"), "{said}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let settings = settings("amqp://guest:guest@127.0.0.1:9/%2f", "x");
    let broker = AmqpBroker::connect(settings, Arc::new(Telemetry::new())).expect("a legal URL");
    let error = said(broker.ready(Duration::from_millis(500)).await);
    assert!(matches!(&error, BrokerError::Unreachable(why) if why.starts_with("127.0.0.1:9: ")), "{error:?}");
}
