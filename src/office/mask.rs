//! Personal data, masked for whoever looks: enough to recognise one's own test event, too little to know anybody.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::event::decode::{ACTIONS, SOURCES};
use crate::domain::event::{Customer, CustomerField};
use crate::domain::found::{Description, FoundLead};
use crate::domain::journey::{Stage, Step};
use crate::domain::lead_key::LeadKey;
use crate::domain::route::Offer;

/// The body with every value masked but those that say what kind of event it is. `None` if it is no JSON.
pub fn body(body: &[u8]) -> Option<Value> {
    let mut value = serde_json::from_slice(body).ok()?;
    mask_value(&mut value, "");
    Some(value)
}

/// What stands at a JSON pointer into a body, masked as it is there.
pub fn at(pointer: &str, value: &Value) -> Value {
    let mut value = value.clone();
    mask_value(&mut value, pointer.strip_prefix("/data").unwrap_or(pointer));
    value
}

/// A JSON pointer, whose names may be anything too.
pub fn pointer(pointer: &str) -> String {
    pointer.split('/').map(|name| mask_name(name.to_owned())).collect::<Vec<_>>().join("/")
}

fn mask_value(value: &mut Value, pointer: &str) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(_) => *value = Value::String("•".into()),
        Value::String(string) => {
            if !is_plain(pointer, string) {
                *string = text(string);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask_value(item, "/")),
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                // A CloudEvent's data is an event too.
                let within =
                    if pointer.is_empty() && name == "data" { String::new() } else { format!("{pointer}/{name}") };
                mask_value(member, &within);
            }
            let masked = std::mem::take(members).into_iter().map(|(name, member)| (mask_name(name), member));
            *members = masked.collect::<BTreeMap<_, _>>().into_iter().collect();
        }
    }
}

/// Whether this is what belongs there, and so says what kind of event it is, and nothing of the customer.
fn is_plain(pointer: &str, text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '|');
    let is_word = text.len() <= 128 && text.chars().all(word);
    match pointer {
        "/Source" => SOURCES.contains(&text),
        "/Action" => ACTIONS.contains(&text),
        "/Offer" => is_word && Offer::parse(text).is_ok(),
        "/LeadSource" => is_word && text.split_once('|').is_some_and(|(_, offer)| Offer::parse(offer).is_ok()),
        "/OccurredAt" | "/Consent/At" => text.parse::<Timestamp>().is_ok(),
        _ => false,
    }
}

/// A lead that was read back: of it, too, only what kind of lead it is remains.
pub fn lead(lead: FoundLead) -> FoundLead {
    let known = |pointer: &str, value: &str| if is_plain(pointer, value) { value.to_owned() } else { text(value) };
    let or_text = |is_known: bool, value: String| if is_known { value } else { text(&value) };
    let mut customer = Customer::default();
    for field in CustomerField::ALL {
        customer.set(field, text(lead.customer.get(field)));
    }
    let step = |Step { source, action, at }: &Step| Step {
        source: known("/Source", source),
        action: known("/Action", action),
        at: *at,
    };
    FoundLead {
        key: or_text(lead.key.parse::<LeadKey>().is_ok(), lead.key),
        record: lead.record,
        offer: known("/Offer", &lead.offer),
        offer_name: text(&lead.offer_name),
        publisher_name: text(&lead.publisher_name),
        stage: or_text(Stage::parse(&lead.stage).is_some(), lead.stage),
        customer,
        description: Description(text(&lead.description.0)),
        journey: lead.journey.iter().map(step).collect(),
        withdrawn_at: lead.withdrawn_at,
        created_at: lead.created_at,
        changed_at: lead.changed_at,
    }
}

fn mask_name(name: String) -> String {
    let legal = name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if legal { name } else { text(&name) }
}

