//! The harness under test: a few hundred leads, no figure judged. What it must show is that every lead is accounted for,
//! and that the JSON says what was measured.

use std::fs;

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;

use crate::drain::Bench;
use crate::report;
use crate::scenarios::{self, Scale};

const NAME: &str = "the_harness_loses_no_lead_and_doubles_none_and_writes_what_it_measured";

/// Run by `cargo test`, whose filters we obey and whose words we speak.
pub async fn test(given: &[String]) -> anyhow::Result<()> {
    let mut filters = given.iter().filter(|argument| !argument.starts_with('-')).peekable();
    let wanted = filters.peek().is_none() || filters.any(|filter| NAME.contains(filter.as_str()));
    if given.iter().any(|argument| argument == "--list") {
        println!("{NAME}: test");
        return Ok(());
    }
    if !wanted {
        println!("\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out");
        return Ok(());
    }
    println!("\nrunning 1 test");
    let shown = show().await;
    let (word, passed) = if shown.is_ok() { ("ok", 1) } else { ("FAILED", 0) };
    println!("test {NAME} ... {word}\n");
    println!("test result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; 0 filtered out", 1 - passed);
    shown
}

async fn show() -> anyhow::Result<()> {
    let (mut bench, mut reports, folder) = (Bench::start()?, Vec::new(), TempDir::new()?);
    for name in ["drain", "duplicates", "start"] {
        reports.push(scenarios::run(name, &mut bench, Scale::SMOKE).await?);
    }
    let file = folder.path().join("bench").join("relay.json");
    report::write(&file, &reports)?;
    let written: Value = serde_json::from_slice(&fs::read(&file)?)?;
    let measured = &written["scenarios"];
    for (nth, report) in reports.iter().enumerate() {
        anyhow::ensure!(measured[nth]["scenario"] == report.scenario, "the JSON names other scenarios");
        let medians = measured[nth]["lines"][0]["medians"].as_object().context("the JSON has medians")?;
        let sound = medians.values().all(|figure| figure.is_null() || figure.as_f64().is_some_and(|it| it >= 0.0));
        anyhow::ensure!(sound && !medians.is_empty(), "the JSON has figures that are none: {medians:?}");
    }
    Ok(())
}
