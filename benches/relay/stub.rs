//! A table service that costs little: it takes entity group transactions, reads every operation, checks its keys, and
//! remembers every row, so that a lead that is lost or doubled shows. A process of its own; a thread a connection.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use leadrelay::clock::Clock;
use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::process::{self, Process};

pub const ROLE: &str = "stub";
/// An account of this name takes requests and never answers.
pub const HANGS: &str = "hangs";
/// Rows in an account of this name are checked, and not counted among those that are waited for.
pub const APART: &str = "apart";

/// What the stub has seen since it was last reset.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Seen {
    pub distinct: usize,
    /// Rows that were there already.
    pub doubled: usize,
    pub batches: usize,
    /// Requests that are not those of a worker that inserts, and operations that break a rule.
    pub wrong: usize,
    pub first_at: Option<Timestamp>,
    /// From an event's time to its row: the median, and what one in a hundred exceeds. In milliseconds.
    pub to_row_p50: f64,
    pub to_row_p99: f64,
    pub to_row_max: f64,
}

/// The harness's end.
pub struct Stub {
    process: Process,
    pub address: String,
}

impl Stub {
    pub fn start() -> anyhow::Result<Self> {
        let mut process = Process::role(ROLE, &[])?;
        let address = process.line()?;
        Ok(Self { process, address })
    }

    /// Of the account of this name.
    pub fn connection_string(&self, account: &str) -> String {
        format!(
            "DefaultEndpointsProtocol=http;AccountName={account};AccountKey=c2VjcmV0IG9mIHRoZSBzdHVi;TableEndpoint=http://{}/{account};",
            self.address
        )
    }

    pub fn seen(&self) -> anyhow::Result<Seen> {
        Ok(serde_json::from_slice(&self.ask("GET", "/_seen")?)?)
    }

    /// The rows that are waited for. Asked often, so it costs the stub next to nothing.
    pub fn distinct(&self) -> anyhow::Result<usize> {
        Ok(serde_json::from_slice(&self.ask("GET", "/_distinct")?)?)
    }

    pub fn reset(&self) -> anyhow::Result<()> {
        self.ask("POST", "/_reset").map(drop)
    }

    /// The rows stay.
    pub fn forget_times(&self) -> anyhow::Result<()> {
        self.ask("POST", "/_forget_times").map(drop)
    }

    pub fn cpu(&self) -> anyhow::Result<Duration> {
        process::cpu(self.process.id())
    }

    fn ask(&self, method: &str, path: &str) -> anyhow::Result<Vec<u8>> {
        ask(&self.address, method, path)
    }
}

/// The body of the answer to a GET, from anybody who answers with a length.
pub fn get(address: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    ask(address, "GET", path)
}

fn ask(address: &str, method: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    write!(stream.get_mut(), "{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n")?;
    Ok(read_message(&mut stream)?.context("an answer")?.body)
}

#[derive(Default)]
struct Table {
    rows: HashSet<u128>,
    /// How many of them are in that account.
    apart: usize,
    seen: Seen,
    to_row: Vec<i64>,
}

impl Table {
    fn distinct(&self) -> usize {
        self.rows.len() - self.apart
    }
}

type Shared = Arc<Mutex<Table>>;

fn lock(table: &Shared) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The other process.
pub fn play() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let table = Shared::default();
    for stream in listener.incoming() {
        let (stream, table) = (stream?, Arc::clone(&table));
        stream.set_nodelay(true)?;
        let serve = move || drop(serve(stream, &table));
        thread::Builder::new().stack_size(256 * 1024).spawn(serve).context("a thread for a connection")?;
    }
    Ok(())
}

/// Until the other side closes.
fn serve(stream: TcpStream, table: &Shared) -> anyhow::Result<()> {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    while let Some(request) = read_message(&mut stream)? {
        let mut words = request.first_line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let answer = match (method, path) {
            ("GET", "/_seen") => ok(&serde_json::to_vec(&seen(table))?),
            ("GET", "/_distinct") => ok(&serde_json::to_vec(&lock(table).distinct())?),
            ("POST", "/_reset") => {
                *lock(table) = Table::default();
                ok(b"")
            }
            ("POST", "/_forget_times") => {
                lock(table).to_row.clear();
                ok(b"")
            }
            (_, path) if is_of(HANGS, path) => loop {
                thread::park();
            },
            ("POST", path) if path.ends_with("/$batch") => transact(table, &request.body, is_of(APART, path)),
            _ => {
                lock(table).seen.wrong += 1;
                b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n".to_vec()
            }
        };
        stream.get_mut().write_all(&answer)?;
    }
    Ok(())
}

fn is_of(account: &str, path: &str) -> bool {
    path.split('/').nth(1) == Some(account)
}

