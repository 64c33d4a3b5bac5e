//! Backups of the store: a folder with a copy of each file and a manifest, taken beside a running worker.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Store};
pub use crate::telemetry::events::Kept;

mod restore;
mod take;
mod verify;

pub use restore::{Restored, restore};
pub use take::take;
pub use verify::verify;

const MANIFEST: &str = "manifest.json";
/// Of the manifest: another layout gets another number.
const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub leadrelay: String,
    pub taken_at: Timestamp,
    /// Of the secret under which all of it was kept.
    pub fingerprint: String,
    pub ledger: Copied,
    /// `None`: there was no dead-letter office yet.
    pub letters: Option<Copied>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    pub schema: u32,
    pub bytes: u64,
    pub sha256: String,
}

impl Manifest {
    pub fn files(&self) -> impl Iterator<Item = (Kept, &Copied)> {
        [(Kept::Ledger, Some(&self.ledger)), (Kept::Letters, self.letters.as_ref())]
            .into_iter()
            .filter_map(|(kept, copied)| Some((kept, copied?)))
    }
}

pub fn file_name(kept: Kept) -> &'static str {
    match kept {
        Kept::Ledger => "ledger.db",
        Kept::Letters => "letters.db",
    }
}

fn place(config: &Config, kept: Kept) -> &Path {
    let (Store::Sqlite(ledger), Store::Sqlite(letters)) = (&config.store, &config.office.store);
    match kept {
        Kept::Ledger => ledger,
        Kept::Letters => letters,
    }
}

fn beside(path: &Path, what: &str) -> PathBuf {
    with_suffix(path, &format!(".{what}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    // A folder may be written with a slash at its end.
    let mut name = path.components().as_path().as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// For our eyes only, and never in the place of another.
fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
