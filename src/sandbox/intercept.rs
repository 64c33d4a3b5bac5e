//! Where faults strike: between the connection and the org.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

use super::answer::{Answer, Cut};
use super::faults::{Kind, What};
use super::refusal::Refusal;
use super::routes::{Desk, web_to_lead_form};

/// No more is read of a request. Salesforce takes some 50 MB; 200 leads with long descriptions have 20.
const BODY_MAX: usize = 32 << 20;

pub async fn intercept(Shared(desk): Shared<Arc<Desk>>, request: Request, next: Next) -> Response {
    let Some(kind) = kind_of(request.uri().path()) else { return next.run(request).await };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return Answer::refusals(&[Refusal::new("REQUEST_TOO_LARGE", "The request body is too large")]).into_response();
    };
    let hit = {
        let mut state = desk.state();
        count(&mut state.counters, kind);
        state.faults.strike(kind)
    };
    if !hit.slow.is_zero() {
        tokio::time::sleep(hit.slow).await;
    }
    let form = (kind == Kind::WebToLead).then(|| web_to_lead_form(&parts.uri, &parts.headers, &body));
    let request = Request::from_parts(parts, Body::from(body));
    let unseen = || {
        if let Some(form) = form {
            let mut state = desk.state();
            let now = state.now();
            state.web_to_lead.faulted(form, now);
        }
    };
    match hit.what {
        None | Some(What::Slow(_) | What::Lock { .. }) => next.run(request).await,
        Some(What::DropBefore) => {
            unseen();
            cut()
        }
        Some(What::DropAfter) => {
            drop(next.run(request).await);
            cut()
        }
        Some(What::HalfBody) => half(next.run(request).await).await,
        Some(What::Status { status, body, code, headers, done }) => {
            if done {
                drop(next.run(request).await);
            } else {
                unseen();
            }
            let mut response = fault_answer(kind, status, body, code);
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
    }
}

/// None for what is the sandbox's own.
fn kind_of(path: &str) -> Option<Kind> {
    let rest = path.strip_prefix("/services/data");
    match (path, rest) {
        ("/servlet/servlet.WebToLead", _) => Some(Kind::WebToLead),
        ("/services/oauth2/token", _) => Some(Kind::Token),
        (_, Some(rest)) if rest.split('/').nth(2) == Some("composite") => Some(Kind::Collections),
        (_, Some(_)) => Some(Kind::Rest),
        (_, None) => None,
    }
}

fn count(counters: &mut super::state::Counters, kind: Kind) {
    match kind {
        Kind::WebToLead => counters.web_to_lead += 1,
        Kind::Token => counters.token += 1,
        Kind::Collections => counters.collections += 1,
        Kind::Rest => counters.rest += 1,
        Kind::Any => {}
    }
}

fn cut() -> Response {
    let mut response = StatusCode::OK.into_response();
    response.extensions_mut().insert(Cut);
    response
}

/// The answer that a fault names: its own body, Salesforce's JSON for its code, or nothing.
fn fault_answer(kind: Kind, status: u16, body: Option<String>, code: Option<String>) -> Response {
    let code_body = code.map(|code| match kind {
        Kind::Token => json!({ "error": code, "error_description": "a fault of the sandbox" }),
        _ => json!([{ "message": "a fault of the sandbox", "errorCode": code }]),
    });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match (body, code_body) {
        (Some(text), _) if text.trim_start().starts_with('<') => (status, axum::response::Html(text)).into_response(),
        (Some(text), _) => (status, text).into_response(),
        (None, Some(json)) => Answer::json(status.as_u16(), json).into_response(),
        (None, None) => status.into_response(),
    }
}

/// The answer with its right length and half of its bytes; then the connection ends.
async fn half(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, BODY_MAX).await.unwrap_or_default();
    if bytes.is_empty() {
        // An empty answer has no half: it announces more than comes.
        parts.status = StatusCode::OK;
    }
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len().max(2)));
    let first = bytes.slice(..bytes.len() / 2);
    let halves = stream::unfold(Some(first), |first: Option<Bytes>| async {
        if let Some(first) = first {
            return Some((Ok(first), None));
        }
        // Lets what has been written leave before the connection ends.
        tokio::task::yield_now().await;
        Some((Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted)), None))
    });
    Response::from_parts(parts, Body::from_stream(halves))
}
