//! A lead as one JSON object.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::domain::event::CustomerField;
use crate::domain::found::FoundLead;
use crate::domain::journey::Step;

pub fn line(lead: &FoundLead) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let customer = CustomerField::ALL.map(|field| (field.name().to_owned(), lead.customer.get(field).into()));
    let step = |Step { source, action, at }: &Step| json!({ "at": at, "action": action, "source": source });
    json!({
        "lead_key": lead.key,
        "record": lead.record,
        "offer": lead.offer,
        "offer_name": lead.offer_name,
        "publisher_name": lead.publisher_name,
        "stage": lead.stage,
        "journey": lead.journey.iter().map(step).collect::<Vec<_>>(),
        "withdrawn_at": time(lead.withdrawn_at),
        "created_at": time(lead.created_at),
        "changed_at": time(lead.changed_at),
        "customer": Value::Object(Map::from_iter(customer)),
        "description": lead.description.0,
    })
}
