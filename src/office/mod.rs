//! The dead-letter office: takes dead letters in, and does what operators ask for. The command line and any other face
//! call the same functions; nobody else touches the letters.
//!
//! In reading order: a message as a letter ([`letter`]), how letters come in ([`ingest`]), what the worker's owner does
//! beside ([`keeper`]), what operators do ([`desk`]) and how they
//! replay ([`replay`]) and mend ([`edit`]), how a person is forgotten ([`forget`]), what a reason means ([`explain`]), and letters as text
//! ([`mask`], [`lines`]).

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::domain::lead_key::Keyring;
use crate::steps::Steps;
use crate::store::dead_letters::DeadLetters;
use crate::telemetry::Telemetry;

pub mod letter;
pub mod ingest;
pub mod keeper;
pub mod desk;
pub mod replay;
pub mod edit;
pub mod forget;
pub mod explain;
pub mod lines;
pub mod mask;

pub use crate::store::dead_letters::{
    Aspect, Changed, Deed, Edited, Entry, Filter, Group, Kept, Letter, LettersError, Place, Wish,
};

/// What the office of a running worker is made of.
#[derive(Clone)]
pub struct Parts {
    pub broker: Arc<dyn Broker>,
    pub letters: Arc<dyn DeadLetters>,
    pub keyring: Keyring,
    pub telemetry: Arc<Telemetry>,
    pub clock: Clock,
    pub steps: Steps,
    /// How long letters are kept that have been replayed or discarded.
    pub retention: Duration,
}

/// Runs beside the worker that owns the ledger, until `stop`. Nothing of it stops the worker: not a store that is full or
/// away, and not a panic.
pub async fn run(parts: Parts, stop: CancellationToken) {
    let keeper = always("the office's keeper", &parts, &stop, keeper::run);
    let ingester = always("the office's ingester", &parts, &stop, ingest::run);
    tokio::join!(keeper, ingester);
}

/// Runs a part of the office, and begins it anew if it panics.
async fn always<F>(what: &'static str, parts: &Parts, stop: &CancellationToken, part: fn(Parts, CancellationToken) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while AbortOnDropHandle::new(tokio::spawn(part(parts.clone(), stop.clone()))).await.is_err() {
        parts.telemetry.panicked(what, None);
        if stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(5))).await.is_none() {
            return;
        }
    }
}

/// A disk that hangs answers neither yes nor no. What was asked may be done all the same: doing it again is harmless.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
