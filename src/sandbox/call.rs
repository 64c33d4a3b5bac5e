//! A call of the REST API, taken apart; and what every call must have: a version that is served, a session, some quota.

use axum::http::{HeaderMap, Method, Uri, header};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::org::{Origin, Writer};
use super::refusal::{Refusal, not_found};
use super::schema::Field;
use super::state::State;
use super::web_to_lead::Form;

/// The oldest and the newest version of the API that is served.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 31..=68;

pub struct Call {
    pub method: Method,
    /// Such as 68.
    pub version: u32,
    /// What follows the version, decoded.
    pub segments: Vec<String>,
    pub query: Form,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub now: Timestamp,
}

impl Call {
    /// None if no such version is served.
    pub fn new(method: Method, uri: &Uri, headers: HeaderMap, body: Bytes, now: Timestamp) -> Option<Self> {
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let rest = uri.path().strip_prefix("/services/data/v")?;
        let mut segments = rest.split('/');
        let version = segments.next()?.strip_suffix(".0")?.parse().ok().filter(|version| VERSIONS.contains(version))?;
        let segments = segments.map(decode).collect();
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        Some(Self { method, version, segments, query, headers, body, now })
    }

    /// Lets the call in, or says why not.
    pub fn admit(&self, state: &mut State) -> Result<(), Refusal> {
        let bearer = self.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("OAuth ")));
        let Some(token) = bearer else {
            return Err(Refusal::new("INVALID_AUTH_HEADER", "INVALID_AUTH_HEADER"));
        };
        if !state.sessions.touch(&state.org.settings, token, self.now) {
            return Err(Refusal::new("INVALID_SESSION_ID", "Session expired or invalid"));
        }
        state.quota.take(state.org.settings.api_daily, self.now)
    }

    pub fn writer(&self) -> Writer {
        let rule = self.headers.get("sforce-duplicate-rule-header").and_then(|value| value.to_str().ok());
        let says = |part: &str| part.replace(' ', "").eq_ignore_ascii_case("allowSave=true");
        let allow_save = self.version >= 52 && rule.is_some_and(|rule| rule.split([';', ',']).any(says));
        Writer { now: self.now, origin: Origin::Api, allow_save }
    }

    /// The body as an object.
    pub fn object(&self) -> Result<Map<String, Value>, Refusal> {
        let is_json = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !is_json.is_some_and(|kind| kind.trim_start().starts_with("application/json")) {
            return Err(Refusal::new("UNSUPPORTED_MEDIA_TYPE", "Content type is not supported"));
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(Refusal::new("JSON_PARSER_ERROR", "Unexpected token at [line:1, column:1]")),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let message = format!("The HTTP entity body is malformed at [line:{line}, column:{column}]");
                Err(Refusal::new("JSON_PARSER_ERROR", message))
            }
        }
    }

    pub fn version_name(&self) -> String {
        format!("v{}.0", self.version)
    }
}

/// The one object there is.
pub fn require_lead(object: &str) -> Result<(), Refusal> {
    if object.eq_ignore_ascii_case("Lead") { Ok(()) } else { Err(not_found()) }
}

/// The field by which one may upsert.
pub fn require_external<'a>(state: &'a State, name: &str) -> Result<&'a Field, Refusal> {
    let field = state.org.schema.field(name).filter(|field| field.external_id.is_some());
    field.ok_or_else(|| {
        let message = format!("Provided external ID field does not exist or is not accessible: {name}");
        Refusal::new("NOT_FOUND", message)
    })
}
