//! One measured run: queues are filled, the worker empties them, and every lead is accounted for.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use leadrelay::clock::Clock;
use tempfile::TempDir;

use crate::broker::Broker;
use crate::keeper::{self, Kept};
use crate::queues::Queues;
use crate::report::Figures;
use crate::stub::Stub;
use crate::traffic::{self, Order};
use crate::worker::{self, Configuration, Worker};
use crate::yardstick;

/// Nothing that is measured takes longer.
const PATIENCE: Duration = Duration::from_secs(170);
/// After filling, the broker has things to do of its own.
const REST: Duration = Duration::from_secs(1);

/// What all runs share.
pub struct Bench {
    pub broker: Broker,
    pub stub: Stub,
    pub folder: TempDir,
    _kept: Kept,
    runs: u32,
    filled_ledger: Option<PathBuf>,
}

/// What is drained, and by a worker of which configuration.
#[derive(Clone)]
pub struct Case<'a> {
    pub order: &'a Order,
    /// Rows that must be in the tables at the end, each once.
    pub rows: usize,
    /// For each destination the body of its table.
    pub destinations: Vec<String>,
    pub routes: u32,
    /// `None`: a new one.
    pub ledger: Option<PathBuf>,
    pub prefetch: u32,
}

/// The names of one run, its folder, and its queues, filled.
pub struct Run {
    pub tag: String,
    pub folder: PathBuf,
    pub listen: String,
    pub queues: Queues,
    destinations: u32,
}

