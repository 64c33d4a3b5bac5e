//! The ledger in one SQLite file: the default, for one owner at a time on one host.
//!
//! A commit is on the disk when a call returns (WAL, `synchronous=FULL`). The owner's epoch is checked inside every
//! transaction that claims, renews or records. Claims are in memory: see [`Claims`].

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

mod writer;
mod calls;
mod intent_calls;
mod leads;
mod tail;
mod rows;
mod intent_rows;
mod encoding;
mod file;
mod fault;
mod reader;

pub use reader::{LedgerReader, Summary};

use self::calls::{ClaimLeads, RecordDeliveries, RenewClaims, TakeOver, Withdraw, change, look};
use self::file::LedgerFile;
use self::intent_calls::{IntendSends, RetractIntents};
use self::writer::Writer;
use super::claims::Claims;
use super::ledger::{
    Ask, Claim, Claiming, Delivered, Intended, Intention, Ledger, LedgerError, Recorded, Standing, Terms, Withdrawal,
};
use crate::domain::lead_key::{Keyring, LeadKey};
use crate::domain::repeat::Record;
use crate::domain::route::DestinationName;
use crate::telemetry::Telemetry;

/// One owner's handle. It owns nothing before it takes over.
pub struct SqliteLedger {
    writer: Writer,
    claims: Arc<Mutex<Claims>>,
    telemetry: Arc<Telemetry>,
}

impl SqliteLedger {
    /// Opens the ledger, and creates it where there is none. Blocks. A file that is not a ledger of this secret is
    /// refused, and not changed.
    pub fn open(path: &Path, keyring: &Keyring, telemetry: Arc<Telemetry>) -> Result<Self, LedgerError> {
        let file = LedgerFile { path: path.to_owned(), fingerprint: keyring.fingerprint() };
        let connection = file.open_or_create()?;
        telemetry.ledger_opened(path);
        let claims = Arc::new(Mutex::default());
        let writer = Writer::start(file, connection, Arc::clone(&claims), Arc::clone(&telemetry))?;
        Ok(Self { writer, claims, telemetry })
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn claim(&self, asks: Vec<Ask>) -> Result<Vec<Claiming>, LedgerError> {
        self.writer.ask(ClaimLeads { asks, now: Instant::now() }).await
    }

    async fn renew(&self, claims: Vec<Claim>) -> Result<Vec<Option<Claim>>, LedgerError> {
        self.writer.ask(RenewClaims { claims, now: Instant::now() }).await
    }

    async fn record(&self, deliveries: Arc<[Delivered]>) -> Result<Vec<Recorded>, LedgerError> {
        self.writer.ask(RecordDeliveries(deliveries)).await
    }

    async fn intend(&self, intentions: Vec<Intention>, terms: Terms) -> Result<Vec<Intended>, LedgerError> {
        self.writer.ask(IntendSends { intentions, terms }).await
    }

    async fn retract(&self, intentions: Vec<Intention>) -> Result<(), LedgerError> {
        self.writer.ask(RetractIntents(intentions)).await
    }

    async fn posted(&self, destination: &DestinationName, now: Timestamp) -> Result<u64, LedgerError> {
        let destination = destination.clone();
        let hours = look(move |connection: &_| intent_rows::posts_of_a_day(connection, &destination, now));
        Ok(self.writer.ask(hours).await?.used)
    }

    /// Past the writer: a claim is to be released while the disk is away, too.
    async fn release(&self, claims: Vec<Claim>) {
        let mut held = writer::lock(&self.claims);
        claims.iter().for_each(|claim| held.end(claim));
    }

    async fn withdraw(&self, withdrawals: Vec<Withdrawal>) -> Result<Vec<Vec<Standing>>, LedgerError> {
        self.writer.ask(Withdraw(withdrawals)).await
    }

    /// Takes the room of a batch, and gives it back once that is durable.
    async fn probe(&self) -> Result<(), LedgerError> {
        self.writer.ask(change(rows::take_ballast)).await?;
        self.writer.ask(change(rows::drop_ballast)).await
    }

    async fn take_over(&self) -> Result<(), LedgerError> {
        let epoch = self.writer.ask(TakeOver).await?;
        self.telemetry.ledger_taken_over(epoch);
        Ok(())
    }

    async fn remember_wait_queue(&self, destination: &DestinationName) -> Result<(), LedgerError> {
        let destination = destination.clone();
        self.writer.ask(change(move |connection: &_| rows::put_wait_queue(connection, &destination))).await
    }

    async fn wait_queues(&self) -> Result<Vec<DestinationName>, LedgerError> {
        self.writer.ask(look(rows::wait_queues)).await
    }

    async fn look_up(&self, key: LeadKey) -> Result<Vec<(DestinationName, Record)>, LedgerError> {
        self.writer.ask(look(move |connection: &_| rows::records_of_lead(connection, key))).await
    }
}

#[cfg(test)]
mod tests;
