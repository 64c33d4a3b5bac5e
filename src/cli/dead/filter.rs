//! What narrows a list of letters, as typed and as meant.

use std::io::Read;

use clap::Args;

use crate::cli::Misused;
use crate::cli::when::since_when;
use crate::clock::Clock;
use crate::domain::dead_letter::{Cause, StateName};
use crate::domain::lead_key::LeadKey;
use crate::domain::route::{DestinationName, OfferPattern};
use crate::office::Filter;
use crate::office::desk::Desk;

#[derive(Args, Default)]
pub struct Typed {
    /// Only those with this reason, such as malformed, unroutable, rejected
    #[arg(long, value_parser = reason)]
    pub reason: Option<Cause>,
    /// Only those for this destination
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,
    /// Only those of an offer (publisher.offer), or of all offers of a publisher ('publisher.*')
    #[arg(long, value_name = "PATTERN")]
    pub offer: Option<String>,
    /// Only those that died within this time, such as 2h or 7d, or since this time, such as 2026-11-22T08:00:00Z
    #[arg(long, value_name = "AGE")]
    pub since: Option<String>,
    /// Only those of this lead, by its key
    #[arg(long, value_name = "LEADKEY")]
    pub lead_key: Option<LeadKey>,
    /// Only those of this address, of which only the keyed hash is looked up; - reads it from standard input
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// Those in this state: dead, replaying, replayed, discarded, or any
    #[arg(long, default_value = "dead", value_parser = state)]
    pub state: StateWish,
}

/// A state, or any.
#[derive(Clone, Copy, Debug)]
pub struct StateWish(Option<StateName>);

impl Default for StateWish {
    fn default() -> Self {
        Self(Some(StateName::Dead))
    }
}

fn reason(text: &str) -> Result<Cause, String> {
    let known = || Cause::ALL.map(Cause::name).join(", ");
    Cause::parse(text).ok_or_else(|| format!("the reasons are: {}", known()))
}

fn state(text: &str) -> Result<StateWish, String> {
    if text == "any" {
        return Ok(StateWish(None));
    }
    let known = || StateName::ALL.map(StateName::as_str).join(", ");
    StateName::parse(text)
        .map(|state| StateWish(Some(state)))
        .ok_or_else(|| format!("the states are: {}, any", known()))
}

impl Typed {
    pub fn meant(&self, desk: &Desk) -> Result<Filter, Misused> {
        let destination = self.destination.as_deref().map(DestinationName::parse).transpose();
        let offer = self.offer.as_deref().map(OfferPattern::parse).transpose();
        let email = self.email.as_deref().map(typed_or_read).transpose()?;
        Ok(Filter {
            state: self.state.0,
            cause: self.reason,
            destination: destination.map_err(|error| Misused(format!("--destination: {error}")))?,
            offer: offer.map_err(|error| Misused(format!("--offer is {error}")))?,
            lead: self.lead_key,
            address: email.map(|email| desk.address(&email)),
            since: self.since.as_deref().map(|since| since_when(since, Clock::System.now())).transpose()?,
            before: None,
        })
    }

    /// Whether more is asked than is known of a letter in the queue.
    pub fn asks_the_office(&self) -> bool {
        self.offer.is_some() || self.since.is_some() || self.lead_key.is_some() || self.email.is_some()
    }
}

/// What is typed on a command line stays in the shell's history; what is read does not.
fn typed_or_read(email: &str) -> Result<String, Misused> {
    if email != "-" {
        return Ok(email.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().take(4_096).read_to_string(&mut text);
    read.map_err(|error| Misused(format!("failed to read the address from standard input: {error}")))?;
    Ok(text.trim().to_owned())
}
