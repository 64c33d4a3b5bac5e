//! Which request goes where.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use serde_json::json;

use super::answer::Answer;
use super::call::Call;
use super::control;
use super::intercept;
use super::page;
use super::refusal::not_found;
use super::rest;
use super::sessions::{identity_url, organisation};
use super::state::State;
use super::web_to_lead::Form;

/// What every request's handler holds.
pub struct Desk {
    state: Mutex<State>,
    scheme: &'static str,
}

impl Desk {
    pub fn new(state: State, tls: bool) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), scheme: if tls { "https" } else { "http" } })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a defect of ours; the leads are still worth showing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the client reached us, which is where it shall come back.
    pub fn url(&self, headers: &HeaderMap) -> String {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        format!("{}://{host}", self.scheme)
    }
}

pub fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/servlet/servlet.WebToLead", post(web_to_lead))
        .route("/services/oauth2/token", post(token))
        .route("/services/data", get(|| async { Answer::json(200, rest::versions()) }))
        .route("/services/data/{*rest}", any(api))
        .route("/id/{organisation}/{user}", get(identity))
        .route("/", get(page::page))
        .merge(control::router())
        .fallback(control::unknown)
        .layer(from_fn_with_state(Arc::clone(&desk), intercept::intercept))
        .with_state(desk)
}

/// Always 200, whatever became of the lead.
async fn web_to_lead(Shared(desk): Shared<Arc<Desk>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let form = web_to_lead_form(&uri, &headers, &body);
    let back = form.get("retURL").cloned();
    let mut state = desk.state();
    let state = &mut *state;
    let now = state.now();
    let processed = state.web_to_lead.post(&mut state.org, form, now);
    let mut response = match back {
        // Where the browser of a person who filled in a form goes next.
        Some(url) => {
            let url = url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
            axum::response::Html(format!("<meta http-equiv=\"Refresh\" content=\"0; URL={url}\">\n")).into_response()
        }
        None => axum::http::StatusCode::OK.into_response(),
    };
    if let Some(value) = processed.header() {
        let value = axum::http::HeaderValue::from_static(value);
        response.headers_mut().insert(HeaderName::from_static("is-processed"), value);
    }
    response
}

/// The form's inputs. What is not form-urlencoded has none.
pub fn web_to_lead_form(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Form {
    let query = uri.query().unwrap_or_default().as_bytes();
    let is_latin = form_urlencoded::parse(query)
        .any(|(name, value)| name == "encoding" && value.to_ascii_uppercase().starts_with("ISO-8859-1"));
    if !is_form(headers) {
        return Form::new();
    }
    if is_latin {
        // Each byte is a character.
        let decode = |text: &[u8]| {
            let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
            percent_encoding::percent_decode(&spaced).map(char::from).collect::<String>()
        };
        let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        return pairs
            .map(|pair| {
                let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
                (decode(&pair[..at]), decode(pair.get(at + 1..).unwrap_or_default()))
            })
            .collect();
    }
    form_urlencoded::parse(body).into_owned().collect()
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
}

async fn token(Shared(desk): Shared<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Answer {
    let mut form: Form = form_urlencoded::parse(&body).into_owned().collect();
    if !is_form(&headers) {
        form.clear();
    }
    if let Some((id, secret)) = basic_credentials(&headers) {
        form.entry("client_id".into()).or_insert(id);
        form.entry("client_secret".into()).or_insert(secret);
    }
    let url = desk.url(&headers);
    let mut state = desk.state();
    let state = &mut *state;
    let now = state.now();
    match state.sessions.token(&state.org.settings, state.client_key.as_ref(), &form, (now, &url)) {
        Ok(body) => Answer::json(200, body).header(header::CACHE_CONTROL, "no-cache, no-store"),
        Err(error) => Answer::json(400, error.body()),
    }
}

/// A client may also name itself in `Authorization: Basic`.
fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    use base64::Engine;
    let basic = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(basic).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

async fn api(Shared(desk): Shared<Arc<Desk>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let mut state = desk.state();
    let state = &mut *state;
    let now = state.now();
    let Some(call) = Call::new(method, &uri, headers, body, now) else { return Answer::refusals(&[not_found()]) };
    let answer = match call.admit(state) {
        Ok(()) => rest::answer(state, &call).unwrap_or_else(|refusals| Answer::refusals(&refusals)),
        Err(refusal) => Answer::refusals(&[refusal]),
    };
    let usage = state.quota.limit_info(state.org.settings.api_daily);
    answer.header(HeaderName::from_static("sforce-limit-info"), usage)
}

/// As whom a client works.
async fn identity(Shared(desk): Shared<Arc<Desk>>, headers: HeaderMap) -> Answer {
    let url = desk.url(&headers);
    let state = desk.state();
    let settings = &state.org.settings;
    let rest = format!("{url}/services/data/v{{version}}/");
    Answer::json(
        200,
        json!({
            "id": identity_url(settings, &url),
            "user_id": super::lead_id::USER,
            "organization_id": organisation(settings),
            "username": settings.username,
            "display_name": "Integration",
            "active": true,
            "urls": { "rest": rest, "sobjects": format!("{rest}sobjects/"), "query": format!("{rest}query/") },
        }),
    )
}
