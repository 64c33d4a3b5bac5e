use serde_json::json;

use super::*;
use crate::domain::envelope::{HeaderValue, Properties};

const RECEIVED: &str = "2026-11-22T12:00:00Z";

fn event() -> Value {
    json!({
        "EventId": "e1", "OccurredAt": "2026-11-22T10:00:00Z",
        "Source": "AzureMarketplace", "Action": "INS", "Offer": "contoso.appliance",
        "Consent": { "Granted": true, "At": "2026-11-22T09:00:00Z" },
        "CustomerInfo": { "Email": "Dashan@example.com", "Company": "Contoso", "Phone": 4711 }
    })
}

fn message(body: &Value) -> Message {
    Message { body: body.to_string().into(), properties: Properties::default() }
}

/// The event with something else in some places; `null` takes a member away.
fn with(mut event: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (object, name) = pointer.rsplit_once('/').unwrap();
        let object = event.pointer_mut(object).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.to_owned(), value.clone());
        }
    }
    event
}

/// The phone is mended too, so that the contract has nothing against it.
fn mended(before: &Value, changes: &[(&str, Value)]) -> Result<Mended, Unfit> {
    let after = with(with(before.clone(), &[("/CustomerInfo/Phone", json!("4711"))]), changes);
    mend(&message(before), &message(&after), RECEIVED.parse().unwrap())
}

#[test]
fn what_says_nothing_of_consent_may_change_and_every_change_is_named() {
    let changes = [
        ("/CustomerInfo/Company", json!("Fabrikam")),
        ("/CustomerInfo/Title", json!("CTO")),
        ("/Description", json!("called back")),
        ("/Action", json!("PLT")),
        ("/CustomerInfo/Email", json!(" dashan@EXAMPLE.com")),
    ];
    let mended = mended(&event(), &changes).unwrap();
    let mut pointers: Vec<_> = mended.changes.iter().map(|change| change.pointer.as_str()).collect();
    pointers.sort_unstable();
    let expected = [
        "/Action",
        "/CustomerInfo/Company",
        "/CustomerInfo/Email",
        "/CustomerInfo/Phone",
        "/CustomerInfo/Title",
        "/Description",
    ];
    assert_eq!(pointers, expected);
    assert_eq!(mended.event.customer.company, "Fabrikam");
    let unchanged = with(event(), &[("/CustomerInfo/Phone", json!("4711"))]);
    let same = mend(&message(&unchanged), &message(&unchanged), RECEIVED.parse().unwrap()).unwrap();
    assert_eq!(same.changes, []);
}

#[test]
fn what_does_not_keep_to_the_contract_is_told_by_pointer() {
    let same = mend(&message(&event()), &message(&event()), RECEIVED.parse().unwrap());
    let Err(Unfit::Malformed(malformed)) = same else { panic!("{same:?}") };
    assert_eq!(malformed.to_string(), "/CustomerInfo/Phone is a number, expected a string");
}

#[test]
fn consent_and_whom_and_what_it_was_given_for_stay_as_they_were() {
    let check = |before: &Value, changes: &[(&str, Value)], expected: &[Fixed]| {
        assert_eq!(mended(before, changes), Err(Unfit::Fixed(expected.to_vec())), "{changes:?}");
    };
    let refused = with(event(), &[("/Consent/Granted", json!(false))]);
    check(&refused, &[("/Consent/Granted", json!(true))], &[Fixed::Consent]);
    check(&event(), &[("/Consent/Granted", json!(false))], &[Fixed::Consent]);
    check(&event(), &[("/Consent/At", json!("2026-11-22T11:00:00Z"))], &[Fixed::Consent]);
    check(&event(), &[("/Consent/At", Value::Null)], &[Fixed::Consent]);
    check(&event(), &[("/Consent/Agreement", json!("another"))], &[Fixed::Consent]);
    check(&event(), &[("/OccurredAt", json!("2026-11-22T11:00:00Z"))], &[Fixed::OccurredAt]);
    check(&event(), &[("/OccurredAt", Value::Null)], &[Fixed::OccurredAt]);
    check(&with(event(), &[("/OccurredAt", Value::Null)]), &[("/OccurredAt", json!(RECEIVED))], &[Fixed::OccurredAt]);
    check(&event(), &[("/CustomerInfo/Email", json!("other@example.com"))], &[Fixed::Address]);
    check(&event(), &[("/Offer", json!("fabrikam.appliance"))], &[Fixed::Offer]);
    check(&event(), &[("/EventId", json!("e2"))], &[Fixed::EventId]);
    let do_not = with(event(), &[("/Action", json!("DNC"))]);
    check(&do_not, &[("/Action", json!("INS"))], &[Fixed::DoNotContact]);
    check(&event(), &[("/Action", json!("DNC"))], &[Fixed::DoNotContact]);
    let words = [("/Source", Value::Null), ("/Action", Value::Null), ("/Offer", Value::Null)];
    let in_one = with(with(event(), &words), &[("/LeadSource", json!("AzureMarketplace-DNC|contoso.appliance"))]);
    let other = [("/LeadSource", json!("AzureMarketplace-INS|fabrikam.appliance"))];
    check(&in_one, &other, &[Fixed::DoNotContact, Fixed::Offer]);
    check(
        &in_one,
        &[
            ("/LeadSource", Value::Null),
            ("/Source", json!("SPZA")),
            ("/Action", json!("DNC")),
            ("/Offer", json!("a.b")),
        ],
        &[Fixed::Offer],
    );
}

