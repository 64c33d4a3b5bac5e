//! The configuration as meant: a `Config` that exists is complete.
//!
//! [`raw`] is the file as typed, [`meaning`] and [`destination`] turn it into what is meant and collect everything that
//! is wrong on the way. What only an adapter can judge (a connection string, a broker's URL) the composition root judges
//! after this, with the places that are kept here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::repeat::Window;
use crate::domain::retry::Limits;
use crate::domain::route::Routes;

pub mod problem;
pub mod secret;
pub mod destination;
pub mod fields;
pub mod salesforce;
pub mod web_to_lead;
mod raw;
mod meaning;
mod spelling;

pub use destination::{Access, Address, AzureTable, Batch, Cloud, Credential, Destination, Kind};
pub use problem::{Place, Problem, Severity};
pub use raw::Placed;
pub use salesforce::{Salesforce, SalesforceAuth};
pub use secret::Secret;
pub use spelling::nearest;
pub use web_to_lead::WebToLead;

#[derive(Clone, Debug)]
pub struct Config {
    pub broker: Broker,
    pub store: Store,
    pub office: Office,
    /// The secret under which lead keys are made: at least [`KEY_SECRET_MIN`] bytes.
    pub key_secret: Secret,
    pub http: Http,
    pub worker: Worker,
    pub dedupe: Dedupe,
    pub retry: Limits,
    pub lanes: Lanes,
    /// How long a stopping worker lets what is on its way finish.
    pub grace: Duration,
    pub log: Log,
    /// At least one; in the order of their names.
    pub destinations: Vec<Destination>,
    /// Every one leads to one of the destinations.
    pub routes: Routes,
    /// What does not keep us from starting.
    pub warnings: Vec<Problem>,
}

#[derive(Clone, Debug)]
pub struct Broker {
    /// With user and password in it, as AMQP has it.
    pub url: Placed<Secret>,
    /// What the names of our exchange and queues begin with.
    pub prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    Sqlite(PathBuf),
}

/// The dead-letter office.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Office {
    pub store: Store,
    /// Whether it takes letters out of the dead queue.
    pub ingest: bool,
    /// How long letters are kept that have been replayed or discarded.
    pub retention: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    pub prefetch: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedupe {
    pub window: Window,
}

/// After how many failures in a row, all alike, they are nobody's fault but the destination's, or the producer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    pub reject_fuse: u32,
    pub intake_fuse: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    pub level: LogLevel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Json,
    Pretty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// 128 bits: as many as a lead key has.
pub const KEY_SECRET_MIN: usize = 16;

impl Config {
    /// Reads the file, or tells everything that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, Vec<Problem>> {
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(file, &text),
            Err(error) => {
                let place = Place { file: file.into(), line: 1 };
                let mend = "write one, or name another with --config or LEADRELAY_CONFIG";
                Err(vec![Problem::error(&place, "", format!("cannot be read: {error}"), mend)])
            }
        }
    }

    /// `file` is what problems name, and where relative paths count from.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let notes = raw::Notes::new(file, text);
        let config = raw::parse(text, &notes).and_then(|table| meaning::of(&table, &notes));
        let problems = notes.into_problems();
        match config {
            Some(config) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
                Ok(Self { warnings: problems, ..config })
            }
            _ => Err(problems),
        }
    }

    pub fn destination(&self, name: &str) -> Option<&Destination> {
        self.destinations.iter().find(|destination| destination.name.as_str() == name)
    }

    /// How many of the prefetched messages one lane may hold: all of them if there is one lane, a quarter otherwise, so
    /// that no destination takes the others' room.
    pub fn lane_share(&self) -> usize {
        meaning::lane_share(self.worker.prefetch, self.destinations.len())
    }
}
