//! Letters as JSON lines: one object a letter, with everything that is needed to take it in elsewhere, or again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::letter;
use crate::domain::dead_letter::{Attempt, StateName};
use crate::domain::envelope::Message;
use crate::domain::envelope_json;
use crate::domain::lead_key::Keyring;
use crate::domain::reply::Code;
use crate::store::dead_letters::{Entry, Kept, Letter};

/// What is known of a letter, without what is in it.
pub fn entry(entry: &Entry) -> Value {
    let facts = &entry.facts;
    json!({
        "dead_id": entry.id.to_string(),
        "state": entry.state.name().as_str(),
        "reason": facts.cause.name(),
        "detail": facts.detail,
        "class": facts.class.map(|class| class.as_str()),
        "code": facts.code.as_ref().map(Code::as_str),
        "status": facts.code.as_ref().and_then(Code::http_status),
        "destination": facts.destination.as_ref().map(|name| name.as_str()),
        "offer": facts.offer,
        "lead_key": facts.lead.map(|key| key.to_string()),
        "trace_id": facts.trace_id,
        "attempts": facts.attempts,
        "first_received": facts.first_received,
        "dead_at": facts.dead_at,
        "replays": entry.generation,
        "replay_of": facts.replay_of.map(|id| id.to_string()),
        "last_replay": entry.ending.map(|ending| ending.as_str()),
        "changed_at": entry.changed_at,
        "bytes": facts.size,
    })
}

pub fn attempts(attempts: &[Attempt]) -> Value {
    let one = |attempt: &Attempt| {
        json!({
            "at": attempt.at,
            "class": attempt.class.as_str(),
            "code": attempt.code.as_ref().map(Code::as_str),
            "status": attempt.code.as_ref().and_then(Code::http_status),
        })
    };
    Value::Array(attempts.iter().map(one).collect())
}

/// The whole letter, with what is personal in it.
pub fn write(kept: &Kept) -> Value {
    let mut line = entry(&kept.entry);
    line["attempts_failed"] = attempts(&kept.attempts);
    line["properties"] = envelope_json::to_json(&kept.message.properties);
    match std::str::from_utf8(&kept.message.body) {
        Ok(text) => line["body"] = json!(text),
        Err(_) => line["body_base64"] = json!(STANDARD.encode(&kept.message.body)),
    }
    line
}

/// The letter of a line, and the state that it was in. What is known of a letter is read anew from what is in it; only
/// its id and its time of death are taken from the line. Errors quote nothing of the line.
pub fn read(line: &str, keyring: &Keyring, now: Timestamp) -> Result<(Letter, StateName), &'static str> {
    let Ok(Value::Object(mut line)) = serde_json::from_str(line) else { return Err("is no JSON object") };
    let text = |line: &Map<String, Value>, name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
    let id = text(&line, "dead_id").and_then(|id| id.parse().ok()).ok_or("has no dead_id of 32 hex digits")?;
    let state = text(&line, "state").and_then(|state| StateName::parse(&state)).ok_or("has no state that we know")?;
    let dead_at = text(&line, "dead_at").and_then(|at| at.parse::<Timestamp>().ok()).ok_or("has no time dead_at")?;
    let properties = line.remove("properties").and_then(envelope_json::from_json).ok_or("has no properties")?;
    let body = match (text(&line, "body"), text(&line, "body_base64")) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(base64)) => STANDARD.decode(base64).map_err(|_| "has a body_base64 that is none")?,
        (Some(_), Some(_)) | (None, None) => return Err("has no body, or two"),
    };
    let mut letter = letter::of(Message { body: body.into(), properties }, keyring, now);
    letter.id = id;
    letter.facts.dead_at = dead_at.min(now);
    Ok((letter, state))
}
