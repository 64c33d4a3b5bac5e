//! One connection to the broker, and what keeps it up.
//!
//! lapin's own recovery can stall without an error (3 of 8 runs, measured), so a lost connection is thrown away whole,
//! and a new one is made, by us.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_rs::Runtime;
use futures_util::{Stream, StreamExt};
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, ConnectionProperties, ErrorKind, Event};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::socket::{Endpoint, Kit, Line, Tls};
use super::trouble::{answered, explain, explain_handshake};
use crate::broker::BrokerError;
use crate::schedule::schedule;
use crate::telemetry::Telemetry;

/// From the first byte to an open virtual host.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Seconds. The broker sends one at least every half of it, and lapin gives up after twice.
const HEARTBEAT: u16 = 10;

/// Three missed heartbeats of the broker: whatever holds our exclusive queue may be somebody else by now.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How often a connection is looked at, for what lapin does not tell: silence, and some of its own ends.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// At-least-once dead-lettering, and message TTL on quorum queues.
const OLDEST_BROKER: (u32, u32) = (3, 10);

/// Where the broker is, and who we are to it.
#[derive(Clone)]
pub(super) struct Address {
    uri: AMQPUri,
    endpoint: Endpoint,
}

impl Address {
    pub fn parse(url: &SecretString, authorities: Option<String>) -> Result<Self, BrokerError> {
        // The parser's own error quotes the URL, password and all.
        let malformed =
            || BrokerError::Refused("broker.url is not of the form amqp[s]://user:password@host:port/vhost".into());
        let mut uri: AMQPUri = url.expose_secret().parse().map_err(|_| malformed())?;
        let host = host_of(url.expose_secret()).ok_or_else(malformed)?.to_owned();
        uri.query.heartbeat = Some(HEARTBEAT);
        let tls = match uri.scheme {
            AMQPScheme::AMQP => Tls::No,
            AMQPScheme::AMQPS => Tls::Yes { authorities },
        };
        let endpoint = Endpoint { host, port: uri.authority.port, tls };
        Ok(Self { uri, endpoint })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}, virtual host {}", self.endpoint.host, self.endpoint.port, self.uri.vhost)
    }
}

/// lapin's URI takes `[::1]` for no host at all, and silently means localhost.
fn host_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => host.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

/// An open connection. Dropped, it is cut off.
pub(super) struct Connection {
    lapin: lapin::Connection,
    line: HungUpAtLast,
    /// Whether this connection holds the `owner` queue; it holds it as long as it lives.
    pub owns: tokio::sync::Mutex<bool>,
    /// Cancelled when the connection is lost. lapin's own streams and futures do not always end then (measured).
    pub lost: CancellationToken,
}

/// However a handshake or a connection ends, the socket is shut down: lapin's thread waits on nothing else.
struct HungUpAtLast(Arc<Line>);

impl Drop for HungUpAtLast {
    fn drop(&mut self) {
        self.0.hang_up();
    }
}

impl Connection {
    pub async fn open(address: &Address, name: &str) -> Result<Self, BrokerError> {
        let opened = Self::shake_hands(address, name).await;
        opened.map_err(|error| match error {
            BrokerError::Unreachable(why) => BrokerError::Unreachable(format!("{}: {why}", address.endpoint)),
            other => other,
        })
    }

