//! Dead letters for the tests of their store.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use leadrelay::domain::dead_letter::{Attempt, Cause, StateName};
use leadrelay::domain::envelope::{HeaderValue, Message, Properties};
use leadrelay::domain::lead_key::{DeadId, Keyring};
use leadrelay::domain::reply::{Class, Code};
use leadrelay::domain::route::{DestinationName, Offer, OfferPattern};
use leadrelay::store::dead_letters::*;

pub fn keyring() -> Keyring {
    Keyring::new(b"a secret of the test's own")
}

pub fn at(second: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_secs(second)
}

pub fn destination(name: &str) -> DestinationName {
    DestinationName::parse(name).unwrap()
}

pub fn pattern(text: &str) -> OfferPattern {
    OfferPattern::parse(text).unwrap()
}

/// The `n`-th letter, dead `n` seconds after noon, rejected by `contoso`.
pub fn letter(n: u32) -> Letter {
    let email = format!("person{n}@example.com");
    let offer = Offer::parse("contoso.appliance").unwrap();
    let body = format!(r#"{{"Offer": "contoso.appliance", "CustomerInfo": {{"Email": "{email}"}}}}"#);
    let message_id = format!("m{n}");
    let id = keyring().dead_id(body.as_bytes(), Some(&message_id), 0);
    let headers = BTreeMap::from([
        ("x-leadrelay-reason".to_owned(), HeaderValue::Text("rejected".into())),
        ("odd".to_owned(), HeaderValue::List(vec![HeaderValue::Float(0.1), HeaderValue::Bytes(vec![0, 255])])),
    ]);
    let properties = Properties { message_id: Some(message_id), headers, ..Properties::default() };
    let code = Code::known("PropertyValueTooLarge").answered(400);
    Letter {
        id,
        facts: Facts {
            cause: Cause::Rejected,
            detail: Some("PropertyValueTooLarge".into()),
            class: Some(Class::Rejected),
            code: Some(code.clone()),
            destination: Some(destination("contoso")),
            offer: Some("contoso.appliance".into()),
            lead: Some(keyring().lead_key(&email, &offer)),
            address: Some(keyring().address_key(&email)),
            trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
            attempts: 1,
            first_received: Some(at(-60)),
            dead_at: at(n.into()),
            generation: 0,
            replay_of: None,
            size: body.len() as u64,
        },
        attempts: vec![Attempt { at: at(-1), class: Class::Rejected, code: Some(code) }],
        message: Message { body: body.into(), properties },
    }
}

/// The `n`-th letter, with other facts.
pub fn letter_with(n: u32, change: impl FnOnce(&mut Facts)) -> Letter {
    let mut letter = letter(n);
    change(&mut letter.facts);
    letter
}

pub fn act(second: i64) -> Act {
    Act { at: at(second), who: "olga".into(), why: "because".into() }
}

pub async fn take_in(store: &dyn DeadLetters, letters: &[Letter]) -> Vec<TakenIn> {
    store.take_in(letters.to_vec(), act(0)).await.unwrap()
}

pub async fn kept(store: &dyn DeadLetters, id: DeadId) -> Option<Kept> {
    store.read(vec![id]).await.unwrap().remove(0)
}

pub async fn entry(store: &dyn DeadLetters, id: DeadId) -> Entry {
    kept(store, id).await.expect("the letter is there").entry
}

/// What is listed, by the number of each letter.
pub async fn listed(store: &dyn DeadLetters, filter: Filter) -> Vec<i64> {
    let entries = store.list(filter, None, 1_000).await.unwrap();
    entries.iter().map(|entry| entry.facts.dead_at.duration_since(at(0)).as_secs()).collect()
}

pub fn dead() -> Filter {
    Filter { state: Some(StateName::Dead), ..Filter::default() }
}

pub async fn order(store: &dyn DeadLetters, id: DeadId, version: u64, wish: Wish) -> Changed {
    store.change(vec![Order { id, version, wish }], act(10)).await.unwrap().remove(0)
}

pub fn owning(plan: &Plan, owner: &str, (now, until): (i64, i64)) -> Owning {
    Owning { plan: plan.id, owner: owner.into(), now: at(now), until: at(until) }
}

pub async fn deeds(store: &dyn DeadLetters, id: DeadId) -> Vec<&'static str> {
    kept(store, id).await.expect("the letter is there").history.iter().map(|deed| deed.what.name()).collect()
}
