//! An operator's place at the dead-letter office, on the real store.

use std::path::Path;
use std::sync::Arc;

use super::parts;
use crate::clock::Clock;
use crate::config::{Config, Store};
use crate::domain::lead_key::Keyring;
use crate::office::desk::Desk;
use crate::store::dead_letters::LettersError;
use crate::store::sqlite::SqliteLetters;
use crate::telemetry::Telemetry;

/// Beside a worker that runs, or alone. `who`: whoever sits there.
pub fn desk(config: &Config, who: String) -> anyhow::Result<Desk> {
    open(config, who, SqliteLetters::existing)
}

/// The same, where there may be no store yet.
pub fn desk_to_fill(config: &Config, who: String) -> anyhow::Result<Desk> {
    open(config, who, SqliteLetters::create)
}

type Open = fn(&Path, &Keyring, Arc<Telemetry>) -> Result<SqliteLetters, LettersError>;

fn open(config: &Config, who: String, open: Open) -> anyhow::Result<Desk> {
    let (Store::Sqlite(path), keyring) = (&config.office.store, parts::keyring(config));
    let letters = Arc::new(open(path, &keyring, Arc::new(Telemetry::new()))?);
    Ok(Desk { letters, keyring, clock: Clock::System, who })
}
