//! `leadrelay dead discard` and `dead undo`.

use std::io::Write;

use clap::Args;

use super::{Ids, told};
use crate::cli::Exit;
use crate::office::desk::{Desk, DeskError};
use crate::office::{Changed, Wish};

#[derive(Args)]
pub struct Discard {
    #[command(flatten)]
    pub ids: Ids,
    /// Why nobody will need them
    #[arg(long)]
    pub why: String,
}

#[derive(Args)]
pub struct Undo {
    #[command(flatten)]
    pub ids: Ids,
    /// Why they are needed after all
    #[arg(long, default_value = "")]
    pub why: String,
}

pub async fn run(desk: &Desk, Ids { ids }: &Ids, wish: Wish, why: &str) -> anyhow::Result<Exit> {
    let changed = match desk.change(ids, wish, why).await {
        Ok(changed) => changed,
        Err(error @ (DeskError::NoSuchLetter(_) | DeskError::Ambiguous(_))) => {
            eprintln!("leadrelay: {error}; nothing was done");
            return Ok(Exit::Failed);
        }
        Err(error) => return Err(told(error)),
    };
    let mut exit = Exit::Done;
    let mut out = std::io::stdout().lock();
    for (id, changed) in ids.iter().zip(changed) {
        match changed {
            Changed::Done(entry) => writeln!(out, "{}: {}", entry.id, entry.state.name().as_str())?,
            Changed::Not(entry) => {
                let state = entry.state.name().as_str();
                eprintln!(
                    "leadrelay: {} is {state}, or was changed by somebody else just now; nothing was done",
                    entry.id
                );
                exit = Exit::Failed;
            }
            Changed::Absent => {
                eprintln!("leadrelay: {id} is gone");
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}
