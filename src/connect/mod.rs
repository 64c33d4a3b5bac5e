//! What a publisher copies to be connected, recognised: a storage connection string, an organisation's id, the generated
//! Web-to-Lead form. What is certain is put right, and told; what is not is refused, with its mend. No value is ever
//! quoted: most of them are secrets.

use std::fmt;

pub mod paste;
pub mod storage;
pub mod organisation;
pub mod form;
pub mod snippet;

/// What was meant, and what was put right on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised<T> {
    pub value: T,
    pub remarks: Vec<String>,
}

/// What is wrong with what was pasted, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unusable {
    pub what: String,
    pub mend: String,
}

impl Unusable {
    fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), mend: mend.into() }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.mend)
    }
}
