//! The table of leads, for the length of one transaction: appended to, changed in place, found by [`Place`].

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{CachedStatement, Connection, Row, params};

use super::encoding::{decode, encode};
use super::fault::Fault;
use super::rows::{destination, exists, number, one};
use super::tail::{Place, Tail};
use crate::domain::lead_key::{LeadKey, PersonKey};
use crate::domain::repeat::Record;
use crate::domain::route::DestinationName;

/// Records are appended in the order in which they come. Up to `indexed.up_to`, their index is `lead_index`; who writes
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
pub(super) const INDEX_SCHEMA: &str = "
    CREATE TABLE lead_index (
        person BLOB NOT NULL,
        lead BLOB NOT NULL,
        destination TEXT NOT NULL,
        id INTEGER NOT NULL,
        PRIMARY KEY (person, lead, destination)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE indexed (only INTEGER PRIMARY KEY CHECK (only = 1), up_to INTEGER NOT NULL) STRICT;
    CREATE TRIGGER a_lead_leaves_the_index_too AFTER DELETE ON leads BEGIN
        DELETE FROM lead_index WHERE (person, lead, destination) = (old.person, old.lead, old.destination);
    END;
";

/// Of ids that only a tail finds. In the index's place, for those who look and keep no tail.
const NOT_YET_INDEXED: &str = "SELECT id FROM leads WHERE id > (SELECT up_to FROM indexed)";

/// For a file that had none.
pub(super) const INDEX_ALL: &str = "
    INSERT INTO lead_index SELECT person, lead, destination, id FROM leads ORDER BY person, lead, destination;
    INSERT INTO indexed SELECT 1, coalesce(max(id), 0) FROM leads;
";

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
        // One that is there already was indexed before a crash, or by another owner.
        let insert = "INSERT OR IGNORE INTO lead_index (person, lead, destination, id) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = connection.prepare_cached(insert)?;
        for (Place { person, lead, destination }, id) in &slice.leads {
            insert.execute(params![person.as_bytes(), lead.as_bytes(), destination.as_str(), id])?;
        }
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
    connection: &'a Connection,
    tail: RefMut<'a, Tail>,
    find: CachedStatement<'a>,
    read: CachedStatement<'a>,
}

/// A record, and where it stands.
pub(super) struct Standing {
    id: i64,
    pub record: Record,
}

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
        Ok(Self {
            connection,
            tail: RefMut::map(tail, |tail| &mut tail.as_mut().expect("it was read just now").tail),
            find: connection.prepare_cached(
                "SELECT id, (SELECT record FROM leads WHERE leads.id = lead_index.id) FROM lead_index
                 WHERE person = ?1 AND lead = ?2 AND destination = ?3",
            )?,
            read: connection.prepare_cached("SELECT id, record FROM leads WHERE id = ?1")?,
        })
    }

    pub fn get(&mut self, place: &Place) -> Result<Option<Standing>, Fault> {
        let mut rows = match self.tail.get(place) {
            Some(id) => self.read.query([id])?,
            None => {
                let Place { person, lead, destination } = place;
                self.find.query(params![person.as_bytes(), lead.as_bytes(), destination.as_str()])?
            }
        };
        rows.next()?.map(|row| Ok(Standing { id: row.get(0)?, record: record(row, place.person)? })).transpose()
    }

    /// Keeps `record` in the place of what stands there, if anything does.
    pub fn put(&mut self, place: Place, standing: Option<&Standing>, record: &Record) -> Result<(), Fault> {
        match standing {
            Some(Standing { id, .. }) => {
                let update = "UPDATE leads SET record = ?2 WHERE id = ?1";
                self.connection.prepare_cached(update)?.execute(params![id, encode(record)])?;
            }
            None => {
                let insert = "INSERT INTO leads (id, lead, destination, person, record) VALUES (?1, ?2, ?3, ?4, ?5)";
                let mut insert = self.connection.prepare_cached(insert)?;
                let Place { person, lead, destination } = place.clone();
                let id = self.tail.append(place);
                let (person, lead) = (person.as_bytes(), lead.as_bytes());
                insert.execute(params![id, lead, destination.as_str(), person, encode(record)])?;
            }
        }
        Ok(())
    }

    pub fn of_person(&mut self, person: PersonKey) -> Result<Vec<(LeadKey, DestinationName, Record)>, Fault> {
        let indexed = "SELECT id, (SELECT record FROM leads WHERE leads.id = lead_index.id), lead, destination
            FROM lead_index WHERE person = ?1";
        let mut indexed = self.connection.prepare_cached(indexed)?;
        let mut rows = indexed.query([person.as_bytes()])?;
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next()? {
            found.insert((LeadKey::from_bytes(row.get(2)?), destination(row, 3)?), record(row, person)?);
        }
        // While they are being indexed, some are found here and there.
        for (Place { lead, destination, .. }, id) in self.tail.of_person(person) {
            let mut rows = self.read.query([id])?;
            let row = rows.next()?.ok_or(Fault::Damaged)?;
            found.insert((*lead, destination.clone()), record(row, person)?);
        }
        Ok(found.into_iter().map(|((lead, destination), record)| (lead, destination, record)).collect())
    }
}

