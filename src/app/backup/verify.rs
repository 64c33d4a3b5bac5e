//! Is a backup what was written, and can it be worked with?

use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::{Copied, FORMAT, Kept, MANIFEST, Manifest, file_name};
use crate::app::parts;
use crate::config::Config;
use crate::domain::lead_key::Keyring;
use crate::store::sqlite::backup;

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

fn verify_file(path: &Path, kept: Kept, copied: &Copied, keyring: &Keyring) -> Result<(), String> {
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

pub(super) fn checksum(path: &Path) -> io::Result<(u64, String)> {
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
