//! `leadrelay destination`.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::screen::Paint;
use super::{ConfigFile, Exit, Misused, wait_for};
use crate::app::{self, Afterwards, Trial};
use crate::config::Config;
use crate::domain::reply::{Accepted, Reply};
use crate::domain::route::DestinationName;

pub mod add;
mod ask;
pub mod list;
pub mod pause;

#[derive(Subcommand)]
pub enum Command {
    /// Connect a destination by what its owner copied: recognised, tried, and only then written
    Add(Box<add::Add>),
    /// List the destinations, and the offers that go to each
    List(list::List),
    /// Send one lead marked LEADRELAY_TEST, read it back, and take it out again where the destination allows that
    #[command(after_help = "The ledger and the queues are not touched; a worker may be running.\n\n\
                            Examples:\n  leadrelay destination test contoso-table\n  \
                            leadrelay destination test contoso-table --json")]
    Test(Test),
    /// Send it nothing until it is resumed: its leads wait
    Pause(pause::Pause),
    /// Go on sending, at once
    Resume(pause::Resume),
}

#[derive(Args)]
pub struct Test {
    /// As it is called in the configuration: [destinations.NAME]
    #[arg(value_name = "NAME")]
    name: String,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

pub fn run(command: Command, config: &ConfigFile) -> anyhow::Result<Exit> {
    match command {
        Command::Add(add) => add::add(*add, config),
        Command::List(list) => list::list(&list, config),
        Command::Test(test) => run_test(&test, config),
        Command::Pause(pause) => pause::pause(&pause, config),
        Command::Resume(resume) => pause::resume(&resume, config),
    }
}

/// Exits 1 if the destination did not take the lead or keep it, 69 if nobody was there or no whole answer came.
fn run_test(test: &Test, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    let name = known(&test.name, &config)?;
    let trial = wait_for(app::destination_test(&config, &name))?;
    let mut out = std::io::stdout().lock();
    if test.json {
        writeln!(out, "{}", as_json(&name, &trial))?;
    } else {
        out.write_all(as_text(&name, &trial, Paint::stdout()).as_bytes())?;
    }
    Ok(match trial.passed() {
        true => Exit::Done,
        false if trial.unreachable() => Exit::Unreachable,
        false => Exit::Failed,
    })
}

pub fn known(name: &str, config: &Config) -> Result<DestinationName, Misused> {
    let names = config.destinations.iter().map(|destination| &destination.name);
    let found = names.clone().find(|known| known.as_str() == name).cloned();
    found.ok_or_else(|| {
        let known = names.map(DestinationName::as_str).collect::<Vec<_>>().join(", ");
        Misused(format!("there is no destination {name}; configured are: {known}"))
    })
}

fn as_text(name: &DestinationName, trial: &Trial, paint: Paint) -> String {
    let marker = &trial.marker;
    let mut lines = vec![format!("{name}: sending a lead marked {marker}")];
    lines.push(match &trial.sent {
        Reply::Accepted(accepted) => format!("  {} ({})", paint.good("taken"), how(*accepted)),
        refused => format!("  {}: {}", paint.bad("not taken"), why(refused)),
    });
    lines.extend(trial.afterwards.as_ref().map(|afterwards| match afterwards {
        Afterwards::OnlyTakes(word) => {
            format!("  {}: {word}\n    look for {marker} there, and remove it by hand", paint.doubtful("not read back"))
        }
        Afterwards::ReadBack(Ok(_)) => format!("  {}: it was taken, and is not there", paint.bad("not found")),
        Afterwards::ReadBack(Err(reply)) => format!("  {}: {}", paint.bad("not readable"), why(reply)),
        Afterwards::Removed(Ok(())) => format!("  {}, and taken out again", paint.good("read back")),
        Afterwards::Removed(Err(reply)) => format!(
            "  {}, but {}: {}\n    look for {marker} there, and remove it by hand",
            paint.good("read back"),
            paint.doubtful("not removed"),
            why(reply)
        ),
    }));
    lines.join("\n") + "\n"
}

fn how(accepted: Accepted) -> &'static str {
    match accepted {
        Accepted::Created => "created",
        Accepted::Updated => "updated",
        Accepted::Already => "there already",
    }
}

