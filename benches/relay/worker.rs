//! The real program in a folder of its own, configured, started, watched from outside and stopped.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::process::{self, Process};
use crate::traffic;

/// What runs, of the profile that the harness was built in.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_leadrelay");

/// Lead keys are made under it.
pub const KEY_SECRET: &str = "a secret of the harness's own";

/// The `number`-th destination's name.
pub fn destination(number: u32) -> String {
    format!("destination-{number}")
}

/// What the worker is to know.
pub struct Configuration<'a> {
    pub amqp_url: &'a str,
    pub prefix: &'a str,
    pub ledger: PathBuf,
    /// For each destination the body of its table, `kind` and all.
    pub destinations: Vec<String>,
    /// So many offers, each with a route of its own, go round the destinations.
    pub routes: u32,
    pub prefetch: u32,
}

/// The worker's own.
pub const PREFETCH: u32 = 4_000;

impl Configuration<'_> {
    /// Writes `leadrelay.toml`; answers where the worker will listen.
    pub fn write(&self, folder: &Path) -> anyhow::Result<String> {
        let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let Self { amqp_url, prefix, ledger, destinations, routes, prefetch } = self;
        let ledger = ledger.display();
        let mut text = format!(
            "[broker]\nurl = \"{amqp_url}\"\nprefix = \"{prefix}\"\n[store]\nurl = \"sqlite:{ledger}\"\n\
             [identity]\nkey_secret = \"{KEY_SECRET}\"\n[http]\nlisten = \"{listen}\"\n\
             [worker]\nprefetch = {prefetch}\n[log]\nformat = \"json\"\nlevel = \"info\"\n"
        );
        for (number, body) in destinations.iter().enumerate() {
            writeln!(text, "[destinations.{}]\n{body}", destination(number as u32))?;
        }
        let count = destinations.len() as u32;
        for number in 0..*routes {
            let (offer, to) = (traffic::offer(number, count), destination(number % count));
            writeln!(text, "[[routes]]\noffer = \"{offer}\"\ndestination = \"{to}\"")?;
        }
        fs::write(folder.join("leadrelay.toml"), text)?;
        Ok(listen)
    }
}

/// Runs a command of the program to its end.
pub fn command(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(PROGRAM).args(arguments).current_dir(folder).output()?;
    anyhow::ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// `leadrelay run`. Dropped, it is killed.
pub struct Worker {
    process: Process,
    listen: String,
    log: PathBuf,
    pub started: Instant,
}

impl Worker {
    pub fn start(folder: &Path, listen: &str) -> anyhow::Result<Self> {
        let log = folder.join("worker.log");
        let mut command = Command::new(PROGRAM);
        command.arg("run").current_dir(folder).stderr(Stdio::from(File::create(&log)?));
        let started = Instant::now();
        Ok(Self { process: Process::start(&mut command)?, listen: listen.to_owned(), log, started })
    }

    pub fn cpu(&self) -> anyhow::Result<Duration> {
        process::cpu(self.process.id())
    }

    pub fn peak_memory(&self) -> anyhow::Result<f64> {
        process::peak_memory(self.process.id())
    }

    /// What it counts. `None`: it does not listen yet.
    pub fn metrics(&mut self) -> anyhow::Result<Option<Metrics>> {
        if let Some(status) = self.process.child().try_wait()? {
            anyhow::bail!("the worker ended with {status}: {}", fs::read_to_string(&self.log)?);
        }
        let Ok(mut stream) = TcpStream::connect(&self.listen) else { return Ok(None) };
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(Some(Metrics(text)))
    }

    /// Asks it to stop, twice: what is in flight to a destination that hangs is not waited for.
    pub fn stop(mut self) -> anyhow::Result<()> {
        for _ in 0..2 {
            let killed = Command::new("kill").arg(self.process.id().to_string()).status()?;
            anyhow::ensure!(killed.success(), "the worker has gone: {}", fs::read_to_string(&self.log)?);
            if self.ends_within(Duration::from_secs(5))? {
                return Ok(());
            }
        }
        anyhow::ensure!(self.ends_within(Duration::from_secs(30))?, "the worker does not stop");
        Ok(())
    }

    fn ends_within(&mut self, bound: Duration) -> anyhow::Result<bool> {
        let end = Instant::now() + bound;
        while Instant::now() < end {
            if self.process.child().try_wait()?.is_some() {
                return Ok(true);
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(false)
    }
}

/// `/metrics`, as text.
pub struct Metrics(String);

impl Metrics {
    /// The sum over all label sets that hold `label`, which may be empty.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let name = format!("leadrelay_{name}");
        let value = |line: &str| {
            let rest = line.strip_prefix(&name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            let is_it = labels.is_empty() || labels.starts_with('{');
            (is_it && labels.contains(label)).then(|| value.parse::<f64>().ok())?
        };
        self.0.lines().filter_map(value).sum()
    }

    /// All that has been received is settled, and it is so much.
    pub fn are_settled(&self, messages: usize) -> bool {
        self.sum("in_flight", "") == 0.0 && self.sum("settled_total", "") >= messages as f64
    }

    /// The mean of a histogram.
    pub fn mean(&self, name: &str) -> f64 {
        self.sum(&format!("{name}_sum"), "") / self.sum(&format!("{name}_count"), "").max(1.0)
    }

    pub fn histogram(&self, name: &str) -> Histogram {
        let begins = format!("leadrelay_{name}_bucket{{le=\"");
        let bucket = |line: &str| {
            let (bound, count) = line.strip_prefix(&begins)?.split_once("\"} ")?;
            Some((bound.replace("+Inf", "inf").parse::<f64>().ok()?, count.parse::<f64>().ok()?))
        };
        Histogram(self.0.lines().filter_map(bucket).collect())
    }
}

/// Upper bounds, and how many are at or below each.
pub struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// What has come since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().zip(&before.0).map(|((bound, now), (_, then))| (*bound, now - then)).collect())
    }

    /// The value below which so large a share lies, as Prometheus computes it.
    pub fn quantile(&self, share: f64) -> anyhow::Result<f64> {
        let wanted = share * self.0.last().context("no such histogram")?.1;
        let (mut below, mut from) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= wanted {
                return Ok(from + (bound - from) * (wanted - below) / (count - below).max(1.0));
            }
            (below, from) = (*count, *bound);
        }
        Ok(f64::INFINITY)
    }
}
