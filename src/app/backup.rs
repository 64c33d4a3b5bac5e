//! Backups of the store: a folder with a copy of each file and a manifest, taken beside a running worker.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::parts;
use crate::config::{Config, Store};
use crate::store::sqlite::backup;
pub use crate::telemetry::events::Kept;

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

/// Copies both files into a new folder. It stands there under its name only once it is whole and has been checked.
pub fn take(config: &Config, folder: &Path, now: Timestamp, replace: bool) -> anyhow::Result<Manifest> {
    if folder.exists() && !replace {
        bail!("{} is there already: name another folder, or give --replace", folder.display());
    }
    if folder.exists() && !folder.join(MANIFEST).is_file() {
        bail!("{} is there already, and is no backup: name another folder", folder.display());
    }
    let partial = beside(folder, "partial");
    let made = DirBuilder::new().mode(0o700).create(&partial);
    made.with_context(|| {
        format!("cannot make {} (left by a backup that was cut short? Remove it)", partial.display())
    })?;
    let manifest = fill(config, &partial, now).inspect_err(|_| {
        // What cannot be removed is named by the next attempt.
        let _ = fs::remove_dir_all(&partial);
    })?;
    let earlier = beside(folder, "replaced");
    if folder.exists() {
        fs::rename(folder, &earlier)?;
    }
    fs::rename(&partial, folder)?;
    sync_folder_of(folder)?;
    if earlier.exists() {
        fs::remove_dir_all(&earlier)?;
    }
    Ok(manifest)
}

fn fill(config: &Config, folder: &Path, now: Timestamp) -> anyhow::Result<Manifest> {
    let ledger = copy(config, Kept::Ledger, folder)?;
    let has_letters = place(config, Kept::Letters).metadata().is_ok_and(|found| found.len() > 0);
    let letters = has_letters.then(|| copy(config, Kept::Letters, folder)).transpose()?;
    let fingerprint = parts::keyring(config).fingerprint();
    let leadrelay = env!("CARGO_PKG_VERSION").to_owned();
    let manifest = Manifest { format: FORMAT, leadrelay, taken_at: now, fingerprint, ledger, letters };
    let file = new_file(&folder.join(MANIFEST))?;
    serde_json::to_writer_pretty(&file, &manifest)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    Ok(manifest)
}

fn copy(config: &Config, kept: Kept, folder: &Path) -> anyhow::Result<Copied> {
    let (to, keyring) = (folder.join(file_name(kept)), parts::keyring(config));
    // SQLite writes into an empty file, and so with our mode; it does not sync what it has written.
    let file = new_file(&to)?;
    backup::copy(kept, place(config, kept), &to, &keyring)?;
    file.sync_all()?;
    let whole = backup::look_over(kept, &to, &keyring)?;
    let (bytes, sha256) = checksum(&to)?;
    Ok(Copied { schema: whole.schema, bytes, sha256 })
}

/// What is wrong with a backup, file by file; nothing, where it is whole and of the configured secret.
pub fn verify(config: &Config, folder: &Path) -> anyhow::Result<(Manifest, Vec<String>)> {
    let manifest = read_manifest(folder)?;
    let keyring = parts::keyring(config);
    let mut wrong = Vec::new();
    if manifest.fingerprint != keyring.fingerprint() {
        wrong.push("it was taken under another identity.key_secret: configure the secret of that time".to_owned());
    }
    for (kept, copied) in manifest.files() {
        wrong.extend(verify_file(&folder.join(file_name(kept)), kept, copied, &keyring).err());
    }
    Ok((manifest, wrong))
}

