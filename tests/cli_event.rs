//! `event check` and `event explain`: what the worker would make of a file.

mod program;

use program::Program;
use serde_json::{Value, json};

fn sample() -> Value {
    json!({
        "EventId": "e-1", "OccurredAt": "2026-11-22T03:04:05Z",
        "Source": "AzureMarketplace", "Action": "INS", "Offer": "arraynetworks.ArrayLoadBalancervAPV",
        "Consent": { "Granted": true, "At": "2026-11-22T03:04:00Z" },
        "CustomerInfo": { "FirstName": "Canary", "Email": "canary@example.com", "Phone": "1234567890" }
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut event = sample();
    *event.pointer_mut(pointer).unwrap() = value;
    event
}

#[test]
fn events_are_checked_in_bulk_and_the_malformed_are_named_by_their_lines() {
    let program = Program::new();
    let mut unknown = with("/Action", json!("Renew"));
    unknown["Frist"] = json!(1);
    let lines = [
        sample().to_string(),
        with("/CustomerInfo/Email", json!("canary")).to_string(),
        String::new(),
        "{canary".to_owned(),
        unknown.to_string(),
    ];
    program.write("events.jsonl", &lines.join("\n"));
    let ended = program.run(&["event", "check", "events.jsonl"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
    assert_eq!(
        ended.out,
        "events.jsonl:2: malformed: /CustomerInfo/Email is not an email address\n\
         events.jsonl:4: malformed: the body is not JSON from line 1 column 2 on\n\
         events.jsonl:5: accepted: 1 member not in the contract, and kept out of the lead\n\
         events.jsonl:5: accepted: /Action is none that we know\n\
         4 events, 2 malformed\n"
    );
    let ended = program.run(&["event", "check", "--json", "events.jsonl"]);
    let told: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ok: Vec<_> = told.iter().map(|event| event["ok"].as_bool().unwrap()).collect();
    assert_eq!((ended.code, ok), (1, vec![true, false, false, true]));
    assert_eq!(told[1]["problems"], json!([{"pointer": "/CustomerInfo/Email", "problem": "is not an email address"}]));
    assert!(!ended.out.contains("canary"));
}

#[test]
fn every_fault_has_a_line_of_its_own_with_its_file_and_its_line() {
    let program = Program::new();
    let mut two = with("/CustomerInfo/Email", json!("canary"));
    two["Offer"] = json!("canary");
    program.write("a.jsonl", &[sample(), two].map(|event| event.to_string()).join("\n"));
    program.write("b.json", &format!("{:#}", with("/Consent/Granted", json!("canary"))));
    let ended = program.run(&["event", "check", "a.jsonl", "b.json"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
    assert_eq!(
        ended.out,
        "a.jsonl:2: malformed: /Offer is not of the form publisher.offer\n\
         a.jsonl:2: malformed: /CustomerInfo/Email is not an email address\n\
         b.json: malformed: /Consent/Granted is a string, expected a boolean\n\
         3 events, 2 malformed\n"
    );
    let ended = program.run(&["event", "check", "--json", "a.jsonl", "b.json"]);
    let told: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let places: Vec<_> = told.iter().map(|event| (&event["file"], &event["line"])).collect();
    let (a, b) = (json!("a.jsonl"), json!("b.json"));
    assert_eq!(places, [(&a, &json!(1)), (&a, &json!(2)), (&b, &Value::Null)]);
    assert_eq!(program.run(&["event", "check", "gone.json"]).code, 64);
}

#[test]
fn the_schema_is_printed_as_it_stands_in_the_contract() {
    for (name, file) in [
        ("consent-event", include_str!("../contract/consent-event.schema.json")),
        ("fate", include_str!("../contract/fate.schema.json")),
    ] {
        assert_eq!(Program::new().run(&["event", "schema", name]).out, file);
    }
    let bare = Program::new().run(&["event", "schema"]);
    assert_eq!((bare.code, bare.out.as_str()), (0, include_str!("../contract/consent-event.schema.json")));
}

#[test]
fn a_document_may_span_lines_come_from_standard_input_and_be_a_cloud_event() {
    let program = Program::new();
    let pretty = format!("{:#}", sample());
    let ended = program.run_with(&["event", "check", "-"], &[], &pretty);
    assert_eq!((ended.code, ended.out.as_str()), (0, "1 event, 0 malformed\n"));
    let ended = program.run_with(&["event", "check", "-"], &[], &pretty.replace("true", "ture"));
    assert_eq!((ended.code, ended.out.lines().count()), (1, 2), "one broken document is one problem: {}", ended.out);
    let cloud = format!("{:#}", json!({"specversion": "1.0", "id": "1", "data": sample()}));
    let structured = ["event", "check", "--content-type", "application/cloudevents+json", "-"];
    assert_eq!(program.run_with(&structured, &[], &cloud).code, 0);
    assert_eq!(program.run_with(&["event", "check", "-"], &[], &cloud).code, 1);
}

#[test]
fn an_event_is_explained_down_to_its_route_and_its_key_and_shows_nobody() {
    let program = Program::configured();
    program.write("event.json", &sample().to_string());
    let ended = program.run(&["event", "explain", "event.json"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    for line in [
        "event.json\n",
        "  source     AzureMarketplace\n",
        "  consent    granted at 2026-11-22T03:04:00Z\n",
        "  email      c•@e•\n",
        "  fields     FirstName, Email, Phone\n",
        "  route      arraynetworks.* to contoso-table\n",
        "  outcome    delivered to contoso-table; if the ledger has this lead, only what is new is merged",
    ] {
        assert!(ended.out.contains(line), "{line:?} in {}", ended.out);
    }
    assert!(!ended.out.to_lowercase().contains("canary") && !ended.out.contains("1234567890"));
    let other_case = with("/CustomerInfo/Email", json!(" CANARY@example.com "));
    program.write("same.json", &with_offer(other_case, "ArrayNetworks.arrayloadbalancervapv").to_string());
    let key = |text: &str| text.lines().find(|line| line.starts_with("  lead key")).unwrap().to_owned();
    assert_eq!(key(&program.run(&["event", "explain", "same.json"]).out), key(&ended.out), "one lead");
}

fn with_offer(mut event: Value, offer: &str) -> Value {
    event["Offer"] = json!(offer);
    event
}

#[test]
fn what_would_become_of_an_event_is_told_for_every_fate_before_its_destination() {
    let program = Program::configured();
    let lines =
        [sample(), with("/Consent/Granted", json!(false)), with_offer(sample(), "nobody.x"), with("/Source", json!(7))];
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    let ended = program.run_with(&["event", "explain", "--json", "-"], &[], &lines.join("\n"));
    let told: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outcome = |nth: usize| told[nth]["outcome"].as_str().unwrap();
    assert_eq!(ended.code, 1);
    assert!(outcome(0).starts_with("delivered to contoso-table"));
    assert!(outcome(1).starts_with("nothing is delivered; what this person's consents delivered for arraynetworks"));
    assert_eq!((outcome(2), outcome(3)), ("dead-lettered as unroutable", "dead-lettered"));
    assert_eq!(told[3]["malformed"], "/Source is a number, expected a string");
    assert_eq!(told[0]["lead_key"].as_str().unwrap().len(), 32);
}

#[test]
fn without_a_configuration_an_event_is_explained_as_far_as_it_goes() {
    let ended = Program::new().run_with(&["event", "explain", "-"], &[], &sample().to_string());
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("  route      unknown: there is no configuration here, name one with --config\n"));
    let named =
        Program::new().run_with(&["event", "explain", "--config", "gone.toml", "-"], &[], &sample().to_string());
    assert_eq!(named.code, 64, "one that was named must be there");
}

#[test]
fn publishing_refuses_a_file_whole_if_one_event_of_it_is_malformed() {
    let program = Program::configured();
    let lines = [sample().to_string(), with("/Offer", json!("canary")).to_string()];
    let ended = program.run_with(&["publish", "-"], &[], &lines.join("\n"));
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.out,
        "stdin:2: malformed: /Offer is not of the form publisher.offer\nnothing published: 1 malformed\n"
    );
    let ended = program.run_with(&["publish", "--json", "-"], &[], &lines.join("\n"));
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&told["published"], told["failed"].as_array().unwrap().len()), (&0.into(), 1));
}
