//! Connections: accepted, perhaps under TLS, and each served until it ends or the sandbox stops.

use std::io;

use axum::Router;
use axum::http::{Request, Uri};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answer::Cut;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 1_024;

/// Until it is aborted; its connections end with it.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream, tls.clone(), router.clone())); }
                // Out of descriptors, mostly: what is open has to end first.
                Err(_) => { connections.join_next().await; }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// That a connection ends badly is the client's to notice.
async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router) {
    // Only slower without it.
    let _ = stream.set_nodelay(true);
    match tls {
        None => answer(stream, router).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                answer(stream, router).await;
            }
        }
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send, router: Router) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        without_last_slash(request.uri_mut());
        let answer = TowerToHyperService::new(router.clone()).call(request);
        async move {
            let response = answer.await.map_err(io::Error::other)?;
            // An error instead of an answer makes hyper close the connection.
            if response.extensions().get::<Cut>().is_some() {
                return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
            }
            Ok(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An end is an end.
    let _ = connection.await;
}

/// Salesforce knows `/sobjects/Lead/` and `/sobjects/Lead` as one.
fn without_last_slash(uri: &mut Uri) {
    let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty()) else { return };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(shorter) = format!("{path}{query}").parse() {
        *uri = shorter;
    }
}

/// Stops what it holds when it goes.
pub struct Running(pub tokio::task::JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