/// The leads of this key, for those who keep no tail. `person` finds them by the index; without it the whole index is
/// looked through, which takes a second or two for ten million leads.
pub(super) fn of_lead(
    connection: &Connection,
    lead: LeadKey,
    person: Option<PersonKey>,
) -> Result<Vec<(DestinationName, Record)>, Fault> {
    let places = match person {
        // Of an earlier leadrelay, and only looked into: it has an index by lead.
        _ if !exists(connection, "lead_index")? => "SELECT id FROM leads WHERE lead = ?1 AND ?2 IS ?2".to_owned(),
        None => {
            format!("SELECT id FROM lead_index WHERE lead = ?1 AND ?2 IS NULL UNION {NOT_YET_INDEXED} AND lead = ?1")
        }
        Some(_) => {
            format!("SELECT id FROM lead_index WHERE person = ?2 AND lead = ?1 UNION {NOT_YET_INDEXED} AND lead = ?1")
        }
    };
    let select =
        format!("SELECT id, record, person, destination FROM leads WHERE id IN ({places}) ORDER BY destination");
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query(params![lead.as_bytes(), person.as_ref().map(PersonKey::as_bytes)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((destination(row, 3)?, record(row, PersonKey::from_bytes(row.get(2)?))?));
    }
    Ok(found)
}

/// For those who keep no tail, or forget it before they commit; the index loses it with the row.
pub(super) fn remove(connection: &Connection, place: &Place) -> Result<bool, Fault> {
    let delete = format!(
        "DELETE FROM leads WHERE lead = ?2 AND destination = ?3 AND id IN (SELECT id FROM lead_index
         WHERE person = ?1 AND lead = ?2 AND destination = ?3 UNION {NOT_YET_INDEXED})"
    );
    let Place { person, lead, destination } = place;
    Ok(connection.execute(&delete, params![person.as_bytes(), lead.as_bytes(), destination.as_str()])? > 0)
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

pub(super) fn by_destination(connection: &Connection) -> Result<Vec<(DestinationName, u64)>, Fault> {
    // By the index where there is one: it is small, and has the destination in it. What is not to be counted yet is
    // there in part.
    let destinations = match exists(connection, "lead_index")? {
        true => format!(
            "SELECT destination FROM lead_index WHERE id <= (SELECT up_to FROM indexed)
             UNION ALL SELECT destination FROM leads WHERE id IN ({NOT_YET_INDEXED})"
        ),
        false => "SELECT destination FROM leads INDEXED BY leads_by_lead".to_owned(),
    };
    let mut select =
        connection.prepare(&format!("SELECT destination, count(*) FROM ({destinations}) GROUP BY 1 ORDER BY 1"))?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((destination(row, 0)?, number(row.get(1)?)?));
    }
    Ok(found)
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    one(connection, "PRAGMA data_version")
}

/// The record in the second column. A place without one is damage.
fn record(row: &Row<'_>, person: PersonKey) -> Result<Record, Fault> {
    let bytes = row.get_ref(1)?.as_blob().map_err(|_| Fault::Damaged)?;
    decode(person, bytes).ok_or(Fault::Damaged)
}

/// The leads that only a tail finds, and their ids.
fn unindexed(connection: &Connection) -> Result<BTreeMap<Place, i64>, Fault> {
    let select = "SELECT id, person, lead, destination FROM leads WHERE id > (SELECT up_to FROM indexed)";
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query([])?;
    let mut ids = Vec::new();
    let mut names: Vec<DestinationName> = Vec::new();
    while let Some(row) = rows.next()? {
        // There are few names, and each is kept once.
        let name = row.get_ref(3)?.as_str().map_err(|_| Fault::Damaged)?;
        let known = names.iter().find(|known| known.as_str() == name).cloned();
        let destination = known.map_or_else(|| destination(row, 3), Ok)?;
        if names.last().is_none_or(|last| *last != destination) {
            names.push(destination.clone());
        }
        let (person, lead) = (PersonKey::from_bytes(row.get(1)?), LeadKey::from_bytes(row.get(2)?));
        ids.push((Place { person, lead, destination }, row.get(0)?));
    }
    Ok(ids.into_iter().collect())
}

#[cfg(test)]
#[path = "leads_tests.rs"]
mod tests;
