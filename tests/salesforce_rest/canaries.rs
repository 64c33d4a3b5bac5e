//! Salesforce's messages repeat what was sent to it. Nothing of that may be printed, counted or answered.

use std::io;
use std::sync::{Arc, Mutex};

use leadrelay::destination::salesforce::rest::Settings;
use leadrelay::domain::mapping::{LeadValue, MappedValue, Mapping};
use leadrelay::sandbox::faults::Kind;
use leadrelay::sandbox::{DuplicateRule, Fault};
use serde_json::{Value, json};

use super::fault_proxy;
use super::org::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything personal in `leads()` and in the faults.
const CANARY: &str = "canary";

#[tokio::test]
async fn no_canary_sings_in_a_log_a_metric_or_an_answer() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let org = Org::new().await;
    let desk = Desk::new(org.destination()).await;
    let mut said = Vec::new();
    let mut bad = leads(6);
    bad[0].event.customer.email = "canary nobody".into();
    bad[1].event.customer.first_name = CANARY.repeat(30);
    bad[2].event.customer.email = format!("{}@example.com", CANARY.repeat(20));
    said.push(format!("{:?}", desk.deliver(&bad).await));
    org.sandbox
        .set(|settings| (settings.required, settings.duplicate_rule) = (vec!["Phone".into()], DuplicateRule::Block));
    said.push(format!("{:?}", desk.deliver(&[lead(event("other", "INS", 0))]).await));
    org.sandbox.fault(Fault::status(Kind::Collections, 400).body("[{\"errorCode\":\"canary@example.com is wrong\"}]"));
    said.push(format!("{:?}", desk.deliver(&[lead(event("third", "INS", 0))]).await));
    org.sandbox.clear_faults();
    // A field that the org does not have is named, for it is the configuration's own word.
    let missing = Mapping { field: "Stge__c".into(), value: MappedValue::Of(LeadValue::Stage) };
    let settings = Settings { fields: vec![missing], ..org.settings() };
    said.push(format!("{:?}", deliver(org.open(settings), &[lead(event("sixth", "INS", 0))]).await));
    // Hostile: personal data where a code, or a field's name, should stand.
    let item: Value = json!([{ "success": false, "errors": [{
        "statusCode": "canary@example.com", "message": CANARY, "fields": [CANARY, "Email"] }] }]);
    org.proxy.set(move |seen| match kind(seen) {
        "write" => fault_proxy::Fault::json(200, item.to_string()),
        "token" => fault_proxy::Fault::status(400).with("Sforce-Limit-Info", CANARY),
        _ => fault_proxy::Fault::Pass,
    });
    said.push(format!("{:?}", desk.deliver(&[lead(event("fourth", "INS", 0))]).await));
    said.push(format!("{:?}", deliver(org.destination(), &[lead(event("fifth", "INS", 0))]).await));
    said.push(format!("{:?} {:?}", org.destination(), org.settings()));
    said.push(org.telemetry.metrics.render());
    drop(guard);
    let log = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    assert!(log.contains("fields of a lead were refused") && log.contains("[\"Email\"]"), "{log}");
    assert!(log.contains("[\"Stge__c\"]"), "{log}");
    let secrets = [CANARY, "sandbox-secret", "00D5g0000000001!AQ"];
    for text in said.iter().chain([&log]) {
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    }
}
