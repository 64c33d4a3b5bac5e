//! The schema in `contract/` is the one that the types give, and accepts what the decoder accepts: no more, no less.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonschema::Validator;
use leadrelay::domain::envelope::{Message, Properties};
use leadrelay::domain::event::{Wrong, decode, schema};
use leadrelay::domain::fate;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

/// Whether the schema should accept the document, which the decoder accepts; or refuses for the one reason that no schema
/// knows, as none compares one member with another. And what the decoder says.
fn expected(content_type: &str, document: &Value) -> (bool, String) {
    let properties = Properties { content_type: Some(content_type.into()), ..Properties::default() };
    let received = "2026-11-22T04:00:00Z".parse().unwrap();
    match decode(&Message { body: document.to_string().into(), properties }, received) {
        Ok(_) => (true, "is accepted".to_owned()),
        Err(malformed) => {
            let disagrees = malformed.problems.iter().all(|problem| problem.wrong == Wrong::Disagrees);
            (disagrees, malformed.to_string())
        }
    }
}

/// The schemas of an event, and of an event in a CloudEvent.
struct Schemas {
    event: Validator,
    cloud_event: Validator,
}

impl Schemas {
    fn new() -> Self {
        let of = |schema: &Value| jsonschema::validator_for(schema).expect("a legal schema");
        let event = schema::schema();
        let mut cloud_event = json!({ "$schema": event["$schema"], "$ref": "#/definitions/CloudEvent" });
        // A part of the document: what it refers to as the root is the event.
        let text = event.to_string().replace("\"$ref\":\"#\"", "\"$ref\":\"#/definitions/ConsentEvent\"");
        let mut whole: Value = serde_json::from_str(&text).unwrap();
        let definitions = whole.as_object_mut().unwrap().remove("definitions").unwrap();
        cloud_event["definitions"] = definitions;
        cloud_event["definitions"]["ConsentEvent"] = whole;
        Self { event: of(&event), cloud_event: of(&cloud_event) }
    }

    fn assert_agree_on_event(&self, document: &Value) -> Result<bool, TestCaseError> {
        let (expected, told) = expected("application/json", document);
        prop_assert_eq!(self.event.is_valid(document), expected, "{} {}", document, told);
        Ok(expected)
    }

    /// The schema cannot look into base64: what is in there is an event by itself.
    fn assert_agree_on_cloud_event(&self, document: &Value) -> Result<bool, TestCaseError> {
        let inside = document["data_base64"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let is_event = |bytes: Vec<u8>| {
            serde_json::from_slice(&bytes).is_ok_and(|event| self.assert_agree_on_event(&event).unwrap())
        };
        let valid = self.cloud_event.is_valid(document) && inside.is_none_or(is_event);
        let (expected, told) = expected("application/cloudevents+json", document);
        prop_assert_eq!(valid, expected, "{} {}", document, told);
        Ok(expected)
    }
}

fn sample() -> Value {
    json!({
        "EventId": "e-7", "OccurredAt": "2026-11-22T03:04:05Z",
        "Source": "AzureMarketplace", "Action": "INS", "Offer": "arraynetworks.ArrayLoadBalancervAPV",
        "LeadSource": "AzureMarketplace-INS|arraynetworks.ArrayLoadBalancervAPV",
        "OfferDisplayName": "vAPV", "PublisherDisplayName": "Array", "Description": "text", "Campaign": { "deep": [1] },
        "Consent": { "Granted": true, "At": "2026-11-22T03:04:00Z", "Agreement": "2018-05", "By": 1 },
        "CustomerInfo": { "FirstName": "Dashan", "LastName": "Liang", "Email": "ldashan@example.com",
                          "Phone": "1234567890", "Country": "CN", "Company": "Contoso", "Title": "CTO", "Fax": null }
    })
}

const MEMBERS: [&str; 21] = [
    "/EventId",
    "/OccurredAt",
    "/Source",
    "/Action",
    "/Offer",
    "/LeadSource",
    "/OfferDisplayName",
    "/PublisherDisplayName",
    "/Description",
    "/Consent",
    "/Consent/Granted",
    "/Consent/At",
    "/Consent/Agreement",
    "/CustomerInfo",
    "/CustomerInfo/FirstName",
    "/CustomerInfo/LastName",
    "/CustomerInfo/Email",
    "/CustomerInfo/Phone",
    "/CustomerInfo/Country",
    "/CustomerInfo/Company",
    "/CustomerInfo/Title",
];

/// Pieces of which texts are made that are nearly right.
const PIECES: [&str; 46] = [
    "",
    " ",
    "\t",
    "\n",
    "\u{85}",
    "\u{a0}",
    "\u{3000}",
    "\u{2028}",
    "\u{feff}",
    "\u{0}",
    "\u{1}",
    "\u{7f}",
    "\u{9f}",
    "-",
    "|",
    ".",
    "..",
    "@",
    "\"",
    "\\",
    "<",
    ">",
    " <",
    "(",
    ",",
    ":",
    ";",
    "[",
    "]",
    "/",
    "_",
    "+",
    "'",
    "~",
    "a",
    "B",
    "7",
    "é",
    "大",
    "🎉",
    "\u{301}",
    "INS",
    "a.b",
    "AzureMarketplace",
    "Z",
    "T",
];

fn pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(select(PIECES.to_vec()), 0..9).prop_map(|pieces| pieces.concat())
}

