//! The ledger's file: told from a foreign one before SQLite touches it, created whole, opened under one secret only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior};

use super::fault::{Fault, When, closed_to_us, damaged, explain_io, not_a_ledger, unavailable};
use super::{intent_rows, leads, rows};
use crate::store::ledger::LedgerError;

/// `LRLY`, in the header of every ledger (<https://sqlite.org/fileformat2.html#application_id>).
const APPLICATION_ID: u32 = 0x4c52_4c59;
/// Of the tables below, with those of [`leads`] and [`intent_rows`]. Another layout gets another number, and a migration
/// from this one: 1 had no intents, 2 had two indexes on `leads` that every commit wrote.
const SCHEMA_VERSION: u32 = 3;

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

/// How long another process may hold the lock before we call the ledger unavailable. Ours hold it for milliseconds.
const BUSY: Duration = Duration::from_secs(5);

/// Which file, and under which secret.
#[derive(Clone, Debug)]
pub(super) struct LedgerFile {
    pub path: PathBuf,
    pub fingerprint: String,
}

/// The file as it was when opened: one that was moved away or replaced since is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode(u64, u64);

impl LedgerFile {
    /// Opens the ledger for its writer; where there is none, creates it.
    pub fn open_or_create(&self) -> Result<Connection, LedgerError> {
        if header(&self.path, When::Starting)? == Header::Empty {
            create_empty(&self.path)?;
        }
        self.open(When::Starting)
    }

    /// Opens it again after trouble. Never creates: a disk that is not mounted is not an empty ledger.
    pub fn open_again(&self) -> Result<Connection, LedgerError> {
        match header(&self.path, When::Running)? {
            Header::Ledger => self.open(When::Running),
            Header::Empty => Err(gone(&self.path)),
        }
    }

    fn open(&self, when: When) -> Result<Connection, LedgerError> {
        let explain = |fault: Fault| fault.explain(&self.path, when);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.path, flags).map_err(Fault::from).map_err(explain)?;
        // Where it may not write, SQLite opens for reading without a word.
        if connection.is_readonly(MAIN_DB).map_err(Fault::from).map_err(explain)? {
            return Err(closed_to_us(&self.path, "read-only", when));
        }
        self.create_tables(&mut connection).map_err(explain)?;
        check_version(&connection, &self.path, when)?;
        self.check_secret(&connection, when)?;
        touch(&connection, &TABLES_OF_1).map_err(explain)?;
        migrate(&mut connection).map_err(explain)?;
        touch(&connection, &TABLES_SINCE).map_err(explain)?;
        prepare_for_writing(&connection).map_err(explain)?;
        Ok(connection)
    }

    /// In a rollback journal, before the file becomes WAL: so the header in the file itself always tells whose it is.
    fn create_tables(&self, connection: &mut Connection) -> Result<(), Fault> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        if !is_empty(connection)? {
            return Ok(());
        }
        let creation = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        // Another worker may have created them while we waited for the lock.
        if is_empty(&creation)? {
            for schema in [SCHEMA, leads::SCHEMA, intent_rows::SCHEMA, leads::INDEX_SCHEMA] {
                creation.execute_batch(schema)?;
            }
            creation.execute("INSERT INTO indexed VALUES (1, 0)", [])?;
            creation.execute("INSERT INTO meta VALUES (1, ?1, 0)", [&self.fingerprint])?;
            creation.pragma_update(None, "application_id", APPLICATION_ID)?;
            creation.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        Ok(creation.commit()?)
    }

    fn check_secret(&self, connection: &Connection, when: When) -> Result<(), LedgerError> {
        let kept = rows::fingerprint(connection).map_err(|fault| fault.explain(&self.path, when))?;
        if kept == self.fingerprint {
            return Ok(());
        }
        Err(LedgerError::Unusable(format!(
            "the ledger {} was kept under another identity.key_secret (fingerprint {}…; the configured one is {}…), \
             and under this one would recognise no lead and no withdrawal. Configure the old secret again, or name \
             another file in store.url",
            self.path.display(),
            short(&kept),
            short(&self.fingerprint),
        )))
    }

    /// The file that stands at the path now.
    pub fn inode(&self) -> Result<Inode, LedgerError> {
        match fs::metadata(&self.path) {
            Ok(found) => Ok(inode(&found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(gone(&self.path)),
            Err(error) => Err(explain_io(&self.path, &error, When::Running)),
        }
    }
}

/// Enough of a fingerprint to tell two apart.
pub(super) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..8).unwrap_or(fingerprint)
}

