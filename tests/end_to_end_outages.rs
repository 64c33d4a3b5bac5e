//! The real program and a broker that dies: nothing is lost or doubled.

mod support;

use std::fs;
use std::time::Duration;

use support::node::Node;
use support::process::{Rig, Worker, wait_until};

const MINUTE: Duration = Duration::from_secs(120);

#[test]
fn a_broker_that_is_killed_twice_in_the_middle_of_two_thousand_leads_costs_none_of_them() {
    let node = Node::start();
    let rig = Rig::on(&node.url, "restarts");
    node.restart();
    rig.publish(1, 1_200);
    let worker = started(&rig);
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| rig.publish(2, 800));
        for seen in [100, 700] {
            wait_until(2 * MINUTE, "leads are delivered", || delivered(&worker) >= seen);
            node.kill_and_start();
        }
        publishing.join().unwrap();
    });
    rig.wait_until_drained(3 * MINUTE);
    wait_until(MINUTE, "it holds nothing", || worker.metrics().contains("leadrelay_in_flight 0\n"));
    let metrics = worker.metrics();
    assert_eq!(worker.stop().code(), Some(0), "the one that was started");
    let log = fs::read_to_string(rig.path("worker.log")).unwrap();
    // On its way from a retry queue into the inbox a message is ready nowhere, and a broker that was killed takes its time
    // over it: the queues may have seemed empty too early.
    let mut checked = rig.check();
    for _ in 0..3 {
        if checked["fates"]["queued"].is_null() {
            break;
        }
        let worker = started(&rig);
        rig.wait_until_drained(MINUTE);
        assert_eq!(worker.stop().code(), Some(0));
        checked = rig.check();
    }
    assert_eq!(checked["fates"]["queued"], serde_json::Value::Null, "{checked}");
    assert!(log.matches("lost the broker").count() >= 2, "the broker was killed while it worked");
    rig.assert_no_canary_sang(&metrics);
}

/// Malformed events must be published again, as dead letters; what is delivered needs no publish.
#[test]
fn while_publishing_is_blocked_lanes_deliver_and_what_must_be_published_stays_safe() {
    let node = Node::start();
    let rig = Rig::on(&node.url, "blocked");
    // Every publish ends with two malformed events.
    rig.publish(1, 0);
    rig.publish(2, 300);
    node.alarm(true);
    let worker = started(&rig);
    wait_until(MINUTE, "leads are delivered", || delivered(&worker) >= 200);
    wait_until(MINUTE, "it knows", || worker.metrics().contains("leadrelay_publisher_blocked 1\n"));
    assert!(rig.dead().is_empty(), "nothing is published through an alarm");
    node.alarm(false);
    wait_until(MINUTE, "what waited is published", || rig.dead().len() == 4);
    rig.wait_until_drained(MINUTE);
    wait_until(MINUTE, "it holds nothing", || worker.metrics().contains("leadrelay_in_flight 0\n"));
    assert_eq!(worker.stop().code(), Some(0));
    assert_eq!(rig.check()["fates"]["queued"], serde_json::Value::Null);
}

fn started(rig: &Rig) -> Worker {
    let worker = rig.start(&[]);
    wait_until(MINUTE, "it works", || worker.is_ready());
    worker
}

fn delivered(worker: &Worker) -> u64 {
    let metrics = worker.metrics();
    let line = metrics.lines().find(|line| line.starts_with("leadrelay_settled_total") && line.contains("delivered"));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0)
}