/// The first character and a dot, of an address also where the `@` is. Of a short text not even that: the first
/// character of a Chinese name is the family's whole name.
pub fn text(text: &str) -> String {
    let first = |part: &str| match part.chars().next() {
        Some(first) if part.chars().count() > 3 => format!("{first}•"),
        Some(_) => "•".to_owned(),
        None => String::new(),
    };
    match text.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{}", first(local), first(domain)),
        None => first(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_an_event_only_what_kind_it_is_remains() {
        let event = json!({
            "EventId": "canary", "Source": "AzureMarketplace", "Action": "INS", "Offer": "pub.offer",
            "OccurredAt": "2026-11-22T03:04:05Z", "Description": "canary canary", "Campaign": ["canary", 4711],
            "canary@example.com": {"Source": "canary"},
            "Consent": {"Granted": true, "At": null, "Agreement": "canary"},
            "CustomerInfo": {"Email": "canary@example.com", "Phone": 4711, "Source": "canary"}
        });
        let masked = body(event.to_string().as_bytes()).unwrap();
        let expected = json!({
            "EventId": "c•", "Source": "AzureMarketplace", "Action": "INS", "Offer": "pub.offer",
            "OccurredAt": "2026-11-22T03:04:05Z", "Description": "c•", "Campaign": ["c•", "•"],
            "c•@e•": {"Source": "c•"},
            "Consent": {"Granted": true, "At": null, "Agreement": "c•"},
            "CustomerInfo": {"Email": "c•@e•", "Phone": "•", "Source": "c•"}
        });
        assert_eq!(masked, expected);
        assert_eq!(body(json!({"data": event}).to_string().as_bytes()).unwrap()["data"], expected);
    }

    #[test]
    fn of_a_lead_that_was_read_back_only_what_kind_it_is_remains() {
        let mut customer = Customer::default();
        customer.set(CustomerField::Email, "canary@example.com".into());
        customer.set(CustomerField::Phone, "+86 canary".into());
        let at = "2026-11-22T03:04:05Z".parse().unwrap();
        let step = |source: &str, action: &str| Step { source: source.into(), action: action.into(), at };
        let found = FoundLead {
            key: "0123456789abcdef0123456789abcdef".into(),
            record: None,
            offer: "pub.offer".into(),
            offer_name: "canary".into(),
            publisher_name: "canary".into(),
            stage: "interest".into(),
            customer,
            description: Description("canary".into()),
            journey: vec![step("AzureMarketplace", "INS"), step("canary", "canary")],
            withdrawn_at: None,
            created_at: Some(at),
            changed_at: Some(at),
        };
        let masked = lead(found.clone());
        assert_eq!((&masked.key, &masked.offer, &masked.stage), (&found.key, &found.offer, &found.stage));
        assert_eq!(masked.journey, [step("AzureMarketplace", "INS"), step("c•", "c•")]);
        assert_eq!((masked.customer.email.as_str(), masked.customer.phone.as_str()), ("c•@e•", "+•"));
        assert_eq!((masked.offer_name.as_str(), masked.description.0.as_str()), ("c•", "c•"));
        let canary = || "canary@example.com".to_owned();
        let wrong = lead(FoundLead { key: canary(), offer: canary(), stage: canary(), ..found });
        assert_eq!([wrong.key, wrong.offer, wrong.stage], ["c•@e•"; 3]);
    }

    #[test]
    fn a_person_in_the_wrong_member_is_masked_too() {
        for personal in ["canary@example.com", "Dashan", "Dashan Liang", "+86 123", "李", "李小明", "李@x"] {
            let masked = body(
                json!({"Offer": personal, "Source": personal, "Consent": {"At": personal}}).to_string().as_bytes(),
            )
            .unwrap()
            .to_string();
            assert!(!masked.contains(personal), "{masked}");
        }
    }

    #[test]
    fn a_place_is_masked_as_it_is_in_the_body_and_so_are_the_names_on_the_way() {
        let check = |place: &str, value: Value, expected: Value| {
            assert_eq!(at(place, &value), expected, "{place}");
        };
        check("/CustomerInfo/Company", json!("canary"), json!("c•"));
        check("/data/Offer", json!("pub.offer"), json!("pub.offer"));
        check("/CustomerInfo", json!({"Phone": 4711}), json!({"Phone": "•"}));
        assert_eq!(pointer("/CustomerInfo/canary@example.com/First name"), "/CustomerInfo/c•@e•/F•");
    }

    #[test]
    fn what_is_no_json_is_not_shown_at_all() {
        for bytes in [&b"canary"[..], b"\xff", b"", &b"[".repeat(100_000)] {
            assert_eq!(body(bytes), None);
        }
    }
}
