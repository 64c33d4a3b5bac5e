//! An HTTP proxy on loopback that counts what goes through it and does harm on order.
//!
//! `FaultProxy::start(upstream)` forwards all to `upstream` (`host:port`); `set(|seen| …)` decides, request by request,
//! what happens; `requests()` tells what was asked. One request a connection.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A request, as it came over the wire.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub enum Fault {
    Pass,
    /// Not forwarded; answered so.
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Not forwarded; the connection is reset.
    Reset,
    /// Forwarded; the answer is lost and the connection reset.
    ResetAfterWrite,
    /// Forwarded; half of the answer comes, then the connection closes.
    HalfAnswer,
    /// Not forwarded; nothing ever comes.
    Hang,
    /// This goes upstream in its place.
    Rewrite(Seen),
    /// The other one, once notified.
    After(Arc<Notify>, Box<Fault>),
}

impl Fault {
    /// Forwarded once notified.
    pub fn pass_after(go: &Arc<Notify>) -> Self {
        Self::After(Arc::clone(go), Box::new(Self::Pass))
    }

    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: String::new() }
    }

    pub fn json(status: u16, body: String) -> Self {
        Self::Answer { status, headers: vec![("Content-Type", "application/json".into())], body }
    }

    pub fn with(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Answer { status, mut headers, body } => {
                headers.push((name, value.to_owned()));
                Self::Answer { status, headers, body }
            }
            other => other,
        }
    }
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("connection")) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("connection: close\r\n\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

type Script = Box<dyn FnMut(&Seen) -> Fault + Send>;

pub struct FaultProxy {
    address: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    upstream: String,
    seen: Mutex<Vec<Seen>>,
    script: Mutex<Script>,
}

impl FaultProxy {
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let script: Script = Box::new(|_| Fault::Pass);
        let shared = Shared { upstream: upstream.to_owned(), seen: Mutex::default(), script: Mutex::new(script) };
        let shared = Arc::new(shared);
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move { shared.serve(client).await });
            }
        });
        Self { address, shared, task }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn set(&self, script: impl FnMut(&Seen) -> Fault + Send + 'static) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }

    pub fn heal(&self) {
        self.set(|_| Fault::Pass);
    }

    /// Every request since the last time that this was asked.
    pub fn requests(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn serve(&self, mut client: TcpStream) {
        let Some(seen) = receive(&mut client).await else { return };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
        let mut fault = (self.script.lock().unwrap_or_else(PoisonError::into_inner))(&seen);
        while let Fault::After(go, then) = fault {
            go.notified().await;
            fault = *then;
        }
        match fault {
            Fault::Pass => respond(client, &self.forward(&seen).await).await,
            Fault::Rewrite(other) => respond(client, &self.forward(&other).await).await,
            Fault::Answer { status, headers, body } => respond(client, &answer(status, &headers, &body)).await,
            Fault::After(..) => unreachable!("waited for above"),
            Fault::Reset => reset(client),
            Fault::ResetAfterWrite => {
                self.forward(&seen).await;
                reset(client);
            }
            Fault::HalfAnswer => {
                let whole = self.forward(&seen).await;
                respond(client, &whole[..whole.len() / 2]).await;
            }
            Fault::Hang => std::future::pending().await,
        }
    }

    async fn forward(&self, seen: &Seen) -> Vec<u8> {
        let mut upstream = TcpStream::connect(&self.upstream).await.expect("the upstream listens");
        upstream.write_all(&seen.bytes()).await.expect("the upstream takes the request");
        let mut whole = Vec::new();
        upstream.read_to_end(&mut whole).await.expect("the upstream answers");
        whole
    }
}

async fn receive(client: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut line = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (line.next()?, line.next()?);
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let headers: Vec<_> = lines.filter_map(header).collect();
    let mut seen = Seen { method, target, headers, body: bytes.split_off(end + 4) };
    let length: usize = seen.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    while seen.body.len() < length {
        if client.read_buf(&mut seen.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(seen)
}

fn answer(status: u16, headers: &[(&str, String)], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!("HTTP/1.1 {status} Fault\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

/// The other side may have gone: that is its own affair.
async fn respond(mut client: TcpStream, bytes: &[u8]) {
    let _ = client.write_all(bytes).await;
    let _ = client.shutdown().await;
}

fn reset(client: TcpStream) {
    let socket = socket2::SockRef::from(&client);
    socket.set_linger(Some(std::time::Duration::ZERO)).expect("a socket that lingers no longer");
}
