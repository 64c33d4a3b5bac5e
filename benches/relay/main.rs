//! Measures leadrelay: the real program, a real RabbitMQ, a table that counts, and a yardstick in the same run.
//!
//! `cargo bench --bench relay -- drain zipf`. Run by `cargo test` it only shows that it works.

#![allow(clippy::disallowed_methods, reason = "it measures real time, in a process of its own")]

use std::path::Path;
use std::process::ExitCode;

use scenarios::Scale;

mod scenarios;
mod drain;
mod latency;
mod start;
mod salesforce;
mod traffic;
mod queues;
mod ledger;
mod worker;
mod yardstick;
mod stub;
mod broker;
mod process;
mod keeper;
mod report;
mod arguments;
mod smoke;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match given.first().map(String::as_str) {
        Some(process::ROLE) => match given.get(1).map(String::as_str) {
            Some(keeper::ROLE) => keeper::play(),
            Some(stub::ROLE) => stub::play(),
            Some(yardstick::ROLE) => yardstick::play(&given[2..]).await,
            _ => anyhow::bail!("no such role"),
        },
        // Cargo gives it to a benchmark, and not to a test.
        _ if given.iter().any(|argument| argument == "--bench") => {
            let arguments = arguments::Arguments::read(&given)?;
            bench(&arguments.scenarios, arguments.scale, &arguments.json).await
        }
        _ => smoke::test(&given).await,
    }
}

async fn bench(scenarios: &[String], scale: Scale, json: &Path) -> anyhow::Result<()> {
    let mut bench = drain::Bench::start()?;
    let mut reports = Vec::new();
    for name in scenarios {
        let report = scenarios::run(name, &mut bench, scale).await?;
        report.print();
        reports.push(report);
        // After each: what has been measured is not lost if the next one fails.
        report::write(json, &reports)?;
    }
    println!("\n{}", json.display());
    Ok(())
}
