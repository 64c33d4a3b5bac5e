//! Takes a backup: copied, synced and checked under another name first.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, bail};
use jiff::Timestamp;

use super::verify::checksum;
use super::{Copied, FORMAT, Kept, MANIFEST, Manifest, beside, file_name, new_file, place, sync_folder_of};
use crate::app::parts;
use crate::config::Config;
use crate::store::sqlite::backup;

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
    let replaces = folder.exists();
    if replaces {
        fs::rename(folder, &earlier)?;
    }
    fs::rename(&partial, folder)?;
    sync_folder_of(folder)?;
    if replaces {
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
