//! The real program beside the real broker and the real table, watched from outside: by pika, by azure-data-tables, by
//! its exit code and by what it prints. Nothing here believes the worker's own counters.

#![allow(clippy::disallowed_methods, reason = "a real process has no paused clock")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A service that `make test` starts.
pub fn service(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run `make test`, which starts what it needs"))
}

/// Host and port of a connection string's table endpoint, and the same string through another host.
pub fn split_endpoint(connection: &str) -> (String, impl Fn(&str) -> String + use<>) {
    let after = connection.split("TableEndpoint=http://").nth(1).expect("an explicit endpoint");
    let host = after.split('/').next().expect("a host").to_owned();
    let (connection, from) = (connection.to_owned(), host.clone());
    (host, move |to| connection.replace(&from, to))
}

/// One prefix on the broker, one table, one folder; shared with nobody.
pub struct Rig {
    pub folder: TempDir,
    pub prefix: String,
    pub table: String,
    pub amqp_url: String,
}

/// Names that `events.py` gives to people, and the addresses it makes: none may leave the messages.
const CANARIES: [&str; 9] =
    ["@seed-", "person-1", "Dashan", "Liang", "大山", "Müller", "Østergård", "Петрова", "canary"];

impl Rig {
    pub fn new(name: &str) -> Self {
        Self::on(&service("LEADRELAY_TEST_AMQP_URL"), name)
    }

