//! What an event is, as a table; and what holds for whatever bytes arrive.

use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::decode::BODY_MAX;
use super::{Decoded, decode};
use crate::domain::envelope::{HeaderValue, Message, Properties};

/// In every value of the samples that is personal or foreign; no problem's text may hold it.
const CANARY: &str = "canary";

fn received() -> Timestamp {
    "2026-11-22T04:00:00Z".parse().unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn sample() -> Value {
    json!({
        "EventId": "canary-7", "OccurredAt": "2026-11-22T03:04:05Z",
        "Source": "AzureMarketplace", "Action": "INS", "Offer": "arraynetworks.ArrayLoadBalancervAPV",
        "OfferDisplayName": "canary offer", "PublisherDisplayName": "canary publisher", "Description": "canary text",
        "Consent": { "Granted": true, "At": "2026-11-22T03:04:00Z", "Agreement": "canary-2018-05" },
        "CustomerInfo": { "FirstName": "Canary", "LastName": "canary", "Email": "canary@example.com",
                          "Phone": "1234567890", "Country": "CN", "Company": "canary Ltd", "Title": "canary" }
    })
}

/// The sample with the value at `pointer` replaced, or taken away if it is `Value::Null` inside `None`.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut event = sample();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = event.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(parent.insert(name.into(), value)),
        None => drop(parent.remove(name)),
    }
    event
}

fn message(body: impl Into<Vec<u8>>) -> Message {
    Message { body: Bytes::from(body.into()), properties: Properties::default() }
}

fn decoded(event: &Value) -> Decoded {
    decode(&message(event.to_string()), received()).unwrap()
}

fn problems(body: impl Into<Vec<u8>>) -> String {
    let text = decode(&message(body), received()).unwrap_err().to_string();
    assert!(!text.to_lowercase().contains(CANARY), "{text}");
    text
}

#[test]
fn a_whole_event_is_read_as_written() {
    let Decoded { event, unknown_members, known_source, known_action } = decoded(&sample());
    assert_eq!(event.id.as_deref(), Some("canary-7"));
    assert_eq!(event.occurred_at, time("2026-11-22T03:04:05Z"));
    assert_eq!((event.source.as_str(), event.action.as_str()), ("AzureMarketplace", "INS"));
    assert_eq!(event.offer.written(), "arraynetworks.ArrayLoadBalancervAPV");
    assert_eq!(event.offer_display_name, "canary offer");
    assert_eq!(event.publisher_display_name, "canary publisher");
    assert_eq!(event.description, "canary text");
    assert!(event.consent.granted);
    assert_eq!(event.consent.at, time("2026-11-22T03:04:00Z"));
    assert_eq!(event.consent.agreement, "canary-2018-05");
    let fields = super::CustomerField::ALL.map(|field| event.customer.get(field).to_owned());
    assert_eq!(fields, ["Canary", "canary", "canary@example.com", "1234567890", "CN", "canary Ltd", "canary"]);
    assert_eq!((unknown_members, known_source, known_action), (0, true, true));
}

