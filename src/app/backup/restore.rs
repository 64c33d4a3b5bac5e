//! Puts a backup in place of the store.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::Timestamp;

use super::{Kept, beside, file_name, new_file, place, sync_folder_of, verify, with_suffix};
use crate::app::parts;
use crate::config::Config;
use crate::store::sqlite::backup;

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
    let held = manifest.files().map(|(kept, _)| hold(place(config, kept), replace));
    let held: Vec<Option<File>> = held.collect::<anyhow::Result<_>>()?;
    let mut restored = Restored { taken_at: manifest.taken_at, put: Vec::new(), kept: Vec::new() };
    // The copies are made before anything is moved: a full disk leaves all as it was.
    let copies = manifest.files().map(|(kept, _)| Ok((prepare(config, kept, folder, now)?, place(config, kept))));
    let copies = copies.collect::<anyhow::Result<Vec<_>>>()?;
    for ((copy, place), held) in copies.into_iter().zip(&held) {
        if held.is_some() {
            restored.kept.extend(move_away(place, now)?);
        }
        // Where nothing stood nothing was held: a worker may have begun a new file meanwhile.
        backup::put_in_place(&copy, place)
            .with_context(|| format!("cannot put {} in its place; the copy is {}", place.display(), copy.display()))?;
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
