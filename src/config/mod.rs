//! The configuration as meant: a `Config` that exists is complete.
//!
//! [`files`] lays what was typed (the file, those that it includes, the environment) into one [`tree`], of which
//! [`section`] takes what [`meaning`] and [`destination`] ask for. Everything that is wrong is collected on the way. What
//! only an adapter can judge (a connection string, a broker's URL) the composition root judges, as [`Judge`].
//! [`catalogue`] is every key that is asked for: the schema and the documents are made from it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::repeat::Window;
use crate::domain::retry::Limits;
use crate::domain::route::Routes;
use notes::Notes;
use section::Section;

pub mod problem;
pub mod secret;
pub mod destination;
mod rotation;
pub mod fields;
pub mod salesforce;
pub mod web_to_lead;
pub mod catalogue;
pub mod keys;
pub mod schema;
mod notes;
mod tree;
mod environment;
mod files;
mod section;
mod duration;
mod meaning;
mod spelling;

pub use destination::{Access, Address, AzureTable, Batch, Cloud, Credential, Destination, Kind};
pub use files::{Include, Sources};
pub use problem::{Place, Problem, Severity};
pub use salesforce::{Salesforce, SalesforceAuth};
pub use secret::{Secret, Unreadable};
pub use section::Placed;
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
    pub include: Vec<Include>,
    /// What does not keep us from starting.
    pub warnings: Vec<Problem>,
}

#[derive(Clone, Debug)]
pub struct Broker {
    /// With user and password in it, as AMQP has it.
    pub url: Placed<Secret>,
    /// What the names of our exchange and queues begin with.
    pub prefix: String,
    /// Whether what became of each event is told to an exchange of its own.
    pub fates: bool,
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

/// What an adapter can judge by itself.
pub enum Part<'a> {
    Broker(&'a Broker),
    Destination(&'a Destination),
}

pub type Judge<'a> = &'a dyn Fn(Part<'_>) -> Vec<Problem>;

impl Config {
    /// Reads the file, those that it includes and the environment, or tells everything that is wrong with them.
    pub fn load(main: &Path, judge: Judge<'_>) -> Result<Self, Vec<Problem>> {
        Self::load_beside(main, &[], judge)
    }

    /// The same, with more files than are there.
    pub fn load_beside(main: &Path, beside: &[(PathBuf, String)], judge: Judge<'_>) -> Result<Self, Vec<Problem>> {
        match std::fs::read_to_string(main) {
            Ok(text) => {
                let environment = std::env::vars_os().collect();
                Self::read(Sources { main, text: &text, beside, environment }, judge)
            }
            Err(error) => {
                let place = Place::Line { file: main.into(), line: 1 };
                let mend = "write one, or name another with --config or LEADRELAY_CONFIG";
                Err(vec![Problem::error(&place, "", format!("cannot be read: {error}"), mend)])
            }
        }
    }

    /// Of a text alone. `file` is what problems name, and where relative paths count from.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        Self::read(Sources { main: file, text, beside: &[], environment: Vec::new() }, &|_| Vec::new())
    }

    pub fn read(sources: Sources<'_>, judge: Judge<'_>) -> Result<Self, Vec<Problem>> {
        let notes = Notes::new(sources.main);
        let config = Self::noted(sources, &notes, judge);
        let problems = notes.into_problems();
        match config {
            Some(config) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
                Ok(Self { warnings: problems, ..config })
            }
            _ => Err(problems),
        }
    }

    fn noted(sources: Sources<'_>, notes: &Notes, judge: Judge<'_>) -> Option<Self> {
        let place = Place::Line { file: sources.main.into(), line: 1 };
        let (table, include) = files::read(sources, notes)?;
        meaning::of(Section::root(&table, place, notes), include, notes, judge)
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
