//! The letters that are in the dead queue and not yet, or never, in the office. They are read where they are, and stay.

use std::io::Write;

use jiff::Timestamp;

use super::list::{List, answer};
use super::show::Show;
use crate::app;
use crate::cli::columns::table;
use crate::cli::screen::{age, count};
use crate::cli::{Exit, Misused, wait_for};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::dead_letter::State;
use crate::domain::lead_key::Keyring;
use crate::office::{Entry, Kept, letter, lines};

fn read(config: &Config, limit: u16) -> anyhow::Result<(Vec<Kept>, u64)> {
    let browsed = wait_for(app::browse_dead(config, limit.into()))?;
    let (keyring, now) = (Keyring::new(config.key_secret.expose().as_bytes()), Clock::System.now());
    let kept = |message| {
        let letter = letter::of(message, &keyring, now);
        let (generation, changed_at) = (letter.facts.generation, letter.facts.dead_at);
        let entry = Entry {
            id: letter.id,
            facts: letter.facts,
            state: State::Dead,
            generation,
            version: 0,
            changed_at,
            ending: None,
        };
        Kept { entry, attempts: letter.attempts, message: letter.message, original: None, history: Vec::new() }
    };
    Ok((browsed.letters.into_iter().map(kept).collect(), browsed.depth))
}

pub fn list(list: &List, config: &Config) -> anyhow::Result<Exit> {
    if list.filter.asks_the_office() {
        let told = "of letters in the queue only --reason and --destination are looked at; the office, which knows more, \
                    takes them in while office.ingest is true";
        return Err(Misused(told.into()).into());
    }
    let (letters, depth) = read(config, list.limit.unwrap_or(1_000))?;
    let wanted: Vec<_> = letters.iter().map(|kept| &kept.entry).filter(|entry| list.wants(entry)).collect();
    let mut out = std::io::stdout().lock();
    if list.json {
        for entry in wanted {
            writeln!(out, "{}", lines::entry(entry))?;
        }
        return Ok(Exit::Done);
    }
    if !wanted.is_empty() {
        out.write_all(as_table(&wanted, Clock::System.now()).as_bytes())?;
    }
    let read = letters.len();
    let unread =
        if (read as u64) < depth { format!(", of {depth} in the queue; --limit reads more") } else { String::new() };
    writeln!(out, "{} of {read} read{unread}", count(wanted.len(), "letter"))?;
    Ok(Exit::Done)
}

impl List {
    fn wants(&self, entry: &Entry) -> bool {
        let destination = entry.facts.destination.as_ref().map(|name| name.as_str());
        self.filter.reason.is_none_or(|reason| entry.facts.cause == reason)
            && (self.filter.destination.is_none() || self.filter.destination.as_deref() == destination)
    }
}

fn as_table(entries: &[&Entry], now: Timestamp) -> String {
    let row = |entry: &&Entry| {
        [
            entry.id.to_string()[..12].to_owned(),
            entry.facts.first_received.map_or_else(|| "?".to_owned(), |at| age(at, now)),
            entry.facts.cause.name().to_owned(),
            entry.facts.destination.as_ref().map(ToString::to_string).unwrap_or_default(),
            answer(entry),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    table(["DEAD-ID", "AGE", "REASON", "DESTINATION", "DETAIL"], &rows)
}

pub fn show(show: &Show, config: &Config) -> anyhow::Result<Exit> {
    let (letters, depth) = read(config, show.limit)?;
    let wanted = show.id.to_lowercase();
    let mut found: Vec<_> = letters.iter().filter(|kept| kept.entry.id.to_string().starts_with(&wanted)).collect();
    // The queue may hold one letter twice; it is the same letter.
    found.sort_by_key(|kept| kept.entry.id);
    found.dedup_by_key(|kept| kept.entry.id);
    match found.as_slice() {
        [kept] => show.print(kept),
        [] => {
            eprintln!("leadrelay: no dead-id of the {} read (of {depth}) begins with {wanted:?}", letters.len());
            Ok(Exit::Failed)
        }
        several => {
            eprintln!("leadrelay: {} begin with {wanted:?}", count(several.len(), "dead-id"));
            Ok(Exit::Failed)
        }
    }
}