/// Texts of one character, about as long as a text may be.
fn long() -> impl Strategy<Value = String> {
    (select(vec!["a", "é", "🎉", " ", "a.", ".a", "-"]), select(vec![63, 64, 65, 127, 128, 253, 254, 255, 256, 257]))
        .prop_map(|(text, count)| text.repeat(count))
}

fn lead_source() -> impl Strategy<Value = String> {
    let part = || {
        prop_oneof![4 => select(vec!["AzureMarketplace", "INS", "a.b", "a-b", "a|b", " x.y "]).prop_map(str::to_owned),
                              2 => pieces(), 1 => long()]
    };
    (part(), part(), part()).prop_map(|(source, action, offer)| format!("{source}-{action}|{offer}"))
}

/// An address with something put into it, or put together from parts.
fn email() -> impl Strategy<Value = String> {
    let good =
        vec!["ldashan@example.com", "o'brien+x@a-b.c", "\"a b\"@x.y", "\"a\\\"@b\"@x", "a.b@[1.2.3.4]", "用户@例え.jp"];
    let mended = (
        select(good),
        any::<prop::sample::Index>(),
        prop_oneof![4 => select(PIECES.to_vec()).prop_map(str::to_owned), 1 => long()],
    );
    let mended = mended.prop_map(|(good, at, piece)| {
        let places: Vec<usize> = good.char_indices().map(|(at, _)| at).chain([good.len()]).collect();
        let (before, after) = good.split_at(*at.get(&places));
        format!("{before}{piece}{after}")
    });
    let part = || {
        prop_oneof![3 => pieces(), 2 => "[a-zA-Z0-9.é_-]{1,6}", 1 => long(),
                              2 => pieces().prop_map(|text| format!("\"{text}\"")),
                              1 => pieces().prop_map(|text| format!("[{text}]"))]
    };
    let labels = prop::collection::vec(part(), 1..3).prop_map(|labels| labels.join("."));
    let parts = (labels.clone(), labels).prop_map(|(local, domain)| format!("{local}@{domain}"));
    (select(vec!["", " ", "\u{3000}\n"]), prop_oneof![mended, parts])
        .prop_map(|(blank, address)| format!("{blank}{address}{blank}"))
}

fn time() -> impl Strategy<Value = String> {
    let year = prop_oneof![4 => (0..=9999_u32).prop_map(|year| format!("{year:04}")), 1 => "[0-9]{3,5}"];
    let month = prop_oneof![4 => 1..13_u32, 1 => 0..14_u32];
    let date =
        (year, month, prop_oneof![4 => 1..30_u32, 1 => 27..33_u32]).prop_map(|(y, m, d)| format!("{y}-{m:02}-{d:02}"));
    let separator = select(vec!["T", "T", "t", " ", "_"]);
    let clock = (0..25_u32, 0..61_u32, 0..62_u32).prop_map(|(h, m, s)| format!("{h:02}:{m:02}:{s:02}"));
    let fraction = prop_oneof![4 => Just(String::new()), 2 => "\\.[0-9]{0,10}", 1 => "[,.: 0-9]{0,3}"];
    let offset =
        prop_oneof![4 => Just("Z".to_owned()), 2 => "[+-][0-2][0-9]:?[0-6][0-9]", 1 => "[zZ+-]{0,2}[0-9:]{0,5}"];
    let zone = prop_oneof![6 => Just(String::new()), 1 => "\\[[A-Za-z/\\]\\[]{0,5}\\]?"];
    let end = select(vec!["", "", "", " ", "\u{85}", "x"]);
    (date, separator, clock, fraction, offset, zone, end).prop_flat_map(|(d, t, c, f, o, z, end)| {
        let whole = format!("{d}{t}{c}{f}{o}{z}{end}");
        let shorter = format!("{d}{t}{}{o}{z}", &c[..5]);
        let cut = whole.chars().take(whole.len() / 2).collect();
        select(vec![whole.clone(), whole.clone(), whole, shorter, cut])
    })
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![pieces(), long(), lead_source(), email(), time()];
    let junk =
        vec![json!(null), json!(true), json!(7), json!(0.5), json!([]), json!(["x"]), json!({}), json!({"Email": 1})];
    prop_oneof![8 => text.prop_map(Value::from), 2 => select(junk)]
}

/// The member's own kind of text, or anything.
fn value_for(member: &'static str) -> BoxedStrategy<Value> {
    let own = match member {
        "/OccurredAt" | "/Consent/At" => time().boxed(),
        "/CustomerInfo/Email" => email().boxed(),
        "/LeadSource" => lead_source().boxed(),
        _ => pieces().boxed(),
    };
    prop_oneof![4 => own.prop_map(Value::from), 1 => value()].boxed()
}