#[test]
fn what_is_wrong_is_named_by_pointer_and_never_by_value() {
    let number = Some(json!(4711));
    let text = |text: &str| Some(json!(text));
    let check = |pointer: &str, value: Option<Value>, expected: &str| {
        assert_eq!(problems(with(pointer, value.clone()).to_string()), expected, "{pointer} = {value:?}");
    };
    for required in ["/Source", "/Action", "/Offer", "/Consent/Granted", "/CustomerInfo/Email"] {
        check(required, None, &format!("{required} missing"));
    }
    for word in ["/Source", "/Action", "/Offer", "/CustomerInfo/Email"] {
        check(word, text(""), &format!("{word} is empty"));
        check(word, text("  "), &format!("{word} is empty"));
        check(word, Some(Value::Null), &format!("{word} is null, expected a string"));
        check(word, number.clone(), &format!("{word} is a number, expected a string"));
    }
    for string in ["/EventId", "/OccurredAt", "/OfferDisplayName", "/PublisherDisplayName", "/Description"] {
        check(string, number.clone(), &format!("{string} is a number, expected a string"));
    }
    for field in ["FirstName", "LastName", "Phone", "Country", "Company", "Title"] {
        let pointer = format!("/CustomerInfo/{field}");
        check(&pointer, number.clone(), &format!("{pointer} is a number, expected a string"));
        check(&pointer, Some(json!({"canary": ["canary"]})), &format!("{pointer} is an object, expected a string"));
        check(&pointer, text("canary\u{0}"), &format!("{pointer} holds a NUL character"));
    }
    check("/Source", text("ca\u{7}nary"), "/Source holds a control character");
    check("/Action", text(&"canary".repeat(50)), "/Action is longer than 256 characters");
    check("/Offer", text("canary"), "/Offer is not of the form publisher.offer");
    check("/Offer", text(".canary"), "/Offer is not of the form publisher.offer");
    check("/Consent/Granted", text("true"), "/Consent/Granted is a string, expected a boolean");
    check("/Consent/Granted", Some(Value::Null), "/Consent/Granted is null, expected a boolean");
    check("/Consent/At", text("canary"), "/Consent/At is not a time as RFC 3339 writes it");
    check("/OccurredAt", text("2026-11-22T03:04:05"), "/OccurredAt is not a time as RFC 3339 writes it");
    check("/Consent", None, "/Consent missing");
    check("/Consent", Some(json!(true)), "/Consent is a boolean, expected an object");
    check("/CustomerInfo", Some(Value::Null), "/CustomerInfo is null, expected an object");
    check("/CustomerInfo", Some(json!(["canary"])), "/CustomerInfo is an array, expected an object");
    check("/LeadSource", number, "/LeadSource is a number, expected a string");
    check(
        "/LeadSource",
        text("TestDrive-INS|arraynetworks.ArrayLoadBalancervAPV"),
        "/Source disagrees with /LeadSource",
    );
    check("/LeadSource", text("AzureMarketplace-INS|canary.canary"), "/Offer disagrees with /LeadSource");
}

