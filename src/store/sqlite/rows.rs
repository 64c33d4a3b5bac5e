//! The rows: every statement of the ledger, as functions named for what they say. All run inside a transaction.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::encoding::{decode, encode};
use super::fault::Fault;
use crate::domain::lead_key::{LeadKey, PersonKey};
use crate::domain::repeat::Record;
use crate::domain::route::DestinationName;

pub(super) fn epoch(connection: &Connection) -> Result<u64, Fault> {
    number(connection.prepare_cached("SELECT epoch FROM meta")?.query_row([], |row| row.get(0))?)
}

pub(super) fn raise_epoch(connection: &Connection) -> Result<u64, Fault> {
    number(connection.query_row("UPDATE meta SET epoch = epoch + 1 RETURNING epoch", [], |row| row.get(0))?)
}

pub(super) fn put_epoch(connection: &Connection, epoch: u64) -> Result<(), Fault> {
    connection.execute("UPDATE meta SET epoch = ?1", [epoch as i64])?;
    Ok(())
}

pub(super) fn record(
    connection: &Connection,
    lead: LeadKey,
    destination: &DestinationName,
) -> Result<Option<Record>, Fault> {
    let select = "SELECT person, record FROM leads WHERE lead = ?1 AND destination = ?2";
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query(params![lead.as_bytes(), destination.as_str()])?;
    rows.next()?.map(|row| decoded(row, 0)).transpose()
}

pub(super) fn records_of_lead(connection: &Connection, lead: LeadKey) -> Result<Vec<(DestinationName, Record)>, Fault> {
    let select = "SELECT destination, person, record FROM leads WHERE lead = ?1 ORDER BY destination";
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query([lead.as_bytes()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((destination(row, 0)?, decoded(row, 1)?));
    }
    Ok(found)
}

pub(super) fn records_of_person(
    connection: &Connection,
    person: PersonKey,
) -> Result<Vec<(LeadKey, DestinationName, Record)>, Fault> {
    let select = "SELECT lead, destination, person, record FROM leads WHERE person = ?1 ORDER BY lead, destination";
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query([person.as_bytes()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((LeadKey::from_bytes(row.get(0)?), destination(row, 1)?, decoded(row, 2)?));
    }
    Ok(found)
}

/// Every offer of which a lead was delivered, as written. Reads every record: on a large ledger this takes seconds.
pub(super) fn offers(connection: &Connection) -> Result<BTreeSet<String>, Fault> {
    let mut select = connection.prepare("SELECT person, record FROM leads NOT INDEXED")?;
    let mut rows = select.query([])?;
    let mut found = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let Record { offer, .. } = decoded(row, 0)?;
        found.insert(offer);
    }
    Ok(found)
}

pub(super) fn put_record(
    connection: &Connection,
    lead: LeadKey,
    destination: &DestinationName,
    record: &Record,
) -> Result<(), Fault> {
    // A lead's person never changes: both are keyed hashes of the same address.
    let upsert = "INSERT INTO leads (lead, destination, person, record) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (lead, destination) DO UPDATE SET record = excluded.record";
    let values = params![lead.as_bytes(), destination.as_str(), record.person.as_bytes(), encode(record)];
    connection.prepare_cached(upsert)?.execute(values)?;
    Ok(())
}

pub(super) fn withdrawn_at(connection: &Connection, person: PersonKey) -> Result<Option<Timestamp>, Fault> {
    let select = "SELECT at_second, at_nanosecond FROM withdrawals WHERE person = ?1";
    let mut select = connection.prepare_cached(select)?;
    let found = select.query_row([person.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    found.map(|(second, nanosecond)| Timestamp::new(second, nanosecond).map_err(|_| Fault::Damaged)).transpose()
}

/// Only the latest is kept.
pub(super) fn put_withdrawal(connection: &Connection, person: PersonKey, at: Timestamp) -> Result<(), Fault> {
    let upsert = "INSERT INTO withdrawals (person, at_second, at_nanosecond) VALUES (?1, ?2, ?3)
        ON CONFLICT DO UPDATE SET at_second = excluded.at_second, at_nanosecond = excluded.at_nanosecond
        WHERE (excluded.at_second, excluded.at_nanosecond) > (at_second, at_nanosecond)";
    let values = params![person.as_bytes(), at.as_second(), at.subsec_nanosecond()];
    connection.prepare_cached(upsert)?.execute(values)?;
    Ok(())
}

pub(super) fn put_wait_queue(connection: &Connection, destination: &DestinationName) -> Result<(), Fault> {
    let insert = "INSERT INTO wait_queues (destination) VALUES (?1) ON CONFLICT DO NOTHING";
    connection.prepare_cached(insert)?.execute([destination.as_str()])?;
    Ok(())
}

pub(super) fn wait_queues(connection: &Connection) -> Result<Vec<DestinationName>, Fault> {
    let mut select = connection.prepare_cached("SELECT destination FROM wait_queues ORDER BY destination")?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(destination(row, 0)?);
    }
    Ok(found)
}

pub(super) fn leads_by_destination(connection: &Connection) -> Result<Vec<(DestinationName, u64)>, Fault> {
    // By the index, which is small and has the destination in it.
    let select = "SELECT destination, count(*) FROM leads INDEXED BY leads_by_lead GROUP BY destination ORDER BY 1";
    let mut select = connection.prepare(select)?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((destination(row, 0)?, number(row.get(1)?)?));
    }
    Ok(found)
}

pub(super) fn withdrawals(connection: &Connection) -> Result<u64, Fault> {
    number(connection.query_row("SELECT count(*) FROM withdrawals", [], |row| row.get(0))?)
}

/// Whether a table of this name is there: in a file of an earlier version, which is only looked into, it may not be.
pub(super) fn exists(connection: &Connection, table: &str) -> Result<bool, Fault> {
    let select = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    Ok(connection.query_row(select, [table], |_| Ok(())).optional()?.is_some())
}

fn number(found: i64) -> Result<u64, Fault> {
    found.try_into().map_err(|_| Fault::Damaged)
}

pub(super) fn destination(row: &Row<'_>, column: usize) -> Result<DestinationName, Fault> {
    let name = row.get_ref(column)?.as_str().map_err(|_| Fault::Damaged)?;
    DestinationName::parse(name).map_err(|_| Fault::Damaged)
}

/// The record in the columns `person, record`, from this one on.
fn decoded(row: &Row<'_>, column: usize) -> Result<Record, Fault> {
    let person = PersonKey::from_bytes(row.get(column)?);
    let bytes = row.get_ref(column + 1)?.as_blob().map_err(|_| Fault::Damaged)?;
    decode(person, bytes).ok_or(Fault::Damaged)
}
