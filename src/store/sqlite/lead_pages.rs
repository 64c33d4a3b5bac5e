//! The index of the leads in the file: by [`Place`], in rows that fill a page each.
//!
//! Four hundred leads share a page, where an index of SQLite's own has a hundred: there a commit writes as many more pages,
//! and each costs as much as a lead. A row is as long when it is written again, which SQLite does in its place.

use std::ops::RangeInclusive;

use rusqlite::{CachedStatement, Connection, Row, params};

use super::fault::Fault;
use super::place::Place;
use crate::domain::lead_key::{LeadKey, PersonKey};

/// Where the row of a lead may be, and its id.
pub(super) type Entry = (Place, i64);

/// A row holds the entries from `first` on, up to the next row's, in order. There is always one, from the least place on.
pub(super) const SCHEMA: &str = "CREATE TABLE lead_pages (first INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;";

/// Five bytes of the place, five of the id.
const ENTRY: usize = 10;
/// So many fill a page of 4096 bytes, with its header and the row's (<https://sqlite.org/fileformat2.html#b_tree_pages>);
/// no two rows share one.
const FULL: usize = 405;
/// So many are put in a new row, to leave room.
const FILLED: usize = FULL * 2 / 3;

pub(super) struct LeadPages<'a> {
    connection: &'a Connection,
    downward: CachedStatement<'a>,
}

impl<'a> LeadPages<'a> {
    pub fn open(connection: &'a Connection) -> rusqlite::Result<Self> {
        let downward = "SELECT first, entries FROM lead_pages WHERE first <= ?1 ORDER BY first DESC";
        Ok(Self { connection, downward: connection.prepare_cached(downward)? })
    }

    /// The ids at these places.
    pub fn ids(&mut self, places: RangeInclusive<Place>) -> Result<Vec<i64>, Fault> {
        let mut rows = self.downward.query([places.end().number()])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let held = held(row)?;
            let from = held.partition_point(|entry| place(entry) < *places.start());
            found.extend(held[from..].iter().take_while(|entry| place(entry) <= *places.end()).map(id));
            if row.get::<_, i64>(0)? <= places.start().number() {
                break;
            }
        }
        Ok(found)
    }

    /// Adds these, in order of their places, each once. One that is there already was added before a crash, or by
    /// another owner.
    pub fn add(&mut self, mut entries: &[Entry]) -> Result<(), Fault> {
        // From the last one on: so a row tells by where it begins how many belong to it.
        while let Some((last, _)) = entries.last() {
            let (first, mut page) = self.page_of(*last)?;
            let (before, here) = entries.split_at(entries.partition_point(|(place, _)| place.number() < first));
            page.extend(here);
            page.sort();
            page.dedup();
            self.keep(first, &page)?;
            entries = before;
        }
        Ok(())
    }

    pub fn remove(&mut self, entry: Entry) -> Result<(), Fault> {
        let (first, mut page) = self.page_of(entry.0)?;
        page.retain(|held| *held != entry);
        self.keep(first, &page)
    }

    /// The row to which this place belongs.
    fn page_of(&mut self, place: Place) -> Result<(i64, Vec<Entry>), Fault> {
        let mut rows = self.downward.query([place.number()])?;
        let row = rows.next()?.ok_or(Fault::Damaged)?;
        let entries = held(row)?.iter().map(|held| (self::place(held), id(held)));
        Ok((row.get(0)?, entries.collect()))
    }

    fn keep(&self, first: i64, page: &[Entry]) -> Result<(), Fault> {
        let mut parts = parts(page).into_iter();
        let part = parts.next().unwrap_or_default();
        let update = "UPDATE lead_pages SET entries = ?2 WHERE first = ?1";
        self.connection.prepare_cached(update)?.execute(params![first, bytes(part)])?;
        Ok(parts.try_for_each(|part| insert(self.connection, part[0].0, part))?)
    }
}

/// Every id that may be of this lead, whosever it is: reads the whole index.
pub(super) fn ids_of_lead(connection: &Connection, lead: LeadKey) -> Result<Vec<i64>, Fault> {
    let mut select = connection.prepare_cached("SELECT first, entries FROM lead_pages")?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(held(row)?.iter().filter(|entry| place(entry).may_be_of(lead)).map(id));
    }
    Ok(found)
}

/// Makes the whole index of the leads that are there, in order.
pub(super) fn build(connection: &Connection) -> rusqlite::Result<()> {
    let select = "SELECT person, lead, id FROM leads ORDER BY substr(person, 1, 3), substr(lead, 1, 2), id";
    let mut select = connection.prepare(select)?;
    let mut rows = select.query([])?;
    let (mut first, mut page): (_, Vec<Entry>) = (Place::FIRST, Vec::new());
    while let Some(row) = rows.next()? {
        let entry = entry(row)?;
        if page.len() >= FILLED && page.last().is_some_and(|last| last.0 != entry.0) {
            insert(connection, first, &page)?;
            page.clear();
            first = entry.0;
        }
        page.push(entry);
    }
    insert(connection, first, &page)
}

/// Of a row that tells the keys of person and lead, and the id.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok((Place::of(PersonKey::from_bytes(row.get(0)?), LeadKey::from_bytes(row.get(1)?)), row.get(2)?))
}

fn insert(connection: &Connection, first: Place, page: &[Entry]) -> rusqlite::Result<()> {
    let insert = "INSERT INTO lead_pages (first, entries) VALUES (?1, ?2)";
    connection.prepare_cached(insert)?.execute(params![first.number(), bytes(page)]).map(drop)
}

/// As few parts as leave room in each. No place is in two: so it is looked for in one.
fn parts(page: &[Entry]) -> Vec<&[Entry]> {
    if page.len() <= FULL {
        return vec![page];
    }
    let size = page.len().div_ceil(page.len().div_ceil(FILLED));
    let (mut parts, mut rest) = (Vec::new(), page);
    while rest.len() > size {
        let (last, _) = rest[size - 1];
        let (part, others) = rest.split_at(rest.partition_point(|(place, _)| *place <= last));
        parts.push(part);
        rest = others;
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

/// Zeros where there is room. Only leads that share one place make a row longer.
fn bytes(page: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(page.len().max(FULL) * ENTRY);
    for (place, id) in page {
        bytes.extend(place.to_bytes());
        bytes.extend(&id.to_be_bytes()[3..]);
    }
    bytes.resize(bytes.capacity().max(FULL * ENTRY), 0);
    bytes
}

/// The entries of a row; no lead has the id 0.
fn held<'a>(row: &'a Row<'_>) -> Result<&'a [[u8; ENTRY]], Fault> {
    let bytes = row.get_ref(1)?.as_blob().map_err(|_| Fault::Damaged)?;
    let (entries, rest) = bytes.as_chunks();
    let used = entries.partition_point(|entry| id(entry) != 0);
    if rest.is_empty() { Ok(&entries[..used]) } else { Err(Fault::Damaged) }
}

fn place(&[a, b, c, d, e, ..]: &[u8; ENTRY]) -> Place {
    Place::from_bytes([a, b, c, d, e])
}

fn id(&[_, _, _, _, _, a, b, c, d, e]: &[u8; ENTRY]) -> i64 {
    i64::from_be_bytes([0, 0, 0, a, b, c, d, e])
}

#[cfg(test)]
#[path = "lead_pages_tests.rs"]
mod tests;
