//! `leadrelay dead …`: a thin face on the dead-letter office.

use clap::{Args, Subcommand};

use super::whoami::whoami;
use super::{ConfigFile, Exit, wait_for};
use crate::app::{self, Unreachable};
use crate::config::Config;
use crate::office::desk::{Desk, DeskError};
use crate::office::{LettersError, Wish};

mod filter;
mod list;
mod show;
mod act;
mod edit;
mod carry;
mod replay;
mod replay_text;
mod queue;

#[derive(Subcommand)]
pub enum Command {
    /// List dead letters, the latest first, or count them by what they have in common
    #[command(after_help = "Examples:\n  leadrelay dead list --by reason,destination\n  \
                            leadrelay dead list --reason rejected --since 2h\n  \
                            leadrelay dead list --offer 'arraynetworks.*' --json | jq .detail\n  \
                            leadrelay dead list --email -    # reads the address from standard input\n\n\
                            While office.ingest is false, and with --queue, the letters in the dead queue are listed.")]
    List(list::List),
    /// Explain one dead letter on one screen, its values masked
    #[command(after_help = "Examples:\n  leadrelay dead show 3f1c9a0b5d7e\n  \
                            leadrelay dead show 3f1c9a0b5d7e --reveal --why 'the customer asks'\n\n\
                            Exits 1 if there is no such letter.")]
    Show(show::Show),
    /// Discard letters that nobody will need; they are kept for the time of office.retention, and can be taken back
    #[command(
        after_help = "Example:\n  leadrelay dead discard 3f1c9a0b5d7e 81d2 --why 'test events of the producer'\n\n\
                            Exits 1 if any of them was not discarded."
    )]
    Discard(act::Discard),
    /// Replay dead letters: a plan that begins with a canary, and pauses by itself when too much fails
    #[command(after_help = "Examples:\n  leadrelay dead replay --reason rejected --dry-run\n  \
                            leadrelay dead replay --destination contoso-table --rate 50 --max-failures 5%\n  \
                            leadrelay dead replay 3f1c9a0b5d7e --yes\n  \
                            leadrelay dead replay --list\n  leadrelay dead replay --resume 7\n\n\
                            Ctrl-C pauses the plan. Exits 1 if the plan is not done, or more of it died again than \
                            --max-failures allows.")]
    Replay(Box<replay::Replay>),
    /// Mend one letter, in an editor or by --set, and replay it; what it was is kept
    #[command(after_help = "Examples:\n  leadrelay dead edit 3f1c9a0b5d7e --why 'the phone was a number'\n  \
                            leadrelay dead edit 3f1c9a0b5d7e --set /CustomerInfo/Title=CTO --why typo --dry-run\n\n\
                            The editor is that of VISUAL or EDITOR. Whoever opens it sees what is personal, which is \
                            written down. What others see in the list of processes does not belong into --set. Exits 1 \
                            if the letter was not mended, or its replay did not come to a good end.")]
    Edit(edit::EditLetter),
    /// Take a discard back; or a replay that was begun and abandoned
    #[command(after_help = "Example:\n  leadrelay dead undo 3f1c9a0b5d7e\n\nExits 1 if any of them was not changed.")]
    Undo(act::Undo),
    /// Print letters whole, as JSON lines, with what is personal in them; it is written down for each
    #[command(
        after_help = "Example:\n  leadrelay dead export --reason unroutable --why 'moving to the new host' > letters.jsonl"
    )]
    Export(carry::Export),
    /// Take in letters from JSON lines; those that are here already stay as they are
    #[command(after_help = "Example:\n  leadrelay dead import letters.jsonl")]
    Import(carry::Import),
    /// Tell how many letters there are, of which kinds, and how many are new
    #[command(after_help = "Example:\n  leadrelay dead stats")]
    Stats(list::Stats),
}

pub fn run(command: Command, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    match command {
        Command::List(list) if list.queue || !config.office.ingest => queue::list(&list, &config),
        Command::List(list) => wait_for(list.run(&open(&config)?)),
        Command::Show(show) if show.queue || !config.office.ingest => queue::show(&show, &config),
        Command::Show(show) => wait_for(show.run(&open(&config)?)),
        Command::Discard(discard) => wait_for(act::run(&open(&config)?, &discard.ids, Wish::Discard, &discard.why)),
        Command::Replay(replay) => wait_for(replay.run(&config, &open(&config)?)),
        Command::Edit(edit) => wait_for(edit.run(&config, &open(&config)?)),
        Command::Undo(undo) => wait_for(act::run(&open(&config)?, &undo.ids, Wish::Undo, &undo.why)),
        Command::Export(export) => wait_for(export.run(&open(&config)?)),
        Command::Import(import) => wait_for(import.run(&app::desk_to_fill(&config, whoami())?)),
        Command::Stats(stats) => wait_for(stats.run(&open(&config)?)),
    }
}

fn open(config: &Config) -> anyhow::Result<Desk> {
    app::desk(config, whoami())
}

/// As the exit code tells it: a store that may come back is unreachable, anything else has failed.
fn told(error: DeskError) -> anyhow::Error {
    match error {
        DeskError::Store(LettersError::Unavailable(why)) => {
            Unreachable(format!("the dead-letter office ({why})")).into()
        }
        other => other.into(),
    }
}

/// What a command of one letter or several takes.
#[derive(Args)]
pub struct Ids {
    /// Dead-ids, or as much of the beginning of each as tells it from the others
    #[arg(value_name = "DEAD-ID", required = true)]
    ids: Vec<String>,
}