    async fn shake_hands(address: &Address, name: &str) -> Result<Self, BrokerError> {
        let opened = address.endpoint.open().await;
        let (stream, line) = opened.map_err(|error| BrokerError::Unreachable(error.to_string()))?;
        let line = HungUpAtLast(line);
        let ready = Mutex::new(Some(stream));
        // lapin calls this once: it makes no second attempt unless it is told to.
        let connect = async move |_: AMQPUri, _: Runtime<Kit>| {
            let stream = ready.lock().unwrap_or_else(PoisonError::into_inner).take();
            stream.map(AsyncTcpStream::Plain).ok_or_else(|| ErrorKind::NoDefaultRuntime.into())
        };
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("leadrelay {name}").into())
            .with_client_property("product".into(), "leadrelay".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
        let runtime = Runtime::new(Kit::current());
        let handshake = lapin::Connection::connector(address.uri.clone(), runtime, connect, properties);
        let lapin = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(shaken) => shaken.map_err(|error| explain_handshake(&error, &address.uri.vhost))?,
            Err(_) => return Err(BrokerError::Unreachable("the broker says nothing".into())),
        };
        refuse_old_broker(&line.0.greeting())?;
        Ok(Self { lapin, line, owns: tokio::sync::Mutex::new(false), lost: CancellationToken::new() })
    }

    pub async fn channel(&self) -> Result<Channel, BrokerError> {
        answered(self.lapin.create_channel()).await
    }

    pub fn is_up(&self) -> bool {
        self.lapin.status().connected()
    }

    /// Says good-bye; without it the broker logs a client that vanished.
    pub async fn close(&self) {
        drop(answered(self.lapin.close(200, "done".into())).await);
        self.line.0.hang_up();
    }

    fn is_blocked(&self) -> bool {
        self.lapin.status().blocked()
    }

    fn is_silent(&self) -> bool {
        self.line.0.silence() > SILENCE_MAX
    }

    /// Tells `observe` how the connection is doing until it is lost, and then why.
    async fn watch(&self, events: impl Stream<Item = Event>, mut observe: impl FnMut(Health)) -> String {
        let mut events = std::pin::pin!(events);
        let mut why = "the connection was closed".to_owned();
        loop {
            // Locked only while it is being taken: then it is not ours yet.
            let owns = self.owns.try_lock().is_ok_and(|owns| *owns);
            observe(Health { heard: !self.is_silent(), blocked: self.is_blocked(), owns });
            if !self.is_up() {
                return why;
            }
            // Neither branch may be trusted alone: lapin ends without an event now and then.
            match timeout(LOOK_EVERY, events.next()).await {
                Ok(Some(Event::Error(error))) => why = explain(&error).to_string(),
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

/// How a connection that is up is doing.
#[derive(Clone, Copy)]
pub(super) struct Health {
    /// Anything came in within the last 15 s.
    pub heard: bool,
    /// The broker has raised an alarm.
    pub blocked: bool,
    /// It holds the `owner` queue.
    pub owns: bool,
}

/// The state of a supervised connection.
#[derive(Clone)]
pub(super) enum State {
    Connecting,
    Up(Arc<Connection>),
    Down(Arc<BrokerError>),
}

/// A connection that is made again whenever it is lost.
#[derive(Clone)]
pub(super) struct Supervised {
    state: watch::Receiver<State>,
}

impl Supervised {
    pub fn new(state: watch::Receiver<State>) -> Self {
        Self { state }
    }

    /// The connection, waiting for it at most so long.
    pub async fn get(&self, patience: Duration) -> Result<Arc<Connection>, BrokerError> {
        let mut state = self.state.clone();
        let settled = |state: &State| match state {
            State::Up(connection) => connection.is_up(),
            // Nobody mends a password by waiting.
            State::Down(error) => matches!(**error, BrokerError::Refused(_)),
            State::Connecting => false,
        };
        let _ = timeout(patience, state.wait_for(settled)).await;
        let now = state.borrow().clone();
        match now {
            State::Up(connection) if connection.is_up() => Ok(connection),
            State::Up(_) | State::Connecting => Err(BrokerError::Unreachable("not connected".into())),
            State::Down(error) => Err(match &*error {
                BrokerError::Refused(why) => BrokerError::Refused(why.clone()),
                other => BrokerError::Unreachable(unreachable_reason(other)),
            }),
        }
    }

    pub fn current(&self) -> Option<Arc<Connection>> {
        match &*self.state.borrow() {
            State::Up(connection) => Some(connection.clone()),
            State::Connecting | State::Down(_) => None,
        }
    }
}

fn unreachable_reason(error: &BrokerError) -> String {
    match error {
        BrokerError::Unreachable(why) => why.clone(),
        BrokerError::Owned(_) | BrokerError::Topology(_) | BrokerError::Missing(_) | BrokerError::Refused(_) => {
            error.to_string()
        }
    }
}

/// Connects, watches, and connects again, for ever. `observe` learns of each change: `None` is a lost connection.
pub(super) async fn supervise(
    address: Address,
    which: &'static str,
    state: watch::Sender<State>,
    telemetry: Arc<Telemetry>,
    mut observe: impl FnMut(Option<Health>) + Send,
) {
    let mut delays = reconnects();
    loop {
        match Connection::open(&address, which).await {
            Ok(connection) => {
                let connected_at = Instant::now();
                telemetry.broker_connected(which);
                let connection = Arc::new(connection);
                let events = connection.lapin.events_listener();
                state.send_replace(State::Up(connection.clone()));
                let why = connection.watch(events, |health| observe(Some(health))).await;
                connection.lost.cancel();
                connection.line.0.hang_up();
                observe(None);
                state.send_replace(State::Connecting);
                telemetry.broker_disconnected(which, &why);
                if connected_at.elapsed() > SILENCE_MAX {
                    delays = reconnects();
                }
            }
            Err(error) => {
                telemetry.broker_unreachable(which, &error.to_string());
                state.send_replace(State::Down(Arc::new(error)));
            }
        }
        tokio::time::sleep(delays.next().unwrap_or(RECONNECT_MAX)).await;
    }
}

const RECONNECT_FIRST: Duration = Duration::from_millis(200);
const RECONNECT_MAX: Duration = Duration::from_secs(15);

/// Jittered, so that workers that lost one broker together do not come back together.
fn reconnects() -> impl Iterator<Item = Duration> + Send {
    schedule(RECONNECT_FIRST, RECONNECT_MAX)
}

/// lapin does not tell the server's properties; they stand in the first frame that the broker sends.
fn refuse_old_broker(greeting: &[u8]) -> Result<(), BrokerError> {
    match version_in(greeting) {
        Some((version, parts)) if parts < OLDEST_BROKER => Err(BrokerError::Refused(format!(
            "the broker is RabbitMQ {version}: leadrelay needs 3.10 or newer, for dead-lettering that loses nothing"
        ))),
        Some(_) => Ok(()),
        None => Err(BrokerError::Refused("the broker does not say that it is RabbitMQ 3.10 or newer".into())),
    }
}

/// The field `version` of the server's properties: a short string, `S`, and a long string.
fn version_in(greeting: &[u8]) -> Option<(String, (u32, u32))> {
    const FIELD: &[u8] = b"\x07versionS";
    let start = greeting.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    let (length, rest) = greeting.get(start..)?.split_first_chunk::<4>()?;
    let text = std::str::from_utf8(rest.get(..u32::from_be_bytes(*length) as usize)?).ok()?;
    let mut parts = text.split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    Some((text.to_owned(), (parts.next()??, parts.next()??)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(version: &str) -> Vec<u8> {
        let mut bytes =
            b"\x01\0\0\0\0\x01\xf6\0\x0a\0\x0a\0\x09....\x07productS\0\0\0\x08RabbitMQ\x07versionS".to_vec();
        bytes.extend_from_slice(&(version.len() as u32).to_be_bytes());
        bytes.extend_from_slice(version.as_bytes());
        bytes
    }

    #[test]
    fn a_broker_older_than_3_10_is_refused() {
        let accepted = |version| refuse_old_broker(&greeting(version)).is_ok();
        assert_eq!(["3.10.0", "3.10.8", "3.13.7", "4.0.0-rc.1", "4.3.5"].map(accepted), [true; 5]);
        assert_eq!(["3.9.29", "3.8.0", "2.8.7", "", "unknown"].map(accepted), [false; 5]);
        assert!(refuse_old_broker(b"").is_err());
    }

    #[test]
    fn hosts_are_found_in_urls_of_all_forms() {
        let hosts = [
            ("amqp://guest:guest@127.0.0.1:5672/%2f", Some("127.0.0.1")),
            ("amqp://[::1]:5672/%2f", Some("::1")),
            ("amqps://u:p%40ss@[fe80::2]/x", Some("fe80::2")),
            ("amqp://broker.example", Some("broker.example")),
            ("amqp://broker.example?heartbeat=5", Some("broker.example")),
            ("amqp://user:p@/x", None),
            ("broker.example", None),
        ];
        for (url, host) in hosts {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn a_malformed_url_is_refused_without_being_quoted() {
        for url in ["amqp//guest:hunter2@x", "http://guest:hunter2@x", "mailto:guest:hunter2"] {
            let error = Address::parse(&SecretString::from(url), None).map(|_| ()).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
