//! Collections: up to 200 records in one call, each with an outcome of its own, or all or none.

use std::collections::HashSet;

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::{Call, require_external, require_lead};
use super::faults::Kind;
use super::lead_id::LeadId;
use super::org::{Lead, NotUpserted, Upserted};
use super::record::{Row, read};
use super::refusal::{Refusal, no_such_column, not_found};
use super::rest::{locked, malformed_id, not_allowed, one};
use super::schema::Field;
use super::state::State;

/// Records in a call.
const MAX: usize = 200;

type Refusals = Vec<Refusal>;

/// Which call below `/composite/sobjects`.
pub fn answer(state: &mut State, call: &Call, rest: &[&str]) -> Result<Answer, Refusals> {
    // Collections came with version 42, their upsert with 46.
    if call.version < 42 || (call.version < 46 && rest.len() == 2) {
        return Err(vec![not_found()]);
    }
    if let [object, ..] = rest {
        require_lead(object).map_err(one)?;
    }
    match (rest, call.method.as_str()) {
        ([], "POST") => write(state, call, Target::Create),
        ([], "PATCH") => write(state, call, Target::Update),
        ([], "DELETE") => delete(state, call),
        ([_], "GET" | "POST") => retrieve(state, call),
        ([_, field], "PATCH") => {
            let field = require_external(state, field).map_err(one)?.name.clone();
            write(state, call, Target::Upsert(field))
        }
        ([] | [_] | [_, _], _) => Err(vec![not_allowed(&call.method)]),
        _ => Err(vec![not_found()]),
    }
}

/// What becomes of the records.
enum Target {
    Create,
    Update,
    /// By this field.
    Upsert(String),
}

/// What became of one.
enum Item {
    Written(LeadId, Option<bool>),
    Refused(Refusals),
}

fn write(state: &mut State, call: &Call, target: Target) -> Result<Answer, Refusals> {
    let body = call.object().map_err(one)?;
    let all_or_none = body.get("allOrNone").and_then(Value::as_bool).unwrap_or_default();
    let records = records(state, &body)?;
    state.counters.records += records.len() as u64;
    let mut before: Vec<(LeadId, Option<Lead>)> = Vec::new();
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(records.len());
    for row in records {
        items.push(match write_one(state, call, &target, row, (&mut seen, &mut before)) {
            Ok(Upserted { id, created }) => Item::Written(id, matches!(target, Target::Upsert(_)).then_some(created)),
            Err(refusals) => Item::Refused(refusals),
        });
    }
    if all_or_none && items.iter().any(|item| matches!(item, Item::Refused(_))) {
        for (id, lead) in before.into_iter().rev() {
            state.org.restore(id, lead);
        }
        items = items.into_iter().map(rolled_back).collect();
    }
    Ok(Answer::json(200, items.into_iter().map(show).collect()))
}

/// The well-formed records of a call; one that is not makes the whole call malformed.
fn records(state: &State, body: &Map<String, Value>) -> Result<Vec<Row>, Refusals> {
    let Some(Value::Array(records)) = body.get("records") else {
        return Err(vec![Refusal::new("REQUIRED_FIELD_MISSING", "Required field is missing: records").of(["records"])]);
    };
    if records.len() > MAX {
        let message = format!("record limit reached. cannot submit more than {MAX} records into this call");
        return Err(vec![Refusal::new("EXCEEDED_ID_LIMIT", message)]);
    }
    let row = |record: &Value| {
        let kind = record.pointer("/attributes/type").and_then(Value::as_str);
        match (record, kind) {
            (Value::Object(record), Some(kind)) if kind.eq_ignore_ascii_case("Lead") => {
                read(&state.org.schema, record).map_err(one)
            }
            (Value::Object(_), Some(kind)) => {
                Err(vec![Refusal::new("INVALID_TYPE", format!("sObject type '{kind}' is not supported."))])
            }
            _ => Err(vec![Refusal::new("INVALID_INPUT", "Each record must have a type in its attributes")]),
        }
    };
    records.iter().map(row).collect()
}

type Undo<'a> = (&'a mut HashSet<String>, &'a mut Vec<(LeadId, Option<Lead>)>);

