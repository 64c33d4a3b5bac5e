//! Answers in Salesforce's forms.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::refusal::Refusal;

/// Put on an answer that never leaves: the connection is closed instead.
#[derive(Clone, Copy, Debug)]
pub struct Cut;

pub struct Answer {
    pub status: u16,
    pub body: Option<Value>,
    pub headers: Vec<(HeaderName, String)>,
}

impl Answer {
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), headers: Vec::new() }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, body: None, headers: Vec::new() }
    }

    pub fn refusals(refusals: &[Refusal]) -> Self {
        let status = refusals.first().map_or(400, Refusal::status);
        Self::json(status, refusals.iter().map(Refusal::of_call).collect())
    }

    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let text = self.body.map(|body| body.to_string());
        let mut response = Response::new(text.clone().map_or_else(Body::empty, Body::from));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if text.is_some() {
            let json = HeaderValue::from_static("application/json;charset=UTF-8");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
