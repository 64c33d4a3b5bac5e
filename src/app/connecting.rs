//! `destination add`: a new destination is tried as a part of the whole configuration, and only then written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

use super::judge;
use crate::config::{Config, Problem};
use crate::connect::snippet::{self, Held, Kind};
use crate::domain::route::{DestinationName, OfferPattern};

/// A destination to be.
pub struct Wanted {
    pub name: DestinationName,
    pub kind: Kind,
    pub secret: Option<SecretString>,
    pub offer: Option<OfferPattern>,
    /// Of what was written before under this name.
    pub replace: bool,
}

/// The configuration, as if it were there already.
pub struct Candidate {
    pub config: Config,
    /// Where its tables are written; none, if no file of that name would be read.
    file: Option<PathBuf>,
    secret_file: PathBuf,
}

/// What was written, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub files: Vec<PathBuf>,
    /// Tables that belong into the configuration, and were not written.
    pub tables: Option<String>,
    /// The secret can be read by root alone.
    pub root_only: bool,
}

/// The whole configuration with the destination in it, or everything that is wrong with it.
pub fn candidate(main: &Path, wanted: &Wanted) -> Result<Candidate, Vec<Problem>> {
    let folder = main.parent().unwrap_or(Path::new(""));
    let file_name = format!("{}.toml", wanted.name);
    let assumed = folder.join("destinations.d").join(&file_name);
    let secret = wanted.secret.as_ref().map_or("", |secret| secret.expose_secret());
    let text = snippet::destination(&wanted.name, &wanted.kind, &Held::Here(secret));
    // A first destination without a route would be no configuration.
    let offer = wanted.offer.clone().unwrap_or_else(|| OfferPattern::Exact(format!("leadrelay-try.{}", wanted.name)));
    let text = text + "\n" + &snippet::route(&wanted.name, &offer);
    let config = Config::load_beside(main, &[(assumed, text)], &judge)?;
    let file = config.include.iter().find_map(|include| include.file_named(&file_name));
    let beside = file.as_deref().and_then(Path::parent).unwrap_or(folder);
    let secret_file = beside.join(format!("{}.secret", wanted.name));
    Ok(Candidate { config, file, secret_file })
}

impl Candidate {
    /// The first of its files that is there already.
    pub fn in_the_way(&self) -> Option<&Path> {
        self.file.as_deref().into_iter().chain([self.secret_file.as_path()]).find(|file| file.exists())
    }

    /// Writes the secret, for us alone, and the tables where they are read.
    pub fn write(&self, wanted: &Wanted) -> anyhow::Result<Written> {
        let mut written = Written { files: Vec::new(), tables: None, root_only: false };
        if let Some(secret) = &wanted.secret {
            write(&self.secret_file, secret.expose_secret().trim_end(), 0o600)?;
            written.root_only = fs::metadata(&self.secret_file).is_ok_and(|found| found.uid() == 0);
            written.files.push(self.secret_file.clone());
        }
        let file_name = self.secret_file.file_name().unwrap_or_default().to_string_lossy();
        let mut tables = snippet::destination(&wanted.name, &wanted.kind, &Held::File(&file_name));
        if let Some(offer) = &wanted.offer {
            tables = tables + "\n" + &snippet::route(&wanted.name, offer);
        }
        match &self.file {
            Some(file) => {
                write(file, &format!("# By `leadrelay destination add`.\n{tables}"), 0o640)?;
                written.files.push(file.clone());
            }
            None => written.tables = Some(tables),
        }
        Ok(written)
    }
}

/// Whole or not at all: what is read by a worker is never half a file.
fn write(file: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // Hidden: no pattern of `include` reads it.
    let half = folder.join(format!(".{name}.new"));
    let written = (|| -> io::Result<()> {
        // Left by a run that was killed.
        match fs::remove_file(&half) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = OpenOptions::new().write(true).create_new(true).mode(mode).open(&half)?;
        writeln!(out, "{}", text.trim_end())?;
        out.sync_all()?;
        fs::rename(&half, file)?;
        File::open(folder)?.sync_all()
    })();
    written.with_context(|| format!("failed to write {}", file.display()))
}
