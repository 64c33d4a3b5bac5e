//! How long an operator waits: 100,000 dead letters, and the time from the start of the program to the first page, for
//! every filter alone and for two together, while letters come in. `cargo run --release --example office_listing`,
//! after `cargo build --release`; prints figures, and judges nothing.

#![allow(clippy::disallowed_methods, reason = "this measures a real process by the real clock")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use leadrelay::clock::Clock;
use leadrelay::domain::envelope::{self, HeaderValue, Message, Properties};
use leadrelay::domain::lead_key::Keyring;
use leadrelay::office::letter;
use leadrelay::store::dead_letters::{Act, DeadLetters, Letter};
use leadrelay::store::sqlite::SqliteLetters;
use leadrelay::telemetry::Telemetry;

const LETTERS: usize = 100_000;
const RUNS: usize = 100;
const SECRET: &str = "a secret of the example's own";

const CONFIG: &str = r#"
[broker]
url = "amqp://guest:guest@127.0.0.1:1/%2f"
[store]
url = "sqlite:ledger.db"
[identity]
key_secret = "a secret of the example's own"
[destinations.contoso-table]
kind = "azure-table"
connection_string = "UseDevelopmentStorage=true"
[[routes]]
offer = "*"
destination = "contoso-table"
"#;

const REASONS: [&str; 6] = ["rejected", "malformed", "unroutable", "attempts_exhausted", "expired", "unknown"];

fn a_letter(n: usize, keyring: &Keyring, now: Timestamp) -> Letter {
    let text = |name: &str, value: String| (name.to_owned(), HeaderValue::Text(value));
    // Two in three are of one reason and one destination: what narrows least is what takes longest.
    let reason = if n.is_multiple_of(3) { REASONS[n / 3 % 6] } else { "rejected" };
    let destination = if n.is_multiple_of(4) { format!("org-{}", n / 4 % 20) } else { "contoso-table".to_owned() };
    let dead_at = now - SignedDuration::from_secs((LETTERS.saturating_sub(n) * 6) as i64);
    let body = serde_json::json!({
        "Source": "AzureMarketplace", "Action": "INS", "Offer": format!("publisher{}.offer{}", n % 50, n % 500),
        "Consent": { "Granted": true }, "Description": "x".repeat(400),
        "CustomerInfo": { "Email": format!("person{}@example.com", n / 2), "FirstName": "Dashan", "LastName": "Liang" }
    });
    let headers = [
        text(envelope::REASON, reason.to_owned()),
        text(envelope::DETAIL, "PropertyValueTooLarge".to_owned()),
        text(envelope::DESTINATION, destination),
        text(envelope::FIRST_RECEIVED, dead_at.to_string()),
        text(envelope::DEAD_AT, dead_at.to_string()),
    ];
    let properties = Properties { message_id: Some(n.to_string()), headers: headers.into(), ..Properties::default() };
    letter::of(Message { body: body.to_string().into(), properties }, keyring, now)
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("leadrelay.toml"), CONFIG).expect("a configuration");
    let keyring = Keyring::new(SECRET.as_bytes());
    let path = folder.path().join("ledger.letters.db");
    let store = Arc::new(SqliteLetters::create(&path, &keyring, Arc::new(Telemetry::new())).expect("a thread"));
    let now = Clock::System.now();
    let started = Instant::now();
    for from in (0..LETTERS).step_by(500) {
        let letters = (from..from + 500).map(|n| a_letter(n, &keyring, now)).collect();
        store.take_in(letters, Act::of_the_worker(now)).await.expect("taken in");
    }
    let took = started.elapsed();
    let rate = LETTERS as f64 / took.as_secs_f64();
    println!("{LETTERS} letters taken in, {rate:.0} a second; the file has {} MB", size(&path) / 1_000_000);
    let (writing, written) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let writer = tokio::spawn(write(Arc::clone(&store), keyring.clone(), Arc::clone(&writing), Arc::clone(&written)));
    let (folder, lead) = (folder.path().to_owned(), a_letter(60_001, &keyring, now).facts.lead.expect("a lead"));
    tokio::task::spawn_blocking(move || measure(&folder, &lead.to_string())).await.expect("measured");
    writing.store(false, Ordering::SeqCst);
    writer.await.expect("the writer");
    println!("meanwhile {} letters came in", written.load(Ordering::SeqCst));
}

/// As the ingester does, in batches of a hundred.
async fn write(store: Arc<SqliteLetters>, keyring: Keyring, go_on: Arc<AtomicBool>, written: Arc<AtomicUsize>) {
    while go_on.load(Ordering::SeqCst) {
        let from = LETTERS + written.load(Ordering::SeqCst);
        let now = Clock::System.now();
        let letters = (from..from + 100).map(|n| a_letter(n, &keyring, now)).collect();
        store.take_in(letters, Act::of_the_worker(now)).await.expect("taken in");
        written.fetch_add(100, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn measure(folder: &Path, lead: &str) {
    let filters: [&[&str]; 8] = [
        &[],
        &["--reason", "rejected"],
        &["--destination", "contoso-table"],
        &["--offer", "publisher7.offer7"],
        &["--offer", "publisher7.*"],
        &["--since", "2h"],
        &["--lead-key", lead],
        &["--email", "person30000@example.com"],
    ];
    println!("{:>8} {:>8} {:>8}  milliseconds, median, p95 and slowest of {RUNS}", "median", "p95", "slowest");
    for (n, one) in filters.iter().enumerate() {
        report(folder, &[&["dead", "list"], *one].concat());
        for other in &filters[n + 1..] {
            let is_same_flag = one.first() == other.first();
            if !one.is_empty() && !is_same_flag {
                report(folder, &[&["dead", "list"], *one, *other].concat());
            }
        }
    }
    // What fits neither nearly everything nor nearly nothing, but nothing at all: the longest search.
    report(folder, &["dead", "list", "--reason", "poison", "--destination", "contoso-table"]);
    report(folder, &["dead", "list", "--by", "reason,destination"]);
    report(folder, &["dead", "stats"]);
}

fn report(folder: &Path, arguments: &[&str]) {
    let mut times: Vec<Duration> = (0..RUNS).map(|_| time(folder, arguments)).collect();
    times.sort();
    let at = |share: f64| times[((RUNS as f64 * share) as usize).min(RUNS - 1)].as_secs_f64() * 1e3;
    println!("{:>8.1} {:>8.1} {:>8.1}  {}", at(0.5), at(0.95), at(1.0), arguments.join(" "));
}

/// From the start of the process to its end, with its page printed.
fn time(folder: &Path, arguments: &[&str]) -> Duration {
    let program: PathBuf = std::env::current_exe().expect("a path").with_file_name("../leadrelay");
    let started = Instant::now();
    let status = Command::new(program).args(arguments).current_dir(folder).stdout(Stdio::null()).status();
    let took = started.elapsed();
    assert!(status.expect("the program").success(), "{arguments:?}");
    took
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}
