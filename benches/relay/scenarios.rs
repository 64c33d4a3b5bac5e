//! The scenarios: one for each thing that is promised.

use crate::drain::{Bench, Case};
use crate::report::{Line, Report, Target, Wanted};
use crate::traffic;
use crate::worker::PREFETCH;
use crate::{latency, salesforce, start};

/// How much of everything.
#[derive(Clone, Copy)]
pub struct Scale {
    pub leads: u32,
    pub backlog: u32,
    /// In a ledger that is old.
    pub keys: u64,
    pub destinations: u32,
    pub routes: u32,
    pub seconds: u32,
    /// Leads to a sandbox by REST; a tenth of them by Web-to-Lead.
    pub to_sandbox: u32,
    pub rounds: usize,
}

impl Scale {
    pub const FULL: Self = Self {
        leads: 200_000,
        backlog: 1_000_000,
        keys: 10_000_000,
        destinations: 500,
        routes: 10_000,
        seconds: 15,
        to_sandbox: 20_000,
        rounds: 3,
    };
    /// Enough to see that the harness works, and that nothing is lost or doubled.
    pub const SMOKE: Self = Self {
        leads: 300,
        backlog: 600,
        keys: 2_000,
        destinations: 30,
        routes: 60,
        seconds: 1,
        to_sandbox: 200,
        rounds: 1,
    };
}

/// In the order in which they are run.
pub const ALL: [&str; 12] = [
    "drain",
    "backlog",
    "duplicates",
    "latency",
    "rest",
    "web-to-lead",
    "routes",
    "zipf",
    "hanging",
    "keys",
    "start",
    "tuning",
];

pub async fn run(name: &str, bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    match name {
        "drain" => drain(bench, scale).await,
        "backlog" => backlog(bench, scale).await,
        "duplicates" => duplicates(bench, scale).await,
        "latency" => latency::measure(bench, scale).await,
        "rest" => salesforce::rest(bench, scale).await,
        "web-to-lead" => salesforce::web_to_lead(bench, scale).await,
        "routes" => routes(bench, scale).await,
        "zipf" => zipf(bench, scale).await,
        "hanging" => hanging(bench, scale).await,
        "keys" => keys(bench, scale).await,
        "start" => start::measure(bench, scale).await,
        "tuning" => tuning(bench, scale).await,
        _ => anyhow::bail!("no scenario {name}; there are {}", ALL.join(", ")),
    }
}

/// The offers that the traffic is about, unless a scenario is about offers.
pub const OFFERS: u32 = 20;

/// Distinct leads of twenty offers to one table.
pub fn plain<'a>(bench: &Bench, order: &'a traffic::Order) -> Case<'a> {
    Case { order, rows: order.len(), destinations: bench.tables(1), routes: OFFERS, ledger: None, prefetch: PREFETCH }
}

async fn drain(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    beside_yardstick(bench, scale.leads, scale.rounds, "drain", "a backlog of distinct leads, into one table").await
}

async fn backlog(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    beside_yardstick(bench, scale.backlog, 1, "backlog", "a long backlog: memory must not grow with it").await
}

async fn beside_yardstick(
    bench: &mut Bench,
    leads: u32,
    rounds: usize,
    scenario: &'static str,
    about: &'static str,
) -> anyhow::Result<Report> {
    let order = traffic::distinct(leads, OFFERS);
    let case = plain(bench, &order);
    let (mut worker, mut yardstick) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (of_worker, of_yardstick) = bench.drain_beside_yardstick(&case).await?;
        worker.push(of_worker);
        yardstick.push(of_yardstick);
    }
    let worker = Line { case: "leadrelay", runs: worker };
    let yardstick = Line { case: "yardstick: consume, parse, ack", runs: yardstick };
    let ratio = worker.median("events/s") / yardstick.median("events/s");
    let targets = vec![
        Target::new("of the yardstick's rate", ratio, Wanted::AtLeast(0.65)),
        Target::new("µs of CPU a lead", worker.median("CPU µs"), Wanted::AtMost(25.0)),
        Target::new("MiB resident at most", worker.median("MiB"), Wanted::AtMost(64.0)),
    ];
    Ok(Report { scenario, about, lines: vec![yardstick, worker], targets })
}

async fn duplicates(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    let once = traffic::distinct(scale.leads, OFFERS);
    let twice = traffic::twice(scale.leads, OFFERS);
    let doubled = Case { order: &twice, rows: twice.len() / 2, ..plain(bench, &twice) };
    let cases = [("each event once", plain(bench, &once)), ("each event twice", doubled)];
    let lines = compare(bench, scale.rounds, &cases).await?;
    let targets = vec![Target::new("of the rate of distinct leads", ratio(&lines)?, Wanted::AtLeast(1.0))];
    Ok(Report { scenario: "duplicates", about: "every event twice, at random distance", lines, targets })
}

