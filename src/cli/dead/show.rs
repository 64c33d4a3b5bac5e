//! `leadrelay dead show`: one letter, explained on one screen. Nothing of it prints raw but what was asked to be revealed.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::list::answer;
use super::told;
use crate::cli::Exit;
use crate::cli::screen::{age, printable};
use crate::clock::Clock;
use crate::domain::dead_letter::{Attempt, StateName};
use crate::domain::envelope_json;
use crate::domain::reply::Code;
use crate::office::desk::{Desk, DeskError};
use crate::office::{Deed, Entry, Kept, explain, lines, mask};

#[derive(Args)]
pub struct Show {
    /// The dead-id, or as much of its beginning as tells it from the others
    #[arg(value_name = "DEAD-ID")]
    pub id: String,
    /// Show what is personal too; that you saw it is written down
    #[arg(long, requires = "why", conflicts_with = "queue")]
    reveal: bool,
    /// Why you need to see it
    #[arg(long, requires = "reveal")]
    why: Option<String>,
    /// Show the body as it was before anybody edited it
    #[arg(long, conflicts_with = "queue")]
    original: bool,
    /// Look for it in the dead queue, not in the office
    #[arg(long)]
    pub queue: bool,
    /// With --queue: look for it among so many from the head of the queue
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..))]
    pub limit: u16,
    /// Print one JSON object for scripts
    #[arg(long)]
    pub json: bool,
}

impl Show {
    pub async fn run(&self, desk: &Desk) -> anyhow::Result<Exit> {
        let mut kept = match desk.read(&self.id).await {
            Ok(kept) => kept,
            Err(error @ (DeskError::NoSuchLetter(_) | DeskError::Ambiguous(_))) => {
                eprintln!("leadrelay: {error}");
                return Ok(Exit::Failed);
            }
            Err(error) => return Err(told(error)),
        };
        if self.original {
            let Some(original) = kept.original.clone() else {
                eprintln!("leadrelay: {} was never edited: it is as it came", kept.entry.id);
                return Ok(Exit::Failed);
            };
            kept.message.body = original;
        }
        if let Some(why) = &self.why {
            desk.reveal(vec![kept.entry.id], why).await.map_err(told)?;
        }
        self.print(&kept)
    }

    pub fn print(&self, kept: &Kept) -> anyhow::Result<Exit> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", as_json(kept, self.reveal))?;
        } else {
            out.write_all(as_text(kept, self.reveal, Clock::System.now()).as_bytes())?;
        }
        Ok(Exit::Done)
    }
}

fn as_json(kept: &Kept, reveal: bool) -> Value {
    let mut whole = if reveal { lines::write(kept) } else { lines::entry(&kept.entry) };
    let cause = kept.entry.facts.cause;
    whole["edited"] = json!(kept.original.is_some());
    whole["rule"] = json!(explain::rule(cause));
    whole["next"] = json!(explain::next(cause));
    whole["runbook"] = json!(explain::runbook(cause));
    whole["attempts_failed"] = lines::attempts(&kept.attempts);
    let deed = |Deed { act, what }: &Deed| json!({ "at": act.at, "who": act.who, "what": what.name(), "why": act.why });
    whole["history"] = kept.history.iter().map(deed).collect();
    if !reveal {
        whole["body_masked"] = mask::body(&kept.message.body).unwrap_or_default();
    }
    whole
}

pub fn as_text(kept: &Kept, reveal: bool, now: Timestamp) -> String {
    let mut text = String::new();
    for (name, value) in about(&kept.entry, now) {
        line(&mut text, name, &value);
    }
    for attempt in &kept.attempts {
        line(&mut text, "failed", &attempt_text(attempt, now));
    }
    for Deed { act, what } in &kept.history {
        let why = if act.why.is_empty() { String::new() } else { format!(": {}", act.why) };
        line(&mut text, "history", &format!("{} ago  {} by {}{why}", age(act.at, now), what.name(), act.who));
    }
    if kept.original.is_some() {
        line(&mut text, "edited", "what it was before is kept: --original shows it");
    }
    let cause = kept.entry.facts.cause;
    if kept.entry.state.name() == StateName::Dead {
        line(&mut text, "next", explain::next(cause));
    }
    line(&mut text, "runbook", &explain::runbook(cause));
    text += &body(kept, reveal);
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    writeln!(text, "{name:<12} {}", printable(value)).expect("a string takes all that is written");
}

fn about(entry: &Entry, now: Timestamp) -> Vec<(&'static str, String)> {
    let facts = &entry.facts;
    let mut about = vec![
        ("dead-id", entry.id.to_string()),
        ("state", format!("{}: {}", entry.state.name().as_str(), explain::state(entry.state.name()))),
        ("reason", format!("{}: {}", facts.cause, explain::rule(facts.cause))),
    ];
    let mut known = |name, value: Option<String>| about.extend(value.map(|value| (name, value)));
    let has_detail = facts.detail.is_some() || facts.code.is_some();
    known("detail", has_detail.then(|| answer(entry)));
    known("destination", facts.destination.as_ref().map(ToString::to_string));
    known("offer", facts.offer.clone());
    known("lead key", facts.lead.map(|key| key.to_string()));
    known("trace", facts.trace_id.clone());
    known("received", facts.first_received.map(|at| format!("{at}, {} ago", age(at, now))));
    known("died", Some(format!("{}, {} ago", facts.dead_at, age(facts.dead_at, now))));
    known("attempts", (facts.attempts > 0).then(|| format!("{} charged", facts.attempts)));
    let ended = entry.ending.map_or("", |ending| ending.as_str());
    known("replays", (entry.generation > 0).then(|| format!("{} {ended}", entry.generation).trim_end().to_owned()));
    known("replay of", facts.replay_of.map(|id| id.to_string()));
    about
}

