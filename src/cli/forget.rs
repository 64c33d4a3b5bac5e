//! `leadrelay forget`: what is held of a person is removed, and nothing is delivered of them any more.

use std::io::{IsTerminal, Read, Write};

use clap::Args;
use serde_json::{Value, json};

use super::whoami::whoami;
use super::{ConfigFile, Exit, Misused, wait_for};
use crate::app::forgetting::{self, Done, Found, Order, There};
use crate::cli::screen::count;
use crate::domain::lead_key::normalise_email;
use crate::domain::reply::Reply;
use crate::domain::route::DestinationName;

#[derive(Args)]
pub struct Arguments {
    /// The person's address; - reads it from standard input. Without it, you are asked
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Why, without the address: it is kept for ever
    #[arg(long)]
    why: String,
    /// Remove their leads from Azure Tables and, by REST, from Salesforce too
    #[arg(long)]
    at_destinations: bool,
    /// Remove dead letters about others, too, in which the address stands
    #[arg(long)]
    mentions: bool,
    /// Tell what is held, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    let email = arguments.address()?;
    let found = wait_for(forgetting::look(&config, &email))?;
    if arguments.dry_run {
        arguments.say(&found_as_json(&found), &found_as_text(&found, arguments))?;
        return Ok(Exit::Done);
    }
    if !arguments.yes {
        eprint!("{}", found_as_text(&found, arguments));
        if !confirmed()? {
            return Ok(Exit::Failed);
        }
    }
    let order = Order {
        email: &email,
        why: &arguments.why,
        who: &whoami(),
        at_destinations: arguments.at_destinations,
        mentions: arguments.mentions,
    };
    let done = wait_for(forgetting::forget(&config, &order))?;
    arguments.say(&done_as_json(&done, &found), &done_as_text(&done, &found, arguments))?;
    match forgetting::unreachable(&done) {
        Some(unreachable) => Err(unreachable.into()),
        None if done.failed() > 0 || !done.logs_in_use.is_empty() => Ok(Exit::Failed),
        None => Ok(Exit::Done),
    }
}

impl Arguments {
    fn address(&self) -> Result<String, Misused> {
        let unread = |error| Misused(format!("failed to read the address: {error}"));
        let email = match self.email.as_deref() {
            Some("-") => {
                let mut text = String::new();
                std::io::stdin().take(4_096).read_to_string(&mut text).map_err(unread)?;
                text
            }
            Some(email) => email.to_owned(),
            None if std::io::stdin().is_terminal() => asked("Address: ").map_err(unread)?,
            None => return Err(Misused("give --email ADDRESS, or --email - and the address on standard input".into())),
        };
        let email = email.trim().to_owned();
        // Of anything shorter, too much would be found.
        if !email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.len() > 2) {
            return Err(Misused("that is no address".into()));
        }
        let why = self.why.to_lowercase();
        if why.contains(&email.to_lowercase()) || why.contains(&normalise_email(&email)) {
            return Err(Misused("--why holds the address, and is kept for ever".into()));
        }
        Ok(email)
    }

    fn say(&self, as_json: &Value, as_text: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json { writeln!(out, "{as_json}") } else { out.write_all(as_text.as_bytes()) }
    }
}

fn asked(question: &str) -> std::io::Result<String> {
    eprint!("{question}");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer)
}

fn confirmed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Misused("nobody can be asked here: add --yes".into()).into());
    }
    let answer = asked("Forget this person, for good? [y/N] ")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Leads by destination.
fn by_destination(found: &Found) -> Vec<(&DestinationName, usize)> {
    let mut counts: Vec<(&DestinationName, usize)> = Vec::new();
    let mut names: Vec<_> = found.leads.keys().map(|held| &held.destination).collect();
    names.sort_unstable();
    for name in names {
        match counts.last_mut() {
            Some((last, count)) if *last == name => *count += 1,
            Some(_) | None => counts.push((name, 1)),
        }
    }
    counts
}

