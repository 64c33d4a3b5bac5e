//! What producers learn at the exchange of fates: the real program, the real broker, the real table.

mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use leadrelay::domain::fate;
use serde_json::{Value, json};
use support::amqp::publish_raw;
use support::process::{Rig, service, wait_until};

/// Binds a durable queue to the exchange of fates, as who wants to know does.
const LISTEN: &str = "
import sys, pika
url, exchange, queue, key = sys.argv[1:5]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue, durable=True)
channel.queue_bind(queue, exchange, key)
connection.close()
";

fn event(id: &str, offer: &str, granted: bool) -> Value {
    json!({ "EventId": id, "OccurredAt": "2026-11-22T03:04:05Z", "Source": "AzureMarketplace", "Action": "INS",
            "Offer": offer, "Description": "canary", "Consent": { "Granted": granted },
            "CustomerInfo": { "FirstName": "canary", "Email": "canary@example.com", "Phone": "1234567890" } })
}

#[test]
fn every_event_has_its_fate_told_once_and_no_person_is_told_of() {
    let rig = Rig::new("fates");
    let text = std::fs::read_to_string(rig.path("leadrelay.toml")).unwrap();
    let told = text.replacen("[broker]", "[broker]\nfates = true", 1);
    std::fs::write(rig.path("leadrelay.toml"), told).unwrap();
    let apply = rig.command("leadrelay.toml").args(["topology", "apply"]).output().unwrap();
    let said = String::from_utf8_lossy(&apply.stdout).into_owned();
    assert!(said.contains(&format!("exchange {}.fates", rig.prefix)), "{said}");
    let (exchange, queue) = (format!("{}.fates", rig.prefix), format!("{}.heard", rig.prefix));
    let mut python = Command::new(service("LEADRELAY_TEST_PYTHON"));
    assert!(python.args(["-c", LISTEN, &rig.amqp_url, &exchange, &queue, "#"]).status().unwrap().success());

    let inbox = format!("{}.consent", rig.prefix);
    let worker = rig.start(&[]);
    let send = |event: String, message_id: &str| publish_raw(&rig, &inbox, &event, message_id);
    let fates = || rig.messages_in("heard").len();
    let until_told = |count: usize| wait_until(Duration::from_secs(60), "the fates are told", || fates() >= count);
    send(event("first", "contoso.x", true).to_string(), "m-1");
    until_told(1);
    send(event("again", "contoso.x", true).to_string(), "m-2");
    send(event("nobody's", "fabrikam.x", true).to_string(), "m-3");
    send(event("wrong", "canary", true).to_string(), "m-4");
    send("{ canary".to_owned(), "m-5");
    until_told(5);
    // Its fate, and that of the mark on the lead that stands there.
    send(event("withdrawal", "contoso.x", false).to_string(), "m-6");
    until_told(7);
    let metrics = worker.metrics();
    // What was told last, a worker that stops in order still tells.
    send(event("late", "contoso.y", true).to_string(), "m-7");
    wait_until(Duration::from_secs(60), "it is taken", || rig.queued().is_empty());
    assert_eq!(worker.stop().code(), Some(0));

    let schema = jsonschema::validator_for(&fate::schema()).unwrap();
    let mut found = BTreeMap::new();
    for message in rig.messages_in("heard") {
        let body: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
        assert!(schema.is_valid(&body), "{body}");
        let text = message.to_string().to_lowercase();
        assert!(!text.contains("canary") && !text.contains("1234567890") && !text.contains("example.com"), "{text}");
        let word = |name: &str| body[name].as_str().unwrap_or("-").to_owned();
        assert_eq!(body["LeadKey"].is_string(), body["Destination"].is_string(), "{body}");
        *found.entry([word("EventId"), word("Fate"), word("Reason"), word("Destination")].join(" ")).or_insert(0) += 1;
    }
    let expected = [
        "again duplicate - contoso-table",
        "first delivered - contoso-table",
        "late suppressed - contoso-table",
        "m-4 dead malformed -",
        "m-5 dead malformed -",
        "nobody's dead unroutable -",
        "withdrawal delivered - contoso-table",
        "withdrawal suppressed - -",
    ];
    assert_eq!(found, expected.map(|line| (line.to_owned(), 1)).into());
    assert!(metrics.contains("leadrelay_fates_told_total 7"), "{metrics}");
    assert!(metrics.contains("leadrelay_fates_dropped_total 0"), "{metrics}");
    rig.assert_no_canary_sang(&metrics);
}
