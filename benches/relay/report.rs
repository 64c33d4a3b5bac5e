//! Medians, targets, the table and the JSON.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// What one run came to, by name, in the order of the columns.
pub type Figures = Vec<(&'static str, f64)>;

/// One line of the table: what was measured, and every run of it.
pub struct Line {
    pub case: &'static str,
    pub runs: Vec<Figures>,
}

impl Line {
    /// The median of all runs.
    pub fn median(&self, figure: &str) -> f64 {
        let find = |run: &Figures| run.iter().find(|(name, _)| *name == figure).map(|(_, value)| *value);
        let mut values: Vec<f64> = self.runs.iter().filter_map(find).collect();
        values.sort_by(f64::total_cmp);
        match values.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => values[n / 2],
            n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
        }
    }

    fn json(&self) -> Value {
        let medians: Map<String, Value> = self.columns().map(|name| (name.into(), self.median(name).into())).collect();
        let run = |run: &Figures| run.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let runs: Vec<Map<String, Value>> = self.runs.iter().map(run).collect();
        json!({ "case": self.case, "medians": medians, "runs": runs })
    }

    fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.runs.first().into_iter().flatten().map(|(name, _)| *name)
    }
}

#[derive(Serialize)]
pub struct Target {
    pub what: &'static str,
    pub measured: f64,
    pub wanted: Wanted,
    pub met: bool,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub fn new(what: &'static str, measured: f64, wanted: Wanted) -> Self {
        let met = match wanted {
            Wanted::AtLeast(least) => measured >= least,
            Wanted::AtMost(most) => measured <= most,
        };
        Self { what, measured, wanted, met }
    }
}

pub struct Report {
    pub scenario: &'static str,
    pub about: &'static str,
    pub lines: Vec<Line>,
    pub targets: Vec<Target>,
}

impl Report {
    pub fn print(&self) {
        println!("\n{}: {}", self.scenario, self.about);
        for line in &self.lines {
            let figures = line.columns().map(|name| format!("{name} {}", short(line.median(name))));
            let runs = line.runs.len();
            println!("  {:<34} {}  (median of {runs})", line.case, figures.collect::<Vec<_>>().join(" · "));
        }
        for Target { what, measured, wanted, met } in &self.targets {
            let wanted = match wanted {
                Wanted::AtLeast(least) => format!("at least {}", short(*least)),
                Wanted::AtMost(most) => format!("at most {}", short(*most)),
            };
            println!("  {} {what}: {} ({wanted})", if *met { "met   " } else { "MISSED" }, short(*measured));
        }
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// Medians beside all runs, for machines.
pub fn write(file: &Path, reports: &[Report]) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let scenario = |report: &Report| {
        let lines: Vec<Value> = report.lines.iter().map(Line::json).collect();
        json!({ "scenario": report.scenario, "lines": lines, "targets": report.targets })
    };
    let scenarios: Vec<Value> = reports.iter().map(scenario).collect();
    let text = serde_json::to_string_pretty(&json!({ "scenarios": scenarios }))?;
    Ok(fs::write(file, text + "\n")?)
}
