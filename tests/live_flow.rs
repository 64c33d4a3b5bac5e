//! The operators' commands beside the real worker, the real broker and the real table: looking at the retry queues,
//! and retrying at once, killed and cancelled in the middle.

mod support;

use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::process::{Rig, json_lines, service, wait_until};

const MINUTE: Duration = Duration::from_secs(60);

/// Offers of both destinations, in turns.
const BOTH: &str = "contoso.loadbalancer,fabrikam.x";

/// With a second destination, which has offers and a place in the table of its own; and with so small a share for each
/// that leads wait in both their queues.
fn rig(name: &str) -> Rig {
    let rig = Rig::new(name);
    let (azurite, table) = (service("LEADRELAY_TEST_AZURITE"), &rig.table);
    let text = std::fs::read_to_string(rig.path("leadrelay.toml")).unwrap();
    let more = format!(
        "\n[destinations.fabrikam-table]\nkind = \"azure-table\"\nconnection_string = \"{azurite}\"\ntable = \"{table}\"\n\
         [[routes]]\noffer = \"fabrikam.*\"\ndestination = \"fabrikam-table\"\n[worker]\nprefetch = 1600\n"
    );
    std::fs::write(rig.path("leadrelay.toml"), text + &more).unwrap();
    rig
}

fn leadrelay(rig: &Rig, arguments: &[&str]) -> Output {
    rig.command("leadrelay.toml").args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

fn begin(rig: &Rig, arguments: &[&str]) -> Child {
    rig.command("leadrelay.toml").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn depth(rig: &Rig, queue: &str) -> u64 {
    let status = json(&leadrelay(rig, &["status", "--json"]));
    let queues = status["broker"]["queues"].as_array().unwrap().clone();
    let found = queues.iter().find(|found| found["queue"] == format!("{}.{queue}", rig.prefix)).unwrap();
    found["messages"].as_u64().unwrap()
}

fn bodies(rig: &Rig, queue: &str) -> Vec<Value> {
    rig.messages_in(queue).into_iter().map(|mut message| message["body"].take()).collect()
}

fn offer(message: &Value) -> String {
    let body: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
    body["Offer"].as_str().unwrap().to_owned()
}

#[test]
fn looking_at_the_retry_queues_leaves_them_in_their_order_and_tells_how_far_it_looked() {
    let rig = rig("retrylist");
    rig.publish_to_retry("6h", (1, 1_200), BOTH);
    let before = bodies(&rig, "retry.6h");
    // Looks of several lengths, at messages that were looked at before.
    for limit in ["500", "30", "1200", "700"] {
        let listed = json_lines(&said(&leadrelay(&rig, &["retry", "list", "--json", "--limit", limit])));
        let queue = listed.iter().find(|queue| queue["queue"] == "6h").unwrap();
        assert_eq!((&queue["messages"], queue["read"].to_string()), (&1_200.into(), limit.to_owned()));
    }
    let text = said(&leadrelay(&rig, &["retry", "list", "--limit", "500"]));
    assert!(text.contains("6h: first 500 of 1,200 read; --limit reads more"), "{text}");
    assert!(bodies(&rig, "retry.6h") == before, "in another order");

    // What is for others stays in its order, and nothing that was moved stands there again.
    let moved = json(&leadrelay(&rig, &["retry", "now", "--destination", "contoso-table", "--json"]));
    assert_eq!(moved["ended"], "done");
    let of_others: Vec<Value> =
        before.into_iter().filter(|body| body.as_str().unwrap().contains("fabrikam.x")).collect();
    assert!(bodies(&rig, "retry.6h") == of_others, "others moved");
    assert_eq!(rig.check()["fates"]["LOST"], Value::Null);
}

#[test]
fn retrying_now_is_killed_cancelled_and_run_twice_at_once_and_loses_nothing_and_moves_nothing_of_others() {
    let rig = rig("retrynow");
    rig.publish_to_retry("1h", (1, 1_600), BOTH);
    rig.publish_to_retry("6h", (2, 400), BOTH);
    let arguments = ["retry", "now", "--destination", "contoso-table", "--rate", "400"];
    // Counted, not read: each look at a message brings it nearer to its limit.
    let moved = || depth(&rig, "consent");
    let mut killed = begin(&rig, &arguments);
    wait_until(MINUTE, "some are moved", || moved() > 200);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let after_kill = moved();
    assert!(after_kill < 900, "{after_kill} were moved before it was killed");

    let mut cancelled = begin(&rig, &arguments);
    wait_until(MINUTE, "more are moved", || moved() > after_kill + 100);
    let interrupted = Command::new("kill").args(["-INT", &cancelled.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let mut text = String::new();
    cancelled.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(cancelled.wait().unwrap().code(), Some(1));
    assert!(text.contains("stopped: ") && text.contains("are left; the same command goes on"), "{text}");
    assert!(moved() < 950);

    let pair = [begin(&rig, &arguments[..4]), begin(&rig, &arguments[..4])];
    for ended in pair.map(|child| child.wait_with_output().unwrap()) {
        assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    }
    let inbox = rig.messages_in("consent");
    assert!(inbox.iter().all(|message| offer(message) == "contoso.loadbalancer"));
    for message in &inbox {
        assert_eq!(message["headers"]["x-leadrelay-attempt"], 4);
        assert_eq!(message["headers"]["x-leadrelay-first-received"], "2026-11-01T00:00:00Z");
    }
    for queue in ["retry.1h", "retry.6h"] {
        assert!(rig.messages_in(queue).iter().all(|message| offer(message) == "fabrikam.x"), "{queue}");
    }
    assert_eq!(rig.check()["fates"]["LOST"], Value::Null, "all are in the queues");

    assert_eq!(json(&leadrelay(&rig, &["retry", "now", "--json"]))["ended"], "done");
    let worker = rig.start(&[]);
    rig.wait_until_drained(2 * MINUTE);
    assert_eq!(worker.stop().code(), Some(0));
    let checked = rig.check();
    assert_eq!((&checked["fates"]["queued"], &checked["fates"]["dead"]), (&Value::Null, &Value::Null), "{checked}");
}

/// So many in the suite; docs/live-flow.md tells how to see 40,000.
fn leads() -> u32 {
    std::env::var("LEADRELAY_TEST_LEADS").map_or(1_000, |leads| leads.parse().unwrap())
}

#[test]
fn the_leads_of_a_mended_destination_are_delivered_at_once_by_one_command_killed_in_the_middle_and_run_again() {
    let (rig, leads) = (Rig::new("mended"), leads());
    rig.publish_leads_to_retry("1h", (1, leads / 2));
    rig.publish_leads_to_retry("6h", (2, leads - leads / 2));
    let arguments = ["retry", "now", "--destination", "contoso-table"];
    let rate = (leads / 4).to_string();
    let mut killed = begin(&rig, &[&arguments[..], &["--rate", &rate]].concat());
    wait_until(MINUTE, "a quarter is moved", || depth(&rig, "consent") > u64::from(leads / 4));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let moved = rig.messages_in("consent");
    assert!(moved.len() < leads as usize, "{} were moved before it was killed", moved.len());
    assert!(moved.iter().all(|message| message["headers"]["x-leadrelay-attempt"] == 4));

    let worker = rig.start(&[]);
    wait_until(MINUTE, "the worker is ready", || worker.is_ready());
    let begun = tokio::time::Instant::now();
    let again = leadrelay(&rig, &arguments);
    println!("{} ms: {}", begun.elapsed().as_millis(), said(&again));
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    rig.wait_until_drained(5 * MINUTE);
    println!("{} ms: all {leads} are delivered, {} since the kill", begun.elapsed().as_millis(), moved.len());
    assert_eq!(worker.stop().code(), Some(0));
    let checked = rig.check();
    assert_eq!(checked["fates"], serde_json::json!({ "delivered": leads }), "{checked}");
}

#[test]
fn what_the_inbox_refuses_stays_in_its_retry_queue_and_the_command_says_so() {
    let rig = Rig::new("refused");
    rig.publish_leads_to_retry("1h", (1, 300));
    let policy = |arguments: &[&str]| {
        let mut ctl = Command::new(service("LEADRELAY_TEST_RABBITMQ"));
        assert!(ctl.arg("ctl").args(arguments).status().unwrap().success());
    };
    let pattern = format!("^{}.consent$", rig.prefix);
    policy(&["set_policy", "--apply-to", "queues", &rig.prefix, &pattern, r#"{"max-length": 50}"#]);
    let refused = leadrelay(&rig, &["retry", "now"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("stopped by the broker"), "{}", said(&refused));
    assert!(depth(&rig, "retry.1h") > 100);
    assert_eq!(rig.check()["fates"], serde_json::json!({ "queued": 300 }));

    policy(&["clear_policy", &rig.prefix]);
    let moved = json(&leadrelay(&rig, &["retry", "now", "--json"]));
    assert_eq!((&moved["ended"], rig.messages_in("retry.1h").len()), (&"done".into(), 0));
}
