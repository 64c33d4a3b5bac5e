use serde_json::json;

use super::*;
use crate::domain::event::{Consent, Customer, Event};
use crate::domain::lead::Purpose;
use crate::domain::lead_key::Keyring;
use crate::domain::repeat::Additions;
use crate::domain::route::{DestinationName, Offer};

fn shape(mappings: Vec<Mapping>) -> Shape {
    Shape { external_id: "Leadrelay_Key__c".into(), country: "CountryCode".into(), mappings }
}

fn lead(action: &str, second: i64) -> Lead {
    let at = Timestamp::from_second(1_795_000_000 + second).expect("a time");
    let event = Event {
        id: None,
        occurred_at: at,
        source: "AzureMarketplace".into(),
        action: action.into(),
        offer: Offer::parse("contoso.balancer").expect("an offer"),
        offer_display_name: String::new(),
        publisher_display_name: String::new(),
        description: " Campaigns: ".into(),
        consent: Consent { granted: true, at, agreement: String::new() },
        customer: Customer { country: "CN".into(), email: "a@canary.example".into(), ..Customer::default() },
    };
    Lead::new(&Keyring::new(b"secret"), event, DestinationName::parse("org").expect("a name"), Purpose::Deliver)
}

fn row(value: Value) -> Row {
    value.as_object().expect("an object").clone()
}

/// What a first delivery without a ledger record would change of this record.
fn brought(shape: &Shape, standing: &Row, lead: &Lead, write: &Write) -> Row {
    let (lead, _) = fitted(lead, shape);
    let before = read(shape, standing, &lead, write, None);
    let mut after = before.clone();
    let _ = after.absorb(&lead, write);
    changes(shape, standing, (&before, &after), &lead)
}

#[test]
fn a_new_record_has_what_salesforce_requires_and_nothing_empty() {
    let shape = shape(Vec::new());
    let lead = lead("INS", 0);
    let (fitted, cuts) = fitted(&lead, &shape);
    assert!(cuts.is_empty());
    let row = columns(&shape, &new(&fitted, None), &fitted);
    assert_eq!((&row["LastName"], &row["Company"]), (&json!(NOT_PROVIDED), &json!(NOT_PROVIDED)));
    assert_eq!(row["CountryCode"], "CN");
    assert!(row["Description"].as_str().is_some_and(|text| text.starts_with("Campaigns:\nleadrelay: ")));
    for absent in ["Country", "FirstName", "Phone", "DoNotCall", "HasOptedOutOfEmail"] {
        assert!(!row.contains_key(absent), "{absent}");
    }
}

#[test]
fn a_lead_of_which_we_know_nothing_keeps_what_people_have_set() {
    let standing = row(json!({
        "LastName": "Liang", "Company": "Contoso", "CountryCode": "DE", "Email": "other@example.com",
        "LeadSource": "Referral", "Description": "Called.", "DoNotCall": true, "HasOptedOutOfEmail": true,
    }));
    for action in ["INS", "DNC"] {
        let changes = brought(&shape(Vec::new()), &standing, &lead(action, 5), &Write::Create);
        assert_eq!(changes.keys().collect::<Vec<_>>(), ["Description"], "{action}");
        assert!(changes["Description"].as_str().is_some_and(|text| text.starts_with("Called.\nleadrelay: ")));
    }
}

#[test]
fn only_what_the_ledger_says_is_new_replaces_what_stands() {
    let standing = row(json!({ "CountryCode": "DE", "Email": "other@example.com", "LastName": NOT_PROVIDED }));
    let additions = |fields| Write::Merge(Additions { action: false, fields, lifts_mark: false });
    let changes = |write| brought(&shape(Vec::new()), &standing, &lead("INS", 5), &write);
    assert!(!changes(additions(Vec::new())).contains_key("CountryCode"));
    assert_eq!(changes(additions(vec![CustomerField::Country]))["CountryCode"], "CN");
}

#[test]
fn a_description_that_is_full_keeps_every_word_of_the_peoples() {
    let full = "x".repeat(32_000);
    let standing = row(json!({ "Description": full }));
    let changes = brought(&shape(Vec::new()), &standing, &lead("PLT", 5), &Write::Create);
    assert!(!changes.contains_key("Description"));
    let standing = row(json!({ "Description": "x".repeat(31_000) }));
    let changes = brought(&shape(Vec::new()), &standing, &lead("PLT", 5), &Write::Create);
    assert!(changes["Description"].as_str().is_some_and(|text| text.starts_with("xxx") && text.contains("PLT")));
}

#[test]
fn a_producers_odd_words_become_words_and_texts_are_cut_between_characters() {
    let mut odd = lead("IN S;", 0);
    odd.event.source = "App (x)".into();
    let (fitted, _) = fitted(&odd, &shape(Vec::new()));
    assert_eq!((fitted.event.action.as_str(), fitted.event.source.as_str()), ("IN_S_", "App__x_"));
    assert_eq!((cut("a😀b", 2), cut("a😀b", 3), cut("", 0)), ("a", "a😀", ""));
}

#[test]
fn salesforces_times_are_read() {
    let row = row(json!({ "CreatedDate": "2026-11-22T03:04:05.000+0000", "Other": "soon" }));
    assert_eq!(time_in(&row, "CreatedDate"), "2026-11-22T03:04:05Z".parse().ok());
    assert_eq!(time_in(&row, "Other"), None);
}
