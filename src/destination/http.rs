//! The one place that builds HTTP clients.
//!
//! No redirects (they would carry a lead to where no configuration sent it), no system proxy unless configured, no
//! retries of its own, bounded times and bodies. URLs and bodies carry secrets and personal data: no error holds one.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Request, Response, Url};

use crate::domain::reply::Code;

/// No answer of a destination that means anything is longer: a page of an Azure Table, the largest, is 4 MiB.
const BODY_MAX: usize = 8 * 1024 * 1024;

#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub connect_timeout: Duration,
    /// From the first byte sent to the last received.
    pub timeout: Duration,
    pub proxy: Proxy,
    /// Idle connections kept for the next request. One that the other side closes at that moment leaves open whether the
    /// request arrived: none are kept where that matters.
    pub idle_max: usize,
    /// Also elsewhere than on loopback, `http://` will do.
    pub allow_plaintext: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
            proxy: Proxy::None,
            idle_max: 16,
            allow_plaintext: false,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub enum Proxy {
    #[default]
    None,
    /// As the environment says: `HTTPS_PROXY` and the like.
    System,
    Url(Url),
}

#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    allow_plaintext: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("failed to set up HTTP: {0}")]
    Client(&'static str),
    #[error("{0} is not an http:// or https:// address")]
    NotAnAddress(&'static str),
    #[error("{0} holds a user name or a password: give the credential in a setting of its own")]
    UserInfo(&'static str),
    #[error("{0} begins with http:// and is not on this machine: write https://, or set allow_plaintext = true")]
    Plaintext(&'static str),
}

/// A whole answer, whatever its status.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Bodies do not print.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// No whole answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The host has no address. Nothing was sent.
    NoSuchHost,
    /// No connection. Nothing was sent.
    NotConnected,
    /// Connected, but the certificate or the handshake is not right. Nothing was sent.
    NotTrusted,
    TimedOut,
    /// The connection broke after something may have been sent.
    Lost,
    TooLarge,
}

impl Failure {
    pub fn code(self) -> Code {
        Code::known(match self {
            Self::NoSuchHost => "no_such_host",
            Self::NotConnected => "not_connected",
            Self::NotTrusted => "tls_failed",
            Self::TimedOut => "timeout",
            Self::Lost => "connection_lost",
            Self::TooLarge => "answer_too_large",
        })
    }
}

/// One crypto provider in the whole process. May be called as often as one likes.
pub fn install_crypto_provider() {
    // An error says that one is installed: the first call did it.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Http {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that builds a client")]
    pub fn new(settings: &HttpSettings) -> Result<Self, SetupError> {
        install_crypto_provider();
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .dns_resolver(Arc::new(Resolver))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(settings.idle_max)
            .user_agent(concat!("leadrelay/", env!("CARGO_PKG_VERSION")));
        let builder = match &settings.proxy {
            Proxy::None => builder.no_proxy(),
            Proxy::System => builder,
            Proxy::Url(url) => {
                let proxy = reqwest::Proxy::all(url.clone());
                builder.no_proxy().proxy(proxy.map_err(|_| SetupError::NotAnAddress("the proxy"))?)
            }
        };
        let client = builder.build().map_err(|_| SetupError::Client("no usable TLS configuration or certificates"))?;
        Ok(Self { client, allow_plaintext: settings.allow_plaintext })
    }

    /// Reads an address from the configuration; `what` names the setting in an error.
    pub fn address(&self, what: &'static str, text: &str) -> Result<Url, SetupError> {
        let url = Url::parse(text).map_err(|_| SetupError::NotAnAddress(what))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(SetupError::NotAnAddress(what));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SetupError::UserInfo(what));
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.allow_plaintext || is_loopback(&url) => Ok(url),
            "http" => Err(SetupError::Plaintext(what)),
            _ => Err(SetupError::NotAnAddress(what)),
        }
    }

    /// Sends, and reads the whole answer.
    pub async fn send(&self, request: Request) -> Result<Answer, Failure> {
        match self.send_in_parts(request).await? {
            (answer, None) => Ok(answer),
            (_, Some(failure)) => Err(failure),
        }
    }

    /// Sends, and reads as much of the answer as comes: status and headers at least. With it, why the body is not whole.
    pub async fn send_in_parts(&self, request: Request) -> Result<(Answer, Option<Failure>), Failure> {
        let response = self.client.execute(request).await.map_err(|error| failure(&error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let (body, broken) = match read(response).await {
            Ok(body) => (body, None),
            Err(failure) => (Bytes::new(), Some(failure)),
        };
        Ok((Answer { status, headers, body }, broken))
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Retry-After`: seconds, or a date.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
    }
}

async fn read(mut response: Response) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What an error of reqwest says, without the URL that it would print.
fn failure(error: &reqwest::Error) -> Failure {
    let caused_by = |test: fn(&(dyn std::error::Error + 'static)) -> bool| causes(error).any(test);
    if caused_by(|cause| cause.is::<NoSuchHost>()) {
        Failure::NoSuchHost
    } else if error.is_connect() && caused_by(is_tls) {
        Failure::NotTrusted
    } else if error.is_connect() {
        Failure::NotConnected
    } else if error.is_timeout() {
        Failure::TimedOut
    } else {
        Failure::Lost
    }
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// rustls reports through `io::Error`, in which hyper's connector wraps it once more; neither counts what it wraps among
/// its sources.
fn is_tls(cause: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause.is::<rustls::Error>() || wrapped.is_some_and(|inner| is_tls(inner))
}

#[derive(Debug, thiserror::Error)]
#[error("the host has no address")]
struct NoSuchHost;

/// The system's resolver, with an error that can be told from others.
struct Resolver;

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| NoSuchHost)?;
            let addresses: reqwest::dns::Addrs = Box::new(found.collect::<Vec<_>>().into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http() -> Http {
        Http::new(&HttpSettings::default()).expect("a client")
    }

    #[test]
    fn plain_text_stays_on_this_machine_unless_allowed() {
        let check = |text: &str| http().address("the endpoint", text).map(|_| ()).map_err(|error| error.to_string());
        for good in ["https://a.example", "http://127.0.0.1:10002/a", "http://localhost:1", "http://[::1]:1/"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["http://a.example", "http://10.0.0.1", "http://localhost.example", "ftp://a", "a.example", ""] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let error = check("https://user:canary@a.example").expect_err("a password in an address");
        assert!(!error.contains("canary"), "{error}");
        let allowed = Http::new(&HttpSettings { allow_plaintext: true, ..HttpSettings::default() }).expect("a client");
        assert!(allowed.address("the endpoint", "http://a.example").is_ok());
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now = "2026-11-22T03:04:05Z".parse().expect("a time");
        let check = |text: &str, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            let answer = Answer { status: 503, headers, body: Bytes::new() };
            assert_eq!(answer.retry_after(now), expected.map(Duration::from_secs), "{text}");
        };
        check("7", Some(7));
        check(" 120 ", Some(120));
        check("Sun, 22 Nov 2026 03:05:05 GMT", Some(60));
        check("Sun, 22 Nov 2026 03:00:00 GMT", Some(0));
        check("-7", None);
        check("soon", None);
    }

    #[tokio::test]
    async fn what_never_left_is_told_from_what_may_have_arrived() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let send = async |url: String| {
            let request = Request::new(reqwest::Method::GET, url.parse().expect("a URL"));
            http().send(request).await.map(|answer| answer.status)
        };
        let (lost, _) = tokio::join!(send(format!("http://{address}/")), async { drop(listener.accept().await) });
        assert_eq!(lost, Err(Failure::Lost));
        drop(listener);
        assert_eq!(send(format!("http://{address}/")).await, Err(Failure::NotConnected));
        assert_eq!(send("http://no-such-host.invalid/".into()).await, Err(Failure::NoSuchHost));
    }
}
