//! A file of ours: told from a foreign one before SQLite touches it, created whole, opened under one secret only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior};

use super::fault::{Fault, Subject, Trouble, When, Words};

/// What is kept in a file of ours, and how it is laid out.
pub(super) struct Kind {
    pub words: Words,
    /// In the header of every such file (<https://sqlite.org/fileformat2.html#application_id>).
    pub application_id: u32,
    /// Of the tables that `create` makes. Another layout gets another number, and a migration from this one.
    pub schema_version: u32,
    pub create: fn(&Connection, &str) -> rusqlite::Result<()>,
    /// From an earlier version, inside a transaction.
    pub migrate: fn(&Connection, u32) -> rusqlite::Result<()>,
    /// What is read once when a file is opened.
    pub tables: fn(u32) -> &'static [&'static str],
    /// What another secret would do.
    pub under_another_secret: &'static str,
    pub prepare: fn(&Connection) -> rusqlite::Result<()>,
}

/// How long another process may hold the lock before we call the ledger unavailable. Ours hold it for milliseconds.
const BUSY: Duration = Duration::from_secs(5);

/// Which file, of which kind, and under which secret.
#[derive(Clone)]
pub(super) struct StoreFile {
    pub subject: Subject,
    pub kind: &'static Kind,
    pub fingerprint: String,
}

/// The file as it was when opened: one that was moved away or replaced since is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode(u64, u64);

impl StoreFile {
    pub fn new(path: PathBuf, kind: &'static Kind, fingerprint: String) -> Self {
        Self { subject: Subject { path, words: &kind.words }, kind, fingerprint }
    }

    pub fn path(&self) -> &Path {
        &self.subject.path
    }

    /// Opens the file for a writer; where there is none, creates it.
    pub fn open_or_create(&self) -> Result<Connection, Trouble> {
        if self.header(When::Starting)? == Header::Empty {
            self.create_empty()?;
        }
        self.open(When::Starting)
    }

    /// Opens it for a writer; where there is none, says so.
    pub fn open_existing(&self) -> Result<Connection, Trouble> {
        match self.header(When::Starting)? {
            Header::Ours => self.open(When::Starting),
            Header::Empty => Err(self.not_yet()),
        }
    }

    /// Opens what a worker keeps, of our own schema, to write beside it: a worker of an earlier leadrelay could not open
    /// again what we had brought up.
    pub fn open_as_it_is(&self) -> Result<Connection, Trouble> {
        let explain = |error| self.subject.explain(&Fault::from(error), When::Starting);
        let (found, ours) = (version(&self.open_read_only()?).map_err(explain)?, self.kind.schema_version);
        if found == ours {
            return self.open(When::Starting);
        }
        Err(Trouble::Unusable(format!(
            "{} has schema {found}, this leadrelay writes schema {ours}: start this leadrelay's worker first, which \
             brings it up",
            self.subject
        )))
    }

    /// From now on what is deleted over this connection is overwritten in the file, not only given free
    /// (<https://sqlite.org/pragma.html#pragma_secure_delete>).
    pub fn overwrite_what_is_deleted(&self, connection: &Connection) -> Result<(), Trouble> {
        let told = connection.pragma_update(None, "secure_delete", "ON");
        told.map_err(|error| self.subject.explain(&Fault::from(error), When::Starting))
    }

    /// Empties the write-ahead log, which holds pages as they were before: "all content in the WAL file is transferred …
    /// and the WAL file is truncated" (<https://sqlite.org/pragma.html#pragma_wal_checkpoint>). `false`: somebody was
    /// reading or writing all the time that we waited.
    pub fn empty_log(&self) -> Result<bool, Trouble> {
        let connection = self.open_existing()?;
        let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        busy.map(|busy| busy == 0).map_err(|error| self.subject.explain(&Fault::from(error), When::Starting))
    }

    /// Opens it again after trouble. Never creates: a disk that is not mounted is not an empty store.
    pub fn open_again(&self) -> Result<Connection, Trouble> {
        match self.header(When::Running)? {
            Header::Ours => self.open(When::Running),
            Header::Empty => Err(self.gone()),
        }
    }

