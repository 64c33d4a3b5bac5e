//! `leadrelay dead export` and `dead import`: letters as JSON lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};

use anyhow::Context;
use clap::Args;

use super::filter::Typed;
use super::told;
use crate::cli::screen::count;
use crate::cli::{Exit, Misused};
use crate::office::desk::{Desk, DeskError};
use crate::office::lines;

#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    filter: Typed,
    /// Why you need what is personal in them
    #[arg(long)]
    why: String,
}

#[derive(Args)]
pub struct Import {
    /// JSON lines as dead export prints them; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
}

/// Why an export stopped.
enum Stopped {
    Desk(DeskError),
    Out(io::Error),
}

impl From<DeskError> for Stopped {
    fn from(error: DeskError) -> Self {
        Self::Desk(error)
    }
}

impl Export {
    pub async fn run(&self, desk: &Desk) -> anyhow::Result<Exit> {
        let filter = self.filter.meant(desk)?;
        let mut out = io::stdout().lock();
        let write = |kept: &_| writeln!(out, "{}", lines::write(kept)).map_err(Stopped::Out);
        match desk.export(filter, &self.why, write).await {
            Ok(exported) => {
                eprintln!("{}", count(exported, "letter"));
                Ok(Exit::Done)
            }
            Err(Stopped::Desk(error)) => Err(told(error)),
            Err(Stopped::Out(error)) => Err(error).context("failed to write the letters"),
        }
    }
}

impl Import {
    pub async fn run(&self, desk: &Desk) -> anyhow::Result<Exit> {
        let reader: Box<dyn BufRead> = match self.file.as_str() {
            "-" => Box::new(io::stdin().lock()),
            file => {
                let opened = File::open(file).map_err(|error| Misused(format!("failed to read {file}: {error}")))?;
                Box::new(BufReader::new(opened))
            }
        };
        let mut unread = None;
        let lines = reader.lines().map_while(|line| line.map_err(|error| unread = Some(error)).ok());
        let imported = desk.import(lines).await.map_err(told)?;
        if let Some(error) = unread {
            return Err(error).with_context(|| format!("failed to read {}", self.file));
        }
        let (new, known, settled) = (imported.new, imported.known, imported.settled);
        println!(
            "{} taken in, {known} here already, {settled} left out: replayed or discarded there",
            count(new, "letter")
        );
        Ok(Exit::Done)
    }
}
