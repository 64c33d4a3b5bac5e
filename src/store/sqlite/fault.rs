//! What can go wrong with the file, and what a person is told of it: the file, what is wrong, and the mend.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::store::dead_letters::LettersError;
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

/// A fault explained: what a person is told, and whether it may pass by itself.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    Unavailable(String),
    Superseded,
    Unusable(String),
}

impl From<Trouble> for LedgerError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unavailable(why) => Self::Unavailable(why),
            Trouble::Superseded => Self::Superseded,
            Trouble::Unusable(why) => Self::Unusable(why),
        }
    }
}

/// Letters know no epoch: nobody supersedes anybody.
impl From<Trouble> for LettersError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unavailable(why) => Self::Unavailable(why),
            Trouble::Superseded => Self::Unavailable("superseded".into()),
            Trouble::Unusable(why) => Self::Unusable(why),
        }
    }
}

/// What the file is to whoever must mend it.
#[derive(Debug)]
pub(super) struct Words {
    /// `ledger`
    pub name: &'static str,
    /// The key that names the file.
    pub setting: &'static str,
    /// What becomes of it if it is moved away because it is damaged.
    pub lost: &'static str,
}

/// The file that has the trouble.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub path: PathBuf,
    pub words: &'static Words,
}

impl Subject {
    pub fn explain(&self, fault: &Fault, when: When) -> Trouble {
        match fault {
            Fault::Superseded => Trouble::Superseded,
            Fault::Damaged => self.damaged("a row cannot be read"),
            Fault::Sqlite(error) => self.explain_sqlite(error, when),
        }
    }

    fn explain_sqlite(&self, error: &rusqlite::Error, when: When) -> Trouble {
        let busy = "another process keeps it locked: look for one that was stopped in the middle of a write";
        match error.sqlite_error_code() {
            None => self.damaged(&error.to_string()),
            Some(ErrorCode::NotADatabase) => self.foreign("it is no SQLite database"),
            Some(ErrorCode::DatabaseCorrupt) => self.damaged(&error.to_string()),
            Some(ErrorCode::DiskFull) => self.unavailable(FULL),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => self.unavailable(busy),
            Some(ErrorCode::ReadOnly) => self.closed_to_us("read-only", when),
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => self.closed_to_us("not to be opened", when),
            Some(ErrorCode::SystemIoFailure) => self.unavailable(&format!("its disk answers with errors ({error})")),
            Some(_) => Trouble::Unusable(format!("{self}: SQLite refuses: {error}")),
        }
    }

    pub fn explain_io(&self, error: &io::Error, when: When) -> Trouble {
        match error.kind() {
            io::ErrorKind::StorageFull => self.unavailable(FULL),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                self.closed_to_us(&error.to_string(), when)
            }
            _ => self.unavailable(&error.to_string()),
        }
    }

    pub fn unavailable(&self, what: &str) -> Trouble {
        Trouble::Unavailable(format!("{}: {what}", self.path.display()))
    }

    pub fn foreign(&self, why: &str) -> Trouble {
        let Words { name, setting, .. } = self.words;
        Trouble::Unusable(format!(
            "{} is not a leadrelay {name}: {why}; nothing in it was changed. Name another file in {setting}, or move \
             this one away and a new {name} is created",
            self.path.display()
        ))
    }

    pub fn damaged(&self, what: &str) -> Trouble {
        let lost = self.words.lost;
        Trouble::Unusable(format!("{self} is damaged ({what}). Restore a backup of it, or move it away: {lost}"))
    }

    pub fn closed_to_us(&self, what: &str, when: When) -> Trouble {
        let mend = "the file and its folder must be readable and writable for the user that runs leadrelay";
        match when {
            When::Starting => Trouble::Unusable(format!("{self}: {what}; {mend}")),
            When::Running => self.unavailable(&format!("{what}; {mend}")),
        }
    }
}

/// `the ledger /srv/ledger.db`
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} {}", self.words.name, self.path.display())
    }
}

const FULL: &str = "the disk is full: make room, and it goes on by itself";

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn every_trouble_names_the_file_and_tells_whether_it_may_pass() {
        let check = |code, when, passes: bool, says: &str| {
            let fault = Fault::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            let subject = Subject { path: "/srv/ledger.db".into(), words: &super::super::LEDGER.words };
            let error = LedgerError::from(subject.explain(&fault, when));
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
