//! From the start of the process to the first message's row in the table.

use leadrelay::clock::Clock;

use crate::drain::{Bench, Case};
use crate::report::{Figures, Line, Report, Target, Wanted};
use crate::scenarios::{Scale, plain};
use crate::traffic;
use crate::worker::Worker;

/// It is short, and of short things one measures many.
const RUNS_A_ROUND: usize = 3;

pub async fn measure(bench: &mut Bench, scale: Scale) -> anyhow::Result<Report> {
    let order = traffic::distinct(1, 1);
    let empty = plain(bench, &order);
    let old = Case { ledger: Some(bench.filled_ledger(scale.keys).await?), ..empty.clone() };
    let (mut new, mut aged) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds * RUNS_A_ROUND {
        new.push(once(bench, &empty).await?);
        aged.push(once(bench, &old).await?);
    }
    let (new, aged) = (Line { case: "a new ledger", runs: new }, Line { case: "10,000,000 keys", runs: aged });
    let targets = vec![
        Target::new("ms, with a new ledger", new.median("ms"), Wanted::AtMost(150.0)),
        Target::new("ms, with 10,000,000 keys", aged.median("ms"), Wanted::AtMost(500.0)),
    ];
    let about = "from the start of the process to the first lead's row";
    Ok(Report { scenario: "start", about, lines: vec![new, aged], targets })
}

async fn once(bench: &mut Bench, case: &Case<'_>) -> anyhow::Result<Figures> {
    let run = bench.prepare(case).await?;
    bench.fill(&run, case.order).await?;
    let started = Clock::System.now();
    let mut worker = Worker::start(&run.folder, &run.listen)?;
    bench.wait_for_rows(&mut worker, 1)?;
    let first = bench.stub.seen()?.first_at.unwrap_or(started);
    let memory = worker.peak_memory()?;
    worker.stop()?;
    bench.account(&run, 1).await?;
    run.clean_up().await?;
    Ok(vec![("ms", first.duration_since(started).as_secs_f64() * 1e3), ("MiB", memory)])
}
