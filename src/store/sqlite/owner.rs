//! What the ledger's owner knows beside the file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::fault::Fault;
use super::leads::Known;
use super::rows;
use super::tail::ENOUGH;
use super::writer::Beside;
use crate::store::claims::Claims;
use crate::store::ledger::{Delivered, LedgerError};

pub(super) struct Owner {
    /// The epoch in which we took over.
    epoch: Option<u64>,
    claims: Arc<Mutex<Claims>>,
    pub known: Known,
}

impl Beside for Owner {
    type Error = LedgerError;

    fn before_commit(&self, connection: &Connection) -> Result<(), Fault> {
        self.known.before_commit(connection)
    }

    fn committed(&mut self) {
        self.known.committed();
    }

    fn forget(&mut self) {
        self.known.forget();
        self.claims().doubt_all();
    }
}

impl Owner {
    pub fn new(claims: Arc<Mutex<Claims>>) -> Self {
        Self { epoch: None, claims, known: Known::nothing(ENOUGH) }
    }

    /// The epoch, if it is still ours. Asked in every transaction: an owner that was frozen does not know.
    pub fn epoch(&self, connection: &Connection) -> Result<u64, Fault> {
        let standing = rows::epoch(connection)?;
        if self.epoch == Some(standing) { Ok(standing) } else { Err(Fault::Superseded) }
    }

    pub fn take_over(&mut self, epoch: u64) {
        self.epoch = Some(epoch);
        self.claims().forget_all();
    }

    /// For each whether what its claim was told still stands.
    pub fn vouching(&self, deliveries: &[Delivered]) -> Vec<bool> {
        let mut claims = self.claims();
        deliveries.iter().map(|delivered| claims.vouches(&delivered.claim)).collect()
    }

    pub fn claims(&self) -> MutexGuard<'_, Claims> {
        lock(&self.claims)
    }
}

/// Every change to the claims is whole when it returns, so a panic elsewhere leaves them sound.
pub(super) fn lock(claims: &Mutex<Claims>) -> MutexGuard<'_, Claims> {
    claims.lock().unwrap_or_else(PoisonError::into_inner)
}
