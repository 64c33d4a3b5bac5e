//! What is wrong with the configuration, where, and how to mend it. Values are never quoted: any of them may turn out to
//! be a secret that was put into the wrong place.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file, from 1.
    Line { file: Arc<Path>, line: usize },
    /// An environment variable that overrides a key.
    Variable(Arc<str>),
}

impl Place {
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Line { file, .. } => Some(file),
            Self::Variable(_) => None,
        }
    }

    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Line { line, .. } => Some(*line),
            Self::Variable(_) => None,
        }
    }

    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Line { .. } => None,
            Self::Variable(name) => Some(name),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub place: Place,
    /// The key, from the root: `destinations.contoso-table.batch_max`. Empty for the file as a whole.
    pub key: String,
    /// A fragment that follows the key: `is missing`.
    pub what: String,
    /// What to do: `write url = "amqp://…"`. May be empty.
    pub mend: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// We do not start.
    Error,
    Warning,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Problem {
    pub fn error(place: &Place, key: &str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        let (place, key) = (place.clone(), key.to_owned());
        Self { severity: Severity::Error, place, key, what: what.into(), mend: mend.into() }
    }

    pub fn warning(place: &Place, key: &str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, key, what, mend) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Problem {
    /// `leadrelay.toml:3: broker.url is missing; write url = "amqp://…"`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        f.write_str(&self.what)?;
        if !self.mend.is_empty() {
            write!(f, "; {}", self.mend)?;
        }
        Ok(())
    }
}
