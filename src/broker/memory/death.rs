//! What the broker writes into a message that it dead-letters, and how RabbitMQ before 4.0 is misled by reading it.

use crate::broker::Queue;
use crate::domain::envelope::{HeaderValue, Headers, Message};

const DEATHS: &str = "x-death";

/// The message with its death on top, as the broker records it.
pub(super) fn stamped(mut message: Message, from: &Queue, reason: &str) -> Message {
    let headers = &mut message.properties.headers;
    let name = HeaderValue::Text(name_of(from));
    let reason = HeaderValue::Text(reason.to_owned());
    let mut deaths = match headers.remove(DEATHS) {
        Some(HeaderValue::List(deaths)) => deaths,
        _ => Vec::new(),
    };
    let same = |death: &HeaderValue| field(death, "queue") == Some(&name) && field(death, "reason") == Some(&reason);
    let before = deaths.iter().find(|death| same(death)).and_then(|death| field(death, "count")?.as_int());
    deaths.retain(|death| !same(death));
    let death = Headers::from([
        ("count".to_owned(), HeaderValue::Int(before.unwrap_or(0) + 1)),
        ("reason".to_owned(), reason.clone()),
        ("queue".to_owned(), name.clone()),
        ("exchange".to_owned(), HeaderValue::Text(String::new())),
    ]);
    deaths.insert(0, HeaderValue::Table(death));
    headers.insert(DEATHS.to_owned(), HeaderValue::List(deaths));
    headers.entry("x-first-death-queue".to_owned()).or_insert(name);
    headers.entry("x-first-death-reason".to_owned()).or_insert(reason);
    message
}

/// Whether the broker thinks that dead-lettering this message to `to` would make it go round for ever: it died there
/// before, and nobody rejected it since. It believes what a producer wrote, so a republished `x-death` is a trap.
pub(super) fn is_cycle(message: &Message, to: &Queue) -> bool {
    let Some(HeaderValue::List(deaths)) = message.properties.headers.get(DEATHS) else { return false };
    let name = HeaderValue::Text(name_of(to));
    let since = deaths.iter().position(|death| field(death, "queue") == Some(&name));
    since.is_some_and(|since| {
        !deaths[..=since].iter().any(|death| field(death, "reason") == Some(&HeaderValue::Text("rejected".into())))
    })
}

fn name_of(queue: &Queue) -> String {
    format!("leads.{queue}")
}

fn field<'a>(death: &'a HeaderValue, name: &str) -> Option<&'a HeaderValue> {
    match death {
        HeaderValue::Table(table) => table.get(name),
        _ => None,
    }
}
