//! What can go wrong with the file, and what a person is told of it: the file, what is wrong, and the mend.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::ledger::LedgerError;

/// What went wrong inside a transaction.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// A row that we cannot have written.
    Damaged,
    Superseded,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// What a person must mend before the start may mend itself once running: a disk that was unplugged comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Starting,
    Running,
}

impl Fault {
    pub fn explain(&self, file: &Path, when: When) -> LedgerError {
        match self {
            Self::Superseded => LedgerError::Superseded,
            Self::Damaged => damaged(file, "a row cannot be read"),
            Self::Sqlite(error) => explain(file, error, when),
        }
    }
}

fn explain(file: &Path, error: &rusqlite::Error, when: When) -> LedgerError {
    let busy = "another process keeps it locked: look for one that was stopped in the middle of a write";
    match error.sqlite_error_code() {
        None => damaged(file, &error.to_string()),
        Some(ErrorCode::NotADatabase) => not_a_ledger(file, "it is no SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => damaged(file, &error.to_string()),
        Some(ErrorCode::DiskFull) => unavailable(file, "the disk is full: make room, and it goes on by itself"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => unavailable(file, busy),
        Some(ErrorCode::ReadOnly) => closed_to_us(file, "read-only", when),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => closed_to_us(file, "not to be opened", when),
        Some(ErrorCode::SystemIoFailure) => unavailable(file, &format!("its disk answers with errors ({error})")),
        Some(_) => LedgerError::Unusable(format!("the ledger {}: SQLite refuses: {error}", file.display())),
    }
}

pub(super) fn explain_io(file: &Path, error: &io::Error, when: When) -> LedgerError {
    match error.kind() {
        io::ErrorKind::StorageFull => unavailable(file, "the disk is full: make room, and it goes on by itself"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            closed_to_us(file, &error.to_string(), when)
        }
        _ => unavailable(file, &error.to_string()),
    }
}

pub(super) fn unavailable(file: &Path, what: &str) -> LedgerError {
    LedgerError::Unavailable(format!("{}: {what}", file.display()))
}

pub(super) fn not_a_ledger(file: &Path, why: &str) -> LedgerError {
    LedgerError::Unusable(format!(
        "{} is not a leadrelay ledger: {why}; nothing in it was changed. Name another file in store.url, or move \
         this one away and a new ledger is created",
        file.display()
    ))
}

pub(super) fn damaged(file: &Path, what: &str) -> LedgerError {
    LedgerError::Unusable(format!(
        "the ledger {} is damaged ({what}). Restore a backup of it, or move it away: a new one is created, \
         destinations recognise what they already hold, but withdrawals known only to it are lost",
        file.display()
    ))
}

pub(super) fn closed_to_us(file: &Path, what: &str, when: When) -> LedgerError {
    let mend = "the file and its folder must be readable and writable for the user that runs leadrelay";
    let text = format!("{}: {what}; {mend}", file.display());
    match when {
        When::Starting => LedgerError::Unusable(format!("the ledger {text}")),
        When::Running => LedgerError::Unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn every_trouble_names_the_file_and_tells_whether_it_may_pass() {
        let check = |code, when, passes: bool, says: &str| {
            let fault = Fault::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            let error = fault.explain(Path::new("/srv/ledger.db"), when);
            assert_eq!(matches!(error, LedgerError::Unavailable(_)), passes, "{error}");
            let text = error.to_string();
            assert!(text.contains("/srv/ledger.db") && text.contains(says), "{text}");
        };
        for when in [When::Starting, When::Running] {
            check(ffi::SQLITE_NOTADB, when, false, "not a leadrelay ledger");
            check(ffi::SQLITE_CORRUPT, when, false, "Restore a backup");
            check(ffi::SQLITE_FULL, when, true, "disk is full");
            check(ffi::SQLITE_BUSY, when, true, "keeps it locked");
            check(ffi::SQLITE_LOCKED, when, true, "keeps it locked");
            check(ffi::SQLITE_IOERR, when, true, "disk answers with errors");
            check(ffi::SQLITE_ERROR, when, false, "SQLite refuses");
            check(ffi::SQLITE_READONLY, when, when == When::Running, "must be readable and writable");
            check(ffi::SQLITE_CANTOPEN, when, when == When::Running, "must be readable and writable");
            check(ffi::SQLITE_PERM, when, when == When::Running, "must be readable and writable");
        }
    }
}
