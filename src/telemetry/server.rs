//! `/metrics`, `/healthz`, `/readyz` and `/status`, on one address. None needs a token: none tells anything of a person.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::Telemetry;

/// Where the process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    /// Another worker owns the embedded store; we take over when it goes.
    StandingBy,
    Working,
    Stopping,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::StandingBy => "standing by",
            Self::Working => "working",
            Self::Stopping => "stopping",
        }
    }
}

pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("failed to listen on {address}: is another leadrelay running? http.listen sets another address")
    })
}

pub async fn serve(listener: TcpListener, telemetry: Arc<Telemetry>) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .with_state(telemetry);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the HTTP listener ended");
    }
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry.metrics.render())
}

/// What `leadrelay status` shows of the worker, as one JSON object.
async fn status(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], telemetry.status().to_string())
}

/// That this is answered shows that the process's loop turns.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready: consuming, publishing and recording are possible, and it is we who work.
async fn readyz(State(telemetry): State<Arc<Telemetry>>) -> (StatusCode, String) {
    match telemetry.unready() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}
