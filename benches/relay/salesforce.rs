//! Leads to our Salesforce sandbox, which takes 50 ms for every call.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Deserialize;

use crate::drain::{Bench, Case};
use crate::process::{self, Process};
use crate::report::{Figures, Line, Report, Target, Wanted};
use crate::scenarios::{OFFERS, Scale, plain};
use crate::traffic;
use crate::worker::{PROGRAM, Worker};

const LATENCY: Duration = Duration::from_millis(50);
const WEB_TO_LEAD_IN_FLIGHT: f64 = 8.0;
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn rest(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    let body = |url: &str| {
        format!(
            "kind = \"salesforce\"\ninstance_url = \"{url}\"\nexternal_id_field = \"Leadrelay_Key__c\"\n\
             auth = {{ kind = \"client-credentials\", client_id = \"sandbox-client\", client_secret = \"sandbox-secret\" }}"
        )
    };
    let line = measure(bench, "upserts of up to 200, 4 at once", scale.to_sandbox, scale.rounds, &body).await?;
    let targets = vec![Target::new("leads/s", line.median("events/s"), Wanted::AtLeast(2_000.0))];
    Ok(Report { scenario: "rest", about: "Salesforce by REST, 50 ms a call", lines: vec![line], targets })
}

pub async fn web_to_lead(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    let body = |url: &str| {
        let endpoint = format!("{url}/servlet/servlet.WebToLead?encoding=UTF-8");
        format!(
            "kind = \"salesforce-web-to-lead\"\noid = \"00D5g0000000001\"\nendpoint = \"{endpoint}\"\n\
             daily_limit = 1000000"
        )
    };
    let line = measure(bench, "one lead a post, 8 at once", scale.to_sandbox / 10, scale.rounds, &body).await?;
    let most = WEB_TO_LEAD_IN_FLIGHT / LATENCY.as_secs_f64();
    let share = line.median("events/s") / most;
    let targets = vec![Target::new("of in flight / latency", share, Wanted::AtLeast(0.9))];
    Ok(Report { scenario: "web-to-lead", about: "Salesforce by Web-to-Lead, 50 ms a post", lines: vec![line], targets })
}

async fn measure(
    bench: &mut Bench,
    case: &'static str,
    leads: u32,
    rounds: usize,
    body: &(dyn Fn(&str) -> String + Sync),
) -> anyhow::Result<Line> {
    let order = traffic::distinct(leads, OFFERS);
    let mut runs = Vec::new();
    for _ in 0..rounds {
        let sandbox = Sandbox::start()?;
        let case = Case { destinations: vec![body(&sandbox.url)], ..plain(bench, &order) };
        runs.push(once(bench, &sandbox, &case).await?);
    }
    Ok(Line { case, runs })
}

async fn once(bench: &mut Bench, sandbox: &Sandbox, case: &Case<'_>) -> anyhow::Result<Figures> {
    let run = bench.prepare(case).await?;
    bench.fill(&run, case.order).await?;
    let mut worker = Worker::start(&run.folder, &run.listen)?;
    let mut begun = None;
    let metrics = loop {
        if let Some(metrics) = worker.metrics()? {
            if begun.is_none() && metrics.sum("received_total", "") > 0.0 {
                begun = Some(Instant::now());
            }
            if metrics.are_settled(case.order.len()) {
                break metrics;
            }
        }
        anyhow::ensure!(worker.started.elapsed() < PATIENCE, "not settled in time");
        thread::sleep(Duration::from_millis(10));
    };
    let (took, count) = (begun.context("it began")?.elapsed().as_secs_f64(), case.order.len() as f64);
    let figures = vec![
        ("events/s", count / took),
        ("CPU µs", worker.cpu()?.as_secs_f64() * 1e6 / count),
        ("mean batch", metrics.mean("batch_size")),
        ("sandbox µs", process::cpu(sandbox.process.id())?.as_secs_f64() * 1e6 / count),
    ];
    worker.stop()?;
    let held = sandbox.leads()?;
    anyhow::ensure!(held == case.order.len(), "{held} leads, and not {}", case.order.len());
    anyhow::ensure!(run.queues.dead().await? == 0, "a lead was dead-lettered");
    run.clean_up().await?;
    Ok(figures)
}

struct Sandbox {
    process: Process,
    url: String,
}

impl Sandbox {
    fn start() -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Listens {
            url: String,
        }
        let mut command = Command::new(PROGRAM);
        let slow = format!("any:slow={}ms", LATENCY.as_millis());
        // No limits of the org's own: it is the calls that are slow.
        command.args(["sandbox", "salesforce", "--listen", "127.0.0.1:0", "--json", "--fault", &slow]);
        command.args(["--api-quota", "1000000", "--web-to-lead-limit", "1000000"]);
        let mut process = Process::start(&mut command)?;
        let Listens { url } = serde_json::from_str(&process.line()?)?;
        Ok(Self { process, url })
    }

    fn leads(&self) -> anyhow::Result<usize> {
        #[derive(Deserialize)]
        struct State {
            leads: usize,
        }
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        let State { leads } = serde_json::from_slice(&crate::stub::get(address, "/_sandbox/state")?)?;
        Ok(leads)
    }
}
