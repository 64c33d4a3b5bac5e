//! Which of the fields that we write Salesforce objects to, for the log.
//!
//! Only names that stand in our own configuration are told: an answer may repeat anything.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::reply::Reply;
use crate::domain::route::DestinationName;
use crate::telemetry::Telemetry;

#[derive(Debug)]
pub struct Refusals {
    pub destination: DestinationName,
    pub telemetry: Arc<Telemetry>,
    /// Every field that we name to Salesforce.
    pub known: Vec<String>,
}

impl Refusals {
    /// Of one record, which names its fields.
    pub fn of_record(&self, reply: &Reply, fields: &[String]) {
        self.tell(reply, |name| fields.iter().any(|field| field.eq_ignore_ascii_case(name)));
    }

    /// Of a whole call, whose message may name one: "No such column 'X' on …", "… is not accessible: X".
    pub fn of_call(&self, reply: &Reply, body: &[u8]) {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
        let first = body.get(0).unwrap_or(&body);
        let message = first.get("message").and_then(Value::as_str).unwrap_or_default();
        let listed = first.get("fields").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let listed: Vec<_> = listed.collect();
        self.tell(reply, |name| {
            let named = message.contains(&format!("'{name}'")) || message.ends_with(&format!(": {name}"));
            named || listed.iter().any(|field| field.eq_ignore_ascii_case(name))
        });
    }

    fn tell(&self, reply: &Reply, is_named: impl Fn(&str) -> bool) {
        let mut named: Vec<&str> = self.known.iter().map(String::as_str).filter(|name| is_named(name)).collect();
        named.dedup();
        if let (Some(code), false) = (reply.code(), named.is_empty()) {
            self.telemetry.fields_refused(&self.destination, code, &named);
        }
    }
}
