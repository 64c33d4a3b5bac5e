//! The rows of who is to be forgotten, by the keyed hash of an address, and of who forgot somebody, when and why. None is
//! ever deleted.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::place::Identity;
use super::rows::one;
use super::{intent_rows, leads};
use crate::domain::lead_key::AddressKey;
use crate::store::ledger::{Forgetting, Forgotten, Held};

pub(super) const SCHEMA: &str = "
    CREATE TABLE suppressions (
        address BLOB NOT NULL PRIMARY KEY,
        at_second INTEGER NOT NULL,
        at_nanosecond INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE forgettings (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at_second INTEGER NOT NULL,
        at_nanosecond INTEGER NOT NULL,
        ordered_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        records INTEGER NOT NULL,
        intents INTEGER NOT NULL,
        letters INTEGER NOT NULL,
        at_destinations INTEGER NOT NULL
    ) STRICT;
";

pub(super) fn is_suppressed(connection: &Connection, address: AddressKey) -> Result<bool, Fault> {
    let mut select = connection.prepare_cached("SELECT 1 FROM suppressions WHERE address = ?1")?;
    Ok(select.exists([address.as_bytes()])?)
}

/// Whether anybody is to be forgotten: where nobody is, nobody is looked up.
pub(super) fn has_suppressions(connection: &Connection) -> Result<bool, Fault> {
    Ok(one(connection, "SELECT EXISTS (SELECT 1 FROM suppressions)")?)
}

/// The first time stays.
pub(super) fn suppress(connection: &Connection, address: AddressKey, at: Timestamp) -> Result<(), Fault> {
    let insert = "INSERT INTO suppressions VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    connection.execute(insert, params![address.as_bytes(), at.as_second(), at.subsec_nanosecond()])?;
    Ok(())
}

pub(super) fn forget(connection: &Connection, forgetting: &Forgetting) -> Result<Forgotten, Fault> {
    let mut forgotten = Forgotten::default();
    for Held { person, lead, destination } in &forgetting.leads {
        let held = Identity { person: *person, lead: *lead, destination };
        forgotten.records += u64::from(leads::remove(connection, held)?);
        if intent_rows::intent(connection, *lead, destination)?.is_some() {
            intent_rows::drop_intent(connection, *lead, destination)?;
            forgotten.intents += 1;
        }
    }
    let insert = "INSERT INTO forgettings (at_second, at_nanosecond, ordered_by, reason, records, intents, letters,
        at_destinations) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let Forgetting { at, by, why, letters, at_destinations, .. } = forgetting;
    let Forgotten { records, intents } = forgotten;
    let [records, intents, letters, at_destinations] =
        [records, intents, *letters, *at_destinations].map(u64::cast_signed);
    let (second, nanosecond) = (at.as_second(), at.subsec_nanosecond());
    connection.execute(insert, params![second, nanosecond, by, why, records, intents, letters, at_destinations])?;
    Ok(forgotten)
}

/// How often somebody was forgotten.
pub(super) fn forgettings(connection: &Connection) -> Result<u64, Fault> {
    let count: i64 = connection.query_row("SELECT count(*) FROM forgettings", [], |row| row.get(0))?;
    count.try_into().map_err(|_| Fault::Damaged)
}
