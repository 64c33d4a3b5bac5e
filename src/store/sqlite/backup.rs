//! Copies of our files: taken beside whoever writes, looked over, and made ready to be worked on again.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;
use rustix::fs::{CWD, FlockOperation, RenameFlags, fcntl_lock, renameat_with};

use super::fault::{Fault, Trouble, When};
use super::file::{Kind, StoreFile, fingerprint, short, version};
use super::letters::LETTERS;
use super::rows;
use super::schema::LEDGER;
use crate::domain::lead_key::Keyring;
use crate::telemetry::events::Kept;

/// What is wrong, and the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

impl From<Trouble> for Unfit {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unavailable(why) | Trouble::Unusable(why) => Self(why),
            Trouble::Superseded => Self("superseded".into()),
        }
    }
}

/// A file that was found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    pub schema: u32,
    pub fingerprint: String,
}

fn kind(kept: Kept) -> &'static Kind {
    match kept {
        Kept::Ledger => &LEDGER,
        Kept::Letters => &LETTERS,
    }
}

/// Copies a file into an empty one as it stands at one moment, while others go on writing to it. Blocks.
///
/// By `VACUUM INTO` (<https://sqlite.org/lang_vacuum.html#vacuuminto>) and not by the backup API, which begins again
/// whenever another process writes, and which also copies what has been removed.
pub fn copy(kept: Kept, from: &Path, to: &Path, keyring: &Keyring) -> Result<(), Unfit> {
    let file = StoreFile::new(from.to_owned(), kind(kept), keyring.fingerprint());
    let explained = |error| file.subject.explain(&Fault::from(error), When::Starting);
    let connection = file.open_read_only()?;
    file.check_secret(&connection, When::Starting)?;
    let name = to.to_str().ok_or_else(|| Unfit(format!("{} is not UTF-8: name another folder", to.display())))?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(explained)?;
    Ok(())
}

/// Reads the whole file, and its indexes. Blocks, and changes nothing.
pub fn look_over(kept: Kept, path: &Path, keyring: &Keyring) -> Result<Whole, Unfit> {
    let file = StoreFile::new(path.to_owned(), kind(kept), keyring.fingerprint());
    let connection = file.open_read_only()?;
    let explained = |fault: Fault| file.subject.explain(&fault, When::Starting);
    let told = integrity(&connection).map_err(|error| explained(error.into()))?;
    if told != "ok" {
        return Err(file.subject.damaged(&told).into());
    }
    let whole = Whole {
        schema: version(&connection).map_err(|error| explained(error.into()))?,
        fingerprint: fingerprint(&connection).map_err(explained)?,
    };
    let ours = &file.fingerprint;
    if whole.fingerprint != *ours {
        return Err(Unfit(format!(
            "{} was kept under another identity.key_secret (fingerprint {}…; the configured one is {}…): configure the \
             secret of that time",
            file.subject,
            short(&whole.fingerprint),
            short(ours)
        )));
    }
    Ok(whole)
}

/// The first thing that is wrong, or `ok`.
fn integrity(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
}

/// The file, held so that nobody can work on it until it is dropped; `None`: somebody has it open. Whoever has one of
/// our files open holds SQLite's shared lock on it (<https://sqlite.org/wal.html#overview>), and this lock excludes that. It needs no sound file.
pub fn hold(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// In no other file's place.
pub fn put_in_place(copy: &Path, place: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, copy, CWD, place, RenameFlags::NOREPLACE)?)
}

/// Makes every owner that there ever was an earlier one, also those that took over after the copy was taken: one takes
/// over less than once a second, so that the seconds since 1970 are ahead of all of them.
pub fn raise_epoch_beyond_all(path: &Path, keyring: &Keyring, now: Timestamp) -> Result<u64, Unfit> {
    let file = StoreFile::new(path.to_owned(), &LEDGER, keyring.fingerprint());
    let explained = |fault: Fault| file.subject.explain(&fault, When::Starting);
    let connection = file.open_to_change()?;
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let epoch = seconds.max(rows::epoch(&connection).map_err(explained)? + 1);
    rows::put_epoch(&connection, epoch).map_err(explained)?;
    Ok(epoch)
}
