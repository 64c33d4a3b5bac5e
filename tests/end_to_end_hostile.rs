//! The real program, and producers that mean it harm: what they send is delivered or dead with a reason, and nobody
//! else notices.

mod support;

use std::fs;
use std::time::Duration;

use support::process::{Rig, wait_until};

const MINUTE: Duration = Duration::from_secs(60);

/// What the log says when something came between us and the broker.
const TROUBLE: [&str; 5] = ["lost the broker", "a consumer ended", "channel closed", "dropped unsettled", "panicked"];

#[test]
fn hostile_messages_are_delivered_or_dead_with_a_reason_and_their_neighbours_do_not_notice() {
    let rig = Rig::new("hostile");
    let worker = rig.start(&[]);
    wait_until(MINUTE, "it works", || worker.is_ready());
    rig.publish(1, 300);
    rig.publish_hostile();
    rig.publish(2, 300);
    rig.wait_until_drained(2 * MINUTE);
    let resident = resident_kilobytes(worker.id());
    let metrics = worker.metrics();
    assert_eq!(worker.stop().code(), Some(0), "the one that was started");
    let checked = rig.check();
    println!("{checked}, {resident} kB resident");
    assert_eq!(checked["fates"]["queued"], serde_json::Value::Null);
    for letter in rig.dead() {
        let headers = &letter["headers"];
        let by_us = headers["x-leadrelay-reason"].is_string();
        assert!(by_us || headers["x-first-death-reason"] == "expired", "{headers}");
        assert!(by_us != headers["x-death"].is_array(), "it carries on where it died: {headers}");
    }
    assert_eq!(rig.messages_in("aside").len(), 1, "only the producer's own publish was copied");
    let log = fs::read_to_string(rig.path("worker.log")).unwrap();
    let trouble: Vec<_> = log.lines().filter(|line| TROUBLE.iter().any(|trouble| line.contains(trouble))).collect();
    assert!(trouble.is_empty(), "{trouble:#?}");
    rig.assert_no_canary_sang(&metrics);
}

fn resident_kilobytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
