//! `leadrelay config`.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::screen::{Paint, count, mend, problem};
use super::{ConfigFile, Exit, wait_for};
use crate::app::{self, Found, Look};
use crate::config::{Config, Problem, Severity, schema};

#[derive(Subcommand)]
pub enum Command {
    /// Tell everything that is wrong with the configuration, each with its place and its mend
    #[command(
        after_help = "Included files and the variables LEADRELAY__… are read too. Exits 64 if something is wrong; \
                            with --probe 1 if something is not set up for us, 69 if something is not reached.\n\n\
                            Examples:\n  leadrelay config check\n  leadrelay config check --probe\n  \
                            leadrelay config check --config /etc/leadrelay/leadrelay.toml --json"
    )]
    Check(Check),
    /// Print a configuration with every key, commented
    #[command(after_help = "Example:\n  leadrelay config example > leadrelay.toml")]
    Example,
    /// Print the JSON Schema of the configuration, for editors
    #[command(after_help = "An editor that knows TOML takes it from the first line of the file:\n  \
                            #:schema ./leadrelay.schema.json\n\n\
                            Example:\n  leadrelay config schema > leadrelay.schema.json")]
    Schema,
}

#[derive(Args)]
pub struct Check {
    /// Also reach the broker, the ledger and every destination; nothing is sent or changed
    #[arg(long)]
    probe: bool,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

pub const EXAMPLE: &str = include_str!("../../leadrelay.example.toml");

pub fn run(command: Command, file: &ConfigFile) -> anyhow::Result<Exit> {
    let text = match command {
        Command::Check(arguments) => return check(&arguments, file),
        Command::Example => EXAMPLE.to_owned(),
        Command::Schema => format!("{:#}\n", schema::schema()),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

fn check(arguments: &Check, file: &ConfigFile) -> anyhow::Result<Exit> {
    let (config, problems) = match app::configuration(&file.0) {
        Ok(config) => (Some(config.clone()), config.warnings),
        Err(problems) => (None, problems),
    };
    let looks = match &config {
        Some(config) if arguments.probe => wait_for(async { Ok(app::probe(config).await) })?,
        Some(_) | None => Vec::new(),
    };
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let problems: Vec<_> = problems.iter().map(problem_as_json).collect();
        let mut object = json!({ "ok": config.is_some(), "problems": problems });
        if arguments.probe {
            object["probe"] = looks.iter().map(look_as_json).collect();
        }
        writeln!(out, "{object}")?;
    } else {
        let paint = Paint::stdout();
        for found in &problems {
            writeln!(out, "{}", problem(found, paint))?;
        }
        writeln!(out, "{}", verdict(file, config.as_ref(), &problems, paint))?;
        for look in &looks {
            write!(out, "{}", as_text(look, paint))?;
        }
    }
    let worst = looks.iter().map(|look| look.state).max().unwrap_or(Found::Well);
    Ok(match (config, worst) {
        (None, _) => Exit::Usage,
        (Some(_), Found::Unreachable) => Exit::Unreachable,
        (Some(_), Found::Unfit) => Exit::Failed,
        (Some(_), Found::Doubtful | Found::Well) => Exit::Done,
    })
}

fn verdict(file: &ConfigFile, config: Option<&Config>, problems: &[Problem], paint: Paint) -> String {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    match config {
        Some(config) => {
            let destinations = count(config.destinations.len(), "destination");
            let warnings = count(problems.len(), "warning");
            format!("{} {} ({destinations}, {warnings})", file.0.display(), paint.good("is sound"))
        }
        None => format!("{} {}: {}", file.0.display(), paint.bad("cannot be used"), count(errors, "problem")),
    }
}

fn problem_as_json(problem: &Problem) -> serde_json::Value {
    json!({
        "severity": problem.severity.as_str(),
        "file": problem.place.file().map(|file| file.display().to_string()),
        "line": problem.place.line(),
        "variable": problem.place.variable(),
        "key": problem.key,
        "problem": problem.what,
        "mend": problem.mend,
    })
}

/// One line a finding, and its mend on a line of its own.
fn as_text(look: &Look, paint: Paint) -> String {
    let state = match look.state {
        Found::Well => paint.good("ok  "),
        Found::Doubtful => paint.doubtful("look"),
        Found::Unfit => paint.bad("bad "),
        Found::Unreachable => paint.bad("gone"),
    };
    let line = |told: &app::Told| {
        let said = paint.wrapped(&format!("  {state} {} {}", look.subject, told.what), 7);
        said + &mend(&told.mend, 7, paint) + "\n"
    };
    look.told.iter().map(line).collect()
}

fn look_as_json(look: &Look) -> serde_json::Value {
    let state = match look.state {
        Found::Well => "ok",
        Found::Doubtful => "doubtful",
        Found::Unfit => "unfit",
        Found::Unreachable => "unreachable",
    };
    let told: Vec<_> = look.told.iter().map(|told| json!({ "what": told.what, "mend": told.mend })).collect();
    json!({ "subject": look.subject, "state": state, "told": told })
}
