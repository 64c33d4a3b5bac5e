//! The table of leads, for the length of one transaction: appended to, changed in place, found by [`Identity`].

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{CachedStatement, Connection, Row, params};

use super::encoding::{decode, encode};
use super::fault::Fault;
use super::lead_pages::{self, LeadPages};
use super::place::{Identity, Place};
use super::rows::{destination, exists, one};
use super::sorted::Sorted;
use super::tail::Tail;
use crate::domain::lead_key::{LeadKey, PersonKey};
use crate::domain::repeat::Record;
use crate::domain::route::DestinationName;

/// Records are appended in the order in which they come. Up to `indexed.up_to`, their index is [`lead_pages`]; who writes
/// keeps that of the rest in memory: [`Tail`].
pub(super) const SCHEMA: &str = "
    CREATE TABLE leads (
        id INTEGER PRIMARY KEY,
        lead BLOB NOT NULL,
        destination TEXT NOT NULL,
        person BLOB NOT NULL,
        record BLOB NOT NULL
    ) STRICT;
";

/// Makes the index of a file that has none.
pub(super) fn index_all(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(lead_pages::SCHEMA)?;
    let indexed = "CREATE TABLE indexed (only INTEGER PRIMARY KEY CHECK (only = 1), up_to INTEGER NOT NULL) STRICT";
    connection.execute_batch(indexed)?;
    lead_pages::build(connection)?;
    connection.execute_batch("INSERT INTO indexed SELECT 1, coalesce(max(id), 0) FROM leads")
}

/// What the writer knows of the leads beside the file. Changed inside transactions, and forgotten if one fails.
pub(super) struct Known {
    /// `None`: to be read from the file.
    tail: RefCell<Option<Read>>,
    /// So many leads are worth indexing.
    enough: usize,
}

/// The tail, and the state of the file that it was read from or has followed.
struct Read {
    tail: Tail,
    /// It changes when another connection has committed (<https://sqlite.org/pragma.html#pragma_data_version>).
    data_version: i64,
}

impl Known {
    pub fn nothing(enough: usize) -> Self {
        Self { tail: RefCell::default(), enough }
    }

    /// The last statements of every transaction that writes: indexes a few more of the leads that only the tail finds.
    pub fn before_commit(&self, connection: &Connection) -> Result<(), Fault> {
        let mut tail = self.tail.borrow_mut();
        // Nobody has asked for a lead since the start, or since another wrote: then nothing was appended either.
        let current = |read: &&mut Read| data_version(connection).is_ok_and(|found| found == read.data_version);
        let Some(read) = tail.as_mut().filter(current) else { return Ok(()) };
        let Some(slice) = read.tail.slice() else { return Ok(()) };
        LeadPages::open(connection)?.add(&slice.entries)?;
        if let Some(up_to) = slice.completes {
            connection.prepare_cached("UPDATE indexed SET up_to = max(up_to, ?1)")?.execute([up_to])?;
        }
        Ok(())
    }

    pub fn committed(&mut self) {
        if let Some(read) = self.tail.get_mut() {
            read.tail.committed();
        }
    }

    /// Nothing was done, the file is another, or something was removed from it past the tail.
    pub fn forget(&self) {
        *self.tail.borrow_mut() = None;
    }
}

pub(super) struct Leads<'a> {
    tail: RefMut<'a, Tail>,
    pages: LeadPages<'a>,
    read: CachedStatement<'a>,
    append: CachedStatement<'a>,
    replace: CachedStatement<'a>,
}

/// A record, and where it stands.
pub(super) struct Standing {
    id: i64,
    pub record: Record,
}

/// For those who keep no tail.
const UNINDEXED_OF_LEAD: &str = "SELECT id FROM leads WHERE id > (SELECT up_to FROM indexed) AND lead = ?1";

const READ: &str = "SELECT id, record, person, lead, destination FROM leads WHERE id = ?1";