fn attempt_text(attempt: &Attempt, now: Timestamp) -> String {
    let code = attempt.code.as_ref().map_or("", Code::as_str);
    let status = attempt.code.as_ref().and_then(Code::http_status).map(|status| status.to_string());
    let status = status.filter(|status| !code.contains(status.as_str())).unwrap_or_default();
    let told = format!("{}, {} ago  {} {status} {code}", attempt.at, age(attempt.at, now), attempt.class.as_str());
    told.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn body(kept: &Kept, reveal: bool) -> String {
    let body = &kept.message.body;
    if reveal {
        let properties = envelope_json::to_json(&kept.message.properties);
        let told = match serde_json::from_slice::<Value>(body) {
            Ok(value) => format!("{value:#}"),
            Err(_) => printable(&String::from_utf8_lossy(body)),
        };
        return format!("\n{properties:#}\n\n{told}\n");
    }
    match mask::body(body) {
        Some(masked) => format!("\n{masked:#}\n"),
        None => format!("\nthe body, {} bytes, is no JSON, and is not shown; --reveal shows it\n", body.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dead_letter::State;
    use crate::domain::envelope::{self, HeaderValue, Message, Properties};
    use crate::domain::lead_key::Keyring;
    use crate::office::letter;

    fn kept(headers: &[(&str, &str)], body: &'static str) -> Kept {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), HeaderValue::Text((*value).to_owned()));
        let headers = headers.iter().map(text).collect();
        let message = Message { body: body.into(), properties: Properties { headers, ..Properties::default() } };
        let letter = letter::of(message, &Keyring::new(b"0123456789abcdef"), "2026-11-22T12:00:00Z".parse().unwrap());
        let entry = Entry {
            id: letter.id,
            generation: letter.facts.generation,
            changed_at: letter.facts.dead_at,
            facts: letter.facts,
            state: State::Dead,
            version: 1,
            ending: None,
        };
        Kept { entry, attempts: letter.attempts, message: letter.message, original: None, history: vec![] }
    }

    #[test]
    fn one_screen_explains_a_letter_and_masks_whom_it_is_about() {
        let kept = kept(
            &[
                (envelope::REASON, "rejected"),
                (envelope::DETAIL, "PropertyValueTooLarge"),
                (envelope::DESTINATION, "contoso-table"),
                (envelope::LEAD_KEY, "0123456789abcdef0123456789abcdef"),
                (envelope::FIRST_RECEIVED, "2026-11-20T10:00:00Z"),
                (envelope::DEAD_AT, "2026-11-20T10:00:06Z"),
                (
                    envelope::ATTEMPTS,
                    "2026-11-20T10:00:01Z transient http_503 503; 2026-11-20T10:00:06Z rejected PropertyValueTooLarge 400",
                ),
            ],
            r#"{"Offer": "pub.offer", "CustomerInfo": {"Email": "canary@example.com"}}"#,
        );
        let text = as_text(&kept, false, "2026-11-22T12:00:00Z".parse().unwrap());
        let id = kept.entry.id;
        assert_eq!(
            text,
            format!(
                "dead-id      {id}\n\
                 state        dead: it waits for a person\n\
                 reason       rejected: the destination refused this lead, and accepts others\n\
                 detail       400 PropertyValueTooLarge\n\
                 destination  contoso-table\n\
                 offer        pub.offer\n\
                 lead key     0123456789abcdef0123456789abcdef\n\
                 received     2026-11-20T10:00:00Z, 2d 2h ago\n\
                 died         2026-11-20T10:00:06Z, 2d 1h ago\n\
                 failed       2026-11-20T10:00:01Z, 2d 1h ago transient http_503\n\
                 failed       2026-11-20T10:00:06Z, 2d 1h ago rejected 400 PropertyValueTooLarge\n\
                 next         look the code up at the destination, mend the lead or the destination, then replay it\n\
                 runbook      docs/operating.md#rejected\n\n\
                 {{\n  \"CustomerInfo\": {{\n    \"Email\": \"c•@e•\"\n  }},\n  \"Offer\": \"pub.offer\"\n}}\n"
            )
        );
        assert!(!as_json(&kept, false).to_string().contains("canary"));
        assert!(as_json(&kept, true).to_string().contains("canary"));
    }

    #[test]
    fn nothing_in_a_letter_speaks_to_the_terminal() {
        let kept = kept(&[(envelope::REASON, "malformed"), (envelope::DETAIL, "\x1b[2Jcanary")], "\x1b[2J");
        for reveal in [false, true] {
            let text = as_text(&kept, reveal, Timestamp::UNIX_EPOCH);
            assert!(!text.contains('\x1b'), "{text}");
        }
    }
}