#[test]
fn only_what_an_address_can_be_is_an_email() {
    let long = format!("{}@{}.example.com", "c".repeat(60), "canary.".repeat(30));
    for bad in
        ["canary", "canary@", "@canary.com", "a b@canary.com", "canary@canary..com", "Canary <canary@example.com>"]
    {
        let text = problems(with("/CustomerInfo/Email", Some(json!(bad))).to_string());
        assert_eq!(text, "/CustomerInfo/Email is not an email address", "{bad}");
    }
    for bad in ["canary@example.com\r\nBcc: canary@example.com", "canary@exam\tple.com"] {
        let text = problems(with("/CustomerInfo/Email", Some(json!(bad))).to_string());
        assert_eq!(text, "/CustomerInfo/Email is not an email address", "{bad}");
    }
    let text = problems(with("/CustomerInfo/Email", Some(json!(long + &".x".repeat(20)))).to_string());
    assert_eq!(text, "/CustomerInfo/Email is longer than 254 characters");
    for good in [
        "o'brien+x@example.com",
        " ldashan@example.com ",
        "用户@例え.jp",
        "a@b",
        "MSFT_TEST_636573304831318844@test.com",
    ] {
        assert_eq!(decoded(&with("/CustomerInfo/Email", Some(json!(good)))).event.customer.email, good);
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let event =
        json!({"Source": 1, "Action": [], "Offer": "nodot", "Consent": {"At": "x"}, "CustomerInfo": {"Phone": true}});
    assert_eq!(
        problems(event.to_string()),
        "/Source is a number, expected a string; /Action is an array, expected a string; \
         /Offer is not of the form publisher.offer; /Consent/Granted missing; \
         /Consent/At is not a time as RFC 3339 writes it; /CustomerInfo/Email missing; \
         /CustomerInfo/Phone is a boolean, expected a string"
    );
}

#[test]
fn a_body_that_is_no_json_object_is_told_as_such() {
    let check = |body: &[u8], expected: &str| assert_eq!(problems(body), expected, "{body:?}");
    check(b"", "the body is empty");
    check(b"\xef\xbb\xbf", "the body is not JSON from line 1 column 0 on");
    check(b"canary", "the body is not JSON from line 1 column 1 on");
    check(b"{\n \"Source\": \"canary\" canary", "the body is not JSON from line 2 column 21 on");
    check(b"{\"Source\": \"can\nary\"}", "the body is not JSON from line 2 column 0 on");
    check(b"{} {}", "the body is not JSON from line 1 column 4 on");
    check(b"[1, 2]", "the body is an array, expected an object");
    check(b"\"canary\"", "the body is a string, expected an object");
    check(b"null", "the body is null, expected an object");
    check(b"{\"Source\": \"canary\xff\"}", "the body is not UTF-8");
    check(b"\xff\xfe{\0}\0", "the body is not UTF-8");
    check(b"\x1f\x8b\x08canary", "the body is not UTF-8");
    check(&vec![b' '; BODY_MAX + 1], "the body is over 256 KiB");
    check(b"{\"Source\": \"\\ud800\"}", "the body is not JSON from line 1 column 19 on");
    check(&b"[".repeat(BODY_MAX), "the body is not JSON from line 1 column 262144 on");
}

#[test]
fn a_nesting_bomb_is_skipped_or_named_and_never_overflows_the_stack() {
    let bomb = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let unknown = sample().to_string().replacen('{', &format!("{{\"Bomb\": {bomb},"), 1);
    assert_eq!(decode(&message(unknown), received()).unwrap().unknown_members, 1);
    let known = sample().to_string().replacen("\"canary text\"", &bomb, 1);
    assert_eq!(problems(known), "/Description is an array, expected a string");
    let objects = format!("{}1{}", "{\"a\":".repeat(40_000), "}".repeat(40_000));
    let known = sample().to_string().replacen("\"canary text\"", &objects, 1);
    assert_eq!(problems(known), "/Description is an object, expected a string");
}

#[test]
fn a_byte_order_mark_is_no_fault() {
    assert!(decode(&message(format!("\u{feff}{}", sample())), received()).is_ok());
}

#[test]
fn a_member_that_is_there_twice_is_refused_because_readers_differ_in_which_they_take() {
    let twice = |from: &str, to: &str| problems(sample().to_string().replacen(from, to, 1));
    assert_eq!(twice("\"Granted\":true", "\"Granted\":false,\"Granted\":true"), "/Consent/Granted is there twice");
    assert_eq!(
        twice("\"Granted\":true", "\"Granted\":false,\"Gr\\u0061nted\":true"),
        "/Consent/Granted is there twice"
    );
    assert_eq!(twice("\"Consent\":", "\"Consent\":{\"Granted\":false},\"Consent\":"), "/Consent is there twice");
    assert_eq!(twice("\"Phone\":", "\"Phone\":null,\"Phone\":"), "/CustomerInfo/Phone is there twice");
    assert_eq!(twice("\"Source\":", "\"Source\":\"canary\",\"Source\":"), "/Source is there twice");
}

#[test]
fn customer_fields_may_be_missing_null_or_empty() {
    for nothing in [None, Some(Value::Null), Some(json!(""))] {
        for field in ["FirstName", "LastName", "Phone", "Country", "Company", "Title"] {
            let event = decoded(&with(&format!("/CustomerInfo/{field}"), nothing.clone())).event;
            let given = super::CustomerField::ALL.map(|field| !event.customer.get(field).is_empty());
            assert_eq!(given.iter().filter(|given| !**given).count(), 1, "{field}");
        }
    }
}

#[test]
fn unknown_members_sources_and_actions_pass_and_are_counted() {
    let mut event = sample();
    event["Campaign"] = json!({"deep": [1, 2, {"Source": "x"}]});
    event["source"] = json!(1);
    event["CustomerInfo"]["Fax"] = json!("123");
    event["Consent"]["By"] = json!("123");
    event["Source"] = json!("AppSource (SPZA)");
    event["Action"] = json!("Renew");
    let decoded = decoded(&event);
    assert_eq!((decoded.unknown_members, decoded.known_source, decoded.known_action), (4, false, false));
    assert_eq!((decoded.event.source.as_str(), decoded.event.action.as_str()), ("AppSource (SPZA)", "Renew"));
}

#[test]
fn a_lead_source_stands_for_its_three_parts() {
    let check = |lead_source: &str, expected: [&str; 3]| {
        let mut event = with("/Source", None);
        event["LeadSource"] = json!(lead_source);
        event["Action"] = Value::Null;
        event["Offer"] = json!("");
        let event = decoded(&event).event;
        assert_eq!([&event.source, &event.action, event.offer.written()], expected, "{lead_source}");
    };
    check("AzureMarketplace-INS|a.b", ["AzureMarketplace", "INS", "a.b"]);
    check("AppSource (SPZA)-PLT|a.b", ["AppSource (SPZA)", "PLT", "a.b"]);
    check("Azure-Market-INS|check-point.r77-10sg-byol", ["Azure-Market", "INS", "check-point.r77-10sg-byol"]);
    check(" TestDrive - StartTestDrive | a.b|c-d ", ["TestDrive", "StartTestDrive", "a.b|c-d"]);

    for bad in ["canary", "canary|a.b", "-INS|a.b", "canary-|a.b", "canary-INS|", "canary-INS|nodot", "canary-I\nS|a.b"]
    {
        let mut event = with("/Source", None);
        event["LeadSource"] = json!(bad);
        assert_eq!(
            problems(event.to_string()),
            "/LeadSource is not of the form Source-Action|publisher.offer",
            "{bad}"
        );
    }
    let beside = with("/LeadSource", Some(json!("AzureMarketplace")));
    assert_eq!(decoded(&beside).event.action, "INS", "beside all three parts it may be anything");
}

#[test]
fn what_the_event_does_not_say_the_message_stands_in_for() {
    let bare = {
        let mut event = with("/EventId", None);
        event["OccurredAt"] = Value::Null;
        event["Consent"] = json!({"Granted": true});
        event
    };
    let mut message = message(bare.to_string());
    let event = decode(&message, received()).unwrap().event;
    assert_eq!((event.id, event.occurred_at, event.consent.at), (None, received(), received()));

    message.properties.message_id = Some("m-1".into());
    assert_eq!(decode(&message, received()).unwrap().event.id.as_deref(), Some("m-1"));

    let dated = with("/Consent/At", None);
    assert_eq!(decoded(&dated).event.consent.at, time("2026-11-22T03:04:05Z"));
}

#[test]
fn a_time_that_has_not_come_is_the_time_of_receipt_and_a_time_before_1970_was_never_set() {
    let check = |written: &str, expected: &str| {
        let event = decoded(&with("/OccurredAt", Some(json!(written)))).event;
        assert_eq!(event.occurred_at, time(expected), "{written}");
        let event = decoded(&with("/Consent/At", Some(json!(written)))).event;
        let expected = if written.starts_with("0001") { "2026-11-22T03:04:05Z" } else { expected };
        assert_eq!(event.consent.at, time(expected), "{written}");
    };
    check("2026-11-22T04:04:59Z", "2026-11-22T04:04:59Z");
    check("2026-11-22T04:05:01Z", "2026-11-22T04:00:00Z");
    check("9999-12-30T00:00:00Z", "2026-11-22T04:00:00Z");
    check("2026-11-22T11:30:00+08:00", "2026-11-22T03:30:00Z");
    check("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z");
    check("0001-01-01T00:00:00Z", "2026-11-22T04:00:00Z");
}

fn structured(envelope: &Value) -> Message {
    let mut message = message(envelope.to_string());
    message.properties.content_type = Some("Application/CloudEvents+json; charset=utf-8".into());
    message
}

#[test]
fn a_structured_cloud_event_brings_its_own_id_and_time() {
    let mut bare = with("/EventId", None);
    bare["OccurredAt"] = Value::Null;
    let envelope = |data: Value| {
        let mut envelope = json!({"specversion": "1.0", "id": "ce-1", "type": "t", "source": "/s",
                                  "time": "2026-11-22T01:02:03Z", "extension": 7});
        envelope.as_object_mut().unwrap().append(&mut data.as_object().unwrap().clone());
        structured(&envelope)
    };
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD.encode(bare.to_string());
    for data in [json!({"data": bare}), json!({"data_base64": base64}), json!({"data": null, "data_base64": base64})] {
        let decoded = decode(&envelope(data), received()).unwrap();
        assert_eq!(decoded.event.id.as_deref(), Some("ce-1"));
        assert_eq!(decoded.event.occurred_at, time("2026-11-22T01:02:03Z"));
        assert_eq!(decoded.unknown_members, 0, "extensions are not members of the event");
    }
    let own = decode(&envelope(json!({"data": sample()})), received()).unwrap().event;
    assert_eq!((own.id.as_deref(), own.occurred_at), (Some("canary-7"), time("2026-11-22T03:04:05Z")));
}

#[test]
fn what_is_wrong_in_a_structured_cloud_event_is_named_from_its_root() {
    let check = |envelope: Value, expected: &str| {
        let text = decode(&structured(&envelope), received()).unwrap_err().to_string();
        assert_eq!(text, expected, "{envelope}");
    };
    let bad = with("/CustomerInfo/Email", None);
    check(json!({"data": bad}), "/data/CustomerInfo/Email missing");
    check(json!({"id": 7, "data": bad}), "/id is a number, expected a string; /data/CustomerInfo/Email missing");
    check(
        json!({"specversion": "0.3", "data": bad}),
        "/specversion is not a version of CloudEvents that we know, which is 1.0; /data/CustomerInfo/Email missing",
    );
    check(json!({"id": "1"}), "/data missing");
    check(json!({"data": "canary"}), "/data is a string, expected an object");
    check(json!({"data": sample(), "data_base64": "e30="}), "/data_base64 is there beside /data");
    check(json!({"data_base64": "canary!"}), "/data_base64 is not base64");
    check(json!({"data_base64": 7}), "/data_base64 is a number, expected a string");
    check(json!({"data_base64": "e30"}), "/data_base64 is not base64");
    check(json!({"data_base64": "e30gIQ=="}), "/data_base64 is not JSON from line 1 column 4 on");
    check(json!({"time": "canary", "data": with("/OccurredAt", None)}), "/time is not a time as RFC 3339 writes it");
    check(json!([1]), "the body is an array, expected an object");

    let mut batch = structured(&json!([]));
    for other in ["application/cloudevents-batch+json", "application/cloudevents+avro"] {
        batch.properties.content_type = Some(other.into());
        let text = decode(&batch, received()).unwrap_err().to_string();
        assert_eq!(text, "the body is a CloudEvents batch or not in CloudEvents' JSON format");
    }
}

#[test]
fn a_binary_cloud_event_is_the_event_itself_with_its_attributes_in_headers() {
    let mut bare = with("/EventId", None);
    bare["OccurredAt"] = Value::Null;
    for prefix in ["cloudEvents_", "cloudEvents:"] {
        let mut message = message(bare.to_string());
        message.properties.message_id = Some("m-1".into());
        message.properties.headers.insert(format!("{prefix}id"), HeaderValue::Text("ce-1".into()));
        message.properties.headers.insert(format!("{prefix}time"), HeaderValue::Text("2026-11-22T01:02:03Z".into()));
        let event = decode(&message, received()).unwrap().event;
        assert_eq!((event.id.as_deref(), event.occurred_at), (Some("ce-1"), time("2026-11-22T01:02:03Z")));

        message.properties.headers.insert(format!("{prefix}time"), HeaderValue::Text("canary".into()));
        let text = decode(&message, received()).unwrap_err().to_string();
        assert_eq!(text, "header cloudEvents:time is not a time as RFC 3339 writes it");
    }
}

#[test]
fn a_customer_does_not_print() {
    assert!(!format!("{:?}", decoded(&sample()).event.customer).to_lowercase().contains(CANARY));
}

/// Text as people and machines write it: controls, quotes, any plane of Unicode; no NUL.
fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}|[ -~]{0,20}|[\\x01-\\x1f\"\\\\]{0,4}".prop_map(|text| text.replace('\0', ""))
}