fn verify_file(
    path: &Path,
    kept: Kept,
    copied: &Copied,
    keyring: &crate::domain::lead_key::Keyring,
) -> Result<(), String> {
    let (bytes, sha256) = checksum(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if (bytes, &sha256) != (copied.bytes, &copied.sha256) {
        let path = path.display();
        return Err(format!("{path} is not as it was written: its checksum is another. Take an earlier backup"));
    }
    let whole = backup::look_over(kept, path, keyring).map_err(|unfit| unfit.to_string())?;
    if whole.schema == copied.schema {
        Ok(())
    } else {
        Err(format!("{} has schema {}, the manifest says {}", path.display(), whole.schema, copied.schema))
    }
}

fn read_manifest(folder: &Path) -> anyhow::Result<Manifest> {
    let path = folder.join(MANIFEST);
    let text =
        fs::read(&path).with_context(|| format!("{} is no backup: cannot read its manifest", folder.display()))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).with_context(|| format!("{} is no manifest of a backup", path.display()))?;
    if manifest.format != FORMAT {
        bail!(
            "{} has format {}: run the leadrelay {} that wrote it",
            path.display(),
            manifest.format,
            manifest.leadrelay
        );
    }
    Ok(manifest)
}

/// What a restore has put in place, and what it has kept of what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub taken_at: Timestamp,
    pub put: Vec<PathBuf>,
    pub kept: Vec<PathBuf>,
}

/// Puts a verified backup in place while nobody works on the store.
pub fn restore(config: &Config, folder: &Path, now: Timestamp, replace: bool) -> anyhow::Result<Restored> {
    let (manifest, wrong) = verify(config, folder)?;
    if !wrong.is_empty() {
        bail!("the backup cannot be restored: {}", wrong.join("; "));
    }
    // Both are held before anything is touched, and to the end.
    let mut held = Vec::new();
    for (kept, _) in manifest.files() {
        held.extend(hold(place(config, kept), replace)?);
    }
    let mut restored = Restored { taken_at: manifest.taken_at, put: Vec::new(), kept: Vec::new() };
    // The copies are made before anything is moved: a full disk leaves all as it was.
    let copies = manifest.files().map(|(kept, _)| Ok((prepare(config, kept, folder, now)?, place(config, kept))));
    for (copy, place) in copies.collect::<anyhow::Result<Vec<_>>>()? {
        restored.kept.extend(move_away(place, now)?);
        fs::rename(&copy, place)?;
        sync_folder_of(place)?;
        restored.put.push(place.to_owned());
    }
    drop(held);
    Ok(restored)
}

fn hold(place: &Path, replace: bool) -> anyhow::Result<Option<File>> {
    if !place.exists() {
        return Ok(None);
    }
    match backup::hold(place).with_context(|| format!("cannot lock {}", place.display()))? {
        None => bail!("{} is in use: stop the worker and every other leadrelay that has it open", place.display()),
        Some(_) if !replace => {
            bail!("{} is there already: --replace keeps it beside the restored one", place.display())
        }
        held => Ok(held),
    }
}

/// A copy of the backup beside its place, ready to be worked on.
fn prepare(config: &Config, kept: Kept, folder: &Path, now: Timestamp) -> anyhow::Result<PathBuf> {
    let to = beside(place(config, kept), "restoring");
    let context = || format!("cannot make {} (left by a restore that was cut short? Remove it)", to.display());
    let mut file = new_file(&to).with_context(context)?;
    let prepared = (|| {
        io::copy(&mut File::open(folder.join(file_name(kept)))?, &mut file)?;
        if kept == Kept::Ledger {
            backup::raise_epoch_beyond_all(&to, &parts::keyring(config), now)?;
        }
        Ok(file.sync_all()?)
    })();
    prepared.map(|()| to.clone()).inspect_err(|_: &anyhow::Error| {
        // What cannot be removed is named by the next attempt.
        let _ = fs::remove_file(&to);
    })
}

/// With its log, which may hold what the file does not.
fn move_away(place: &Path, now: Timestamp) -> anyhow::Result<Option<PathBuf>> {
    if !place.exists() {
        return Ok(None);
    }
    let aside = beside(place, &format!("before-{}", now.strftime("%Y%m%dT%H%M%S%3fZ")));
    // Log first: a file in place without its log would be another.
    for suffix in ["-wal", "-shm", ""] {
        let from = with_suffix(place, suffix);
        if from.exists() {
            fs::rename(&from, with_suffix(&aside, suffix))?;
        }
    }
    Ok(Some(aside))
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

fn checksum(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut bytes = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = io::Read::read(&mut file, &mut buffer)?;
        if read == 0 {
            return Ok((bytes, hex::encode(hash.finalize())));
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}