fn found_as_text(found: &Found, arguments: &Arguments) -> String {
    let mut text = String::new();
    for (name, leads) in by_destination(found) {
        let fate =
            if arguments.at_destinations { "to be removed there, where that can be done" } else { "to stay there" };
        text += &format!("{} in the ledger, delivered to {name}: {fate}\n", count(leads, "lead"));
    }
    if !found.leads.is_empty() && !arguments.at_destinations {
        text += "once forgotten here, they cannot be found there again: consider --at-destinations\n";
    }
    text += &format!("{} to be removed\n", count(found.letters.theirs.len(), "dead letter"));
    text += &mentions(found, arguments);
    let suppressed = if found.suppressed { "already" } else { "from now on" };
    text + &format!("nothing is delivered of them, {suppressed}\n")
}

fn mentions(found: &Found, arguments: &Arguments) -> String {
    let number = found.letters.mentions.len();
    let ids: Vec<String> = found.letters.mentions.iter().take(20).map(|id| format!("  {id}\n")).collect();
    match (number, arguments.mentions) {
        (0, _) => String::new(),
        (_, true) => {
            format!("{} about others, which mention the address, to be removed\n", count(number, "dead letter"))
        }
        (_, false) => {
            let letters = count(number, "dead letter");
            format!(
                "{letters} about others, which mention the address, to stay (--mentions removes them):\n{}",
                ids.concat()
            )
        }
    }
}

fn found_as_json(found: &Found) -> Value {
    let leads: serde_json::Map<_, _> =
        by_destination(found).into_iter().map(|(name, leads)| (name.to_string(), leads.into())).collect();
    let ids: Vec<String> = found.letters.mentions.iter().map(ToString::to_string).collect();
    json!({
        "event": "found", "leads": leads, "letters": found.letters.theirs.len(), "mentioned_in": ids,
        "suppressed": found.suppressed,
    })
}

/// What nothing here reaches.
const BEYOND: &str = "Not reached: messages that are still in queues (none of them is delivered; one that dies comes into \
                      the office: run this again then), leads that a worker had in hand (run this again in two minutes), \
                      backups, exports, and what went out by Web-to-Lead.\n";

fn done_as_text(done: &Done, found: &Found, arguments: &Arguments) -> String {
    let mut text = format!(
        "removed: {} and {} in the ledger, {}\n",
        count(done.forgotten.records as usize, "record"),
        count(done.forgotten.intents as usize, "intent"),
        count(done.letters as usize, "dead letter"),
    );
    if !arguments.mentions {
        text += &mentions(found, arguments);
    }
    for (name, There { removed, out_of_reach, failed, failure }) in &done.destinations {
        text += &format!("{name}: {} removed", count(*removed as usize, "lead"));
        if let Some((number, why)) = out_of_reach {
            text += &format!(", {number} out of reach ({why})");
        }
        if let Some(failure) = failure {
            text += &format!(", {failed} failed ({}); run this again", code(failure));
        }
        text += "\n";
    }
    if !arguments.at_destinations {
        for (name, leads) in by_destination(found) {
            text += &format!("{name}: {} left there\n", count(leads, "lead"));
        }
    }
    for file in &done.logs_in_use {
        text += &format!("{file}: its log was in use, and may hold what was removed; run this again\n");
    }
    text + "nothing is delivered of them any more\n" + BEYOND
}

fn code(reply: &Reply) -> String {
    reply.code().map_or_else(|| reply.class().as_str().to_owned(), |code| code.as_str().to_owned())
}

fn done_as_json(done: &Done, found: &Found) -> Value {
    let there = |(name, there): (&DestinationName, &There)| {
        let out_of_reach = there.out_of_reach.map_or(0, |(number, _)| number);
        let failure = there.failure.as_ref().map(code);
        let told = json!({
            "removed": there.removed, "out_of_reach": out_of_reach, "failed": there.failed, "failure": failure,
        });
        (name.to_string(), told)
    };
    let destinations: serde_json::Map<_, _> = done.destinations.iter().map(there).collect();
    json!({
        "event": "forgotten", "records": done.forgotten.records, "intents": done.forgotten.intents,
        "letters": done.letters, "mentioned_in": found.letters.mentions.len(), "destinations": destinations,
        "logs_in_use": done.logs_in_use,
    })
}
