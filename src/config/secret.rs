//! A secret: written out, or in an environment variable, or in a file. It never prints.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

#[derive(Clone)]
pub struct Secret {
    source: Source,
    value: SecretString,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Literal,
    Environment(String),
    File(PathBuf),
}

/// Why a secret cannot be read. Names the variable or the file, which are no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("names the environment variable {0}, which is not set")]
    Unset(String),
    #[error("names the environment variable {0}, which is not UTF-8")]
    NotText(String),
    #[error("names the file {file}, which cannot be read: {why}")]
    File { file: String, why: String },
    #[error("is empty")]
    Empty,
}

impl Unreadable {
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Unset(_) => "set it where leadrelay is started",
            Self::NotText(_) => "write it as text, in hex for instance",
            Self::File { .. } => "write it, or mend the path; relative ones count from the configuration's folder",
            Self::Empty => "write the secret, or { env = \"NAME\" } or { file = \"path\" }",
        }
    }
}

impl Secret {
    pub fn read(source: Source) -> Result<Self, Unreadable> {
        match &source {
            Source::Literal => Err(Unreadable::Empty),
            Source::Environment(name) => {
                let value = std::env::var_os(name).ok_or_else(|| Unreadable::Unset(name.clone()))?;
                let value = value.into_string().map_err(|_| Unreadable::NotText(name.clone()))?;
                Self::new(source, &value)
            }
            Source::File(path) => {
                let why = |error: std::io::Error| Unreadable::File {
                    file: path.display().to_string(),
                    why: error.to_string(),
                };
                let value = std::fs::read_to_string(path).map_err(why)?;
                Self::new(source, &value)
            }
        }
    }

    pub fn literal(value: &str) -> Result<Self, Unreadable> {
        Self::new(Source::Literal, value)
    }

    /// Editors and `echo` end a file with a line break, which is no part of the secret.
    fn new(source: Source, value: &str) -> Result<Self, Unreadable> {
        let value = value.trim_end_matches(['\r', '\n']);
        if value.is_empty() {
            return Err(Unreadable::Empty);
        }
        Ok(Self { source, value: value.into() })
    }

    /// Reads it again, where it can have changed: a file that was rotated.
    pub fn read_again(&self) -> Result<Self, Unreadable> {
        match &self.source {
            Source::Literal | Source::Environment(_) => Ok(self.clone()),
            Source::File(_) => Self::read(self.source.clone()),
        }
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?})", self.source)
    }
}

/// Whether everybody on this machine may read the file.
#[cfg(unix)]
pub fn is_public(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
pub fn is_public(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::literal("canary").unwrap();
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(Literal) Secret(Literal)");
        assert_eq!(secret.expose(), "canary");
    }

    #[test]
    fn a_file_is_read_without_its_last_line_break_and_read_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "one two\r\n").unwrap();
        let secret = Secret::read(Source::File(path.clone())).unwrap();
        assert_eq!(secret.expose(), "one two");
        std::fs::write(&path, "three\n").unwrap();
        assert_eq!(secret.read_again().unwrap().expose(), "three");
        std::fs::remove_file(&path).unwrap();
        let error = secret.read_again().unwrap_err().to_string();
        assert!(error.contains("secret, which cannot be read: "), "{error}");
    }

    #[test]
    fn what_is_not_there_is_named_and_an_empty_secret_is_none() {
        let unset = Secret::read(Source::Environment("LEADRELAY_NO_SUCH".into())).unwrap_err();
        assert_eq!(unset.to_string(), "names the environment variable LEADRELAY_NO_SUCH, which is not set");
        assert_eq!(Secret::literal("").unwrap_err(), Unreadable::Empty);
        assert_eq!(Secret::literal("\n").unwrap_err(), Unreadable::Empty);
        assert_eq!(
            Secret::read(Source::Environment("PATH".into())).unwrap().source(),
            &Source::Environment("PATH".into())
        );
    }
}