fn seen(table: &Shared) -> Seen {
    let mut table = lock(table);
    table.to_row.sort_unstable();
    let millis = |us: Option<&i64>| us.map_or(0.0, |us| *us as f64 / 1000.0);
    let at = |share: usize| millis(table.to_row.get(table.to_row.len() * share / 100));
    let (to_row_p50, to_row_p99, to_row_max) = (at(50), at(99), millis(table.to_row.last()));
    Seen { distinct: table.distinct(), to_row_p50, to_row_p99, to_row_max, ..table.seen.clone() }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row<'a> {
    #[serde(borrow)]
    partition_key: &'a str,
    row_key: &'a str,
    created_time: &'a str,
}

/// All or nothing, as the service does it.
fn transact(table: &Shared, body: &[u8], apart: bool) -> Vec<u8> {
    let Some(rows) = read_transaction(body) else {
        lock(table).seen.wrong += 1;
        return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
    };
    let now = Clock::System.now();
    let mut table = lock(table);
    table.seen.first_at.get_or_insert(now);
    table.seen.batches += 1;
    let doubled = rows.iter().filter(|(key, _)| table.rows.contains(key)).count();
    if doubled > 0 {
        table.seen.doubled += doubled;
        return part_failed();
    }
    for (key, at) in &rows {
        table.rows.insert(*key);
        table.to_row.push(now.duration_since(*at).as_micros() as i64);
    }
    if apart {
        table.apart += rows.len();
    }
    drop(table);
    applied(rows.len())
}

/// The keys and times of its rows; `None` if it breaks a rule: one partition, each row once, at most 100 inserts.
fn read_transaction(body: &[u8]) -> Option<Vec<(u128, Timestamp)>> {
    let boundary = after(body, b"boundary=")?;
    let boundary = [b"--", &boundary[..memmem::find(boundary, b"\r\n")?]].concat();
    let begins: Vec<usize> = memmem::find_iter(body, &boundary).collect();
    let (mut rows, mut keys, mut partition) = (Vec::with_capacity(100), HashSet::with_capacity(100), None);
    for ends in begins.windows(2) {
        let [from, to] = ends else { return None };
        let operation = after(&body[*from..*to], b"\r\n\r\n")?;
        if !operation.starts_with(b"POST ") {
            return None;
        }
        let row: Row<'_> = serde_json::from_slice(after(operation, b"\r\n\r\n")?).ok()?;
        if *partition.get_or_insert(row.partition_key) != row.partition_key || row.partition_key.is_empty() {
            return None;
        }
        let key = u128::from_str_radix(row.row_key, 16).ok().filter(|_| row.row_key.len() == 32)?;
        if !keys.insert(key) {
            return None;
        }
        rows.push((key, format!("{}Z", row.created_time.trim_end_matches('Z')).parse().ok()?));
    }
    (1..=100).contains(&rows.len()).then_some(rows)
}

fn after<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    memmem::find(text, mark).map(|at| &text[at + mark.len()..])
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// As long as the service's own.
const PART: &str = "--changesetresponse_0e4d8a2c-1f6b-4b8e-9d57-3f0c2a9b7e61\r\nContent-Type: application/http\r\n\
    Content-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 204 No Content\r\nX-Content-Type-Options: nosniff\r\n\
    Cache-Control: no-cache\r\nPreference-Applied: return-no-content\r\nDataServiceVersion: 3.0;\r\n\
    Location: http://stub/Leads(PartitionKey='p',RowKey='00000000000000000000000000000000')\r\n\
    DataServiceId: http://stub/Leads(PartitionKey='p',RowKey='00000000000000000000000000000000')\r\n\
    ETag: W/\"datetime'2026-11-22T03%3A04%3A05.0000000Z'\"\r\n\r\n\r\n";
const CONFLICT: &str = "--changesetresponse_0e4d8a2c\r\nContent-Type: application/http\r\n\
    Content-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 409 Conflict\r\nDataServiceVersion: 3.0;\r\n\
    Content-Type: application/json\r\n\r\n{\"odata.error\":{\"code\":\"EntityAlreadyExists\"}}\r\n";

fn applied(operations: usize) -> Vec<u8> {
    accepted(&PART.repeat(operations))
}

fn part_failed() -> Vec<u8> {
    accepted(CONFLICT)
}

fn accepted(parts: &str) -> Vec<u8> {
    let head = "--batchresponse_4a1c\r\nContent-Type: multipart/mixed; boundary=changesetresponse_0e4d8a2c\r\n\r\n";
    let tail = "--changesetresponse_0e4d8a2c--\r\n--batchresponse_4a1c--\r\n";
    let length = head.len() + parts.len() + tail.len();
    format!(
        "HTTP/1.1 202 Accepted\r\nContent-Type: multipart/mixed; boundary=batchresponse_4a1c\r\n\
         Content-Length: {length}\r\n\r\n{head}{parts}{tail}"
    )
    .into_bytes()
}

struct HttpMessage {
    first_line: String,
    body: Vec<u8>,
}

/// A whole request or answer. `None`: the other side has closed.
fn read_message(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<HttpMessage>> {
    let mut first_line = String::new();
    if stream.read_line(&mut first_line)? == 0 {
        return Ok(None);
    }
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse()?,
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(HttpMessage { first_line: first_line.trim_end().to_owned(), body }))
}
