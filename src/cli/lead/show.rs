//! `leadrelay lead show`: one lead on one screen.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::Args;
use jiff::Timestamp;

use super::{Reveal, json, read, selection_of};
use crate::cli::destination::known;
use crate::cli::screen::{age, printable};
use crate::cli::{Exit, Misused};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::event::CustomerField;
use crate::domain::found::{FoundLead, KeyPrefix};

#[derive(Args)]
pub struct Show {
    /// As it is called in the configuration: [destinations.NAME]
    #[arg(value_name = "DESTINATION")]
    destination: String,
    /// The lead key, or as much of its beginning as tells it from the others
    #[arg(value_name = "LEADKEY")]
    key: KeyPrefix,
    #[command(flatten)]
    reveal: Reveal,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

impl Show {
    /// Exits 1 if no such lead is there.
    pub fn run(&self, config: &Config) -> anyhow::Result<Exit> {
        let name = known(&self.destination, config)?;
        let mut found = Vec::new();
        read(config, &name, &selection_of(&self.key), Some(2), self.reveal, |lead| {
            found.push(lead);
            Ok(())
        })?;
        let mut found = found.into_iter();
        let (lead, key) = (found.next(), self.key.as_str());
        let Some(lead) = lead else {
            eprintln!("leadrelay: {name} holds no lead {key}");
            return Ok(Exit::Failed);
        };
        if found.next().is_some() {
            return Err(Misused(format!("{name} holds several leads that begin with {key}: give more of it")).into());
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json::line(&lead))?;
        } else {
            out.write_all(as_text(&lead, Clock::System.now()).as_bytes())?;
        }
        Ok(Exit::Done)
    }
}

fn as_text(lead: &FoundLead, now: Timestamp) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let value = printable(value).replace('\n', "\n             ");
            writeln!(text, "{name:<12} {value}").expect("a string takes all that is written");
        }
    };
    let ago = |at: Timestamp| format!("{at:.0}, {} ago", age(at, now));
    line("lead key", &lead.key);
    line("record", lead.record.as_deref().unwrap_or_default());
    line("offer", &lead.offer);
    line("offer name", &lead.offer_name);
    line("publisher", &lead.publisher_name);
    line("stage", &lead.stage);
    for step in &lead.journey {
        line("journey", format!("{}  {} {}", ago(step.at), step.action, step.source).trim_end());
    }
    line("withdrawn", &lead.withdrawn_at.map(ago).unwrap_or_default());
    line("created", &lead.created_at.map(ago).unwrap_or_default());
    line("changed", &lead.changed_at.map(ago).unwrap_or_default());
    for field in CustomerField::ALL {
        line(label(field), lead.customer.get(field));
    }
    line("description", &lead.description.0);
    text
}

fn label(field: CustomerField) -> &'static str {
    match field {
        CustomerField::FirstName => "first name",
        CustomerField::LastName => "last name",
        CustomerField::Email => "email",
        CustomerField::Phone => "phone",
        CustomerField::Country => "country",
        CustomerField::Company => "company",
        CustomerField::Title => "title",
    }
}
