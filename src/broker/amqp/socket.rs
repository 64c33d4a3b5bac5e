//! Our own socket under lapin: opened with our timeouts, closed when we say so, and remembered when it last heard
//! anything.
//!
//! lapin's own connect has no timeout, and a peer that accepts and then says nothing leaks lapin's thread for ever
//! (measured); shutting the socket down under it ends the thread.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_compat::Compat;
use async_rs::Tokio;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use futures_util::Stream;
use lapin::tcp::{AsyncTcpStream, TLSConfig};
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::sieve::Sieve;

/// To open a socket, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Written bytes that nobody acknowledges for this long mean that the other end is gone. Without it the kernel keeps
/// trying for a quarter of an hour.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// As much of what the broker says first as can hold `Connection.Start`.
const GREETING_MAX: usize = 8 * 1024;

/// Where to connect to.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Tls {
    No,
    /// Trusts the system's roots, and these, in PEM.
    Yes {
        authorities: Option<String>,
    },
}

/// What lapin reads and writes.
pub(super) type LapinStream = Compat<Attentive>;

/// A stream whose reads are noticed, and go through a sieve.
pub(super) struct Attentive {
    stream: Compat<AsyncTcpStream<Compat<TcpStream>>>,
    line: Arc<Line>,
    sieve: Sieve,
    chunk: Box<[u8]>,
}

/// So much is read at once.
const CHUNK: usize = 64 * 1024;

/// Our handle on a socket that lapin owns.
pub(super) struct Line {
    socket: Socket,
    ear: Mutex<Ear>,
}

struct Ear {
    heard_at: Instant,
    greeting: Vec<u8>,
}

impl Endpoint {
    pub async fn open(&self) -> io::Result<(LapinStream, Arc<Line>)> {
        timeout(CONNECT_TIMEOUT, self.open_patiently()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn open_patiently(&self) -> io::Result<(LapinStream, Arc<Line>)> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        let socket = SockRef::from(&tcp);
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
        let ear = Mutex::new(Ear { heard_at: Instant::now(), greeting: Vec::new() });
        let line = Arc::new(Line { socket: socket.try_clone()?, ear });
        let plain = AsyncTcpStream::Plain(Compat::new(tcp));
        let stream = match &self.tls {
            Tls::No => plain,
            Tls::Yes { authorities } => {
                let config = TLSConfig { identity: None, cert_chain: authorities.as_deref() };
                plain.into_tls(&self.host, config).await?
            }
        };
        let (sieve, chunk) = (Sieve::default(), vec![0; CHUNK].into_boxed_slice());
        Ok((Compat::new(Attentive { stream: Compat::new(stream), line: line.clone(), sieve, chunk }), line))
    }
}

impl Line {
    /// How long the other end has said nothing, not even a heartbeat.
    pub fn silence(&self) -> Duration {
        self.ear().heard_at.elapsed()
    }

    /// What the broker said first, which lapin does not tell.
    pub fn greeting(&self) -> Vec<u8> {
        self.ear().greeting.clone()
    }

    /// Ends the connection whatever lapin is waiting for, and lapin's thread with it.
    pub fn hang_up(&self) {
        // Fails only if it is closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn ear(&self) -> std::sync::MutexGuard<'_, Ear> {
        self.ear.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, bytes: &[u8]) {
        let mut ear = self.ear();
        ear.heard_at = Instant::now();
        let room = GREETING_MAX - ear.greeting.len();
        ear.greeting.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl AsyncRead for Attentive {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let harmless = this.sieve.drain(buffer.remaining());
            if !harmless.is_empty() || buffer.remaining() == 0 {
                buffer.put_slice(harmless);
                return Poll::Ready(Ok(()));
            }
            let mut chunk = ReadBuf::new(&mut this.chunk);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.line.hear(chunk.filled());
            this.sieve.fill(chunk.filled())?;
        }
    }
}

impl AsyncWrite for Attentive {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// tokio, as lapin wants it described, with our streams.
#[derive(Clone, Debug)]
pub(super) struct Kit(Tokio);

impl Kit {
    pub fn current() -> Self {
        Self(Tokio::current())
    }
}

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, future: F) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, act: F) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(act)
    }
}

#[expect(refining_impl_trait, reason = "lapin asks for neither: it gets the stream from us, ready")]
impl Reactor for Kit {
    type TcpStream = LapinStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Send + 'static>(&self, _: H) -> io::Result<LapinStream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn tcp_connect_addr(&self, _: SocketAddr) -> std::future::Ready<io::Result<LapinStream>> {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = std::time::Instant> + Send + 'static {
        self.0.interval(duration)
    }
}
