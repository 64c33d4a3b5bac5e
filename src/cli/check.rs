//! `leadrelay config check`.

use std::io::Write;

use clap::Subcommand;
use serde_json::json;

use super::screen::{Paint, count, problem};
use super::{ConfigFile, Exit};
use crate::app;
use crate::config::{Config, Problem, Severity};

#[derive(Subcommand)]
pub enum Command {
    /// Tell everything that is wrong with the configuration, each with its line and its mend
    #[command(
        after_help = "Examples:\n  leadrelay config check\n  leadrelay config check --config /etc/leadrelay.toml --json"
    )]
    Check {
        /// Print one JSON object for scripts
        #[arg(long)]
        json: bool,
    },
}

pub fn run(Command::Check { json }: Command, file: &ConfigFile) -> anyhow::Result<Exit> {
    let (config, problems) = match Config::load(&file.0) {
        Ok(config) => {
            let mut problems = config.warnings.clone();
            problems.extend(app::check(&config));
            (Some(config), problems)
        }
        Err(problems) => (None, problems),
    };
    let sound = problems.iter().all(|problem| problem.severity == Severity::Warning);
    let mut out = std::io::stdout().lock();
    if json {
        let problems: Vec<_> = problems.iter().map(as_json).collect();
        writeln!(out, "{}", json!({ "ok": sound, "problems": problems }))?;
    } else {
        let paint = Paint::stdout();
        for found in &problems {
            writeln!(out, "{}", problem(found, paint))?;
        }
        writeln!(out, "{}", verdict(file, config.filter(|_| sound).as_ref(), &problems, paint))?;
    }
    Ok(if sound { Exit::Done } else { Exit::Usage })
}

fn verdict(file: &ConfigFile, config: Option<&Config>, problems: &[Problem], paint: Paint) -> String {
    match config {
        Some(config) => {
            let destinations = count(config.destinations.len(), "destination");
            let warnings = count(problems.len(), "warning");
            format!("{} {} ({destinations}, {warnings})", file.0.display(), paint.good("is sound"))
        }
        None => format!("{} {}: {}", file.0.display(), paint.bad("cannot be used"), count(problems.len(), "problem")),
    }
}

fn as_json(problem: &Problem) -> serde_json::Value {
    json!({
        "severity": problem.severity.as_str(),
        "file": problem.place.file.display().to_string(),
        "line": problem.place.line,
        "key": problem.key,
        "problem": problem.what,
        "mend": problem.mend,
    })
}