/// What a refusal asks of a person.
pub fn why(reply: &Reply) -> String {
    let code = reply.code().map_or("", |code| code.as_str());
    let mend = match reply {
        Reply::Accepted(_) => "",
        Reply::Rejected(_) => "the destination refuses the lead itself: look at its required fields and its rules",
        Reply::Transient { .. } => "the destination is in trouble, or not reached: try again, look at its address",
        Reply::Throttled { .. } => "the destination asks for a pause: try again later",
        Reply::Credentials(_) => "credentials, permissions or configuration are wrong: mend them, and try again",
        Reply::Unknown(_) => "it was sent, and no answer came: look there before you try again",
    };
    format!("{code}\n    {mend}")
}

fn as_json(name: &DestinationName, trial: &Trial) -> serde_json::Value {
    let code = |reply: &Reply| reply.code().map(|code| code.as_str().to_owned());
    let (read_back, removed, detail) = match &trial.afterwards {
        None => (None, None, None),
        Some(Afterwards::OnlyTakes(word)) => (None, None, Some((*word).to_owned())),
        Some(Afterwards::ReadBack(Ok(held))) => (Some(*held), None, None),
        Some(Afterwards::ReadBack(Err(reply))) => (None, None, code(reply)),
        Some(Afterwards::Removed(Ok(()))) => (Some(true), Some(true), None),
        Some(Afterwards::Removed(Err(reply))) => (Some(true), Some(false), code(reply)),
    };
    json!({
        "destination": name.as_str(),
        "ok": trial.passed(),
        "marker": trial.marker,
        "reply": trial.sent.class().as_str(),
        "code": code(&trial.sent),
        "read_back": read_back,
        "removed": removed,
        "detail": detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reply::{Code, Quick};

    fn trial(sent: Reply, afterwards: Option<Afterwards>) -> Trial {
        Trial { marker: "LEADRELAY_TEST_1".into(), sent, afterwards }
    }

    fn told(trial: &Trial) -> (String, serde_json::Value) {
        let name = DestinationName::parse("contoso").unwrap();
        (as_text(&name, trial, Paint::of(false)), as_json(&name, trial))
    }

    #[test]
    fn a_lead_that_was_taken_read_back_and_removed_passes() {
        let trial = trial(Reply::Accepted(Accepted::Created), Some(Afterwards::Removed(Ok(()))));
        let (text, json) = told(&trial);
        assert_eq!(
            text,
            "contoso: sending a lead marked LEADRELAY_TEST_1\n  taken (created)\n  read back, and taken out again\n"
        );
        assert_eq!((&json["ok"], &json["read_back"], &json["removed"]), (&true.into(), &true.into(), &true.into()));
    }

    #[test]
    fn what_is_left_behind_is_said_with_the_marker_to_look_for() {
        let forbidden = Reply::Credentials(Code::known("AuthorizationPermissionMismatch"));
        let trial = trial(Reply::Accepted(Accepted::Created), Some(Afterwards::Removed(Err(forbidden))));
        let (text, json) = told(&trial);
        assert!(text.contains("look for LEADRELAY_TEST_1 there"), "{text}");
        assert_eq!((&json["removed"], &json["detail"]), (&false.into(), &"AuthorizationPermissionMismatch".into()));
        assert!(trial.passed());
    }

    #[test]
    fn a_lead_that_was_taken_and_is_not_there_fails() {
        let trial = trial(Reply::Accepted(Accepted::Created), Some(Afterwards::ReadBack(Ok(false))));
        assert!(!trial.passed() && !trial.unreachable());
        assert!(told(&trial).0.contains("not found"));
    }

    #[test]
    fn nobody_there_is_unreachable_and_a_refusal_is_not() {
        let absent = Reply::Transient { code: Code::known("not_connected"), quick: Quick::Worthwhile };
        assert!(trial(absent, None).unreachable());
        let refused = trial(Reply::Rejected(Code::known("InvalidInput")), None);
        assert!(!refused.passed() && !refused.unreachable());
        assert!(told(&refused).0.contains("InvalidInput"));
    }
}
