//! How long a lead takes when there is no backlog: from being published to being settled.

use std::thread;
use std::time::Duration;

use lapin::Connection;
use leadrelay::clock::Clock;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::drain::{Bench, Run};
use crate::report::{Figures, Line, Report, Target, Wanted};
use crate::scenarios::{OFFERS, Scale, plain};
use crate::traffic;
use crate::worker::{Metrics, Worker};

const A_SECOND: u32 = 500;
/// A worker that has just started takes one message, and consumes anew when it has seen that it is well; connections are
/// opened. That is of the start, which has a scenario of its own: these are settled before anything is measured.
const WARM_UP: u32 = 500;
const AGES: &str = "lead_age_seconds";

pub async fn measure(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    let mut runs = Vec::new();
    for _ in 0..scale.rounds {
        runs.push(once(bench, A_SECOND * scale.seconds).await?);
    }
    let line = Line { case: "500 events a second", runs };
    let targets = vec![
        Target::new("ms to settled, median", line.median("settled p50 ms"), Wanted::AtMost(5.0)),
        Target::new("ms to settled, p99", line.median("settled p99 ms"), Wanted::AtMost(25.0)),
    ];
    Ok(Report { scenario: "latency", about: "published one by one, at a steady rate", lines: vec![line], targets })
}

async fn once(bench: &mut Bench, events: u32) -> anyhow::Result<Figures> {
    let order = traffic::distinct(WARM_UP + events, OFFERS);
    let (warm_up, measured) = order.split_at(WARM_UP as usize);
    let case = plain(bench, &order);
    let run = bench.prepare(&case).await?;
    let mut worker = Worker::start(&run.folder, &run.listen)?;
    while !worker.metrics()?.is_some_and(|metrics| metrics.sum("broker_connected", "consuming") == 1.0) {
        thread::sleep(Duration::from_millis(5));
    }
    publish_steadily(bench, &run, warm_up).await?;
    let before = settled(&mut worker, warm_up.len())?;
    bench.stub.forget_times()?;
    let cpu = worker.cpu()?;
    publish_steadily(bench, &run, measured).await?;
    let after = settled(&mut worker, order.len())?;
    let ages = after.histogram(AGES).since(&before.histogram(AGES));
    let (seen, millis) = (bench.stub.seen()?, |share| ages.quantile(share).map(|seconds| seconds * 1e3));
    let figures = vec![
        ("to row p50 ms", seen.to_row_p50),
        ("to row p99 ms", seen.to_row_p99),
        ("to row max ms", seen.to_row_max),
        ("settled p50 ms", millis(0.5)?),
        ("settled p99 ms", millis(0.99)?),
        ("settled max ms", millis(1.0)?),
        ("commit ms", after.mean("ledger_commit_duration_seconds") * 1e3),
        ("CPU µs", (worker.cpu()? - cpu).as_secs_f64() * 1e6 / f64::from(events)),
    ];
    worker.stop()?;
    bench.account(&run, order.len()).await?;
    run.clean_up().await?;
    Ok(figures)
}

fn settled(worker: &mut Worker, messages: usize) -> anyhow::Result<Metrics> {
    loop {
        match worker.metrics()? {
            Some(metrics) if metrics.are_settled(messages) => return Ok(metrics),
            _ => thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Each event's time is that of its publishing.
async fn publish_steadily(bench: &Bench, run: &Run, order: &[(u32, u32)]) -> anyhow::Result<()> {
    let connection = Connection::connect(&bench.broker.url, Default::default()).await?;
    let channel = traffic::confirming(&connection).await?;
    let mut due = interval(Duration::from_secs(1) / A_SECOND);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut confirms, started) = (Vec::with_capacity(order.len()), Instant::now());
    for (lead, number) in order {
        due.tick().await;
        let offer = traffic::offer(*number, 1);
        let body = traffic::event(&run.tag, *lead, &offer, Clock::System.now());
        confirms.push(traffic::publish(&channel, &run.tag, &offer, body, format!("{}-{lead}", run.tag)).await?);
    }
    let took = started.elapsed().as_secs_f64();
    for confirm in confirms {
        anyhow::ensure!(confirm.await?.is_ack(), "the broker refused a message");
    }
    let planned = order.len() as f64 / f64::from(A_SECOND);
    anyhow::ensure!(took < planned * 1.1, "it took {took:.1} s to publish what was planned for {planned:.1} s");
    Ok(())
}