    /// Opens it to look, while a worker may be writing.
    pub fn open_read_only(&self) -> Result<Connection, Trouble> {
        if self.header(When::Starting)? == Header::Empty {
            return Err(self.not_yet());
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let explain = |error| self.subject.explain(&Fault::from(error), When::Starting);
        let connection = Connection::open_with_flags(self.path(), flags).map_err(explain)?;
        connection.busy_timeout(BUSY).map_err(explain)?;
        self.check_version(&connection, When::Starting)?;
        Ok(connection)
    }

    /// Opens it as it lies there, under our secret, to change a thing before anybody works on it: no log, no new schema.
    pub fn open_to_change(&self) -> Result<Connection, Trouble> {
        let explain = |error| self.subject.explain(&Fault::from(error), When::Starting);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.path(), flags).map_err(explain)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(explain)?;
        self.check_secret(&connection, When::Starting)?;
        Ok(connection)
    }

    fn open(&self, when: When) -> Result<Connection, Trouble> {
        let explain = |fault: Fault| self.subject.explain(&fault, when);
        let before = self.inode()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(self.path(), flags).map_err(Fault::from).map_err(explain)?;
        // Where it may not write, SQLite opens for reading without a word.
        if connection.is_readonly(MAIN_DB).map_err(Fault::from).map_err(explain)? {
            return Err(self.subject.closed_to_us("read-only", when));
        }
        self.create_tables(&mut connection).map_err(explain)?;
        let version = self.look(&mut connection, when)?;
        if version != self.kind.schema_version {
            self.migrate(&mut connection).map_err(explain)?;
            touch(&connection, (self.kind.tables)(self.kind.schema_version)).map_err(explain)?;
        }
        self.prepare_for_writing(&connection).map_err(explain)?;
        // A restore moves the file away while it holds it: whoever waited for that has the one that was moved.
        if self.inode()? != before {
            return Err(self.subject.unavailable("another file was put in its place just now: start again"));
        }
        Ok(connection)
    }

    /// The version of a file that is whole, as far as one sees, and ours. Of one moment: another process may be bringing it
    /// up.
    fn look(&self, connection: &mut Connection, when: When) -> Result<u32, Trouble> {
        let explain = |fault: Fault| self.subject.explain(&fault, when);
        let moment = connection.transaction().map_err(Fault::from).map_err(explain)?;
        let version = self.check_version(&moment, when)?;
        self.check_secret(&moment, when)?;
        touch(&moment, (self.kind.tables)(version)).map_err(explain)?;
        moment.rollback().map_err(Fault::from).map_err(explain)?;
        Ok(version)
    }

