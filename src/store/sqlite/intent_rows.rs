//! The rows of intents and of posts counted by the hour.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::fault::Fault;
use super::rows::{destination as destination_in, one};
use crate::domain::lead_key::LeadKey;
use crate::domain::route::DestinationName;
use crate::store::intents::{Holder, Intent, first_hour, hour};

pub(super) const SCHEMA: &str = "
    CREATE TABLE intents (
        lead BLOB NOT NULL,
        destination TEXT NOT NULL,
        generation INTEGER NOT NULL,
        before INTEGER,
        token INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        at_second INTEGER NOT NULL,
        at_nanosecond INTEGER NOT NULL,
        PRIMARY KEY (lead, destination)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE posts (
        destination TEXT NOT NULL,
        hour INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (destination, hour)
    ) STRICT, WITHOUT ROWID;
";

const COLUMNS: &str = "generation, before, token, epoch, at_second, at_nanosecond";

pub(super) fn intent(
    connection: &Connection,
    lead: LeadKey,
    destination: &DestinationName,
) -> Result<Option<Intent>, Fault> {
    let select = format!("SELECT {COLUMNS} FROM intents WHERE lead = ?1 AND destination = ?2");
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query(params![lead.as_bytes(), destination.as_str()])?;
    rows.next()?.map(|row| read(row, 0)).transpose()
}

pub(super) fn intents_of_lead(connection: &Connection, lead: LeadKey) -> Result<Vec<(DestinationName, Intent)>, Fault> {
    let select = format!("SELECT destination, {COLUMNS} FROM intents WHERE lead = ?1 ORDER BY destination");
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query([lead.as_bytes()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((destination_in(row, 0)?, read(row, 1)?));
    }
    Ok(found)
}

/// Whether any lead is intended: where none is, none is looked up.
pub(super) fn has_intents(connection: &Connection) -> Result<bool, Fault> {
    Ok(one(connection, "SELECT EXISTS (SELECT 1 FROM intents)")?)
}

pub(super) fn intents(connection: &Connection) -> Result<u64, Fault> {
    number(connection.query_row("SELECT count(*) FROM intents", [], |row| row.get(0))?)
}

pub(super) fn put_intent(
    connection: &Connection,
    lead: LeadKey,
    destination: &DestinationName,
    intent: &Intent,
) -> Result<(), Fault> {
    let put = format!(
        "INSERT OR REPLACE INTO intents (lead, destination, {COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    );
    let Intent { generation, at, before, holder: Holder { token, epoch } } = *intent;
    connection.prepare_cached(&put)?.execute(params![
        lead.as_bytes(),
        destination.as_str(),
        generation,
        before,
        token as i64,
        epoch as i64,
        at.as_second(),
        at.subsec_nanosecond(),
    ])?;
    Ok(())
}

pub(super) fn drop_intent(connection: &Connection, lead: LeadKey, destination: &DestinationName) -> Result<(), Fault> {
    let delete = "DELETE FROM intents WHERE lead = ?1 AND destination = ?2";
    connection.prepare_cached(delete)?.execute(params![lead.as_bytes(), destination.as_str()])?;
    Ok(())
}

/// What was posted in the last 24 hours, and the first hour with a post in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posts {
    pub used: u64,
    pub first: Option<i64>,
}

pub(super) fn posts_of_a_day(
    connection: &Connection,
    destination: &DestinationName,
    now: Timestamp,
) -> Result<Posts, Fault> {
    let select = "SELECT coalesce(sum(count), 0), min(hour) FROM posts
        WHERE destination = ?1 AND hour >= ?2 AND count > 0";
    let values = params![destination.as_str(), first_hour(now)];
    let (used, first) = connection.prepare_cached(select)?.query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Posts { used: number(used)?, first })
}

/// What counts no more goes at the same time: at most 25 rows a destination are kept.
pub(super) fn count_post(connection: &Connection, destination: &DestinationName, at: Timestamp) -> Result<(), Fault> {
    let upsert = "INSERT INTO posts (destination, hour, count) VALUES (?1, ?2, 1)
        ON CONFLICT DO UPDATE SET count = count + 1";
    connection.prepare_cached(upsert)?.execute(params![destination.as_str(), hour(at)])?;
    let delete = "DELETE FROM posts WHERE destination = ?1 AND hour < ?2";
    connection.prepare_cached(delete)?.execute(params![destination.as_str(), first_hour(at)])?;
    Ok(())
}

pub(super) fn uncount_post(connection: &Connection, destination: &DestinationName, at: Timestamp) -> Result<(), Fault> {
    let update = "UPDATE posts SET count = count - 1 WHERE destination = ?1 AND hour = ?2 AND count > 0";
    connection.prepare_cached(update)?.execute(params![destination.as_str(), hour(at)])?;
    Ok(())
}

fn number(found: i64) -> Result<u64, Fault> {
    found.try_into().map_err(|_| Fault::Damaged)
}

/// The intent in [`COLUMNS`], from this one on.
fn read(row: &Row<'_>, column: usize) -> Result<Intent, Fault> {
    let [token, epoch]: [i64; 2] = [row.get(column + 2)?, row.get(column + 3)?];
    let at = Timestamp::new(row.get(column + 4)?, row.get(column + 5)?).map_err(|_| Fault::Damaged)?;
    let holder = Holder { token: number(token)?, epoch: number(epoch)? };
    Ok(Intent { generation: row.get(column)?, before: row.get(column + 1)?, at, holder })
}
