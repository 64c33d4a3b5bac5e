//! `destination test`: one marked lead goes the way that every lead goes, is read back, and is taken out again.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use jiff::Timestamp;

use super::parts;
use crate::clock::Clock;
use crate::config::Config;
use crate::destination::{Destination, Outcome, Parcel};
use crate::domain::event::{Consent, Customer, Event};
use crate::domain::lead::{Lead, Purpose};
use crate::domain::repeat::Write;
use crate::domain::reply::Reply;
use crate::domain::route::{DestinationName, Offer};
use crate::store::ledger::{Ask, Claiming, Ledger};
use crate::store::memory::MemoryLedger;
use crate::telemetry::Telemetry;

/// What a test lead did at its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What to look for: it stands in the lead's names, company, title and address.
    pub marker: String,
    pub sent: Reply,
    /// Of a lead that was accepted.
    pub afterwards: Option<Afterwards>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It cannot be read back here: why, and where to look.
    OnlyTakes(&'static str),
    ReadBack(Result<bool, Reply>),
    /// It was read back; whether it could be taken out again.
    Removed(Result<(), Reply>),
}

/// Fails only where the destination cannot be set up.
pub async fn destination_test(config: &Config, name: &DestinationName) -> anyhow::Result<Trial> {
    let destinations = parts::destinations(config, &Arc::new(Telemetry::new()))?;
    let found = destinations.into_iter().find(|(known, ..)| known == name);
    let (name, destination, _) = found.with_context(|| format!("there is no destination {name}"))?;
    let now = Clock::System.now();
    let marker = format!("LEADRELAY_TEST_{}", now.as_millisecond());
    let lead = Lead::new(&parts::keyring(config), event(&marker, now)?, name, Purpose::Deliver);
    let sent = send(&*destination, &lead).await?;
    let afterwards = if sent.is_accepted() { Some(look_and_remove(&*destination, &lead).await) } else { None };
    Ok(Trial { marker, sent, afterwards })
}

/// The marketplace's own test leads look like this: its marker in every text.
fn event(marker: &str, now: Timestamp) -> anyhow::Result<Event> {
    let customer = Customer {
        first_name: marker.to_owned(),
        last_name: marker.to_owned(),
        email: format!("{marker}@example.com"),
        phone: "1234567890".to_owned(),
        country: "US".to_owned(),
        company: marker.to_owned(),
        title: marker.to_owned(),
    };
    Ok(Event {
        id: Some(marker.to_owned()),
        occurred_at: now,
        source: "AzureMarketplace".to_owned(),
        action: "INS".to_owned(),
        offer: Offer::parse("leadrelay.test").map_err(|error| anyhow!("{error}")).context("the test's own offer")?,
        offer_display_name: "leadrelay destination test".to_owned(),
        publisher_display_name: "leadrelay".to_owned(),
        description: marker.to_owned(),
        consent: Consent { granted: true, at: now, agreement: String::new() },
        customer,
    })
}

/// Under a claim like any lead, but of a ledger of its own: what is tested leaves no trace in the real one.
async fn send(destination: &dyn Destination, lead: &Lead) -> anyhow::Result<Reply> {
    let ledger = MemoryLedger::new();
    ledger.take_over().await?;
    let ask = Ask {
        key: lead.key,
        destination: lead.destination.clone(),
        person: lead.person,
        address: lead.address,
        granted_at: Some(lead.event.consent.at),
    };
    let Some(Claiming::Granted(claim)) = ledger.claim(vec![ask]).await?.pop() else {
        return Err(anyhow!("a ledger of the test's own refused the test lead"));
    };
    let outcome = destination.send(&[Parcel { lead, write: &Write::Create, claim: &claim }]).await;
    let reply = match outcome {
        Outcome::Whole(reply) => Some(reply),
        Outcome::Each(replies) => replies.into_iter().next(),
    };
    ledger.release(vec![claim]).await;
    reply.ok_or_else(|| anyhow!("the destination answered for no lead"))
}

async fn look_and_remove(destination: &dyn Destination, lead: &Lead) -> Afterwards {
    match destination.inspect() {
        Err(why) => Afterwards::OnlyTakes(why),
        Ok(inspect) => match inspect.holds(lead).await {
            Ok(true) => Afterwards::Removed(inspect.remove(lead).await),
            told => Afterwards::ReadBack(told),
        },
    }
}

impl Trial {
    /// The lead arrived, as far as the destination lets anybody know, and nothing of it was left behind unsaid.
    pub fn passed(&self) -> bool {
        match &self.afterwards {
            Some(Afterwards::OnlyTakes(_) | Afterwards::Removed(_)) => true,
            Some(Afterwards::ReadBack(_)) | None => false,
        }
    }

    /// Nobody was there, or no whole answer came.
    pub fn unreachable(&self) -> bool {
        self.sent.is_unreachable()
    }
}
