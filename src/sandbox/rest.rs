//! The REST API below `/services/data/vXX.X`: which resource is asked for, and the calls on one lead.

use axum::http::{Method, header};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::{Call, VERSIONS, require_external, require_lead};
use super::collections;
use super::describe;
use super::lead_id::LeadId;
use super::org::{NotUpserted, Upserted};
use super::query;
use super::record::{Row, read};
use super::refusal::{Refusal, not_found};
use super::schema::Field;
use super::state::State;

type Refusals = Vec<Refusal>;

/// Carries a call out.
pub fn answer(state: &mut State, call: &Call) -> Result<Answer, Refusals> {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let (get, post, patch, delete) = (
        call.method == Method::GET,
        call.method == Method::POST,
        call.method == Method::PATCH,
        call.method == Method::DELETE,
    );
    match segments.as_slice() {
        [] if get => Ok(describe::resources(call)),
        ["limits"] if get => Ok(describe::limits(state)),
        ["query" | "queryAll"] if get => query::run(state, call),
        ["query" | "queryAll", locator] if get => query::next(state, call, locator),
        ["sobjects"] if get => Ok(describe::global(call)),
        ["sobjects", object, rest @ ..] => {
            require_lead(object).map_err(one)?;
            match rest {
                [] if get => Ok(describe::basic(state, call)),
                [] if post => create(state, call),
                ["describe"] if get => Ok(describe::full(state, call)),
                ["Id"] if post => create(state, call),
                [id] if get => fetch(state, call, lead(state, id)?),
                [id] if patch => change(state, call, id),
                [id] if delete => remove(state, lead(state, id)?),
                [field, value] if get => found(state, call, field, value).and_then(|id| match id {
                    Found::One(id) => fetch(state, call, id),
                    Found::Several(answer) => Ok(answer),
                }),
                [field, value] if patch => upsert(state, call, field, value),
                [field, value] if delete => found(state, call, field, value).and_then(|id| match id {
                    Found::One(id) => remove(state, id),
                    Found::Several(answer) => Ok(answer),
                }),
                [] | [_] | [_, _] => Err(vec![not_allowed(&call.method)]),
                _ => Err(vec![not_found()]),
            }
        }
        ["composite", "sobjects", rest @ ..] => collections::answer(state, call, rest),
        [] | ["limits" | "query" | "queryAll" | "sobjects"] => Err(vec![not_allowed(&call.method)]),
        _ => Err(vec![not_found()]),
    }
}

/// The versions that are served; asked without a session.
pub fn versions() -> Value {
    let label = |version: u32| {
        // Three releases a year: 66 is Spring '26, 67 Summer '26, 68 Winter '27.
        let season = ["Spring", "Summer", "Winter"][(version % 3) as usize];
        let year = version / 3 + 4 + u32::from(version % 3 == 2);
        format!("{season} '{year:02}")
    };
    let of = |version: u32| json!({ "label": label(version), "url": format!("/services/data/v{version}.0"), "version": format!("{version}.0") });
    VERSIONS.map(of).collect()
}

pub fn one(refusal: Refusal) -> Refusals {
    vec![refusal]
}

pub fn not_allowed(method: &Method) -> Refusal {
    let message = format!("HTTP Method '{method}' not allowed. Allowed are HEAD,GET,POST,PATCH,DELETE");
    Refusal::new("METHOD_NOT_ALLOWED", message)
}

fn create(state: &mut State, call: &Call) -> Result<Answer, Refusals> {
    let row = read(&state.org.schema, &call.object().map_err(one)?).map_err(one)?;
    guard_lock(state, &row)?;
    let id = state.org.create(row, call.writer())?;
    let url = format!("/services/data/{}/sobjects/Lead/{id}", call.version_name());
    let body = json!({ "id": id.to_string(), "success": true, "errors": [] });
    Ok(Answer::json(201, body).header(header::LOCATION, url))
}

fn change(state: &mut State, call: &Call, id: &str) -> Result<Answer, Refusals> {
    let record = call.object().map_err(one)?;
    refuse_field(&record, "Id")?;
    let row = read(&state.org.schema, &record).map_err(one)?;
    let id = id.parse::<LeadId>().map_err(|_| one(malformed_id(id)))?;
    guard_lock(state, &row)?;
    state.org.update(id, row, call.writer())?;
    Ok(Answer::empty(204))
}

