//! `/_sandbox/…`: looking into the org and changing it, in JSON. Faults never strike here.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Uri, header};
use axum::routing::{get, patch, post};
use bytes::Bytes;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::faults::Fault;
use super::lead_id::LeadId;
use super::options::Settings;
use super::routes::Desk;
use super::state::State;

type Desked = Shared<Arc<Desk>>;

pub fn router() -> Router<Arc<Desk>> {
    Router::new()
        .route("/_sandbox/state", get(|Shared(desk): Desked| async move { Answer::json(200, summary(&desk.state())) }))
        .route("/_sandbox/leads", get(leads))
        .route("/_sandbox/posts", get(posts))
        .route("/_sandbox/settings", patch(settings))
        .route("/_sandbox/faults", post(add_fault).delete(clear_faults))
        .route("/_sandbox/usage", post(usage))
        .route("/_sandbox/convert", post(convert))
        .route("/_sandbox/advance", post(advance))
        .route("/_sandbox/expire-tokens", post(expire_tokens))
        .route("/_sandbox/reset", post(reset))
}

/// Where the org stands.
pub fn summary(state: &State) -> Value {
    let faults: Vec<String> = state.faults.all().iter().map(ToString::to_string).collect();
    let web_to_lead = &state.web_to_lead;
    json!({
        "now": state.now().to_string(),
        "seed": state.seed,
        "leads": state.org.leads().len(),
        "web_to_lead": {
            "received": web_to_lead.received, "today": web_to_lead.today, "pending": web_to_lead.pending(),
        },
        "api": { "used": state.quota.used, "sessions": state.sessions.live(), "tokens_issued": state.sessions.issued },
        "requests": state.counters,
        "faults": faults,
        "fault_hits": state.faults.hits,
        "settings": state.org.settings,
    })
}

async fn leads(Shared(desk): Desked) -> Answer {
    let state = desk.state();
    Answer::json(200, state.shown_leads().into())
}

async fn posts(Shared(desk): Desked) -> Answer {
    Answer::json(200, desk.state().web_to_lead.posts().map(|post| json!(post)).collect())
}

async fn settings(Shared(desk): Desked, headers: HeaderMap, body: Bytes) -> Answer {
    change(&desk, &headers, &body, |state, changes| {
        state.org.settings = changed(state, changes)?;
        Ok(())
    })
}

/// The settings with these changes, if they can be.
fn changed(state: &State, changes: Map<String, Value>) -> Result<Settings, String> {
    let mut settings = json!(state.org.settings);
    merge(&mut settings, Value::Object(changes));
    let settings: Settings = serde_json::from_value(settings).map_err(|error| error.to_string())?;
    settings.check(&state.org.schema)?;
    Ok(settings)
}

/// Objects into objects; all else replaces.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

async fn add_fault(Shared(desk): Desked, headers: HeaderMap, body: Bytes) -> Answer {
    change(&desk, &headers, &body, |state, order| {
        state.faults.add(text(&order, "fault")?.parse::<Fault>()?);
        Ok(())
    })
}

async fn clear_faults(Shared(desk): Desked) -> Answer {
    let mut state = desk.state();
    state.faults.clear();
    Answer::json(200, summary(&state))
}

/// So much of a limit has been used.
async fn usage(Shared(desk): Desked, headers: HeaderMap, body: Bytes) -> Answer {
    change(&desk, &headers, &body, |state, order| {
        for (name, value) in order {
            let count = value.as_u64().ok_or_else(|| format!("{name} is no number"))?;
            match name.as_str() {
                "api" => state.quota.used = count,
                "web_to_lead" => state.web_to_lead.today = usize::try_from(count).unwrap_or(usize::MAX),
                _ => return Err(format!("{name} is not api or web_to_lead")),
            }
        }
        Ok(())
    })
}

async fn convert(Shared(desk): Desked, headers: HeaderMap, body: Bytes) -> Answer {
    change(&desk, &headers, &body, |state, order| {
        let lead = text(&order, "lead")?;
        let by_id = lead.parse::<LeadId>().ok().filter(|id| state.org.lead(*id).is_some());
        let ids = by_id.map_or_else(|| state.org.with_external(&lead), |id| vec![id]);
        let converted = ids.into_iter().filter(|id| state.org.convert(*id)).count();
        if converted == 0 { Err("no lead has this id or external id".into()) } else { Ok(()) }
    })
}

async fn advance(Shared(desk): Desked, headers: HeaderMap, body: Bytes) -> Answer {
    change(&desk, &headers, &body, |state, order| {
        let by = text(&order, "by")?;
        let time = duration(&by).ok_or_else(|| format!("{by:?} is no duration of up to a year, such as 24h"))?;
        state.advance(time);
        Ok(())
    })
}

fn duration(text: &str) -> Option<SignedDuration> {
    let duration = text.parse::<Span>().ok()?.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    (SignedDuration::ZERO..=SignedDuration::from_hours(24 * 366)).contains(&duration).then_some(duration)
}

async fn expire_tokens(Shared(desk): Desked, headers: HeaderMap) -> Answer {
    change(&desk, &headers, b"{}", |state, _| {
        state.sessions.expire_all();
        Ok(())
    })
}

/// No leads, no posts, no faults, nothing used; settings stay.
async fn reset(Shared(desk): Desked, headers: HeaderMap) -> Answer {
    change(&desk, &headers, b"{}", |state, _| {
        state.reset();
        Ok(())
    })
}

fn text(order: &Map<String, Value>, name: &str) -> Result<String, String> {
    let text = order.get(name).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| format!("expected {{\"{name}\": \"…\"}}"))
}

/// Carries an order out and answers with where the org stands. Only JSON is taken, which no other site's page can make a
/// browser send here.
fn change(
    desk: &Desk,
    headers: &HeaderMap,
    body: &[u8],
    order: impl FnOnce(&mut State, Map<String, Value>) -> Result<(), String>,
) -> Answer {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return Answer::json(415, json!({ "problem": "send application/json" }));
    }
    let mut state = desk.state();
    let read = serde_json::from_slice(body).map_err(|error| format!("not a JSON object: {error}"));
    match read.and_then(|read| order(&mut state, read)) {
        Ok(()) => Answer::json(200, summary(&state)),
        Err(problem) => Answer::json(400, json!({ "problem": problem })),
    }
}

pub async fn unknown(uri: Uri) -> Answer {
    if uri.path().starts_with("/_sandbox") {
        return Answer::json(404, json!({ "problem": "see / for what there is" }));
    }
    Answer::refusals(&[super::refusal::not_found()])
}
