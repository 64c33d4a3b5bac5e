//! `leadrelay lead`: what the destinations hold, masked unless somebody asks to see it.

use clap::{Args, Subcommand};

use super::destination::{known, why};
use super::when::since_when;
use super::{ConfigFile, Exit, Misused, wait_for};
use crate::app::Unreachable;
use crate::app::leads::{self, Rest, Unread};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::found::{FoundLead, KeyPrefix, Selection};
use crate::domain::journey::Stage;
use crate::domain::reply::Reply;
use crate::domain::route::{DestinationName, OfferPattern};
use crate::office::mask;

mod list;
mod show;
mod export;
mod json;
mod csv;

#[derive(Subcommand)]
pub enum Command {
    /// List the leads that a destination holds, a screenful of them
    #[command(after_help = "An Azure Table is listed in the order of its rows, by offer; Salesforce, the latest \
                            changed first. Of Salesforce the leads are listed that have a lead key.\n\n\
                            Examples:\n  leadrelay lead list contoso-table --offer 'contoso.*' --since 7d\n  \
                            leadrelay lead list contoso-org --stage contact-me --reveal")]
    List(list::List),
    /// Show one lead, with all that its customer did
    #[command(after_help = "Examples:\n  leadrelay lead show contoso-table 3f1c9a0b77e2\n  \
                            leadrelay lead show contoso-org 3f1c9a0b77e2 --reveal --json")]
    Show(show::Show),
    /// Print all leads that a destination holds, as CSV for a spreadsheet or as JSON lines
    #[command(
        after_help = "Cells that a spreadsheet would run (they begin with =, +, -, @, a tab or a line break) get \
                            a ' before them. CSV is UTF-8: in Excel, open it by Data, From Text/CSV.\n\n\
                            Examples:\n  leadrelay lead export contoso-table --since 7d > leads.csv\n  \
                            (umask 077 && leadrelay lead export contoso-org --format jsonl --reveal > leads.jsonl)"
    )]
    Export(export::Export),
}

pub fn run(command: Command, file: &ConfigFile) -> anyhow::Result<Exit> {
    let config = file.load()?;
    match command {
        Command::List(list) => list.run(&config),
        Command::Show(show) => show.run(&config),
        Command::Export(export) => export.run(&config),
    }
}

/// Which leads, as typed.
#[derive(Args)]
struct Typed {
    /// As it is called in the configuration: [destinations.NAME]
    #[arg(value_name = "DESTINATION")]
    destination: String,
    /// Only those of an offer (publisher.offer), or of all offers of a publisher ('publisher.*')
    #[arg(long, value_name = "PATTERN")]
    offer: Option<String>,
    /// Only those at this stage: interest, contact-me, trial, active, other, do-not-contact
    #[arg(long, value_parser = stage)]
    stage: Option<Stage>,
    /// Only those changed there within this time, such as 2h or 7d, or since this time, such as 2026-11-22T08:00:00Z
    #[arg(long, value_name = "AGE")]
    since: Option<String>,
    #[command(flatten)]
    reveal: Reveal,
}

/// Whether personal data is shown.
#[derive(Args, Clone, Copy)]
struct Reveal {
    /// Show names, addresses, telephone numbers and descriptions as they stand there. Without it they are masked. What is
    /// revealed is personal data on your screen, in your terminal's memory, or in your file: it is yours to guard
    #[arg(long)]
    reveal: bool,
}

impl Reveal {
    fn of(self, lead: FoundLead) -> FoundLead {
        if self.reveal { lead } else { mask::lead(lead) }
    }
}

fn stage(text: &str) -> Result<Stage, String> {
    let known = || Stage::ALL.map(Stage::as_str).join(", ");
    Stage::parse(text).ok_or_else(|| format!("the stages are: {}", known()))
}

impl Typed {
    fn meant(&self, config: &Config) -> anyhow::Result<(DestinationName, Selection)> {
        let offer = self.offer.as_deref().map(OfferPattern::parse).transpose();
        let selection = Selection {
            key: None,
            offer: offer.map_err(|error| Misused(format!("--offer is {error}")))?,
            stage: self.stage,
            since: self.since.as_deref().map(|since| since_when(since, Clock::System.now())).transpose()?,
        };
        Ok((known(&self.destination, config)?, selection))
    }
}

fn selection_of(key: &KeyPrefix) -> Selection {
    Selection { key: Some(key.clone()), ..Selection::default() }
}

/// Hands over each of the leads, as they may be shown.
fn read(
    config: &Config,
    name: &DestinationName,
    wanted: &Selection,
    limit: Option<usize>,
    reveal: Reveal,
    mut each: impl FnMut(FoundLead) -> anyhow::Result<()>,
) -> anyhow::Result<Rest> {
    let reading = leads::leads(config, name, wanted, limit, |lead| each(reveal.of(lead)));
    wait_for(async { reading.await.map_err(|unread| told(unread, name)) })
}

fn told(unread: Unread, name: &DestinationName) -> anyhow::Error {
    match unread {
        Unread::OnlyTakes(word) => {
            Misused(format!("{name} cannot be read: {word}; look there, in Salesforce under Leads, All Open Leads"))
                .into()
        }
        Unread::Refused(reply) => refused(&reply, name),
        Unread::Failed(error) => error,
    }
}

fn refused(reply: &Reply, name: &DestinationName) -> anyhow::Error {
    let text = format!("failed to read {name}: {}", why(reply));
    match reply.is_unreachable() {
        true => Unreachable(text).into(),
        false => anyhow::Error::msg(text),
    }
}
