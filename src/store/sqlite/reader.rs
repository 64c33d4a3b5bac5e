//! Looking into a ledger from outside, while a worker may be writing to it: what `ledger show` prints.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;

use super::fault::{Fault, When};
use super::file::{StoreFile, fingerprint, short};
use super::schema::LEDGER;
use super::{forget_rows, intent_rows, leads, order_rows, rows};
use crate::domain::lead_key::{AddressKey, Keyring, LeadKey, PersonKey};
use crate::domain::order::Kept;
use crate::domain::repeat::Record;
use crate::domain::route::DestinationName;
use crate::store::intents::Intent;
use crate::store::ledger::LedgerError;

/// Blocks, and changes nothing.
pub struct LedgerReader {
    file: StoreFile,
    connection: Connection,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Leads delivered, by destination.
    pub leads: Vec<(DestinationName, u64)>,
    /// Leads that may have been sent, with nobody knowing.
    pub intents: u64,
    /// People who have withdrawn, whether or not they consented again since.
    pub withdrawals: u64,
    pub wait_queues: Vec<DestinationName>,
    /// How often the ledger was taken over.
    pub epoch: u64,
    /// The first digits of the secret's fingerprint.
    pub fingerprint: String,
    /// The file and its write-ahead log.
    pub bytes: u64,
}

impl LedgerReader {
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        // Any secret will do: who looks by the wrong one finds nothing.
        let file = StoreFile::new(path.to_owned(), &LEDGER, String::new());
        let connection = file.open_read_only()?;
        Ok(Self { file, connection })
    }

    /// Whether it was kept under this secret.
    pub fn is_of(&self, keyring: &Keyring) -> Result<bool, LedgerError> {
        Ok(self.explained(fingerprint(&self.connection))? == keyring.fingerprint())
    }

    /// Looks through the index: on a large ledger this takes a second.
    pub fn look_up(&self, key: LeadKey) -> Result<Vec<(DestinationName, Record)>, LedgerError> {
        self.explained(leads::of_lead(&self.connection, key, None))
    }

    /// The same, at once however large the ledger is.
    pub fn look_up_of(&self, key: LeadKey, person: PersonKey) -> Result<Vec<(DestinationName, Record)>, LedgerError> {
        self.explained(leads::of_lead(&self.connection, key, Some(person)))
    }

    /// The leads that may have been sent, with nobody knowing.
    pub fn intents(&self, key: LeadKey) -> Result<Vec<(DestinationName, Intent)>, LedgerError> {
        self.explained(self.if_there("intents", |connection| intent_rows::intents_of_lead(connection, key)))
    }

    /// The latest order of every destination that ever had one.
    pub fn orders(&self) -> Result<Vec<Kept>, LedgerError> {
        self.explained(self.if_there("orders", order_rows::orders))
    }

    pub fn wait_queues(&self) -> Result<Vec<DestinationName>, LedgerError> {
        self.explained(rows::wait_queues(&self.connection))
    }

    /// The file and its write-ahead log.
    pub fn bytes(&self) -> u64 {
        let mut log = self.file.path().to_owned().into_os_string();
        log.push("-wal");
        let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        size(self.file.path()) + size(Path::new(&log))
    }

    pub fn withdrawn_at(&self, person: PersonKey) -> Result<Option<Timestamp>, LedgerError> {
        self.explained(rows::withdrawn_at(&self.connection, person))
    }

    /// Whether nothing is delivered to this address any more.
    pub fn is_suppressed(&self, address: AddressKey) -> Result<bool, LedgerError> {
        let look = |connection: &Connection| forget_rows::is_suppressed(connection, address);
        self.explained(self.if_there("suppressions", look))
    }

    /// How often somebody was forgotten.
    pub fn forgettings(&self) -> Result<u64, LedgerError> {
        self.explained(self.if_there("forgettings", forget_rows::forgettings))
    }

    /// Every offer of which a lead was delivered, as written: on a large ledger this takes seconds, and holds nobody up.
    pub fn offers(&self) -> Result<BTreeSet<String>, LedgerError> {
        self.explained(leads::offers(&self.connection))
    }

    /// Counts every lead: on a large ledger this takes seconds, and holds nobody up.
    pub fn summary(&self) -> Result<Summary, LedgerError> {
        self.explained(self.summarise())
    }

    fn summarise(&self) -> Result<Summary, Fault> {
        Ok(Summary {
            leads: leads::by_destination(&self.connection)?,
            intents: self.if_there("intents", intent_rows::intents)?,
            withdrawals: rows::withdrawals(&self.connection)?,
            wait_queues: rows::wait_queues(&self.connection)?,
            epoch: rows::epoch(&self.connection)?,
            fingerprint: short(&fingerprint(&self.connection)?).to_owned(),
            bytes: self.bytes(),
        })
    }

    /// A ledger of an earlier leadrelay lacks the later tables until a worker has run.
    fn if_there<T: Default>(&self, table: &str, look: impl Fn(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        if rows::exists(&self.connection, table)? { look(&self.connection) } else { Ok(T::default()) }
    }

    fn explained<T>(&self, result: Result<T, Fault>) -> Result<T, LedgerError> {
        result.map_err(|fault| self.file.subject.explain(&fault, When::Starting).into())
    }
}
