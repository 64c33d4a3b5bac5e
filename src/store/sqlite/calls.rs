//! The calls of the ledger's seam, each in two halves: what it does in the database, which may be rolled back and
//! done again, and what it does to the claims in memory, which happens only after the commit.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::time::Instant;

use super::fault::Fault;
use super::leads::Leads;
use super::owner::Owner;
use super::place::Identity;
use super::writer::Call;
use super::{forget_rows, intent_rows, rows};
use crate::domain::repeat::{self, Record};
use crate::store::intents;
use crate::store::ledger::{Ask, Claim, Claiming, Delivered, Forgetting, Forgotten, Recorded, Standing, Withdrawal};

/// Claims stay in memory: this only reads.
pub(super) struct ClaimLeads {
    pub asks: Vec<Ask>,
    /// The caller's time, which is earlier than ours: a lease errs towards ending early.
    pub now: Instant,
}

pub(super) enum Found {
    Withdrawn,
    Record(Option<Record>),
}

impl Call<Owner> for ClaimLeads {
    type Done = (u64, Vec<Found>);
    type Answer = Vec<Claiming>;
    const WRITES: bool = false;

    fn rows(&self) -> usize {
        self.asks.len()
    }

    fn run(&self, connection: &Connection, owner: &Owner) -> Result<Self::Done, Fault> {
        let epoch = owner.epoch(connection)?;
        let somebody_withdrew = rows::has_withdrawals(connection)?;
        let somebody_is_suppressed = forget_rows::has_suppressions(connection)?;
        let mut leads = Leads::open(connection, &owner.known)?;
        let find = |ask: &Ask| {
            if somebody_withdrew && repeat::withdrawn(ask.granted_at, rows::withdrawn_at(connection, ask.person)?) {
                return Ok(Found::Withdrawn);
            }
            // A mark says do-not-contact, and forgets nobody less.
            let delivers = ask.granted_at.is_some();
            if somebody_is_suppressed && delivers && forget_rows::is_suppressed(connection, ask.address)? {
                return Ok(Found::Withdrawn);
            }
            let sought = Identity { person: ask.person, lead: ask.key, destination: &ask.destination };
            Ok(Found::Record(leads.get(sought)?.map(|standing| standing.record)))
        };
        Ok((epoch, self.asks.iter().map(find).collect::<Result<_, Fault>>()?))
    }

    fn conclude(self, (epoch, found): Self::Done, owner: &mut Owner) -> Vec<Claiming> {
        let mut claims = owner.claims();
        let claiming = |(ask, found): (Ask, Found)| match found {
            Found::Withdrawn => Claiming::Withdrawn,
            Found::Record(record) => claims
                .grant((ask.key, ask.destination), record, epoch, self.now)
                .map_or(Claiming::InHand, Claiming::Granted),
        };
        self.asks.into_iter().zip(found).map(claiming).collect()
    }
}

pub(super) struct RenewClaims {
    pub claims: Vec<Claim>,
    pub now: Instant,
}

impl Call<Owner> for RenewClaims {
    type Done = u64;
    type Answer = Vec<Option<Claim>>;
    const WRITES: bool = false;

    fn rows(&self) -> usize {
        0
    }

    fn run(&self, connection: &Connection, owner: &Owner) -> Result<u64, Fault> {
        owner.epoch(connection)
    }

    fn conclude(self, epoch: u64, owner: &mut Owner) -> Vec<Option<Claim>> {
        let mut held = owner.claims();
        let renew = |claim: Claim| (claim.epoch() == epoch).then(|| held.renew(claim, self.now)).flatten();
        self.claims.into_iter().map(renew).collect()
    }
}

pub(super) struct RecordDeliveries(pub Arc<[Delivered]>);

impl Call<Owner> for RecordDeliveries {
    type Done = Vec<Recorded>;
    type Answer = Vec<Recorded>;
    const WRITES: bool = true;

    fn rows(&self) -> usize {
        self.0.len()
    }

