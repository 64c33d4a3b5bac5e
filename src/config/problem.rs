//! What is wrong with the configuration, where, and how to mend it. Values are never quoted: any of them may turn out to
//! be a secret that was put into the wrong place.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: Arc<Path>,
    /// From 1.
    pub line: usize,
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
        write!(f, "{}:{}", self.file.display(), self.line)
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