fn fetch(state: &State, call: &Call, id: LeadId) -> Result<Answer, Refusals> {
    let lead = state.org.lead(id).ok_or_else(|| one(not_found()))?;
    let all = || state.org.schema.fields().iter().collect();
    let fields: Vec<&Field> = match call.query.get("fields") {
        None => all(),
        Some(names) => {
            let field =
                |name: &str| state.org.schema.field(name).ok_or_else(|| one(super::refusal::no_such_column(name)));
            names.split(',').map(|name| field(name.trim())).collect::<Result<_, _>>()?
        }
    };
    Ok(Answer::json(200, state.org.show(lead, fields.into_iter(), &call.version_name())))
}

fn remove(state: &mut State, id: LeadId) -> Result<Answer, Refusals> {
    state.org.delete(id)?;
    Ok(Answer::empty(204))
}

fn upsert(state: &mut State, call: &Call, field: &str, value: &str) -> Result<Answer, Refusals> {
    if field.eq_ignore_ascii_case("Id") {
        return change(state, call, value);
    }
    let field = require_external(state, field).map_err(one)?.name.clone();
    let record = call.object().map_err(one)?;
    refuse_field(&record, "Id")?;
    refuse_field(&record, &field)?;
    let row = read(&state.org.schema, &record).map_err(one)?;
    if state.faults.lock(super::faults::Kind::Rest, value) {
        return Err(vec![locked(state, value)]);
    }
    let update_only = call.query.get("updateOnly").is_some_and(|value| value == "true");
    if update_only && state.org.with_external(value).is_empty() {
        return Err(vec![not_found()]);
    }
    match state.org.upsert(value, row, call.writer()) {
        Ok(Upserted { created: false, .. }) if call.version < 46 => Ok(Answer::empty(204)),
        Ok(Upserted { id, created }) => {
            let mut body = json!({ "id": id.to_string(), "success": true, "errors": [] });
            if call.version >= 46 {
                body["created"] = created.into();
            }
            let url = format!("/services/data/{}/sobjects/Lead/{id}", call.version_name());
            let answer = Answer::json(if created { 201 } else { 200 }, body);
            Ok(if created { answer.header(header::LOCATION, url) } else { answer })
        }
        Err(NotUpserted::Several(ids)) => Ok(several(call, &ids)),
        Err(NotUpserted::Refused(refusals)) => Err(refusals),
    }
}

/// What a lead's external id leads to.
enum Found {
    One(LeadId),
    Several(Answer),
}

fn found(state: &State, call: &Call, field: &str, value: &str) -> Result<Found, Refusals> {
    if field.eq_ignore_ascii_case("Id") {
        return lead(state, value).map(Found::One);
    }
    require_external(state, field).map_err(one)?;
    match state.org.with_external(value).as_slice() {
        [] => Err(vec![not_found()]),
        [id] => Ok(Found::One(*id)),
        ids => Ok(Found::Several(several(call, ids))),
    }
}

/// 300: choose one of these.
fn several(call: &Call, ids: &[LeadId]) -> Answer {
    let url = |id: &LeadId| format!("/services/data/{}/sobjects/Lead/{id}", call.version_name());
    Answer::json(300, ids.iter().map(url).collect())
}

fn lead(state: &State, id: &str) -> Result<LeadId, Refusals> {
    let id = id.parse::<LeadId>().map_err(|_| one(malformed_id(id)))?;
    state.org.lead(id).map(|lead| lead.id).ok_or_else(|| one(not_found()))
}

pub fn malformed_id(id: &str) -> Refusal {
    Refusal::new("MALFORMED_ID", format!("Lead ID: id value of incorrect type: {id}")).of(["Id"])
}

/// What the URL says may not stand in the record.
fn refuse_field(record: &Map<String, Value>, name: &str) -> Result<(), Refusals> {
    match record.keys().find(|key| key.eq_ignore_ascii_case(name)) {
        None => Ok(()),
        Some(key) => {
            let message = format!("The {key} field should not be specified in the sobject data.");
            Err(vec![Refusal::new("INVALID_FIELD", message).of([key.as_str()])])
        }
    }
}

fn guard_lock(state: &mut State, row: &Row) -> Result<(), Refusals> {
    let external = state.org.schema.external().and_then(|field| row.get(&field.name)).and_then(Value::as_str);
    let key = external.unwrap_or_default().to_owned();
    if state.faults.lock(super::faults::Kind::Rest, &key) { Err(vec![locked(state, &key)]) } else { Ok(()) }
}

pub fn locked(state: &State, key: &str) -> Refusal {
    let ids: Vec<String> = state.org.with_external(key).iter().map(ToString::to_string).collect();
    let message = format!("unable to obtain exclusive access to this record or 1 records: {}", ids.join(","));
    Refusal::new("UNABLE_TO_LOCK_ROW", message)
}
