//! The ledger's tables.

use rusqlite::Connection;

use super::fault::Words;
use super::file::Kind;
use super::{forget_rows, intent_rows, leads, order_rows};

pub(super) static LEDGER: Kind = Kind {
    words: Words {
        name: "ledger",
        setting: "store.url",
        lost: "a new one is created, destinations recognise what they already hold, but withdrawals known only to it are \
               lost",
    },
    // `LRLY`
    application_id: 0x4c52_4c59,
    // 1 had no intents, 2 no orders, 3 nobody who was to be forgotten; up to 4, every commit wrote two indexes on `leads`,
    // and in 5 the whole keys were in the index.
    schema_version: INDEXED_BY_PLACE,
    create,
    migrate,
    tables,
    under_another_secret: "would recognise no lead and no withdrawal",
    prepare: |_| Ok(()),
};

/// The first in which leads are indexed many at once.
const INDEXED_LATER: u32 = 5;
/// And by a few bytes of their keys.
const INDEXED_BY_PLACE: u32 = 6;

const SCHEMA: &str = "
    CREATE TABLE meta (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        fingerprint TEXT NOT NULL,
        epoch INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE withdrawals (
        person BLOB NOT NULL PRIMARY KEY,
        at_second INTEGER NOT NULL,
        at_nanosecond INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE wait_queues (destination TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE ballast (only INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
";

fn create(connection: &Connection, fingerprint: &str) -> rusqlite::Result<()> {
    let others = [intent_rows::SCHEMA, order_rows::SCHEMA, forget_rows::SCHEMA];
    for schema in [SCHEMA, leads::SCHEMA].into_iter().chain(others) {
        connection.execute_batch(schema)?;
    }
    leads::index_all(connection)?;
    connection.execute("INSERT INTO meta VALUES (1, ?1, 0)", [fingerprint]).map(drop)
}

fn migrate(connection: &Connection, from: u32) -> rusqlite::Result<()> {
    if from < 2 {
        connection.execute_batch(intent_rows::SCHEMA)?;
    }
    if from < 3 {
        connection.execute_batch(order_rows::SCHEMA)?;
    }
    if from < 4 {
        connection.execute_batch(forget_rows::SCHEMA)?;
    }
    if from < INDEXED_LATER {
        connection.execute_batch("DROP INDEX leads_by_lead; DROP INDEX leads_by_person")?;
    } else {
        let drop = "DROP TRIGGER a_lead_leaves_the_index_too; DROP TABLE lead_index; DROP TABLE indexed";
        connection.execute_batch(drop)?;
    }
    leads::index_all(connection)?;
    // An owner of an earlier leadrelay, if one still runs, cannot go on without its index: it is to stop, not to stumble.
    connection.execute_batch("UPDATE meta SET epoch = epoch + 1")
}

fn tables(version: u32) -> &'static [&'static str] {
    const EARLIER: [&str; 11] = [
        "leads NOT INDEXED",
        "leads INDEXED BY leads_by_lead",
        "leads INDEXED BY leads_by_person",
        "withdrawals",
        "wait_queues",
        "ballast",
        "intents",
        "posts",
        "orders",
        "suppressions",
        "forgettings",
    ];
    // The index of schema 5, what it has in common with this one, and this one's index.
    const LATER: [&str; 12] = [
        "lead_index",
        "leads",
        "indexed",
        "withdrawals",
        "wait_queues",
        "ballast",
        "intents",
        "posts",
        "orders",
        "suppressions",
        "forgettings",
        "lead_pages",
    ];
    match version {
        1 => &EARLIER[..6],
        2 => &EARLIER[..8],
        3 => &EARLIER[..9],
        4 => &EARLIER,
        5 => &LATER[..11],
        _ => &LATER[1..],
    }
}
