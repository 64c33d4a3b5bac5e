//! The rows: every statement of the ledger, as functions named for what they say. All run inside a transaction.

use jiff::Timestamp;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::Fault;
use crate::domain::lead_key::PersonKey;
use crate::domain::route::DestinationName;

pub(super) fn epoch(connection: &Connection) -> Result<u64, Fault> {
    number(one(connection, "SELECT epoch FROM meta")?)
}

/// The one value that a statement answers.
pub(super) fn one<T: FromSql>(connection: &Connection, select: &str) -> rusqlite::Result<T> {
    connection.prepare_cached(select)?.query_row([], |row| row.get(0))
}

pub(super) fn raise_epoch(connection: &Connection) -> Result<u64, Fault> {
    number(connection.query_row("UPDATE meta SET epoch = epoch + 1 RETURNING epoch", [], |row| row.get(0))?)
}

pub(super) fn put_epoch(connection: &Connection, epoch: u64) -> Result<(), Fault> {
    connection.execute("UPDATE meta SET epoch = ?1", [epoch as i64])?;
    Ok(())
}

/// Whether anybody has ever withdrawn: where nobody has, nobody is looked up.
pub(super) fn has_withdrawals(connection: &Connection) -> Result<bool, Fault> {
    Ok(one(connection, "SELECT EXISTS (SELECT 1 FROM withdrawals)")?)
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

pub(super) fn withdrawals(connection: &Connection) -> Result<u64, Fault> {
    number(connection.query_row("SELECT count(*) FROM withdrawals", [], |row| row.get(0))?)
}

/// Whether a table of this name is there: in a file of an earlier version, which is only looked into, it may not be.
pub(super) fn exists(connection: &Connection, table: &str) -> Result<bool, Fault> {
    let select = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    Ok(connection.query_row(select, [table], |_| Ok(())).optional()?.is_some())
}

pub(super) fn number(found: i64) -> Result<u64, Fault> {
    found.try_into().map_err(|_| Fault::Damaged)
}

pub(super) fn destination(row: &Row<'_>, column: usize) -> Result<DestinationName, Fault> {
    let name = row.get_ref(column)?.as_str().map_err(|_| Fault::Damaged)?;
    DestinationName::parse(name).map_err(|_| Fault::Damaged)
}