fn write_one(
    state: &mut State,
    call: &Call,
    target: &Target,
    mut row: Row,
    (seen, before): Undo<'_>,
) -> Result<Upserted, Refusals> {
    let mut text = |name: &str| match row.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    match target {
        Target::Create => {
            guard_lock(state, "")?;
            let id = state.org.create(row, call.writer())?;
            before.push((id, None));
            Ok(Upserted { id, created: true })
        }
        Target::Update => {
            let id = text("Id")
                .ok_or_else(|| one(Refusal::new("MISSING_ARGUMENT", "Id not specified in an update call")))?;
            let id = id.parse().map_err(|_| one(malformed_id(&id)))?;
            guard_lock(state, "")?;
            let was = state.org.lead(id).cloned();
            state.org.update(id, row, call.writer())?;
            before.push((id, was));
            Ok(Upserted { id, created: false })
        }
        Target::Upsert(field) => {
            let key =
                text(field).ok_or_else(|| one(Refusal::new("MISSING_ARGUMENT", format!("{field} not specified"))))?;
            if !seen.insert(state.org.fold(&key)) {
                let message = format!("Duplicate external id specified: {key}");
                return Err(vec![Refusal::new("DUPLICATE_VALUE", message).of([field.as_str()])]);
            }
            guard_lock(state, &key)?;
            let was = state.org.with_external(&key).first().and_then(|id| state.org.lead(*id)).cloned();
            let upserted = state.org.upsert(&key, row, call.writer()).map_err(|error| not_upserted(error, field))?;
            before.push((upserted.id, was.filter(|_| !upserted.created)));
            Ok(upserted)
        }
    }
}

fn not_upserted(error: NotUpserted, field: &str) -> Refusals {
    match error {
        NotUpserted::Refused(refusals) => refusals,
        NotUpserted::Several(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let message = format!("{field}: more than one record found for external id field: [{}]", ids.join(", "));
            vec![Refusal::new("DUPLICATE_EXTERNAL_ID", message).of([field])]
        }
    }
}

fn guard_lock(state: &mut State, key: &str) -> Result<(), Refusals> {
    if state.faults.lock(Kind::Collections, key) { Err(vec![locked(state, key)]) } else { Ok(()) }
}

fn rolled_back(item: Item) -> Item {
    match item {
        Item::Refused(refusals) => Item::Refused(refusals),
        Item::Written(..) => {
            let message = "Record rolled back because not all records were valid and the request was using AllOrNone \
                           header";
            Item::Refused(vec![Refusal::new("ALL_OR_NONE_OPERATION_ROLLED_BACK", message)])
        }
    }
}

fn show(item: Item) -> Value {
    match item {
        Item::Written(id, None) => json!({ "id": id.to_string(), "success": true, "errors": [] }),
        Item::Written(id, Some(created)) => {
            json!({ "id": id.to_string(), "success": true, "errors": [], "created": created })
        }
        Item::Refused(refusals) => {
            json!({ "success": false, "errors": refusals.iter().map(Refusal::of_item).collect::<Value>() })
        }
    }
}

fn delete(state: &mut State, call: &Call) -> Result<Answer, Refusals> {
    let ids = call.query.get("ids").map(String::as_str).unwrap_or_default();
    let ids: Vec<&str> = ids.split(',').filter(|id| !id.is_empty()).collect();
    if ids.len() > MAX {
        let message = format!("record limit reached. cannot submit more than {MAX} records into this call");
        return Err(vec![Refusal::new("EXCEEDED_ID_LIMIT", message)]);
    }
    let all_or_none = call.query.get("allOrNone").is_some_and(|value| value == "true");
    let mut before = Vec::new();
    let mut items = Vec::new();
    for text in ids {
        let id = text.parse::<LeadId>().map_err(|_| one(malformed_id(text)));
        let was = id.as_ref().ok().and_then(|id| state.org.lead(*id)).cloned();
        items.push(match id.and_then(|id| state.org.delete(id).map(|()| id)) {
            Ok(id) => {
                before.push((id, was));
                Item::Written(id, None)
            }
            Err(refusals) => Item::Refused(refusals),
        });
    }
    if all_or_none && items.iter().any(|item| matches!(item, Item::Refused(_))) {
        for (id, lead) in before {
            state.org.restore(id, lead);
        }
        items = items.into_iter().map(rolled_back).collect();
    }
    Ok(Answer::json(200, items.into_iter().map(show).collect()))
}

/// Leads by their ids, null for one that is not there.
fn retrieve(state: &State, call: &Call) -> Result<Answer, Refusals> {
    let list = |text: Option<&String>| text.map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>());
    let (ids, names) = if call.method == Method::GET {
        (list(call.query.get("ids")), list(call.query.get("fields")))
    } else {
        let body = call.object().map_err(one)?;
        let of = |name: &str| body.get(name).cloned().and_then(|list| serde_json::from_value(list).ok());
        (of("ids"), of("fields"))
    };
    let missing =
        |name: &str| one(Refusal::new("REQUIRED_FIELD_MISSING", format!("Required field is missing: {name}")));
    let (ids, names) = (ids.ok_or_else(|| missing("ids"))?, names.ok_or_else(|| missing("fields"))?);
    let field = |name: &String| state.org.schema.field(name.trim()).ok_or_else(|| one(no_such_column(name)));
    let fields: Vec<&Field> = names.iter().map(field).collect::<Result<_, _>>()?;
    let show = |id: &String| {
        let lead = id.parse().ok().and_then(|id| state.org.lead(id));
        lead.map_or(Value::Null, |lead| state.org.show(lead, fields.iter().copied(), &call.version_name()))
    };
    Ok(Answer::json(200, ids.iter().map(show).collect()))
}
