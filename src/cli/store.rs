//! `leadrelay store backup|verify|restore`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::screen::{count, grouped};
use super::{ConfigFile, Exit};
use crate::app::backup::{self, Manifest, file_name};
use crate::clock::Clock;

#[derive(Subcommand)]
pub enum Command {
    /// Copy the ledger and the dead letters into a new folder, beside a running worker
    #[command(after_help = "The letters hold personal data: keep the folder as you keep the store.\n\n\
                            Examples:\n  leadrelay store backup /var/backups/leadrelay-monday\n  \
                            leadrelay store backup /var/backups/leadrelay --replace --json")]
    Backup(Backup),
    /// Check a backup: checksums, every page and index, the schema, the secret
    #[command(after_help = "Exits 1 if anything is wrong with it.\n\n\
                            Example:\n  leadrelay store verify /var/backups/leadrelay-monday")]
    Verify(Verify),
    /// Put a backup in place of the store, while no worker runs
    #[command(after_help = "Read what an older backup means in docs/backup.md first.\n\n\
                            Examples:\n  leadrelay store restore /var/backups/leadrelay-monday\n  \
                            leadrelay store restore /var/backups/leadrelay-monday --replace")]
    Restore(Restore),
}

#[derive(Args)]
pub struct Backup {
    /// The folder to make
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Take the place of the backup that is there
    #[arg(long)]
    replace: bool,
    /// Print the manifest for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Verify {
    /// The folder of the backup
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Restore {
    /// The folder of the backup
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Keep what is there under another name beside it
    #[arg(long)]
    replace: bool,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

pub fn run(command: Command, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    let now = Clock::System.now();
    let mut out = std::io::stdout().lock();
    match command {
        Command::Backup(Backup { folder, replace, json }) => {
            let manifest = backup::take(&config, &folder, now, replace)?;
            if json {
                writeln!(out, "{}", serde_json::to_string(&manifest)?)?;
            } else {
                write!(out, "{}: backed up\n{}", folder.display(), files_as_text(&manifest))?;
            }
        }
        Command::Verify(Verify { folder, json }) => {
            let (manifest, wrong) = backup::verify(&config, &folder)?;
            if json {
                writeln!(out, "{}", json!({ "ok": wrong.is_empty(), "wrong": wrong, "manifest": manifest }))?;
            } else if wrong.is_empty() {
                let taken_at = manifest.taken_at;
                write!(out, "{} is sound, taken at {taken_at}\n{}", folder.display(), files_as_text(&manifest))?;
            } else {
                eprintln!("leadrelay: {}: {}", folder.display(), count(wrong.len(), "problem"));
                wrong.iter().for_each(|wrong| eprintln!("  {wrong}"));
            }
            if !wrong.is_empty() {
                return Ok(Exit::Failed);
            }
        }
        Command::Restore(Restore { folder, replace, json }) => {
            let restored = backup::restore(&config, &folder, now, replace)?;
            if json {
                let (put, kept) = (&restored.put, &restored.kept);
                writeln!(out, "{}", json!({ "taken_at": restored.taken_at, "restored": put, "kept": kept }))?;
            } else {
                restored.put.iter().try_for_each(|path| writeln!(out, "{}: restored", path.display()))?;
                restored.kept.iter().try_for_each(|path| writeln!(out, "{}: what was there", path.display()))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn files_as_text(manifest: &Manifest) -> String {
    let line = |(kept, copied): (_, &backup::Copied)| {
        format!("  {}: {} bytes, schema {}\n", file_name(kept), grouped(copied.bytes), copied.schema)
    };
    manifest.files().map(line).collect()
}
