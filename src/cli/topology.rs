//! `leadrelay topology apply|check|prune`.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::screen::{Paint, count};
use super::{ConfigFile, Exit, wait_for};
use crate::app::{self, Part, PartState};

#[derive(Subcommand)]
pub enum Command {
    /// Declare the exchange and the queues that are missing; what is there with other arguments stays untouched
    #[command(after_help = "Example:\n  leadrelay topology apply")]
    Apply(Output),
    /// Compare what is there with what should be; changes nothing, exits 1 if something differs
    #[command(after_help = "Example:\n  leadrelay topology check --json")]
    Check(Output),
    /// Remove the queues of destinations that are gone, once they are empty
    #[command(after_help = "Example:\n  leadrelay topology prune")]
    Prune(Output),
}

#[derive(Args)]
pub struct Output {
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

pub fn run(command: Command, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    let (parts, Output { json }) = match command {
        Command::Apply(output) => (wait_for(app::topology_apply(&config))?, output),
        Command::Check(output) => (wait_for(app::topology_check(&config))?, output),
        Command::Prune(output) => (wait_for(app::topology_prune(&config))?, output),
    };
    let wrong = parts.iter().filter(|part| is_wrong(&part.state)).count();
    let mut out = std::io::stdout().lock();
    if json {
        let parts: Vec<_> = parts.iter().map(as_json).collect();
        writeln!(out, "{}", json!({ "ok": wrong == 0, "parts": parts }))?;
    } else {
        out.write_all(as_text(&parts, Paint::stdout()).as_bytes())?;
        writeln!(out, "{} looked at, {} wrong{}", count(parts.len(), "part"), wrong, mend(&parts))?;
    }
    Ok(if wrong == 0 { Exit::Done } else { Exit::Failed })
}

fn is_wrong(state: &PartState) -> bool {
    match state {
        PartState::Missing | PartState::Leaderless | PartState::Differs(_) => true,
        PartState::AsDesigned | PartState::Declared | PartState::Pruned | PartState::Retired(_) => false,
    }
}

/// What a person can do, if anything is wrong.
fn mend(parts: &[Part]) -> &'static str {
    if parts.iter().any(|part| matches!(part.state, PartState::Differs(_))) {
        "\n    nothing was changed: delete what differs once it is empty, and apply; or set another broker.prefix"
    } else if parts.iter().any(|part| part.state == PartState::Missing) {
        "\n    declare what is missing: leadrelay topology apply"
    } else if parts.iter().any(|part| part.state == PartState::Leaderless) {
        "\n    have the broker elect a leader, by the command beside the queue"
    } else {
        ""
    }
}

fn as_text(parts: &[Part], paint: Paint) -> String {
    let width = parts.iter().map(|part| part.name.len()).max().unwrap_or_default();
    let line = |part: &Part| {
        let state = match &part.state {
            PartState::AsDesigned => paint.good("as designed"),
            PartState::Declared => paint.good("declared"),
            PartState::Pruned => paint.good("removed: it was empty and belonged to no destination"),
            PartState::Missing => paint.bad("missing"),
            PartState::Leaderless => {
                format!("{}\n    {}", paint.bad("has no leader"), elect(&part.name))
            }
            PartState::Retired(left) => {
                paint.doubtful(&format!("belongs to no destination, holds {}", count(*left as usize, "message")))
            }
            PartState::Differs(diff) => format!("{}\n    {}", paint.bad("differs"), diff.replace('\n', "\n    ")),
        };
        format!("{:<width$}  {state}\n", part.name)
    };
    parts.iter().map(line).collect()
}

/// What makes the node elect one.
fn elect(queue: &str) -> String {
    format!(
        "rabbitmqctl eval 'ra:trigger_election({{list_to_atom(\"%2F_{queue}\"), node()}}).'\n    \
         (on its node; %2F is the virtual host /)"
    )
}

fn as_json(part: &Part) -> serde_json::Value {
    let name = &part.name;
    match &part.state {
        PartState::AsDesigned => json!({ "name": name, "state": "as-designed" }),
        PartState::Declared => json!({ "name": name, "state": "declared" }),
        PartState::Pruned => json!({ "name": name, "state": "pruned" }),
        PartState::Missing => json!({ "name": name, "state": "missing" }),
        PartState::Leaderless => json!({ "name": name, "state": "leaderless", "mend": elect(name) }),
        PartState::Retired(messages) => json!({ "name": name, "state": "retired", "messages": messages }),
        PartState::Differs(diff) => json!({ "name": name, "state": "differs", "diff": diff }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_told_for_people_and_for_scripts_and_three_of_them_are_wrong() {
        let check = |state: PartState, text: &str, word: &str, wrong: bool| {
            let part = Part { name: "leads.dead".into(), state };
            assert_eq!(as_text(std::slice::from_ref(&part), Paint::of(false)), format!("leads.dead  {text}\n"));
            assert_eq!(as_json(&part)["state"], word);
            assert_eq!((is_wrong(&part.state), !mend(&[part]).is_empty()), (wrong, wrong), "{word}");
        };
        check(PartState::AsDesigned, "as designed", "as-designed", false);
        check(PartState::Declared, "declared", "declared", false);
        check(PartState::Missing, "missing", "missing", true);
        let mend = "has no leader\n    rabbitmqctl eval 'ra:trigger_election({list_to_atom(\"%2F_leads.dead\"), node()}).'\n    \
                    (on its node; %2F is the virtual host /)";
        check(PartState::Leaderless, mend, "leaderless", true);
        check(PartState::Differs("a: 1\nb: 2".into()), "differs\n    a: 1\n    b: 2", "differs", true);
        check(PartState::Pruned, "removed: it was empty and belonged to no destination", "pruned", false);
        check(PartState::Retired(1), "belongs to no destination, holds 1 message", "retired", false);
    }
}
