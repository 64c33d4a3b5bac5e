//! The ledger's tables.

use rusqlite::Connection;

use super::fault::Words;
use super::file::Kind;
use super::{forget_rows, intent_rows, order_rows};

pub(super) static LEDGER: Kind = Kind {
    words: Words {
        name: "ledger",
        setting: "store.url",
        lost: "a new one is created, destinations recognise what they already hold, but withdrawals known only to it are \
               lost",
    },
    // `LRLY`
    application_id: 0x4c52_4c59,
    // 1 had no intents, 2 no orders, 3 nobody who was to be forgotten.
    schema_version: 4,
    create,
    migrate,
    tables,
    under_another_secret: "would recognise no lead and no withdrawal",
    prepare: |_| Ok(()),
};

/// Records are appended in the order in which they come; only two small indexes take keys at random, which is what a
/// disk is slow at. (WITHOUT ROWID, by lead, wrote a third as many leads a second.)
const SCHEMA: &str = "
    CREATE TABLE meta (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        fingerprint TEXT NOT NULL,
        epoch INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE leads (
        id INTEGER PRIMARY KEY,
        lead BLOB NOT NULL,
        destination TEXT NOT NULL,
        person BLOB NOT NULL,
        record BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX leads_by_lead ON leads (lead, destination);
    CREATE INDEX leads_by_person ON leads (person);
    CREATE TABLE withdrawals (
        person BLOB NOT NULL PRIMARY KEY,
        at_second INTEGER NOT NULL,
        at_nanosecond INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE wait_queues (destination TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE ballast (only INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
";

fn create(connection: &Connection, fingerprint: &str) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    connection.execute_batch(intent_rows::SCHEMA)?;
    connection.execute_batch(order_rows::SCHEMA)?;
    connection.execute_batch(forget_rows::SCHEMA)?;
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
    Ok(())
}

fn tables(version: u32) -> &'static [&'static str] {
    const ALL: [&str; 11] = [
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
    match version {
        1 => &ALL[..6],
        2 => &ALL[..8],
        3 => &ALL[..9],
        _ => &ALL,
    }
}
