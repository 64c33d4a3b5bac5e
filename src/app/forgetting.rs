//! Forgetting a person: what the stores hold of them, what the destinations do, and that nothing is delivered later.
//!
//! The suppression comes first, so that nothing new arrives meanwhile; what a destination would not remove stays in the
//! ledger, by which the next run finds it. Killed anywhere, it is run again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::orders::{ledger_trouble, open_ledger};
use super::{Unreachable, desk, parts};
use crate::config::{Config, Store};
use crate::destination::Destination;
use crate::domain::event::{Consent, Customer, Event};
use crate::domain::lead::{Lead, Purpose};
use crate::domain::lead_key::{DeadId, Keyring};
use crate::domain::reply::Reply;
use crate::domain::route::{DestinationName, Offer};
use crate::office::desk::Desk;
use crate::office::forget::Traces;
use crate::store::ledger::{Forgetting, Forgotten, Held, Ledger};
use crate::store::sqlite::{LedgerReader, SqliteLedger, SqliteLetters};
use crate::telemetry::Telemetry;

/// What is held of a person.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Leads that were delivered, or may have been, by where; with their offers.
    pub leads: BTreeMap<Held, Offer>,
    pub letters: Traces,
    /// Nothing is delivered to them already.
    pub suppressed: bool,
}

/// What became of the leads at one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct There {
    pub removed: u64,
    /// Beyond our reach; why.
    pub out_of_reach: Option<(u64, &'static str)>,
    pub failed: u64,
    /// The last that failed.
    pub failure: Option<Reply>,
}

#[derive(Clone, Debug, Default)]
pub struct Done {
    pub forgotten: Forgotten,
    pub letters: u64,
    pub destinations: BTreeMap<DestinationName, There>,
    /// Files whose logs others kept in use, so that removed pages may still be in them.
    pub logs_in_use: Vec<String>,
}

impl Done {
    pub fn failed(&self) -> u64 {
        self.destinations.values().map(|there| there.failed).sum()
    }
}

/// Whoever forgets, and how.
pub struct Order<'a> {
    pub email: &'a str,
    pub why: &'a str,
    pub who: &'a str,
    pub at_destinations: bool,
    /// Also letters about others that mention the address.
    pub mentions: bool,
}

/// Looks, and changes nothing.
pub async fn look(config: &Config, email: &str) -> anyhow::Result<Found> {
    let (Store::Sqlite(path), keyring) = (&config.store, parts::keyring(config));
    let reader = LedgerReader::open(path).map_err(ledger_trouble)?;
    let office = office(config, "")?;
    let mut offers: BTreeSet<String> = reader.offers()?;
    let mut letters = Traces::default();
    if let Some(office) = &office {
        offers.extend(office.offers().await?);
        letters = office.traces(email).await?;
    }
    offers.extend(config.routes.exact_offers().map(str::to_owned));
    let mut leads = BTreeMap::new();
    for offer in offers.iter().filter_map(|offer| Offer::parse(offer).ok()) {
        let (key, person) = (keyring.lead_key(email, &offer), keyring.person_key(email, &offer));
        let recorded = reader.look_up_of(key, person)?.into_iter().map(|(destination, _)| destination);
        let intended = reader.intents(key)?.into_iter().map(|(destination, _)| destination);
        let held = |destination| (Held { person, lead: key, destination }, offer.clone());
        leads.extend(recorded.chain(intended).map(held));
    }
    Ok(Found { leads, letters, suppressed: reader.is_suppressed(keyring.address_key(email))? })
}

pub async fn forget(config: &Config, order: &Order<'_>) -> anyhow::Result<Done> {
    let keyring = parts::keyring(config);
    let ledger = open_ledger(config).await?;
    let now = crate::clock::Clock::System.now();
    ledger.suppress(keyring.address_key(order.email), now).await.map_err(ledger_trouble)?;
    // Only now: whatever was delivered before is seen, and nothing is delivered after.
    let Found { mut leads, letters, .. } = look(config, order.email).await?;
    let mut done = Done::default();
    if order.at_destinations {
        done.destinations = remove_there(config, order.email, &mut leads).await?;
    }
    if let Some(office) = office(config, order.who)? {
        let mentions = if order.mentions { letters.mentions } else { Vec::new() };
        let ids: Vec<DeadId> = letters.theirs.into_iter().chain(mentions).collect();
        done.letters = office.remove(ids, order.why).await?;
    }
    let forgetting = Forgetting {
        leads: leads.into_keys().collect(),
        at: now,
        by: order.who.to_owned(),
        why: order.why.to_owned(),
        letters: done.letters,
        at_destinations: done.destinations.values().map(|there| there.removed).sum(),
    };
    done.forgotten = ledger.forget(forgetting).await.map_err(ledger_trouble)?;
    drop(ledger);
    done.logs_in_use = empty_logs(config, &keyring)?;
    Ok(done)
}