    /// In a rollback journal, before the file becomes WAL: so the header in the file itself always tells whose it is.
    fn create_tables(&self, connection: &mut Connection) -> Result<(), Fault> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        if !is_empty(connection)? {
            return Ok(());
        }
        let creation = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        // Another process may have created them while we waited for the lock.
        if is_empty(&creation)? {
            (self.kind.create)(&creation, &self.fingerprint)?;
            creation.pragma_update(None, "application_id", self.kind.application_id)?;
            creation.pragma_update(None, "user_version", self.kind.schema_version)?;
        }
        Ok(creation.commit()?)
    }

    /// Brings a file of an earlier leadrelay up to ours, all at once or not at all. That one cannot read it any more.
    fn migrate(&self, connection: &mut Connection) -> Result<(), Fault> {
        let migration = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = version(&migration)?;
        // Another process may have done it while we waited for the lock.
        if found != self.kind.schema_version {
            (self.kind.migrate)(&migration, found)?;
            migration.pragma_update(None, "user_version", self.kind.schema_version)?;
        }
        Ok(migration.commit()?)
    }

    fn check_version(&self, connection: &Connection, when: When) -> Result<u32, Trouble> {
        let found = version(connection).map_err(|error| self.subject.explain(&Fault::from(error), when))?;
        let ours = self.kind.schema_version;
        if (1..=ours).contains(&found) {
            return Ok(found);
        }
        Err(Trouble::Unusable(format!(
            "{} has schema {found}, this leadrelay knows schema {ours}: it was kept by a newer leadrelay, run that one; \
             nothing in it was changed",
            self.subject
        )))
    }

    pub fn check_secret(&self, connection: &Connection, when: When) -> Result<(), Trouble> {
        let kept = fingerprint(connection).map_err(|fault| self.subject.explain(&fault, when))?;
        if kept == self.fingerprint {
            return Ok(());
        }
        Err(Trouble::Unusable(format!(
            "{} was kept under another identity.key_secret (fingerprint {}…; the configured one is {}…), and under \
             this one {}. Configure the old secret again, or name another file in {}",
            self.subject,
            short(&kept),
            short(&self.fingerprint),
            self.kind.under_another_secret,
            self.kind.words.setting,
        )))
    }

    /// WAL with FULL: a commit is on the disk when it returns (<https://sqlite.org/pragma.html#pragma_synchronous>).
    fn prepare_for_writing(&self, connection: &Connection) -> Result<(), Fault> {
        become_wal(connection)?;
        // 16 MiB of log between checkpoints: pages that change often are copied once, not every few commits.
        connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
        // 8 MiB. The system caches the rest of the file.
        connection.pragma_update(None, "cache_size", -8_192)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok((self.kind.prepare)(connection)?)
    }

    /// Reads the first bytes without SQLite, which would roll a foreign file's journal back.
    fn header(&self, when: When) -> Result<Header, Trouble> {
        let subject = &self.subject;
        let file = match File::open(self.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.folder_exists().map(|()| Header::Empty);
            }
            Err(error) => return Err(subject.explain_io(&error, when)),
        };
        if file.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(subject.foreign("it is not a file"));
        }
        let mut bytes = Vec::new();
        file.take(100).read_to_end(&mut bytes).map_err(|error| subject.explain_io(&error, when))?;
        match bytes.get(68..72) {
            _ if bytes.is_empty() => Ok(Header::Empty),
            _ if !bytes.starts_with(b"SQLite format 3\0") => Err(subject.foreign("it is no SQLite database")),
            Some(id) if id == self.kind.application_id.to_be_bytes() => Ok(Header::Ours),
            Some(_) => Err(subject.foreign("it is the database of another program")),
            None => Err(subject.damaged("it is cut short")),
        }
    }

    fn folder_exists(&self) -> Result<(), Trouble> {
        match self.path().parent() {
            Some(folder) if folder != Path::new("") && !folder.is_dir() => Err(Trouble::Unusable(format!(
                "there is no folder {} for {}: create it, or name another file in {}",
                folder.display(),
                self.subject,
                self.kind.words.setting,
            ))),
            _ => Ok(()),
        }
    }

    /// For our eyes only: SQLite gives its journals the mode of the file.
    fn create_empty(&self) -> Result<(), Trouble> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(self.path()) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(self.subject.explain_io(&error, When::Starting)),
        }
    }

    /// The file that stands at the path now.
    pub fn inode(&self) -> Result<Inode, Trouble> {
        match fs::metadata(self.path()) {
            Ok(found) => Ok(inode(&found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.gone()),
            Err(error) => Err(self.subject.explain_io(&error, When::Running)),
        }
    }

    fn gone(&self) -> Trouble {
        let what = format!("the file is gone: bring it back, or restart to begin a new {}", self.kind.words.name);
        self.subject.unavailable(&what)
    }

    fn not_yet(&self) -> Trouble {
        let (name, path) = (self.kind.words.name, self.path().display());
        Trouble::Unusable(format!("there is no {name} at {path}: no worker has run yet"))
    }
}

/// Enough of a fingerprint to tell two apart.
pub(super) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..8).unwrap_or(fingerprint)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    /// No file, or one of no bytes.
    Empty,
    Ours,
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

pub(super) fn fingerprint(connection: &Connection) -> Result<String, Fault> {
    Ok(connection.query_row("SELECT fingerprint FROM meta", [], |row| row.get(0))?)
}

/// Finds the coarse damage before anything is consumed. What lies deeper shows when it is read, and is told then.
fn touch(connection: &Connection, tables: &[&str]) -> Result<(), Fault> {
    for table in tables {
        connection.query_row(&format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)"), [], |_| Ok(()))?;
    }
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

#[cfg(unix)]
fn inode(found: &fs::Metadata) -> Inode {
    use std::os::unix::fs::MetadataExt;
    Inode(found.dev(), found.ino())
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> Inode {
    Inode(0, 0)
}