    fn run(&self, connection: &Connection, owner: &Owner) -> Result<Vec<Recorded>, Fault> {
        let epoch = owner.epoch(connection)?;
        if self.0.iter().any(|delivered| delivered.claim.epoch() != epoch) {
            return Err(Fault::Superseded);
        }
        let (somebody_withdrew, intended) = (rows::has_withdrawals(connection)?, intent_rows::has_intents(connection)?);
        let mut leads = Leads::open(connection, &owner.known)?;
        let vouches = owner.vouching(&self.0);
        let record = |(Delivered { claim, record }, vouches): (&Delivered, bool)| {
            let (lead, destination) = (claim.key(), claim.destination());
            let delivered = Identity { person: record.person, lead, destination };
            match claim.record() {
                None if vouches => leads.append(delivered, record)?,
                base => keep(&mut leads, delivered, base, record)?,
            }
            if intended && intents::is_ended(intent_rows::intent(connection, lead, destination)?.as_ref(), claim) {
                intent_rows::drop_intent(connection, lead, destination)?;
            }
            if !somebody_withdrew {
                return Ok(Recorded::Done);
            }
            let withdrawn_at = rows::withdrawn_at(connection, record.person)?;
            let unmarked = withdrawn_at.filter(|at| record.is_to_be_marked(*at));
            Ok(unmarked.map_or(Recorded::Done, Recorded::WithdrawnAt))
        };
        self.0.iter().zip(vouches).map(record).collect()
    }

    fn conclude(self, recorded: Vec<Recorded>, owner: &mut Owner) -> Vec<Recorded> {
        let mut claims = owner.claims();
        self.0.iter().for_each(|delivered| claims.end(&delivered.claim));
        recorded
    }
}

/// Keeps what was delivered, built on `base`, beside what stands there now.
fn keep(leads: &mut Leads<'_>, lead: Identity<'_>, base: Option<&Record>, delivered: &Record) -> Result<(), Fault> {
    let Some(standing) = leads.get(lead)? else { return leads.append(lead, delivered) };
    let record = repeat::reconciled(base, Some(&standing.record), delivered.clone());
    leads.replace(&standing, &record)
}

/// Under no epoch: a withdrawal is true whoever commits it, and only the latest counts.
pub(super) struct Withdraw(pub Vec<Withdrawal>);

impl Call<Owner> for Withdraw {
    type Done = Vec<Vec<Standing>>;
    type Answer = Vec<Vec<Standing>>;
    const WRITES: bool = true;

    fn rows(&self) -> usize {
        self.0.len()
    }

    fn run(&self, connection: &Connection, owner: &Owner) -> Result<Self::Done, Fault> {
        let mut leads = Leads::open(connection, &owner.known)?;
        let withdraw = |&Withdrawal { person, at }: &Withdrawal| {
            rows::put_withdrawal(connection, person, at)?;
            let of_person = leads.of_person(person)?.into_iter();
            let standing = of_person.filter(|(_, _, record)| record.is_to_be_marked(at));
            Ok(standing.map(|(key, destination, Record { offer, .. })| Standing { key, destination, offer }).collect())
        };
        self.0.iter().map(withdraw).collect()
    }

    fn conclude(self, standing: Self::Done, _: &mut Owner) -> Self::Done {
        standing
    }
}

/// Under no epoch: whoever is asked to forget somebody does.
pub(super) struct Forget(pub Forgetting);

impl Call<Owner> for Forget {
    type Done = Forgotten;
    type Answer = Forgotten;
    const WRITES: bool = true;

    fn rows(&self) -> usize {
        self.0.leads.len()
    }

    fn run(&self, connection: &Connection, owner: &Owner) -> Result<Forgotten, Fault> {
        // What is removed must not be indexed afterwards, by the place that it had.
        owner.known.forget();
        forget_rows::forget(connection, &self.0)
    }

    fn conclude(self, forgotten: Forgotten, _: &mut Owner) -> Forgotten {
        forgotten
    }
}

pub(super) struct TakeOver;

impl Call<Owner> for TakeOver {
    type Done = u64;
    type Answer = u64;
    const WRITES: bool = true;

    fn rows(&self) -> usize {
        1
    }

    fn run(&self, connection: &Connection, _: &Owner) -> Result<u64, Fault> {
        rows::raise_epoch(connection)
    }

    fn conclude(self, epoch: u64, owner: &mut Owner) -> u64 {
        owner.take_over(epoch);
        epoch
    }
}