/// Removes the leads where that can be done. Those of which it failed are left out of `leads`, and so in the ledger.
async fn remove_there(
    config: &Config,
    email: &str,
    leads: &mut BTreeMap<Held, Offer>,
) -> anyhow::Result<BTreeMap<DestinationName, There>> {
    let keyring = parts::keyring(config);
    let configured = parts::destinations(config, &Arc::new(Telemetry::new()))?;
    let configured: BTreeMap<_, _> = configured.into_iter().map(|(name, destination, _)| (name, destination)).collect();
    let mut told: BTreeMap<DestinationName, There> = BTreeMap::new();
    let mut failed = Vec::new();
    for (held, offer) in leads.iter() {
        let name = &held.destination;
        let there = told.entry(name.clone()).or_default();
        let lead = lead(&keyring, email, offer, name);
        match remove(configured.get(name), &lead).await {
            Ok(()) => there.removed += 1,
            Err(Left::OutOfReach(why)) => {
                let before = there.out_of_reach.map_or(0, |(count, _)| count);
                there.out_of_reach = Some((before + 1, why));
            }
            Err(Left::Failed(reply)) => {
                there.failed += 1;
                there.failure = Some(reply);
                failed.push(held.clone());
            }
        }
    }
    failed.iter().for_each(|held| drop(leads.remove(held)));
    Ok(told)
}

/// Why a lead is where it was.
enum Left {
    OutOfReach(&'static str),
    Failed(Reply),
}

async fn remove(destination: Option<&Arc<dyn Destination>>, lead: &Lead) -> Result<(), Left> {
    let destination = destination.ok_or(Left::OutOfReach("it is configured no more"))?;
    let inspect = destination.inspect().map_err(Left::OutOfReach)?;
    inspect.remove(lead).await.map_err(Left::Failed)
}

/// As much of a lead as tells it from every other.
fn lead(keyring: &Keyring, email: &str, offer: &Offer, destination: &DestinationName) -> Lead {
    let now = crate::clock::Clock::System.now();
    let event = Event {
        id: None,
        occurred_at: now,
        source: String::new(),
        action: String::new(),
        offer: offer.clone(),
        offer_display_name: String::new(),
        publisher_display_name: String::new(),
        description: String::new(),
        consent: Consent { granted: false, at: now, agreement: String::new() },
        customer: Customer { email: email.to_owned(), ..Customer::default() },
    };
    Lead::new(keyring, event, destination.clone(), Purpose::Mark)
}

/// `None`: there never was one.
fn office(config: &Config, who: &str) -> anyhow::Result<Option<Desk>> {
    let Store::Sqlite(path) = &config.office.store;
    path.exists().then(|| desk(config, who.to_owned())).transpose()
}

/// The files whose logs could not be emptied.
fn empty_logs(config: &Config, keyring: &Keyring) -> anyhow::Result<Vec<String>> {
    let (Store::Sqlite(ledger), Store::Sqlite(letters)) = (&config.store, &config.office.store);
    let mut in_use = Vec::new();
    let mut told = |path: &Path, emptied: bool| {
        if !emptied {
            in_use.push(path.display().to_string());
        }
    };
    told(ledger, SqliteLedger::empty_log(ledger, keyring)?);
    if letters.exists() {
        told(letters, SqliteLetters::empty_log(letters, keyring)?);
    }
    Ok(in_use)
}

/// Some destination did not answer.
pub fn unreachable(done: &Done) -> Option<Unreachable> {
    let gone = |(name, there): (&DestinationName, &There)| {
        there
            .failure
            .as_ref()
            .filter(|reply| reply.is_unreachable())
            .map(|_| Unreachable(format!("destination {name}")))
    };
    done.destinations.iter().find_map(gone)
}
