//! The tables of the dead letters.
//!
//! What is listed and searched is apart from what is in a letter, so that a page of a list reads no bodies. Every index
//! begins with the state and what it is for, and ends with the place in a list: a page is read where it begins, in its
//! order, and no further than its end. What is often asked together rides along, and is judged in the index.

use rusqlite::Connection;

use crate::store::sqlite::fault::Words;
use crate::store::sqlite::file::Kind;

pub(in crate::store::sqlite) static LETTERS: Kind = Kind {
    words: Words {
        name: "dead-letter office",
        setting: "office.url",
        lost: "a new one is created, and takes in what is still in the dead queue, but the letters known only to it are \
               lost",
    },
    // `LRLO`
    application_id: 0x4c52_4c4f,
    schema_version: 1,
    create,
    migrate: |_, _| Ok(()),
    tables: |_| &TABLES,
    under_another_secret: "would know no letter again",
    prepare,
};

const SCHEMA: &str = "
    CREATE TABLE meta (only INTEGER PRIMARY KEY CHECK (only = 1), fingerprint TEXT NOT NULL) STRICT;
    CREATE TABLE ballast (only INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
    CREATE TABLE letters (
        id BLOB NOT NULL PRIMARY KEY,
        state TEXT NOT NULL,
        until INTEGER,
        generation INTEGER NOT NULL,
        version INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        ending TEXT,
        cause TEXT NOT NULL,
        detail TEXT,
        class TEXT,
        code TEXT,
        status INTEGER,
        destination TEXT,
        publisher TEXT,
        offer TEXT,
        lead BLOB,
        address BLOB,
        trace_id TEXT,
        attempts INTEGER NOT NULL,
        first_received INTEGER,
        dead_at INTEGER NOT NULL,
        died_generation INTEGER NOT NULL,
        replay_of BLOB,
        size INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX letters_by_age ON letters (state, dead_at, id, cause, destination);
    CREATE INDEX letters_by_cause ON letters (state, cause, dead_at, id, destination);
    CREATE INDEX letters_by_destination ON letters (state, destination, dead_at, id, cause);
    CREATE INDEX letters_by_publisher ON letters (state, publisher, dead_at, id, cause, destination);
    CREATE INDEX letters_by_offer ON letters (state, offer, dead_at, id, cause, destination);
    CREATE INDEX letters_by_lead ON letters (state, lead, dead_at, id) WHERE lead IS NOT NULL;
    CREATE INDEX letters_by_address ON letters (state, address, dead_at, id) WHERE address IS NOT NULL;
    CREATE INDEX letters_settled ON letters (changed_at) WHERE state IN ('replayed', 'discarded');
    CREATE TABLE contents (
        n INTEGER PRIMARY KEY,
        letter BLOB NOT NULL UNIQUE,
        attempts TEXT NOT NULL,
        properties TEXT NOT NULL,
        body BLOB NOT NULL,
        original BLOB
    ) STRICT;
    CREATE TABLE deeds (
        n INTEGER PRIMARY KEY,
        letter BLOB NOT NULL,
        at INTEGER NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        why TEXT NOT NULL
    ) STRICT;
    CREATE INDEX deeds_by_letter ON deeds (letter);
    CREATE INDEX deeds_of_nobody ON deeds (at) WHERE what = 'removed';
    CREATE TABLE plans (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        state TEXT NOT NULL,
        paused_why TEXT,
        terms TEXT NOT NULL,
        owner TEXT,
        owned_until INTEGER,
        made_at INTEGER NOT NULL,
        made_who TEXT NOT NULL,
        made_why TEXT NOT NULL,
        changed_at INTEGER NOT NULL,
        changed_who TEXT NOT NULL,
        changed_why TEXT NOT NULL
    ) STRICT;
    CREATE TABLE members (
        n INTEGER PRIMARY KEY,
        plan INTEGER NOT NULL,
        letter BLOB NOT NULL,
        state TEXT NOT NULL,
        generation INTEGER
    ) STRICT;
    CREATE INDEX members_by_plan ON members (plan, state);
    CREATE UNIQUE INDEX members_by_letter ON members (letter, plan);
";

const TABLES: [&str; 8] = [
    "letters",
    "letters INDEXED BY letters_by_age WHERE state = ''",
    "letters INDEXED BY letters_by_destination WHERE state = ''",
    "contents",
    "deeds",
    "plans",
    "members",
    "ballast",
];

fn create(connection: &Connection, fingerprint: &str) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    connection.execute("INSERT INTO meta VALUES (1, ?1)", [fingerprint]).map(drop)
}

/// What was removed is overwritten in the file, not only forgotten (<https://sqlite.org/pragma.html#pragma_secure_delete>).
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "secure_delete", "ON")
}