impl<'a> Leads<'a> {
    pub fn open(connection: &'a Connection, known: &'a Known) -> Result<Self, Fault> {
        let mut tail = known.tail.borrow_mut();
        // Another may have owned the file since we last looked, or have forgotten a person.
        let data_version = data_version(connection)?;
        if tail.as_ref().is_none_or(|read| read.data_version != data_version) {
            // An id is never used again while the index counts as complete up to it.
            let last = one(connection, "SELECT max(coalesce(max(id), 0), (SELECT up_to FROM indexed)) FROM leads")?;
            *tail = Some(Read { tail: Tail::new(unindexed(connection)?, last, known.enough), data_version });
        }
        let append = "INSERT INTO leads (id, lead, destination, person, record) VALUES (?1, ?2, ?3, ?4, ?5)";
        Ok(Self {
            tail: RefMut::map(tail, |tail| &mut tail.as_mut().expect("it was read just now").tail),
            pages: LeadPages::open(connection)?,
            read: connection.prepare_cached(READ)?,
            append: connection.prepare_cached(append)?,
            replace: connection.prepare_cached("UPDATE leads SET record = ?2 WHERE id = ?1")?,
        })
    }

    pub fn get(&mut self, sought: Identity<'_>) -> Result<Option<Standing>, Fault> {
        let place = sought.place();
        let newest = self.tail.ids(place.alone()).chain(self.pages.ids(place.alone())?);
        for id in newest {
            let mut rows = self.read.query([id])?;
            if let Some(row) = rows.next()?
                && is_of(row, sought)?
            {
                return Ok(Some(Standing { id, record: record(row, sought.person)? }));
            }
        }
        Ok(None)
    }

    /// Keeps the first record of this lead: nothing stands there.
    pub fn append(&mut self, lead: Identity<'_>, record: &Record) -> Result<(), Fault> {
        let id = self.tail.append(lead.place());
        let Identity { person, lead, destination } = lead;
        let (person, lead) = (person.as_bytes(), lead.as_bytes());
        self.append.execute(params![id, lead, destination.as_str(), person, encode(record)])?;
        Ok(())
    }

    /// Keeps `record` in the place of what stands there.
    pub fn replace(&mut self, standing: &Standing, record: &Record) -> Result<(), Fault> {
        self.replace.execute(params![standing.id, encode(record)])?;
        Ok(())
    }

    pub fn of_person(&mut self, person: PersonKey) -> Result<Vec<(LeadKey, DestinationName, Record)>, Fault> {
        let places = Place::all_of(person);
        // While they are being indexed, some are found here and there.
        let ids: BTreeSet<_> = self.tail.ids(places.clone()).chain(self.pages.ids(places)?).collect();
        let mut found = BTreeMap::new();
        for id in ids {
            let mut rows = self.read.query([id])?;
            if let Some(row) = rows.next()?
                && row.get::<_, [u8; 16]>(2)? == *person.as_bytes()
            {
                found.insert((LeadKey::from_bytes(row.get(3)?), destination(row, 4)?), record(row, person)?);
            }
        }
        Ok(found.into_iter().map(|((lead, destination), record)| (lead, destination, record)).collect())
    }
}

/// Whether the row of [`READ`] is this lead's: others may share its place. A row that is gone was nobody's.
fn is_of(row: &Row<'_>, sought: Identity<'_>) -> Result<bool, Fault> {
    let blob = |column| row.get_ref(column)?.as_blob().map_err(|_| Fault::Damaged);
    let destination = row.get_ref(4)?.as_str().map_err(|_| Fault::Damaged)?;
    Ok(blob(3)? == sought.lead.as_bytes()
        && blob(2)? == sought.person.as_bytes()
        && destination == sought.destination.as_str())
}