#[test]
fn what_could_not_be_read_may_be_written_but_makes_no_consent_later() {
    let open = |pointer: &'static str, wrong: Value, right: Value| {
        let before = with(event(), &[(pointer, wrong)]);
        mended(&before, &[(pointer, right)])
    };
    for (pointer, wrong, right) in [
        ("/CustomerInfo/Email", json!("dashan@@example"), json!("dashan@example.com")),
        ("/CustomerInfo/Email", Value::Null, json!("dashan@example.com")),
        ("/Offer", json!("contoso"), json!("contoso.appliance")),
        ("/Offer", Value::Null, json!("contoso.appliance")),
        ("/Action", json!(5), json!("INS")),
    ] {
        assert!(open(pointer, wrong.clone(), right).is_ok(), "{pointer} {wrong}");
    }
    // Without a time of its own, consent is as old as the event.
    let timeless = with(event(), &[("/Consent/At", Value::Null), ("/OccurredAt", json!("yesterday"))]);
    let moved = |to: &str| mended(&timeless, &[("/OccurredAt", json!(to))]);
    assert!(moved("2026-11-21T12:00:00Z").is_ok());
    assert_eq!(moved("2026-11-22T12:01:00Z"), Err(Unfit::Fixed(vec![Fixed::ConsentLater])));
}

#[test]
fn where_consent_cannot_be_seen_nothing_may_be_mended() {
    let check = |body: &str, expected: Result<(), Closed>| {
        let message = Message { body: body.to_owned().into(), properties: Properties::default() };
        assert_eq!(draft(&message).map(drop), expected, "{body}");
    };
    let text = event().to_string();
    check(&text, Ok(()));
    check(&format!("\u{feff}{text}"), Ok(()));
    for opaque in ["", "no JSON", "[]", "{", &text[..text.len() - 1], &format!("{text}{}", " ".repeat(300_000))] {
        check(opaque, Err(Closed::Opaque));
    }
    for consent in [Value::Null, json!({}), json!({"Granted": "yes"}), json!({"Granted": true, "At": "late"}), json!(5)]
    {
        check(&with(event(), &[("/Consent", consent)]).to_string(), Err(Closed::Consent));
    }
    let twice = |member: &str| format!("{{{member},{}", &text[1..]);
    check(&twice(r#""Consent": {"Granted": false}"#), Err(Closed::Consent));
    check(&twice(r#""Offer": "fabrikam.appliance""#), Err(Closed::Ambiguous));
    check(&twice(r#""CustomerInfo": {}"#), Err(Closed::Ambiguous));
    check(&twice(r#""LeadSource": "A-B|fabrikam.appliance""#), Err(Closed::Ambiguous));
    check(&twice(r#""Description": "a", "Description": "b""#), Ok(()));
    let mut mark = message(&event());
    mark.properties.headers.insert(MARK.to_owned(), HeaderValue::Text("contoso:ab".into()));
    assert_eq!(draft(&mark), Err(Closed::Mark));
}

#[test]
fn a_draft_is_in_lines_and_hides_nothing_that_is_there_twice() {
    let check = |body: &str, expected: &str| {
        let message = Message { body: body.to_owned().into(), properties: Properties::default() };
        assert_eq!(draft(&message).unwrap(), expected);
    };
    let whole = r#""Offer":"a.b","Consent":{"Granted":true}"#;
    check(&format!("{{{whole}}}"), "{\n  \"Consent\": {\n    \"Granted\": true\n  },\n  \"Offer\": \"a.b\"\n}\n");
    let twice = format!(r#"{{"Description":"a","Description":"b",{whole}}}"#);
    check(&twice, &twice);
}

#[test]
fn of_a_cloud_event_neither_id_nor_time_may_change() {
    let properties = Properties { content_type: Some("application/cloudevents+json".into()), ..Properties::default() };
    let cloud = |id: &str, time: &str, company: &str| {
        let data = with(event(), &[("/CustomerInfo/Company", json!(company)), ("/CustomerInfo/Phone", Value::Null)]);
        let body = json!({"specversion": "1.0", "id": id, "time": time, "data": data});
        Message { body: body.to_string().into(), properties: properties.clone() }
    };
    let (before, received) = (cloud("1", "2026-11-22T10:00:00Z", "Contoso"), RECEIVED.parse().unwrap());
    let mended = mend(&before, &cloud("1", "2026-11-22T10:00:00Z", "Fabrikam"), received).unwrap();
    assert_eq!(mended.changes[0].pointer, "/data/CustomerInfo/Company");
    let changed = mend(&before, &cloud("2", "2026-11-22T11:00:00Z", "Contoso"), received);
    assert_eq!(changed, Err(Unfit::Fixed(vec![Fixed::EventId, Fixed::OccurredAt])));
}

#[test]
fn a_text_is_set_where_a_pointer_says() {
    let check = |pointer: &str, expected: Option<Value>| {
        assert_eq!(with_text(json!({"a": {"b": 1}, "c": [1]}), pointer, "x"), expected, "{pointer}");
    };
    check("/a/b", Some(json!({"a": {"b": "x"}, "c": [1]})));
    check("/d/e~1f~0g", Some(json!({"a": {"b": 1}, "c": [1], "d": {"e/f~g": "x"}})));
    for nowhere in ["", "a/b", "/a/b/c", "/c/0"] {
        check(nowhere, None);
    }
}