/// Opens the ledger to look, while a worker may be writing.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, LedgerError> {
    if header(path, When::Starting)? == Header::Empty {
        return Err(LedgerError::Unusable(format!("there is no ledger at {}: no worker has run yet", path.display())));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let explain = |error| Fault::from(error).explain(path, When::Starting);
    let connection = Connection::open_with_flags(path, flags).map_err(explain)?;
    connection.busy_timeout(BUSY).map_err(explain)?;
    check_version(&connection, path, When::Starting)?;
    Ok(connection)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    /// No file, or one of no bytes.
    Empty,
    Ledger,
}

/// Reads the first bytes without SQLite, which would roll a foreign file's journal back.
fn header(path: &Path, when: When) -> Result<Header, LedgerError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return folder_exists(path).map(|()| Header::Empty),
        Err(error) => return Err(explain_io(path, &error, when)),
    };
    if file.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(not_a_ledger(path, "it is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(100).read_to_end(&mut bytes).map_err(|error| explain_io(path, &error, when))?;
    match bytes.get(68..72) {
        _ if bytes.is_empty() => Ok(Header::Empty),
        _ if !bytes.starts_with(b"SQLite format 3\0") => Err(not_a_ledger(path, "it is no SQLite database")),
        Some(id) if id == APPLICATION_ID.to_be_bytes() => Ok(Header::Ledger),
        Some(_) => Err(not_a_ledger(path, "it is the database of another program")),
        None => Err(damaged(path, "it is cut short")),
    }
}

fn folder_exists(path: &Path) -> Result<(), LedgerError> {
    match path.parent() {
        Some(folder) if folder != Path::new("") && !folder.is_dir() => Err(LedgerError::Unusable(format!(
            "there is no folder {} for the ledger {}: create it, or name another file in store.url",
            folder.display(),
            path.display(),
        ))),
        _ => Ok(()),
    }
}

/// For our eyes only: SQLite gives its journals the mode of the file.
fn create_empty(path: &Path) -> Result<(), LedgerError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(explain_io(path, &error, When::Starting)),
    }
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

fn check_version(connection: &Connection, path: &Path, when: When) -> Result<(), LedgerError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
    let found = found.map_err(|error| Fault::from(error).explain(path, when))?;
    if (1..=SCHEMA_VERSION).contains(&found) {
        return Ok(());
    }
    Err(LedgerError::Unusable(format!(
        "the ledger {} has schema {found}, this leadrelay knows schema {SCHEMA_VERSION}: it was kept by a newer \
         leadrelay, run that one; nothing in it was changed",
        path.display()
    )))
}

/// Brings a ledger of an earlier leadrelay up to ours, all at once or not at all. That one cannot read it any more.
fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    let version =
        |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
    if version(connection)? == SCHEMA_VERSION {
        return Ok(());
    }
    let migration = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another worker may have done it while we waited for the lock.
    let found = version(&migration)?;
    if found < 2 {
        migration.execute_batch(intent_rows::SCHEMA)?;
    }
    if found < 3 {
        migration.execute_batch("DROP INDEX leads_by_lead; DROP INDEX leads_by_person")?;
        migration.execute_batch(leads::INDEX_SCHEMA)?;
        migration.execute_batch(leads::INDEX_ALL)?;
    }
    migration.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(migration.commit()?)
}

const TABLES_OF_1: [&str; 4] = ["leads NOT INDEXED", "withdrawals", "wait_queues", "ballast"];
const TABLES_SINCE: [&str; 4] = ["intents", "posts", "lead_index", "indexed"];

/// Finds the coarse damage before anything is consumed. What lies deeper shows when it is read, and is told then.
fn touch(connection: &Connection, tables: &[&str]) -> Result<(), Fault> {
    for table in tables {
        connection.query_row(&format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)"), [], |_| Ok(()))?;
    }
    Ok(())
}

/// WAL with FULL: a commit is on the disk when it returns (<https://sqlite.org/pragma.html#pragma_synchronous>).
fn prepare_for_writing(connection: &Connection) -> Result<(), Fault> {
    become_wal(connection)?;
    // 16 MiB of log between checkpoints: pages that change often are copied once, not every few commits.
    connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
    // 16 MiB. The system caches the rest of the file.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// SQLite does not wait for another worker that makes the same change at the same moment: it raises a read lock to a
/// write lock, and says "busy" at once rather than risk a deadlock. So we wait for that worker's lock, then ask again.
fn become_wal(connection: &Connection) -> Result<(), Fault> {
    const TRIES: u32 = 20;
    for _ in 1..TRIES {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
            }
            told => return Ok(told?),
        }
    }
    Ok(connection.pragma_update(None, "journal_mode", "WAL")?)
}

fn gone(path: &Path) -> LedgerError {
    unavailable(path, "the file is gone: bring it back, or restart to begin a new ledger")
}

#[cfg(unix)]
fn inode(found: &fs::Metadata) -> Inode {
    use std::os::unix::fs::MetadataExt;
    Inode(found.dev(), found.ino())
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> Inode {
    Inode(0, 0)
}
