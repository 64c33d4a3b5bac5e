//! The ledger in one SQLite file, the default, for one owner at a time on one host; and, in another, the dead letters.
//!
//! A commit is on the disk when a call returns (WAL, `synchronous=FULL`). The owner's epoch is checked inside every
//! transaction that claims, renews or records. Claims are in memory: see [`Claims`].

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::time::Instant;

mod writer;
mod file;
mod fault;
mod schema;
mod owner;
mod calls;
mod intent_calls;
mod leads;
mod place;
mod lead_pages;
mod tail;
mod sorted;
mod rows;
mod intent_rows;
mod order_rows;
mod forget_rows;
mod encoding;
mod reader;
mod letters;
pub mod backup;

pub use letters::SqliteLetters;
pub use reader::{LedgerReader, Summary};

use self::calls::{ClaimLeads, Forget, RecordDeliveries, RenewClaims, TakeOver, Withdraw};
use self::fault::Trouble;
use self::file::StoreFile;
use self::intent_calls::{IntendSends, RetractIntents};
use self::owner::Owner;
use self::schema::LEDGER;
use self::writer::{Opening, Writer, change, look};
use super::claims::Claims;
use super::ledger::{
    Ask, Claim, Claiming, Delivered, Forgetting, Forgotten, Intended, Intention, Ledger, LedgerError, Recorded,
    Standing, Terms, Withdrawal,
};
use crate::domain::lead_key::{AddressKey, Keyring, LeadKey};
use crate::domain::order::{self, Order};
use crate::domain::repeat::Record;
use crate::domain::route::DestinationName;
use crate::telemetry::Telemetry;
use crate::telemetry::events::Kept;

/// One owner's handle. It owns nothing before it takes over.
pub struct SqliteLedger {
    writer: Writer<Owner>,
    claims: Arc<Mutex<Claims>>,
    telemetry: Arc<Telemetry>,
}

impl SqliteLedger {
    /// Opens the ledger, and creates it where there is none. Blocks. A file that is not a ledger of this secret is
    /// refused, and not changed.
    pub fn open(path: &Path, keyring: &Keyring, telemetry: Arc<Telemetry>) -> Result<Self, LedgerError> {
        let file = StoreFile::new(path.to_owned(), &LEDGER, keyring.fingerprint());
        let connection = file.open_or_create()?;
        telemetry.store_opened(Kept::Ledger, path);
        Ok(Self::start(file, connection, telemetry)?)
    }

    /// Opens the ledger of a worker, which may be running, to write beside it. Blocks. Creates nothing, and brings
    /// nothing up.
    pub fn open_beside(path: &Path, keyring: &Keyring, telemetry: Arc<Telemetry>) -> Result<Self, LedgerError> {
        let file = StoreFile::new(path.to_owned(), &LEDGER, keyring.fingerprint());
        let connection = file.open_as_it_is()?;
        file.overwrite_what_is_deleted(&connection)?;
        Ok(Self::start(file, connection, telemetry)?)
    }

    /// Nothing that was deleted is in the file's log any more. Blocks. `false`: others kept the log in use.
    pub fn empty_log(path: &Path, keyring: &Keyring) -> Result<bool, LedgerError> {
        Ok(StoreFile::new(path.to_owned(), &LEDGER, keyring.fingerprint()).empty_log()?)
    }

    fn start(file: StoreFile, connection: Connection, telemetry: Arc<Telemetry>) -> Result<Self, Trouble> {
        let claims = Arc::new(Mutex::default());
        let owner = Owner::new(Arc::clone(&claims));
        let told = (Kept::Ledger, Arc::clone(&telemetry));
        let writer = Writer::start(file, Some(connection), Opening::Create, owner, told)?;
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
        let mut held = owner::lock(&self.claims);
        claims.iter().for_each(|claim| held.end(claim));
    }

    async fn withdraw(&self, withdrawals: Vec<Withdrawal>) -> Result<Vec<Vec<Standing>>, LedgerError> {
        self.writer.ask(Withdraw(withdrawals)).await
    }

    /// Takes the room of a batch, and gives it back once that is durable.
    async fn probe(&self) -> Result<(), LedgerError> {
        self.writer.ask(change(writer::take_ballast)).await?;
        self.writer.ask(change(writer::drop_ballast)).await
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

    async fn give_order(&self, order: Order) -> Result<u64, LedgerError> {
        self.writer.ask(change(move |connection: &_| order_rows::put_order(connection, &order))).await
    }

    async fn orders(&self) -> Result<Vec<order::Kept>, LedgerError> {
        self.writer.ask(look(order_rows::orders)).await
    }

    async fn end_order(&self, number: u64) -> Result<(), LedgerError> {
        self.writer.ask(change(move |connection: &_| order_rows::end_order(connection, number))).await
    }

    async fn suppress(&self, address: AddressKey, at: Timestamp) -> Result<(), LedgerError> {
        self.writer.ask(change(move |connection: &_| forget_rows::suppress(connection, address, at))).await
    }

    async fn forget(&self, forgetting: Forgetting) -> Result<Forgotten, LedgerError> {
        self.writer.ask(Forget(forgetting)).await
    }

    async fn look_up(&self, key: LeadKey) -> Result<Vec<(DestinationName, Record)>, LedgerError> {
        self.writer.ask(look(move |connection: &_| leads::of_lead(connection, key, None))).await
    }
}

#[cfg(test)]
mod tests;
