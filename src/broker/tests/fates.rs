//! Fates are told as well as can be, and never at the price of a lead.

use jiff::Timestamp;
use lapin::ExchangeKind;
use lapin::options::{BasicGetOptions, ExchangeDeclareOptions};
use tokio::time::Instant;

use super::*;
use crate::broker::amqp::Difference;
use crate::domain::fate::{Ending, Notice, Subject};
use crate::domain::route::Offer;
use crate::domain::verdict::Fate;

fn notice(number: usize) -> Notice {
    let offer = Some(Offer::parse("Contoso.x").expect("an offer"));
    let subject = Subject { event_id: Some(format!("e-{number}")), offer, ..Subject::default() };
    Notice { subject, ending: Ending::Acknowledged(Fate::Delivered), at: Timestamp::UNIX_EPOCH }
}

fn telling(url: &str, prefix: &str) -> Rabbit {
    let telemetry = Arc::new(Telemetry::new());
    let settings = Settings { fates: true, ..settings(url, prefix) };
    let mut broker = AmqpBroker::connect(settings, telemetry.clone()).expect("a legal URL");
    broker.tell_fates();
    Rabbit { broker, url: url.to_owned(), prefix: prefix.to_owned(), telemetry }
}

async fn until_counted(rabbit: &Rabbit, told: u64, dropped: u64) {
    let metrics = &rabbit.telemetry.metrics;
    let counted = async {
        while (metrics.fates_told.get(), metrics.fates_dropped.get()) != (told, dropped) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let counted = timeout(SOON, counted).await;
    counted.unwrap_or_else(|_| panic!("{} told, {} dropped", metrics.fates_told.get(), metrics.fates_dropped.get()));
}

async fn remove(rabbit: Rabbit) {
    let exchange = rabbit.name("fates");
    rabbit
        .raw()
        .await
        .exchange_delete(exchange.as_str().into(), Default::default())
        .await
        .expect("delete the exchange");
    rabbit.clean().await;
}

#[tokio::test]
async fn a_fate_is_routed_by_what_it_is_and_whose_and_reaches_who_listens() {
    let rabbit = telling(&url(), &fresh_prefix());
    rabbit.broker.ready(SOON).await.expect("connect");
    let missing = rabbit.broker.check_topology(&[]).await.expect("check");
    assert!(missing.contains(&Difference::Missing(format!("exchange {}", rabbit.name("fates")))), "{missing:?}");
    rabbit.broker.apply_topology(&[]).await.expect("apply");
    assert_eq!(rabbit.broker.check_topology(&[]).await.expect("check"), []);
    // Nobody listens: that is no failure.
    rabbit.broker.announce(notice(1));
    until_counted(&rabbit, 1, 0).await;

    let channel = rabbit.raw().await;
    let queue = channel.queue_declare("".into(), Default::default(), Default::default()).await.expect("a queue");
    let (queue, exchange) = (queue.name().clone(), rabbit.name("fates"));
    let binding = (Default::default(), Default::default());
    channel
        .queue_bind(queue.clone(), exchange.as_str().into(), "*.contoso".into(), binding.0, binding.1)
        .await
        .expect("bind");
    for number in 2..=600 {
        rabbit.broker.announce(notice(number));
    }
    rabbit.broker.close().await;
    let metrics = &rabbit.telemetry.metrics;
    assert_eq!((metrics.fates_told.get(), metrics.fates_dropped.get()), (600, 0), "who stops in order tells the last");
    for number in 2..=600 {
        let got = channel.basic_get(queue.clone(), BasicGetOptions { no_ack: true }).await.expect("get");
        let got = got.unwrap_or_else(|| panic!("the fate of e-{number}"));
        assert_eq!(got.routing_key.as_str(), "delivered.contoso");
        assert_eq!(got.data, notice(number).to_json());
    }
    remove(rabbit).await;
}

#[tokio::test]
async fn fates_that_cannot_be_told_are_dropped_and_counted_and_nobody_waits_for_them() {
    let nowhere = telling("amqp://guest:guest@127.0.0.1:1/%2f", "nowhere");
    let began = Instant::now();
    for number in 0..30_000 {
        nowhere.broker.announce(notice(number));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let dropped = nowhere.telemetry.metrics.fates_dropped.get();
    assert!((19_000..=20_000).contains(&dropped), "the buffer is bounded: {dropped} dropped");
}

#[tokio::test]
async fn a_missing_exchange_of_fates_costs_fates_alone() {
    let rabbit = telling(&url(), &fresh_prefix());
    rabbit.broker.ready(SOON).await.expect("connect");
    rabbit.broker.apply_topology(&[]).await.expect("apply");
    let (channel, exchange) = (rabbit.raw().await, rabbit.name("fates"));
    channel.exchange_delete(exchange.as_str().into(), Default::default()).await.expect("delete");
    rabbit.broker.announce(notice(1));
    publish(&rabbit.broker, &Queue::Dead, numbered(200)).await;
    until_counted(&rabbit, 0, 1).await;
    until_depth(&rabbit.broker, &Queue::Dead, 200).await;
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declared =
        channel.exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, options, Default::default()).await;
    declared.expect("declare it again");
    rabbit.broker.announce(notice(2));
    until_counted(&rabbit, 1, 1).await;
    remove(rabbit).await;
}
