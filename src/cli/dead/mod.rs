//! `leadrelay dead list|show`: the letters that are in the dead queue, which stay there.

use std::io::Write;

use super::screen::{age, count, table};
use super::{ConfigFile, Exit, wait_for};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::lead_key::Keyring;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use letter::Letter;

mod letter;

#[derive(Subcommand)]
pub enum Command {
    /// List dead letters, with the reason of each
    #[command(
        after_help = "Examples:\n  leadrelay dead list\n  leadrelay dead list --reason malformed --json | jq .detail\n  \
                            leadrelay dead list --destination contoso-table"
    )]
    List(List),
    /// Show one dead letter whole, its values masked
    #[command(after_help = "Example:\n  leadrelay dead show 3f1c9a0b5d7e\n\nExits 1 if there is no such letter.")]
    Show(Show),
}

#[derive(Args)]
pub struct List {
    /// Only those with this reason, such as malformed, unroutable, rejected
    #[arg(long)]
    reason: Option<String>,
    /// Only those for this destination
    #[arg(long)]
    destination: Option<String>,
    /// Read so many from the head of the queue
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Print one JSON object a line for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Show {
    /// The dead-id, or as much of its beginning as tells it from the others
    #[arg(value_name = "DEAD-ID")]
    id: String,
    /// Look for it among so many from the head of the queue
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

pub fn run(command: Command, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    match command {
        Command::List(list) => run_list(&list, &config),
        Command::Show(show) => run_show(&show, &config),
    }
}

fn read(config: &Config, limit: u16) -> anyhow::Result<(Vec<Letter>, u64)> {
    let dead = wait_for(app::dead_letters(config, limit.into()))?;
    let keyring = Keyring::new(config.key_secret.expose().as_bytes());
    Ok((dead.letters.iter().map(|message| Letter::of(message, &keyring)).collect(), dead.depth))
}

fn run_list(list: &List, config: &Config) -> anyhow::Result<Exit> {
    let (letters, depth) = read(config, list.limit)?;
    let wanted: Vec<_> = letters.iter().filter(|letter| list.wants(letter)).collect();
    let mut out = std::io::stdout().lock();
    if list.json {
        for letter in wanted {
            writeln!(out, "{}", letter.summary())?;
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
    fn wants(&self, letter: &Letter) -> bool {
        let matches = |wish: &Option<String>, is: &str| wish.as_ref().is_none_or(|wish| wish == is);
        matches(&self.reason, letter.reason) && matches(&self.destination, letter.destination.as_deref().unwrap_or(""))
    }
}

fn as_table(letters: &[&Letter], now: Timestamp) -> String {
    let row = |letter: &&Letter| {
        [
            letter.id.to_string()[..12].to_owned(),
            letter.first_received.map_or_else(|| "?".to_owned(), |at| age(at, now)),
            letter.reason.to_owned(),
            letter.destination.clone().unwrap_or_default(),
            letter.detail.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    table(["DEAD-ID", "AGE", "REASON", "DESTINATION", "DETAIL"], &rows)
}

fn run_show(show: &Show, config: &Config) -> anyhow::Result<Exit> {
    let (letters, depth) = read(config, show.limit)?;
    let wanted = show.id.to_lowercase();
    let mut found: Vec<_> = letters.iter().filter(|letter| letter.id.to_string().starts_with(&wanted)).collect();
    // The queue may hold one letter twice; it is the same letter.
    found.sort_by_key(|letter| letter.id);
    found.dedup_by_key(|letter| letter.id);
    match found.as_slice() {
        [letter] if show.json => writeln!(std::io::stdout().lock(), "{}", letter.whole())?,
        [letter] => std::io::stdout().lock().write_all(letter.as_text(Clock::System.now()).as_bytes())?,
        [] => {
            eprintln!("leadrelay: no dead-id of the {} read (of {depth}) begins with {wanted:?}", letters.len());
            return Ok(Exit::Failed);
        }
        several => {
            eprintln!("leadrelay: {} begin with {wanted:?}", count(several.len(), "dead-id"));
            return Ok(Exit::Failed);
        }
    }
    Ok(Exit::Done)
}