/// The leads of this key, for those who keep no tail. `person` finds them by the index; without it the whole index is
/// looked through, which takes a second or so for ten million leads. In the ledger of an earlier leadrelay, which is only
/// looked into, it is the table itself, and takes seconds.
pub(super) fn of_lead(
    connection: &Connection,
    lead: LeadKey,
    person: Option<PersonKey>,
) -> Result<Vec<(DestinationName, Record)>, Fault> {
    let (mut ids, mut rest) = (Vec::new(), "SELECT id FROM leads WHERE lead = ?1");
    if exists(connection, "lead_pages")? {
        rest = UNINDEXED_OF_LEAD;
        ids = match person {
            Some(person) => LeadPages::open(connection)?.ids(Place::of(person, lead).alone())?,
            None => lead_pages::ids_of_lead(connection, lead)?,
        };
    }
    let mut rest = connection.prepare_cached(rest)?;
    let rest = rest.query_map([lead.as_bytes()], |row| row.get(0))?;
    let ids: BTreeSet<i64> = ids.into_iter().map(Ok).chain(rest).collect::<Result<_, _>>()?;
    let mut read = connection.prepare_cached(READ)?;
    let mut found = Vec::new();
    for id in ids {
        let mut rows = read.query([id])?;
        if let Some(row) = rows.next()?
            && row.get::<_, [u8; 16]>(3)? == *lead.as_bytes()
        {
            found.push((destination(row, 4)?, record(row, PersonKey::from_bytes(row.get(2)?))?));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// For those who keep no tail, or forget it before they commit; the index loses it with the row.
pub(super) fn remove(connection: &Connection, lead: Identity<'_>) -> Result<bool, Fault> {
    let place = lead.place();
    let mut pages = LeadPages::open(connection)?;
    let mut unindexed = connection.prepare_cached(UNINDEXED_OF_LEAD)?;
    let unindexed = unindexed.query_map([lead.lead.as_bytes()], |row| row.get(0))?;
    let ids: BTreeSet<_> = pages.ids(place.alone())?.into_iter().map(Ok).chain(unindexed).collect::<Result<_, _>>()?;
    let delete = "DELETE FROM leads WHERE id = ?1 AND lead = ?2 AND destination = ?3 AND person = ?4";
    let mut delete = connection.prepare_cached(delete)?;
    let Identity { person, lead, destination } = lead;
    let mut removed = false;
    for id in ids {
        if delete.execute(params![id, lead.as_bytes(), destination.as_str(), person.as_bytes()])? > 0 {
            pages.remove((place, id))?;
            removed = true;
        }
    }
    Ok(removed)
}

/// Every offer of which a lead was delivered, as written. Reads every record: on a large ledger this takes seconds.
pub(super) fn offers(connection: &Connection) -> Result<BTreeSet<String>, Fault> {
    let mut select = connection.prepare("SELECT id, record, person FROM leads NOT INDEXED")?;
    let mut rows = select.query([])?;
    let mut found = BTreeSet::new();
    while let Some(row) = rows.next()? {
        found.insert(record(row, PersonKey::from_bytes(row.get(2)?))?.offer);
    }
    Ok(found)
}

/// Reads every lead, too.
pub(super) fn by_destination(connection: &Connection) -> Result<Vec<(DestinationName, u64)>, Fault> {
    let mut select = connection.prepare("SELECT destination FROM leads NOT INDEXED")?;
    let mut rows = select.query([])?;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str().map_err(|_| Fault::Damaged)?;
        match counts.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(counts.insert(name.to_owned(), 1)),
        }
    }
    let named = |(name, count): (String, u64)| Ok((DestinationName::parse(&name).map_err(|_| Fault::Damaged)?, count));
    counts.into_iter().map(named).collect()
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    one(connection, "PRAGMA data_version")
}

/// The record in the second column. A place without one is damage.
fn record(row: &Row<'_>, person: PersonKey) -> Result<Record, Fault> {
    let bytes = row.get_ref(1)?.as_blob().map_err(|_| Fault::Damaged)?;
    decode(person, bytes).ok_or(Fault::Damaged)
}

/// The leads that only a tail finds.
fn unindexed(connection: &Connection) -> Result<Sorted, Fault> {
    let select = "SELECT person, lead, id FROM leads WHERE id > (SELECT up_to FROM indexed)";
    let mut select = connection.prepare_cached(select)?;
    Ok(select.query_map([], lead_pages::entry)?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
#[path = "leads_tests.rs"]
mod tests;
