//! What a replay would do now, letter by letter: by the worker's own decoder, routes and rules of repeats, on what the
//! ledger knows. Nothing is changed by asking.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;

use crate::domain::dead_letter::Cause;
use crate::domain::envelope;
use crate::domain::event::{self, Event};
use crate::domain::lead::{Lead, Purpose};
use crate::domain::lead_key::{AddressKey, DeadId, Keyring, LeadKey, PersonKey};
use crate::domain::repeat::{self, Record, RepeatPolicy, Write};
use crate::domain::route::{DestinationName, Routes};
use crate::store::dead_letters::{DeadLetters, Entry, Filter, Kept, LettersError};

/// What one letter would come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prospect {
    /// It would be sent: a new lead.
    Send,
    /// Delivered before; what it brings beyond that would be added.
    Merge,
    /// Delivered before, and it brings nothing new: it would be dropped.
    Delivered,
    /// The person has withdrawn since.
    Withdrawn,
    /// It is a withdrawal itself, and would be taken to heart.
    Withdrawal,
    /// No route covers its offer: it would die again.
    Unroutable,
    /// It cannot be read: it would die again.
    Malformed,
}

impl Prospect {
    pub const ALL: [Self; 7] = [
        Self::Send,
        Self::Merge,
        Self::Delivered,
        Self::Withdrawn,
        Self::Withdrawal,
        Self::Unroutable,
        Self::Malformed,
    ];

    /// As JSON names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Merge => "merge",
            Self::Delivered => "already_delivered",
            Self::Withdrawn => "withdrawn",
            Self::Withdrawal => "withdrawal",
            Self::Unroutable => "unroutable",
            Self::Malformed => "malformed",
        }
    }
}

/// How a destination takes repeats, by its name. Routes name no destination that is not among them.
pub type Policies = BTreeMap<DestinationName, RepeatPolicy>;

/// What is configured now.
#[derive(Clone, Debug)]
pub struct Setup {
    pub routes: Routes,
    pub policies: Policies,
    pub keyring: Keyring,
}

/// What the ledger tells, read beside a worker that writes to it.
pub trait Known: Send {
    type Error;

    fn records(&self, lead: LeadKey, person: PersonKey) -> Result<Vec<(DestinationName, Record)>, Self::Error>;
    fn withdrawn_at(&self, person: PersonKey) -> Result<Option<Timestamp>, Self::Error>;
    /// Whether nothing is delivered to this address any more.
    fn suppressed(&self, address: AddressKey) -> Result<bool, Self::Error>;
}

/// What many letters would come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// By why they died, and for which destination.
    pub letters: BTreeMap<(Cause, Option<DestinationName>), u64>,
    pub prospects: BTreeMap<Prospect, u64>,
    /// Where they would go now.
    pub destinations: BTreeMap<DestinationName, u64>,
    pub ids: Vec<DeadId>,
}

impl Forecast {
    pub fn count(&self, prospect: Prospect) -> u64 {
        self.prospects.get(&prospect).copied().unwrap_or_default()
    }

    fn add(&mut self, entry: &Entry, prospect: Prospect, destination: Option<DestinationName>) {
        let of = (entry.facts.cause, entry.facts.destination.clone());
        *self.letters.entry(of).or_default() += 1;
        *self.prospects.entry(prospect).or_default() += 1;
        if let Some(destination) = destination {
            *self.destinations.entry(destination).or_default() += 1;
        }
        self.ids.push(entry.id);
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ForecastError<E> {
    #[error(transparent)]
    Letters(#[from] LettersError),
    #[error(transparent)]
    Ledger(E),
}

/// Letters read at once.
const PAGE: usize = 250;

/// Of every letter that fits.
pub async fn of<K: Known>(
    letters: &dyn DeadLetters,
    filter: &Filter,
    (setup, known): (&Setup, &K),
    now: Timestamp,
) -> Result<Forecast, ForecastError<K::Error>> {
    let (mut forecast, mut after) = (Forecast::default(), None);
    loop {
        let page = letters.list(filter.clone(), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(forecast) };
        after = Some(last.place());
        add(&mut forecast, letters, page.iter().map(|entry| entry.id).collect(), (setup, known), now).await?;
    }
}

/// Of these letters.
pub async fn of_these<K: Known>(
    letters: &dyn DeadLetters,
    ids: Vec<DeadId>,
    (setup, known): (&Setup, &K),
    now: Timestamp,
) -> Result<Forecast, ForecastError<K::Error>> {
    let mut forecast = Forecast::default();
    add(&mut forecast, letters, ids, (setup, known), now).await?;
    Ok(forecast)
}

/// Of one letter, as it would be if this were what is in it.
pub fn of_this<K: Known>(kept: &Kept, (setup, known): (&Setup, &K), now: Timestamp) -> Result<Forecast, K::Error> {
    let (prospect, destination) = prospect(kept, setup, known, now)?;
    let mut forecast = Forecast::default();
    forecast.add(&kept.entry, prospect, destination);
    Ok(forecast)
}

async fn add<K: Known>(
    forecast: &mut Forecast,
    letters: &dyn DeadLetters,
    ids: Vec<DeadId>,
    (setup, known): (&Setup, &K),
    now: Timestamp,
) -> Result<(), ForecastError<K::Error>> {
    for kept in letters.read(ids).await?.iter().flatten() {
        let (prospect, destination) = prospect(kept, setup, known, now).map_err(ForecastError::Ledger)?;
        forecast.add(&kept.entry, prospect, destination);
    }
    Ok(())
}

fn prospect<K: Known>(
    kept: &Kept,
    setup: &Setup,
    known: &K,
    now: Timestamp,
) -> Result<(Prospect, Option<DestinationName>), K::Error> {
    let Some(event) = read(kept) else { return Ok((Prospect::Malformed, None)) };
    if !event.consent.granted {
        return Ok((Prospect::Withdrawal, None));
    }
    let Some((destination, policy)) =
        setup.routes.find(&event.offer).and_then(|name| setup.policies.get_key_value(name))
    else {
        return Ok((Prospect::Unroutable, None));
    };
    let lead = Lead::new(&setup.keyring, event, destination.clone(), Purpose::Deliver);
    let withdrawn = repeat::withdrawn(Some(lead.event.consent.at), known.withdrawn_at(lead.person)?);
    if withdrawn || known.suppressed(lead.address)? {
        return Ok((Prospect::Withdrawn, None));
    }
    let records = known.records(lead.key, lead.person)?;
    let record = records.iter().find(|(name, _)| name == destination).map(|(_, record)| record);
    let prospect = match repeat::assess(record, &lead, &lead.digests(&setup.keyring), *policy, now) {
        Some(Write::Create) => Prospect::Send,
        Some(Write::Merge(_) | Write::Mark { .. }) => Prospect::Merge,
        None => Prospect::Delivered,
    };
    Ok((prospect, Some(destination.clone())))
}

/// As the worker will read it once it is replayed. A letter may be dead because reading it panics.
fn read(kept: &Kept) -> Option<Event> {
    let since = known_since(kept);
    catch_unwind(AssertUnwindSafe(|| event::decode(&kept.message, since))).ok()?.ok().map(|decoded| decoded.event)
}

/// When its event was first received, by this message or by one that it replayed.
pub fn known_since(kept: &Kept) -> Timestamp {
    let facts = &kept.entry.facts;
    let since = facts.first_received.unwrap_or(facts.dead_at);
    envelope::known_since_of(&kept.message.properties).map_or(since, |known| known.min(since))
}