impl Bench {
    pub fn start() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("leadrelay-bench.")?;
        let kept = keeper::keep(&["rm", "-rf", folder.path().to_str().context("a folder with a plain name")?]);
        Ok(Self { broker: Broker::start()?, stub: Stub::start()?, folder, _kept: kept, runs: 0, filled_ledger: None })
    }

    /// A folder and queues for one run.
    pub async fn prepare(&mut self, case: &Case<'_>) -> anyhow::Result<Run> {
        self.runs += 1;
        let tag = format!("bench-{}-{}", std::process::id(), self.runs);
        let folder = self.folder.path().join(&tag);
        std::fs::create_dir(&folder)?;
        let configuration = Configuration {
            amqp_url: &self.broker.url,
            prefix: &tag,
            ledger: case.ledger.clone().unwrap_or_else(|| folder.join("ledger.db")),
            destinations: case.destinations.clone(),
            routes: case.routes,
            prefetch: case.prefetch,
        };
        let listen = configuration.write(&folder)?;
        worker::command(&folder, &["topology", "apply"])?;
        let queues = Queues::open(&self.broker.url, &tag).await?;
        self.stub.reset()?;
        Ok(Run { tag, folder, listen, queues, destinations: case.destinations.len() as u32 })
    }

    pub async fn fill(&self, run: &Run, order: &Order) -> anyhow::Result<()> {
        traffic::fill(&self.broker.url, &run.tag, &run.tag, order, run.destinations).await?;
        thread::sleep(REST);
        Ok(())
    }

    /// The worker alone.
    pub async fn drain(&mut self, case: &Case<'_>) -> anyhow::Result<Figures> {
        let run = self.prepare(case).await?;
        self.fill(&run, case.order).await?;
        let figures = self.work(&run, case).await?;
        run.clean_up().await?;
        Ok(figures)
    }

    /// The worker and the yardstick, each on its own copy of the same messages; who is first takes turns.
    pub async fn drain_beside_yardstick(&mut self, case: &Case<'_>) -> anyhow::Result<(Figures, Figures)> {
        let run = self.prepare(case).await?;
        run.queues.declare_yardstick().await?;
        self.fill(&run, case.order).await?;
        let first = (self.runs.is_multiple_of(2)).then(|| self.yardstick(&run, case));
        let figures = self.work(&run, case).await?;
        let yardstick = first.unwrap_or_else(|| {
            thread::sleep(REST);
            self.yardstick(&run, case)
        })?;
        run.clean_up().await?;
        Ok((figures, yardstick))
    }

    fn yardstick(&self, run: &Run, case: &Case<'_>) -> anyhow::Result<Figures> {
        let broker = self.broker.cpu();
        let measured = yardstick::measure(&self.broker.url, &run.queues.yardstick(), case.order.len())?;
        let count = case.order.len() as f64;
        Ok(vec![
            ("events/s", count / measured.seconds),
            ("CPU µs", measured.cpu_seconds * 1e6 / count),
            ("broker µs", micros_each(self.broker.cpu(), broker, count)),
        ])
    }

    /// From the first row to the last message settled.
    async fn work(&self, run: &Run, case: &Case<'_>) -> anyhow::Result<Figures> {
        let (stub, broker) = (self.stub.cpu()?, self.broker.cpu());
        let mut worker = Worker::start(&run.folder, &run.listen)?;
        self.wait_for_rows(&mut worker, case.rows)?;
        let metrics = loop {
            match worker.metrics()? {
                Some(metrics) if metrics.are_settled(case.order.len()) => break metrics,
                _ => {
                    anyhow::ensure!(worker.started.elapsed() < PATIENCE, "it does not settle in time");
                    thread::sleep(Duration::from_millis(2));
                }
            }
        };
        let (seen, count) = (self.stub.seen()?, case.order.len() as f64);
        let first_at = seen.first_at.context("a first row")?;
        let took = Clock::System.now().duration_since(first_at).as_secs_f64();
        let figures = vec![
            ("events/s", count / took),
            ("CPU µs", worker.cpu()?.as_secs_f64() * 1e6 / count),
            ("MiB", worker.peak_memory()?),
            ("mean batch", metrics.mean("batch_size")),
            ("send ms", metrics.mean("send_duration_seconds") * 1e3),
            ("commit ms", metrics.mean("ledger_commit_duration_seconds") * 1e3),
            ("stub µs", (self.stub.cpu()? - stub).as_secs_f64() * 1e6 / count),
            ("broker µs", micros_each(self.broker.cpu(), broker, count)),
        ];
        worker.stop()?;
        self.account(run, case.rows).await?;
        anyhow::ensure!(metrics.sum("settled_total", "fate=\"dead\"") == 0.0, "a lead was dead-lettered");
        Ok(figures)
    }

    /// From the first row to the row of this number, whatever becomes of the rest.
    pub async fn deliver(&mut self, case: &Case<'_>) -> anyhow::Result<Figures> {
        let run = self.prepare(case).await?;
        self.fill(&run, case.order).await?;
        let broker = self.broker.cpu();
        let mut worker = Worker::start(&run.folder, &run.listen)?;
        self.wait_for_rows(&mut worker, case.rows)?;
        let (at, rows) = (Clock::System.now(), case.rows as f64);
        let (seen, broker) = (self.stub.seen()?, micros_each(self.broker.cpu(), broker, rows));
        let took = at.duration_since(seen.first_at.context("a first row")?).as_secs_f64();
        let cpu = worker.cpu()?.as_secs_f64() * 1e6 / rows;
        let metrics = worker.metrics()?.context("it listens no more")?;
        worker.stop()?;
        anyhow::ensure!(seen.doubled == 0 && seen.wrong == 0, "a row was sent again, or wrongly: {seen:?}");
        run.clean_up().await?;
        Ok(vec![
            ("events/s", rows / took),
            ("CPU µs", cpu),
            ("broker µs", broker),
            ("mean batch", metrics.mean("batch_size")),
            ("went to wait", metrics.sum("settled_total", "fate=\"waiting\"")),
        ])
    }

    pub fn wait_for_rows(&self, worker: &mut Worker, rows: usize) -> anyhow::Result<()> {
        while self.stub.distinct()? < rows {
            anyhow::ensure!(worker.started.elapsed() < PATIENCE, "not delivered in time: {:?}", self.stub.seen()?);
            // Fails if the worker has ended.
            if worker.started.elapsed() > Duration::from_secs(60) {
                worker.metrics()?;
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Nothing lost, nothing doubled, nothing left.
    pub async fn account(&self, run: &Run, rows: usize) -> anyhow::Result<()> {
        let seen = self.stub.seen()?;
        anyhow::ensure!(seen.distinct == rows, "{} rows, and not {rows}", seen.distinct);
        anyhow::ensure!(seen.doubled == 0, "{} rows were sent again", seen.doubled);
        anyhow::ensure!(seen.wrong == 0, "{} requests were not what they should be", seen.wrong);
        let left = run.queues.inbox_depth().await? + run.queues.dead().await?;
        anyhow::ensure!(left == 0, "{left} messages are left, or dead");
        Ok(())
    }

    /// A ledger of so many keys; filled once. Workers add to it.
    pub async fn filled_ledger(&mut self, keys: u64) -> anyhow::Result<PathBuf> {
        if let Some(file) = &self.filled_ledger {
            return Ok(file.clone());
        }
        let (file, started) = (self.folder.path().join("filled.db"), Instant::now());
        crate::ledger::fill(&file, keys).await?;
        let size = std::fs::metadata(&file)?.len() / (1 << 20);
        eprintln!("filled a ledger with {keys} keys, {size} MiB, in {:.0} s", started.elapsed().as_secs_f64());
        Ok(self.filled_ledger.insert(file).clone())
    }

    /// The body of an Azure Table destination that is the stub.
    pub fn table(&self, account: &str) -> String {
        format!("kind = \"azure-table\"\nconnection_string = \"{}\"", self.stub.connection_string(account))
    }

    pub fn tables(&self, count: u32) -> Vec<String> {
        (0..count).map(|number| self.table(&format!("account{number}"))).collect()
    }
}

impl Run {
    pub async fn clean_up(self) -> anyhow::Result<()> {
        self.queues.delete(self.destinations).await?;
        Ok(std::fs::remove_dir_all(&self.folder)?)
    }
}

/// The difference of two readings; not a number where there are none.
fn micros_each(now: Option<Duration>, before: Option<Duration>, count: f64) -> f64 {
    let spent = now.zip(before).map(|(now, before)| now.saturating_sub(before));
    spent.map_or(f64::NAN, |spent| spent.as_secs_f64() * 1e6 / count)
}