fn word() -> impl Strategy<Value = String> {
    "[A-Za-z0-9()|.-][A-Za-z0-9() |.-]{0,18}[A-Za-z0-9()]"
}

fn any_event() -> impl Strategy<Value = super::Event> {
    let times = (0..1_795_000_000_000_i64, 0..1_795_000_000_000_i64);
    let customer = (text(), text(), "[a-z0-9]{1,8}@[a-z]{1,8}\\.[a-z]{2,3}", text(), text(), text(), text());
    let words = (word(), word(), "[a-z0-9-]{1,9}\\.[A-Za-z0-9.-]{1,9}");
    let strings = (proptest::option::of("\\PC{1,12}"), text(), text(), text(), text());
    (times, customer, words, strings, any::<bool>()).prop_map(
        |((at, consent_at), customer, words, strings, granted)| super::Event {
            id: strings.0,
            occurred_at: Timestamp::from_millisecond(at).unwrap(),
            source: words.0,
            action: words.1,
            offer: super::Offer::parse(&words.2).unwrap(),
            offer_display_name: strings.1,
            publisher_display_name: strings.2,
            description: strings.3,
            consent: super::Consent {
                granted,
                at: Timestamp::from_millisecond(consent_at).unwrap(),
                agreement: strings.4,
            },
            customer: super::Customer {
                first_name: customer.0,
                last_name: customer.1,
                email: customer.2,
                phone: customer.3,
                country: customer.4,
                company: customer.5,
                title: customer.6,
            },
        },
    )
}

