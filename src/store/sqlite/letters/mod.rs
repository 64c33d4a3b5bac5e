//! Dead letters in a SQLite file of their own, beside the ledger: personal data stays out of that, and its speed unharmed.
//!
//! A commit is on the disk when a call returns (WAL, `synchronous=FULL`). Operators' commands open the same file beside
//! a worker that writes; who waits for whom is SQLite's to say, for [at most five seconds](super::file).

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;

mod schema;
mod columns;
mod rows;
mod search;

use self::rows::Tables;
pub(in crate::store::sqlite) use self::schema::LETTERS;
use super::fault::Fault;
use super::file::StoreFile;
use super::writer::{self, Beside, Call, Opening, Writer, look};
use crate::domain::lead_key::{DeadId, Keyring};
use crate::store::dead_letters::{
    Act, Aspect, Changed, DeadLetters, Edit, Edited, Ended, Entry, Filter, Group, Kept, Letter, LettersError, NotOwned,
    Order, Owning, Place, Plan, PlanId, PlanState, Selection, TakenIn,
};
use crate::store::letters::{self, Rows, plans};
use crate::telemetry::{Telemetry, events};

/// A process's handle. The file is opened by the first call, and again after trouble.
pub struct SqliteLetters(Writer<Nothing>);

impl SqliteLetters {
    /// For the worker, and for whoever brings letters: where there is no file, one is created.
    pub fn create(path: &Path, keyring: &Keyring, telemetry: Arc<Telemetry>) -> Result<Self, LettersError> {
        Self::start(path, keyring, telemetry, Opening::Create)
    }

    /// For whoever looks after letters that are there.
    pub fn existing(path: &Path, keyring: &Keyring, telemetry: Arc<Telemetry>) -> Result<Self, LettersError> {
        Self::start(path, keyring, telemetry, Opening::Existing)
    }

    /// Nothing that was removed is in the file's log any more. Blocks. `false`: others kept the log in use.
    pub fn empty_log(path: &Path, keyring: &Keyring) -> Result<bool, LettersError> {
        Ok(StoreFile::new(path.to_owned(), &LETTERS, keyring.fingerprint()).empty_log()?)
    }

    fn start(
        path: &Path,
        keyring: &Keyring,
        telemetry: Arc<Telemetry>,
        opening: Opening,
    ) -> Result<Self, LettersError> {
        let file = StoreFile::new(path.to_owned(), &LETTERS, keyring.fingerprint());
        Ok(Self(Writer::start(file, None, opening, Nothing, (events::Kept::Letters, telemetry))?))
    }