async fn keys(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    let order = traffic::distinct(scale.leads, OFFERS);
    let old = Case { ledger: Some(bench.filled_ledger(scale.keys).await?), ..plain(bench, &order) };
    let cases = [("an empty ledger", plain(bench, &order)), ("an old ledger", old)];
    let lines = compare(bench, scale.rounds, &cases).await?;
    let targets = vec![Target::new("of the rate with no keys", ratio(&lines)?, Wanted::AtLeast(0.8))];
    Ok(Report { scenario: "keys", about: "10,000,000 leads in the ledger", lines, targets })
}

async fn routes(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    let order = traffic::distinct(scale.leads, OFFERS);
    let few = Case { destinations: bench.tables(OFFERS), ..plain(bench, &order) };
    // The same twenty offers are the first of the many.
    let many = Case { destinations: bench.tables(scale.destinations), routes: scale.routes, ..plain(bench, &order) };
    let cases = [("20 destinations, 20 routes", few), ("500 destinations, 10,000 routes", many)];
    let lines = compare(bench, scale.rounds, &cases).await?;
    let targets = vec![Target::new("of the rate with 20 routes", ratio(&lines)?, Wanted::AtLeast(0.8))];
    Ok(Report { scenario: "routes", about: "many more are configured than have traffic", lines, targets })
}

async fn zipf(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    let order = traffic::zipf(scale.leads, 2_000);
    let case = Case { destinations: bench.tables(200), routes: 2_000, ..plain(bench, &order) };
    let lines = compare(bench, scale.rounds, &[("2,000 offers, 200 destinations", case)]).await?;
    let cpu = lines[0].median("CPU µs");
    let targets = vec![Target::new("µs of CPU a lead", cpu, Wanted::AtMost(60.0))];
    Ok(Report { scenario: "zipf", about: "the n-th offer has a share of 1/n", lines, targets })
}

/// Ten destinations, evenly; the last one accepts every request and never answers. What counts is when the nine's rows stand,
/// beside the same ten where the last one does answer.
async fn hanging(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    const TEN: u32 = 10;
    let order = traffic::distinct(scale.leads, 2 * TEN);
    let rows = order.len() - order.len() / TEN as usize;
    let last = |account| {
        let mut destinations = bench.tables(TEN - 1);
        destinations.push(bench.table(account));
        Case { destinations, rows, ..plain(bench, &order) }
    };
    let (answers, hangs) = (last(crate::stub::APART), last(crate::stub::HANGS));
    let (mut healthy, mut hanging) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        healthy.push(bench.deliver(&answers).await?);
        hanging.push(bench.deliver(&hangs).await?);
    }
    let lines =
        vec![Line { case: "nine of ten healthy", runs: healthy }, Line { case: "nine, one hangs", runs: hanging }];
    let targets = vec![Target::new("of the nine's rate", ratio(&lines)?, Wanted::AtLeast(0.9))];
    Ok(Report { scenario: "hanging", about: "one destination accepts and never answers", lines, targets })
}

/// What an operator may turn. Nothing is promised of it.
async fn tuning(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    let order = traffic::distinct(scale.leads, OFFERS);
    let plain = plain(bench, &order);
    let prefetch = |prefetch| Case { prefetch, ..plain.clone() };
    let table =
        |lines: &str| Case { destinations: vec![format!("{}\n{lines}", bench.table("account0"))], ..plain.clone() };
    let cases = [
        ("prefetch 400", prefetch(400)),
        ("prefetch 1,000", prefetch(1_000)),
        ("prefetch 2,000", prefetch(2_000)),
        ("prefetch 4,000, as it comes", plain.clone()),
        ("prefetch 8,000", prefetch(8_000)),
        ("batches of 25", table("batch_max = 25")),
        ("batches of 50", table("batch_max = 50")),
        ("1 in flight", table("in_flight_max = 1")),
        ("2 in flight", table("in_flight_max = 2")),
        ("8 in flight", table("in_flight_max = 8")),
    ];
    let lines = compare(bench, 1, &cases).await?;
    Ok(Report { scenario: "tuning", about: "prefetch, batch and in flight", lines, targets: Vec::new() })
}

/// Every case in every round, so that what changes on the machine meanwhile meets all of them.
async fn compare(bench: &mut Bench, rounds: usize, cases: &[(&'static str, Case<'_>)]) -> anyhow::Result<Vec<Line>> {
    let mut lines: Vec<Line> = cases.iter().map(|(case, _)| Line { case, runs: Vec::new() }).collect();
    for _ in 0..rounds {
        for (line, (_, case)) in lines.iter_mut().zip(cases) {
            line.runs.push(bench.drain(case).await?);
        }
    }
    Ok(lines)
}

/// The second line's rate in the first one's.
fn ratio(lines: &[Line]) -> anyhow::Result<f64> {
    let [first, second] = lines else { anyhow::bail!("two lines") };
    Ok(second.median("events/s") / first.median("events/s"))
}