    /// On a broker of the test's own.
    pub fn on(amqp_url: &str, name: &str) -> Self {
        static RIGS: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{}x{}", std::process::id(), RIGS.fetch_add(1, Ordering::SeqCst));
        let rig = Self {
            folder: TempDir::new().unwrap(),
            prefix: format!("{name}{unique}"),
            table: format!("T{name}{unique}").replace(['-', '_'], ""),
            amqp_url: amqp_url.to_owned(),
        };
        rig.configure("leadrelay.toml", &service("LEADRELAY_TEST_AZURITE"));
        let applied = rig.command("leadrelay.toml").args(["topology", "apply"]).output().unwrap();
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        rig
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes a configuration whose one destination is reached by `connection`.
    pub fn configure(&self, file: &str, connection: &str) {
        let Self { prefix, table, amqp_url, .. } = self;
        let text = format!(
            r#"
            [broker]
            url = "{amqp_url}"
            prefix = "{prefix}"
            [store]
            url = "sqlite:ledger.db"
            [identity]
            key_secret = "a secret of the tests' own"
            [http]
            listen = "127.0.0.1:{port}"
            [log]
            format = "json"
            level = "debug"
            [destinations.contoso-table]
            kind = "azure-table"
            connection_string = "{connection}"
            table = "{table}"
            [[routes]]
            offer = "contoso.*"
            destination = "contoso-table"
            "#,
            port = free_port(),
        );
        fs::write(self.path(file), text).unwrap();
    }

    /// Its one destination, named as ever, is a Salesforce org at this address. Its batches are small, so that a kill finds
    /// some written, some on their way and some not begun.
    pub fn configure_salesforce(&self, url: &str) {
        self.configure_otherwise(&format!(
            r#"
            kind = "salesforce"
            instance_url = "{url}"
            external_id_field = "Leadrelay_Key__c"
            batch_max = 25
            [destinations.contoso-table.auth]
            kind = "client-credentials"
            client_id = "sandbox-client"
            client_secret = "sandbox-secret"
            [destinations.contoso-table.fields]
            Offer__c = "offer"
            Journey__c = "journey"
            "#
        ));
    }

    /// Its one destination, named as ever, is a form at this address; `on_unknown` as it is written.
    pub fn configure_web_to_lead(&self, endpoint: &str, on_unknown: &str) {
        self.configure_otherwise(&format!(
            r#"
            kind = "salesforce-web-to-lead"
            oid = "00D5g0000000001"
            endpoint = "{endpoint}"
            on_unknown = "{on_unknown}"
            "#
        ));
    }

    /// Writes the usual configuration with these settings of the destination's instead of a table's.
    fn configure_otherwise(&self, settings: &str) {
        let text = fs::read_to_string(self.path("leadrelay.toml")).unwrap();
        let (before, rest) = text.split_once("[destinations.contoso-table]").unwrap();
        let (_, routes) = rest.split_once("[[routes]]").unwrap();
        let text = format!("{before}[destinations.contoso-table]{settings}[[routes]]{routes}");
        fs::write(self.path("leadrelay.toml"), text).unwrap();
    }

    pub fn command(&self, config: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leadrelay"));
        command.arg("--config").arg(self.path(config)).env("RUST_BACKTRACE", "0");
        command
    }

    pub fn start(&self, environment: &[(&str, &str)]) -> Worker {
        self.start_with("leadrelay.toml", environment)
    }

    /// Everything that it prints goes to one file, which is searched for canaries in the end.
    pub fn start_with(&self, config: &str, environment: &[(&str, &str)]) -> Worker {
        let log = File::options().create(true).append(true).open(self.path("worker.log")).unwrap();
        let mut command = self.command(config);
        command.arg("run").stdout(log.try_clone().unwrap()).stderr(log).envs(environment.iter().copied());
        let text = fs::read_to_string(self.path(config)).unwrap();
        let listen = text.split("listen = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        Worker { child: command.spawn().unwrap(), listen }
    }

    /// Publishes generated events by pika, and appends what was confirmed to `confirmed.jsonl`.
    pub fn publish(&self, seed: u32, count: u32) {
        let out = File::options().create(true).append(true).open(self.path("confirmed.jsonl")).unwrap();
        let (seed, count) = (seed.to_string(), count.to_string());
        let arguments = ["--url", &self.amqp_url, "--exchange", &self.prefix, "--seed", &seed, "--count", &count];
        let status = python("publish.py").args(arguments).args(["--malformed", "2"]).stdout(out).status().unwrap();
        assert!(status.success(), "publish.py failed");
    }

    /// Publishes generated events straight into a retry queue, as tried four times before; `offers` take turns.
    pub fn publish_to_retry(&self, tier: &str, seed_count: (u32, u32), offers: &str) {
        self.publish_there(tier, seed_count, &["--offers", offers]);
    }

    /// The same, each event a lead of its own.
    pub fn publish_leads_to_retry(&self, tier: &str, seed_count: (u32, u32)) {
        self.publish_there(tier, seed_count, &["--repeats", "0", "--additions", "0"]);
    }

    fn publish_there(&self, tier: &str, (seed, count): (u32, u32), more: &[&str]) {
        let out = File::options().create(true).append(true).open(self.path("confirmed.jsonl")).unwrap();
        let (seed, count, queue) = (seed.to_string(), count.to_string(), format!("{}.retry.{tier}", self.prefix));
        let mut publish = python("publish.py");
        publish.args(["--url", &self.amqp_url, "--queue", &queue, "--attempts", "4", "--seed", &seed]);
        publish.args(["--count", &count]).args(more);
        assert!(publish.stdout(out).status().unwrap().success(), "publish.py failed");
    }

    /// Puts this many dead letters of six reasons into the dead queue, past any worker; what they are, as JSON.
    pub fn bury(&self, count: u32) -> Vec<serde_json::Value> {
        let mut bury = python("bury.py");
        bury.args(["--url", &self.amqp_url, "--prefix", &self.prefix, "--count", &count.to_string()]);
        let buried = output(&mut bury);
        fs::write(self.path("confirmed.jsonl"), &buried).unwrap();
        json_lines(&buried)
    }

    /// The verdict of the independent checker on what was buried: each replayed once, by one plan, no faster than this.
    pub fn check_replays(&self, rate: u32) -> serde_json::Value {
        let mut checker = python("check_replays.py");
        checker.arg("--buried").arg(self.path("confirmed.jsonl")).arg("--office").arg(self.path("ledger.letters.db"));
        let checked = checker.args(["--rate", &rate.to_string()]).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(checked.status.success(), "{said}{}", String::from_utf8_lossy(&checked.stderr));
        serde_json::from_str(&said).unwrap()
    }

    /// Publishes what no decent producer would, and appends what was confirmed.
    pub fn publish_hostile(&self) {
        let out = File::options().create(true).append(true).open(self.path("confirmed.jsonl")).unwrap();
        let arguments = ["--url", &self.amqp_url, "--exchange", &self.prefix];
        let status = python("hostile.py").args(arguments).stdout(out).status().unwrap();
        assert!(status.success(), "hostile.py failed");
    }

    /// Waits until nothing is owed: no message ready in the inbox, in a retry or in a wait queue, three times in a row.
    /// Counted and never read: a message that is read has been delivered once more, and after twenty times is poison.
    pub fn wait_until_drained(&self, bound: Duration) {
        let mut drained = 0;
        wait_until(bound, "the queues are empty", || {
            let ready = output(self.reader(&self.working_queues()).arg("--count"));
            drained = if ready.trim() == "0" { drained + 1 } else { 0 };
            drained >= 3
        });
    }

    /// All but the dead letters': of every destination that is configured, and of the one that every rig begins with.
    fn working_queues(&self) -> Vec<String> {
        let configured = fs::read_to_string(self.path("leadrelay.toml")).unwrap();
        let named = |line: &str| line.trim().strip_prefix("[destinations.")?.strip_suffix(']').map(str::to_owned);
        let mut destinations: BTreeSet<String> = configured.lines().filter_map(named).collect();
        destinations.retain(|name| !name.contains('.'));
        destinations.insert("contoso-table".to_owned());
        let waits = destinations.into_iter().map(|name| format!("wait.{name}"));
        let retries = ["5s", "30s", "2m", "10m", "1h", "6h"].map(|delay| format!("retry.{delay}"));
        let last = std::iter::once("consent".to_owned()).chain(waits).chain(retries);
        last.map(|last| format!("{}.{last}", self.prefix)).collect()
    }

    /// The messages that are ready in the queues that leadrelay works on, as JSON lines.
    pub fn queued(&self) -> String {
        self.read_queues(&self.working_queues())
    }

    /// The dead letters, where they are: in the office, or still in the queue.
    pub fn dead(&self) -> Vec<serde_json::Value> {
        json_lines(&self.read_dead())
    }

    fn read_dead(&self) -> String {
        self.read_letters() + &self.read_queues(&[format!("{}.dead", self.prefix)])
    }

    fn read_letters(&self) -> String {
        output(python("read_letters.py").arg(self.path("ledger.letters.db")))
    }

    /// What the office holds, as Python reads it from the file.
    pub fn letters(&self) -> Vec<serde_json::Value> {
        json_lines(&self.read_letters())
    }

    /// A command that succeeds, and what it prints.
    pub fn run(&self, arguments: &[&str]) -> String {
        let ended = self.command("leadrelay.toml").args(arguments).env("LEADRELAY_OPERATOR", "olga").output().unwrap();
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    }

    /// The messages that are ready in the queue of this name.
    pub fn messages_in(&self, queue: &str) -> Vec<serde_json::Value> {
        json_lines(&self.read_queues(&[format!("{}.{queue}", self.prefix)]))
    }

    fn read_queues(&self, queues: &[String]) -> String {
        output(&mut self.reader(queues))
    }

    fn reader(&self, queues: &[String]) -> Command {
        let mut python = python("read_queues.py");
        python.args(["--url", &self.amqp_url]).args(queues);
        python
    }

    pub fn rows(&self) -> Vec<serde_json::Value> {
        json_lines(&output(python("check_table.py").args(["--table", &self.table])))
    }

    /// The verdict of the independent checker, with the worker stopped: nothing lost, nothing doubled.
    pub fn check(&self) -> serde_json::Value {
        self.check_rows(output(python("check_table.py").args(["--table", &self.table])))
    }

    /// The same, of the leads of a sandbox at this address.
    pub fn check_org(&self, url: &str) -> serde_json::Value {
        self.check_rows(output(python("check_org.py").args(["--url", url])))
    }

    fn check_rows(&self, rows: String) -> serde_json::Value {
        let save = |file: &str, text: String| {
            fs::write(self.path(file), text).unwrap();
            self.path(file)
        };
        let rows = save("rows.jsonl", rows);
        let dead = save("dead.jsonl", self.read_dead());
        let queued = save("queued.jsonl", self.queued());
        let mut checker = python("checker.py");
        checker.arg("--confirmed").arg(self.path("confirmed.jsonl")).arg("--rows").arg(rows);
        checker.arg("--dead").arg(dead).arg("--queued").arg(queued);
        let checked = checker.output().unwrap();
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(checked.status.success(), "{said}{}", String::from_utf8_lossy(&checked.stderr));
        self.assert_no_canary_sang("");
        serde_json::from_str(&said).unwrap()
    }

    /// No personal data in anything that was printed, nor in the ledger.
    pub fn assert_no_canary_sang(&self, metrics: &str) {
        let log = fs::read_to_string(self.path("worker.log")).unwrap_or_default();
        let ledger = ["ledger.db", "ledger.db-wal"].map(|file| fs::read(self.path(file)).unwrap_or_default()).concat();
        let ledger = String::from_utf8_lossy(&ledger);
        for canary in CANARIES {
            let line = log.lines().find(|line| line.contains(canary));
            assert!(line.is_none(), "{canary} in the log: {line:?}");
            assert!(!metrics.contains(canary), "{canary} in the metrics");
            assert!(!ledger.contains(canary), "{canary} in the ledger");
        }
    }
}

/// A running worker. Dropped, it is killed.
pub struct Worker {
    child: Child,
    listen: String,
}

impl Worker {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// SIGTERM, and the exit code that follows.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait(Duration::from_secs(40)).expect("it stops within its grace")
    }

    /// Until it ends by itself, or `None`.
    pub fn wait(&mut self, bound: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + bound;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            pause();
        }
        None
    }

    /// The status and body of a GET.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.listen).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|(status, _)| status == 200)
    }

    pub fn metrics(&self) -> String {
        self.get("/metrics").expect("/metrics answers").1
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Fails only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls from outside a process that has no other way to tell us; what is waited for is bounded, never assumed.
pub fn wait_until(bound: Duration, what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + bound;
    while !reached() {
        assert!(Instant::now() < end, "not within {bound:?}: {what}");
        pause();
    }
}

fn pause() {
    std::thread::park_timeout(Duration::from_millis(50));
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn python(script: &str) -> Command {
    let mut command = Command::new(service("LEADRELAY_TEST_PYTHON"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script));
    command
}

fn output(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