    async fn write<A, F>(&self, rows: usize, statements: F) -> Result<A, LettersError>
    where
        A: Send + 'static,
        F: Fn(&mut Tables<'_>) -> Result<A, Fault> + Send + 'static,
    {
        self.0.ask(Write { rows, statements }).await
    }

    async fn look<A, F>(&self, statements: F) -> Result<A, LettersError>
    where
        A: Send + 'static,
        F: Fn(&Connection) -> Result<A, Fault> + Send + 'static,
    {
        self.0.ask(look(statements)).await
    }
}

/// Nothing is kept in memory beside the file.
pub(in crate::store::sqlite) struct Nothing;

impl Beside for Nothing {
    type Error = LettersError;
}

struct Write<F> {
    rows: usize,
    statements: F,
}

impl<A, F> Call<Nothing> for Write<F>
where
    A: Send + 'static,
    F: Fn(&mut Tables<'_>) -> Result<A, Fault> + Send + 'static,
{
    type Done = A;
    type Answer = A;
    const WRITES: bool = true;

    fn rows(&self) -> usize {
        self.rows
    }

    fn run(&self, connection: &Connection, _: &Nothing) -> Result<A, Fault> {
        (self.statements)(&mut Tables(connection))
    }

    fn conclude(self, done: A, _: &mut Nothing) -> A {
        done
    }
}

#[async_trait]
impl DeadLetters for SqliteLetters {
    async fn take_in(&self, letters: Vec<Letter>, act: Act) -> Result<Vec<TakenIn>, LettersError> {
        self.write(letters.len(), move |tables| letters::take_in(tables, &letters, &act)).await
    }

    async fn list(&self, filter: Filter, after: Option<Place>, limit: usize) -> Result<Vec<Entry>, LettersError> {
        self.look(move |connection| search::list(connection, &filter, after.as_ref(), limit)).await
    }

    async fn count(&self, filter: Filter, by: Vec<Aspect>) -> Result<Vec<Group>, LettersError> {
        self.look(move |connection| search::count(connection, &filter, &by)).await
    }

    async fn find(&self, beginning: String, limit: usize) -> Result<Vec<DeadId>, LettersError> {
        self.look(move |connection| search::find(connection, &beginning, limit)).await
    }

    async fn read(&self, ids: Vec<DeadId>) -> Result<Vec<Option<Kept>>, LettersError> {
        self.look(move |connection| ids.iter().map(|id| Tables(connection).kept(*id)).collect()).await
    }

    async fn change(&self, orders: Vec<Order>, act: Act) -> Result<Vec<Changed>, LettersError> {
        self.write(orders.len(), move |tables| letters::change(tables, &orders, &act)).await
    }

    async fn reveal(&self, ids: Vec<DeadId>, act: Act) -> Result<(), LettersError> {
        self.write(ids.len(), move |tables| letters::reveal(tables, &ids, &act)).await
    }

    async fn edit(&self, edit: Edit, terms: String, act: Act) -> Result<Edited, LettersError> {
        self.write(1, move |tables| letters::edit(tables, &edit, &terms, &act)?.ok_or(Fault::Damaged)).await
    }

    async fn remove(&self, ids: Vec<DeadId>, act: Act) -> Result<u64, LettersError> {
        self.write(ids.len(), move |tables| letters::remove(tables, &ids, &act)).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, LettersError> {
        self.write(limit, move |tables| letters::purge(tables, before, limit)).await
    }

    async fn freeze(&self, selection: Selection, terms: String, act: Act) -> Result<Plan, LettersError> {
        self.write(1, move |tables| plans::freeze(tables, &selection, &terms, &act)?.ok_or(Fault::Damaged)).await
    }

    async fn plan(&self, id: PlanId) -> Result<Option<Plan>, LettersError> {
        self.look(move |connection| Tables(connection).plan(id)).await
    }

    async fn plans(&self, limit: usize) -> Result<Vec<Plan>, LettersError> {
        self.look(move |connection| Tables(connection).plans(limit)).await
    }

    async fn own_plan(&self, owning: Owning) -> Result<Result<(), NotOwned>, LettersError> {
        self.write(1, move |tables| plans::own(tables, &owning)).await
    }

    async fn disown_plan(&self, owning: Owning) -> Result<(), LettersError> {
        self.write(1, move |tables| plans::disown(tables, &owning)).await
    }

    async fn take_next(
        &self,
        owning: Owning,
        limit: usize,
        act: Act,
    ) -> Result<Result<Vec<Kept>, NotOwned>, LettersError> {
        self.write(limit, move |tables| plans::take_next(tables, &owning, limit, &act)).await
    }

    async fn mark_published(&self, plan: PlanId, ids: Vec<DeadId>, act: Act) -> Result<(), LettersError> {
        self.write(ids.len(), move |tables| plans::mark_published(tables, plan, &ids, &act)).await
    }

    async fn give_back(&self, owning: Owning, ids: Vec<DeadId>, act: Act) -> Result<(), LettersError> {
        self.write(ids.len(), move |tables| plans::give_back(tables, &owning, &ids, &act)).await
    }

    async fn record_endings(&self, endings: Vec<Ended>, act: Act) -> Result<(), LettersError> {
        self.write(endings.len(), move |tables| plans::record_endings(tables, &endings, &act)).await
    }

    async fn change_plan(&self, id: PlanId, to: PlanState, act: Act) -> Result<Option<Plan>, LettersError> {
        self.write(1, move |tables| plans::change_plan(tables, id, &to, &act)).await
    }

    async fn probe(&self) -> Result<(), LettersError> {
        self.write(1, |tables| writer::take_ballast(tables.0)).await?;
        self.write(1, |tables| writer::drop_ballast(tables.0)).await
    }
}

#[cfg(test)]
mod tests;