/// A sample with one of its values replaced by anything, or with a member cut out.
fn mutilated() -> impl Strategy<Value = String> {
    let junk = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<f64>().prop_map(|f| json!(f)),
        text().prop_map(|t| json!(format!("canary{t}"))),
        Just(json!("canary\u{0}")),
        Just(json!(["canary", {"canary": "canary"}])),
        Just(json!({"canary": "canary", "Email": 1, "Granted": "canary"})),
    ];
    let pointers = vec![
        "/EventId",
        "/OccurredAt",
        "/Source",
        "/Action",
        "/Offer",
        "/LeadSource",
        "/Description",
        "/Consent",
        "/Consent/Granted",
        "/Consent/At",
        "/CustomerInfo",
        "/CustomerInfo/Email",
        "/CustomerInfo/Phone",
    ];
    (prop::sample::select(pointers), proptest::option::of(junk)).prop_map(|(at, junk)| with(at, junk).to_string())
}

proptest! {
    #[test]
    fn an_event_that_we_wrote_is_read_as_the_same_event(event in any_event()) {
        let decoded = decode(&message(event.to_json()), received()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(decoded.unknown_members, 0);
        prop_assert_eq!(decoded.event.offer.written(), event.offer.written());
        prop_assert!(decoded.event.customer == event.customer);
        prop_assert_eq!(decoded.event, event);
    }

    #[test]
    fn no_bytes_make_decoding_panic(body in prop::collection::vec(any::<u8>(), 0..200), structured in any::<bool>()) {
        let mut message = message(body);
        message.properties.content_type = structured.then(|| "application/cloudevents+json".into());
        let _ = decode(&message, received());
    }

    #[test]
    fn no_problem_holds_a_value(body in mutilated(), cut in any::<prop::sample::Index>(), cuts in any::<bool>()) {
        let chars: Vec<char> = body.chars().collect();
        let length = if cuts { cut.index(chars.len()) } else { chars.len() };
        if let Err(malformed) = decode(&message(String::from_iter(&chars[..length])), received()) {
            prop_assert!(!malformed.problems.is_empty());
            let told = format!("{malformed} {malformed:?}").to_lowercase();
            prop_assert!(!told.contains(CANARY) && !told.contains("example.com") && !told.contains("1234567890"), "{}", told);
        }
    }
}
