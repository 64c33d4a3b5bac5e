use std::path::Path;

use super::*;
use crate::app::status::{BrokerSeen, Counted, StoreSeen};
use crate::domain::order::{Order, Reason};
use crate::domain::retry::Tier;

const CONFIG: &str = r#"
    [broker]
    url = "amqp://guest:canary@127.0.0.1:5672/%2f"
    prefix = "leads"
    [store]
    url = "sqlite:ledger.db"
    [identity]
    key_secret = "0123456789abcdef"
    [http]
    listen = "127.0.0.1:9464"
    [destinations.contoso-table]
    kind = "azure-table"
    connection_string = "UseDevelopmentStorage=true"
    [destinations.fabrikam-org]
    kind = "azure-table"
    connection_string = "UseDevelopmentStorage=true"
    [[routes]]
    offer = "*"
    destination = "contoso-table"
"#;

fn config() -> Config {
    Config::parse(Path::new("leadrelay.toml"), CONFIG).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn contoso() -> DestinationName {
    DestinationName::parse("contoso-table").unwrap()
}

fn queue(queue: Queue, messages: u64) -> QueueSeen {
    QueueSeen { name: format!("leads.{queue}"), queue, messages: Some(messages), consumers: 1 }
}

fn lane(state: &str, trouble: Option<&str>, code: Option<&str>) -> LaneSeen {
    LaneSeen {
        state: state.into(),
        trouble: trouble.map(Into::into),
        code: code.map(Into::into),
        since: time("2026-11-22T11:56:00Z"),
        until: None,
        accepting_rejections: false,
        oldest_waiting: Some(time("2026-11-22T08:40:00Z")),
    }
}

fn status() -> Status {
    let retries = Tier::ALL.map(|tier| queue(Queue::Retry(tier), if tier == Tier::H1 { 25_000 } else { 0 }));
    let mut queues = vec![queue(Queue::Inbox, 0), queue(Queue::Wait(contoso()), 5_000)];
    queues.extend(retries);
    queues.push(queue(Queue::Dead, 12));
    let counted = |fate: &str, count| Counted { fate: fate.into(), destination: String::new(), count };
    let fabrikam = LaneSeen {
        until: Some(time("2026-11-22T12:04:00Z")),
        ..lane("credentials", Some("credentials"), Some("INVALID_FIELD"))
    };
    let worker = WorkerSeen {
        version: "0.1.0".into(),
        phase: "working".into(),
        unready: None,
        lanes: BTreeMap::from([
            ("contoso-table".to_owned(), lane("paused", None, None)),
            ("fabrikam-org".to_owned(), fabrikam),
        ]),
        received: vec![counted("", 12_345)],
        settled: vec![counted("delivered", 7_000), counted("waiting", 5_300), counted("delivered", 1)],
        in_flight: 44,
    };
    let order = Order {
        destination: contoso(),
        what: Ordered::Pause,
        reason: Reason::parse("its key is being rotated, and the new one is not there before Monday").unwrap(),
        by: "dashan@ops-1".into(),
        at: time("2026-11-22T11:55:58Z"),
    };
    Status {
        at: time("2026-11-22T12:00:00Z"),
        broker: Ok(BrokerSeen { owned: true, queues }),
        worker: Ok(worker),
        store: Ok(StoreSeen {
            bytes: 12_900_000,
            orders: vec![crate::domain::order::Kept { number: 3, order, done: false }],
            wait_queues: vec![contoso()],
        }),
    }
}

fn text(before: Option<&Status>, status: &Status) -> String {
    let text = Scene { config: &config(), before, status, paint: Paint::of(false), width: 80 }.text();
    let long = text.lines().find(|line| line.chars().count() > 80);
    assert_eq!(long, None);
    assert!(!text.contains("canary") && !text.lines().any(|line| line.ends_with(' ')), "{text}");
    text
}

#[test]
fn all_of_it_stands_on_one_screen_of_eighty_columns() {
    let expected = "\
time      2026-11-22 12:00:00Z
broker    reachable at 127.0.0.1:5672, virtual host /
worker    working at 127.0.0.1:9464, version 0.1.0
ledger    ledger.db, 12.3 MiB

QUEUE                      MESSAGES
leads.consent                     0
leads.wait.contoso-table      5,000  oldest 3h 20m
leads.retry.1h               25,000  each for 1h
leads.dead                       12  look: leadrelay dead list
leads.retry.*                     0  5s 30s 2m 10m 6h

DESTINATION           STATE        SINCE     WHY
contoso-table         paused       4m        by dashan@ops-1, 4m ago: its key is
                                             being rotated, and the new one is
                                             not there before Monday
fabrikam-org          credentials  4m        INVALID_FIELD; probed in 4m

SINCE IT STARTED       MESSAGES
received                 12,345
delivered                 7,001
waiting                   5,300
in hand                      44
";
    assert_eq!(text(None, &status()), expected);
}

#[test]
fn watching_tells_what_happens_a_second_and_nothing_of_a_worker_that_began_anew() {
    let (before, mut now) = (status(), status());
    now.at = time("2026-11-22T12:00:02Z");
    let worker = now.worker.as_mut().unwrap();
    worker.settled[0].count += 241;
    worker.received[0].count = 5;
    let text = text(Some(&before), &now);
    assert!(text.contains("SINCE IT STARTED       MESSAGES  A SECOND\n"), "{text}");
    assert!(text.contains("delivered                 7,242     120.5\n"), "{text}");
    assert!(text.contains("received                      5\n"), "{text}");
}

#[test]
fn each_part_that_is_down_is_told_and_hides_no_other() {
    let mut down = status();
    down.worker = Err("no worker answers at 127.0.0.1:9464 (not_connected)".into());
    let without_worker = text(None, &down);
    assert!(without_worker.contains("worker    no worker answers at 127.0.0.1:9464 (not_connected)\n"));
    assert!(without_worker.contains("contoso-table         paused       ?         by dashan@ops-1"), "by the order");
    assert!(without_worker.contains("fabrikam-org          ?            ?\n"), "{without_worker}");
    assert!(without_worker.contains("leads.wait.contoso-table      5,000\n"), "{without_worker}");
    assert!(!without_worker.contains("SINCE IT STARTED"));
    down.broker = Err("broker unreachable: Connection refused".into());
    let neither = text(None, &down);
    assert!(neither.contains("not reached at 127.0.0.1:5672"), "{neither}");
    assert!(!neither.contains("QUEUE") && neither.contains("dashan@ops-1"), "{neither}");
    down.store = Err("there is no ledger at ledger.db: no worker has run yet".into());
    let nothing = text(None, &down);
    assert!(
        nothing.contains("ledger    there is no ledger") && nothing.contains("contoso-table         ?"),
        "{nothing}"
    );
}

#[test]
fn a_broker_whose_ledger_nobody_owns_and_a_queue_that_is_missing_are_told() {
    let mut status = status();
    let broker = status.broker.as_mut().unwrap();
    broker.owned = false;
    broker.queues[0].messages = None;
    broker.queues[0].consumers = 0;
    let text = text(None, &status);
    assert!(text.contains("leads.consent               missing  nobody consumes it\n"), "{text}");
    assert!(text.contains("no worker owns the ledger: nobody consumes\n"), "{text}");
}

#[test]
fn a_lane_tells_its_trouble_under_a_pause_and_that_an_order_is_on_its_way() {
    let mut status = status();
    let worker = status.worker.as_mut().unwrap();
    let paused = lane("paused", Some("rejecting"), Some("InvalidInput"));
    worker.lanes.insert("contoso-table".into(), paused);
    let flowing = text(None, &status).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flowing.contains("before Monday; rejecting; InvalidInput"), "{flowing}");
    let worker = status.worker.as_mut().unwrap();
    worker.lanes.insert("contoso-table".into(), lane("closed", None, None));
    assert!(text(None, &status).contains("paused in a moment, by dashan@ops-1"), "{}", text(None, &status));
    let store = status.store.as_mut().unwrap();
    store.orders[0].order.what = Ordered::Resume;
    assert!(!text(None, &status).contains("dashan"), "an order that holds nothing is no reason");
}