fn change() -> impl Strategy<Value = (&'static str, Option<Value>)> {
    select(MEMBERS.to_vec()).prop_flat_map(|member| {
        prop_oneof![1 => Just(None), 4 => value_for(member).prop_map(Some)].prop_map(move |value| (member, value))
    })
}

fn changed(mut document: Value, changes: Vec<(&'static str, Option<Value>)>) -> Value {
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let Some(parent) = document.pointer_mut(parent).and_then(Value::as_object_mut) else { continue };
        match value {
            Some(value) => drop(parent.insert(name.into(), value)),
            None => drop(parent.remove(name)),
        }
    }
    document
}

/// Mostly without a LeadSource, so that the other members decide.
fn document() -> impl Strategy<Value = Value> {
    (any::<bool>(), prop::collection::vec(change(), 0..4)).prop_map(|(bare, changes)| {
        let mut sample = sample();
        if bare {
            sample.as_object_mut().unwrap().remove("LeadSource");
        }
        changed(sample, changes)
    })
}

fn cloud_event() -> impl Strategy<Value = Value> {
    let attribute = |texts: Vec<&'static str>| prop_oneof![3 => select(texts).prop_map(|text| Some(json!(text))), 1 => Just(None), 1 => value().prop_map(Some)];
    let data = prop_oneof![6 => document().prop_map(Some), 3 => Just(None), 1 => value().prop_map(Some)];
    let encoded = prop_oneof![
        3 => Just(None),
        2 => document().prop_map(|event| Some(json!(STANDARD.encode(event.to_string())))),
        1 => "[A-Za-z0-9+/]{0,6}={0,2}".prop_map(|text| Some(json!(text))),
        1 => value().prop_map(Some),
    ];
    let attributes = (attribute(vec!["1.0", "1.0", "1.1", "0.3"]), attribute(vec!["1", ""]), time(), any::<bool>());
    (attributes, data, encoded).prop_map(|((version, id, time, timed), data, encoded)| {
        let time = timed.then(|| json!(time));
        let members = [("specversion", version), ("id", id), ("time", time), ("data", data), ("data_base64", encoded)];
        let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(there.chain([("type".to_owned(), json!(1))]).collect())
    })
}

/// Runs `check` on many documents, and sees to it that both answers come up often.
fn agree<S: Strategy<Value = Value>>(cases: u32, documents: S, check: impl Fn(&Value) -> Result<bool, TestCaseError>) {
    let counts = [const { std::cell::Cell::new(0_u32) }; 2];
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() });
    let checked = runner.run(&documents, |document| {
        let count = &counts[usize::from(check(&document)?)];
        count.set(count.get() + 1);
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
    let [refused, accepted] = counts.map(|count| count.get());
    assert!(refused.min(accepted) > cases / 20, "{refused} refused, {accepted} accepted: the samples are one-sided");
}

#[test]
fn the_schema_accepts_the_same_events_as_the_decoder() {
    let schemas = Schemas::new();
    agree(10_000, document(), |event| schemas.assert_agree_on_event(event));
}

#[test]
fn the_schema_accepts_the_same_cloud_events_as_the_decoder() {
    let schemas = Schemas::new();
    agree(5_000, cloud_event(), |event| schemas.assert_agree_on_cloud_event(event));
}

#[test]
fn the_schema_and_the_decoder_agree_on_texts_that_are_nearly_right() {
    let schemas = Schemas::new();
    let of = |member: &'static str, bare: bool, texts: BoxedStrategy<String>| {
        texts.prop_map(move |text| {
            let words = ["/Source", "/Action", "/Offer"].map(|word| (word, None));
            let start =
                if bare { changed(sample(), words.to_vec()) } else { changed(sample(), vec![("/LeadSource", None)]) };
            changed(start, vec![(member, Some(json!(text)))])
        })
    };
    let agree_on = |member, bare, texts| {
        agree(5_000, of(member, bare, texts), |event| schemas.assert_agree_on_event(event));
    };
    agree_on("/OccurredAt", false, time().boxed());
    agree_on("/LeadSource", true, lead_source().boxed());
    agree_on("/Offer", false, prop_oneof![pieces(), long()].boxed());
    agree_on("/Source", false, prop_oneof![pieces(), long()].boxed());
    agree_on("/CustomerInfo/Email", false, email().boxed());
}

#[test]
fn the_files_are_what_the_types_give() {
    let expected = [
        ("consent-event.schema.json", schema::file(), schema::schema()),
        ("fate.schema.json", fate::schema_file(), fate::schema()),
    ];
    for (name, text, value) in expected {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract").join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(file == text, "{} is out of date: UPDATE=1 cargo test --test contract_schema", path.display());
        assert_eq!(serde_json::from_str::<Value>(&file).unwrap(), value, "escapes change nothing");
    }
}
