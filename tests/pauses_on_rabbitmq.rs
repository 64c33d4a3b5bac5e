//! A lane that pauses and probes over and over on the real broker: each pause puts back by publishing, never by nack,
//! so that no message comes nearer to its delivery limit.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use leadrelay::broker::amqp::{AmqpBroker, Ownership, Settings};
use leadrelay::broker::{Broker, Outgoing, Queue};
use leadrelay::destination::memory::Fault;
use leadrelay::domain::health;
use leadrelay::domain::reply::{Code, Quick, Reply};
use leadrelay::domain::route::DestinationName;
use leadrelay::steps::Steps;
use leadrelay::telemetry::Telemetry;
use tokio::time::Instant;

use support::process::service;
use support::world::{Event, World, metric};

const LEADS: usize = 150;
const PROBES: usize = 120;

/// RabbitMQ's limit is 100 returns; nothing here returns a message, but for one that is on its way when we stop.
const RETURNS_MAX: i64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_and_twenty_pauses_and_probes_kill_no_message_and_bring_none_nearer_to_its_limit() {
    let mut world = World::new(&["contoso"]);
    let pause = Duration::from_millis(5);
    world.settings.health = health::Policy { pause_first: pause, pause_max: pause, ..health::Policy::default() };
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    world.destination("contoso").set_script(move |_| match counter.fetch_add(1, Ordering::SeqCst) {
        // Now and then a probe fails as an outage does: then it goes to retry, and the next probe is another lead.
        call if call % 10 == 9 => Fault::Whole(transient()),
        _ => Fault::Whole(Reply::Throttled { code: Code::known("TooManyRequests"), retry_after: None }),
    });
    let rabbit = Rabbit::connect("pauses").await;
    rabbit.publish(LEADS).await;
    let life = world.launch(rabbit.broker.clone(), world.in_memory(), Steps::default()).await;
    let end = Instant::now() + Duration::from_secs(120);
    while calls.load(Ordering::SeqCst) <= PROBES {
        assert!(Instant::now() < end, "only {} probes", calls.load(Ordering::SeqCst));
        tokio::time::sleep(pause).await;
    }
    let telemetry = Arc::clone(&life.telemetry);
    life.stop().await;
    let handed_back = metric(&telemetry, "leadrelay_settled_total{destination=\"contoso\",fate=\"handed_back\"}");
    rabbit.until_none_is_on_its_way().await;
    let counts = rabbit.delivery_counts().await;
    let probes = calls.load(Ordering::SeqCst);
    println!("{probes} probes, {handed_back} handed back, delivery counts up to {:?}", counts.iter().max());
    assert_eq!(counts.len(), LEADS, "all of them wait");
    assert!(counts.iter().all(|count| *count <= RETURNS_MAX), "{counts:?}");
    world.destination("contoso").heal();
    let life = world.launch(rabbit.broker.clone(), world.in_memory(), Steps::default()).await;
    let end = Instant::now() + Duration::from_secs(60);
    while world.destination("contoso").holdings().len() < LEADS {
        assert!(Instant::now() < end, "only {} delivered", world.destination("contoso").holdings().len());
        tokio::time::sleep(pause).await;
    }
    life.stop().await;
    assert_eq!(rabbit.broker.depth(&Queue::Dead).await.unwrap(), 0);
    world.destination("contoso").assert_no_lead_was_created_twice();
    rabbit.broker.close().await;
}

fn transient() -> Reply {
    Reply::Transient { code: Code::known("http_500"), quick: Quick::Pointless }
}

/// The real broker, with queues of this test's own.
struct Rabbit {
    broker: Arc<AmqpBroker>,
    url: String,
    prefix: String,
}

impl Rabbit {
    async fn connect(name: &str) -> Self {
        let url = service("LEADRELAY_TEST_AMQP_URL");
        let prefix = format!("{name}{}", std::process::id());
        let settings = Settings {
            url: url.as_str().into(),
            prefix: prefix.clone(),
            ownership: Ownership::Shared,
            authorities: None,
            fates: false,
        };
        let broker = AmqpBroker::connect(settings, Arc::new(Telemetry::new())).unwrap();
        broker.ready(Duration::from_secs(30)).await.unwrap();
        broker.apply_topology(&[DestinationName::parse("contoso").unwrap()]).await.unwrap();
        Self { broker: Arc::new(broker), url, prefix }
    }

    async fn publish(&self, count: usize) {
        let event = |n| Event::new(&format!("lead{n}@example.com"), "contoso.appliance").message();
        let outgoing: Vec<_> = (0..count).map(|n| Outgoing { queue: Queue::Inbox, message: event(n) }).collect();
        assert!(self.broker.publish(&outgoing).await.iter().all(Result::is_ok));
    }

    /// Until the retry queues have let go of what they hold.
    async fn until_none_is_on_its_way(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        let at_rest = [Queue::Inbox, Queue::Dead, Queue::Wait(DestinationName::parse("contoso").unwrap())];
        loop {
            let mut depth = 0;
            for queue in &at_rest {
                depth += self.broker.depth(queue).await.unwrap();
            }
            if depth == LEADS as u64 {
                return;
            }
            assert!(Instant::now() < end, "{depth} of {LEADS} are left");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How often each message in any of these queues has come back, by the broker's own count.
    async fn delivery_counts(&self) -> Vec<i64> {
        let connection = lapin::Connection::connect(&self.url, Default::default()).await.unwrap();
        let mut counts = Vec::new();
        for queue in ["consent", "dead", "wait.contoso"] {
            let name = format!("{}.{queue}", self.prefix);
            let channel = connection.create_channel().await.unwrap();
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(name.as_str().into(), passive, Default::default()).await.unwrap();
            while let Some(got) = channel.basic_get(name.as_str().into(), BasicGetOptions::default()).await.unwrap() {
                let headers = got.properties.headers().clone().unwrap_or_default();
                let count = headers.inner().get("x-delivery-count").and_then(|count| count.as_long_long_int());
                counts.push(count.unwrap_or(0));
            }
            channel.close(200, "looked".into()).await.unwrap();
        }
        connection.close(200, "looked".into()).await.unwrap();
        counts
    }
}
