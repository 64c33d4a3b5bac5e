//! The composition root: the only module that names concrete adapters.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::amqp::{AmqpBroker, Ownership};
use crate::broker::{Broker, BrokerError};
use crate::clock::Clock;
use crate::config::{Config, Problem, Store};
use crate::office;
use crate::schedule::schedule;
use crate::steps::Steps;
use crate::store::dead_letters::DeadLetters;
use crate::store::ledger::{Ledger, LedgerError};
use crate::store::sqlite::{SqliteLedger, SqliteLetters};
use crate::telemetry::Telemetry;
use crate::telemetry::server::{self, Phase};
use crate::worker::shutdown::Stop;
use crate::worker::{self, Ended, Parts};

pub mod parts;
pub mod operator;
pub mod desk;
pub mod backup;
pub mod retries;
pub mod orders;
pub mod status;
pub mod replaying;
pub mod forgetting;
pub mod trial;
pub mod leads;
pub mod connecting;
pub mod probe;
pub mod sandbox;
pub mod health;
mod asking;
mod reload;
#[cfg(debug_assertions)]
pub mod crash_point;

pub use connecting::{Candidate, Wanted, Written, candidate};
pub use desk::{desk, desk_to_fill};
pub use health::{Health, health};
pub use operator::{
    Browsed, Intent, Known, Listed, Part, PartState, Producer, browse_dead, destinations, ledger_look_up,
    topology_apply, topology_check, topology_prune,
};
pub use parts::judge;
pub use probe::{Found, Look, Probed, Told, destination_probe, probe};
use reload::Reloads;
pub use trial::{Afterwards, Trial, destination_test};

pub use crate::broker::{PublishError as Unpublished, Queue};

/// Something that a command needs did not answer: the exit code says so. Names what, without credentials.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// The configuration, or everything that is wrong with it, in the files, in the environment, and to the adapters.
pub fn configuration(file: &Path) -> Result<Config, Vec<Problem>> {
    Config::load(file, &judge)
}

/// How a worker ended that was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing had to be handed back, or all of it was.
    Clean,
    /// So many messages were neither settled nor handed back; the broker hands them out again.
    Abandoned(u64),
}

/// What stays while one configuration takes the place of another.
struct Lasting {
    broker: Arc<AmqpBroker>,
    ledger: Arc<SqliteLedger>,
    /// `None`: dead letters are left in their queue.
    letters: Option<Arc<dyn DeadLetters>>,
}

/// Runs the worker until it is asked to stop. `file` is read again when it is asked to reload.
pub async fn run(mut config: Config, file: PathBuf) -> anyhow::Result<Stopped> {
    let telemetry = Arc::new(Telemetry::new());
    let mut reloads = Reloads::new(file)?;
    // Before anything else: what cannot be recorded must not be consumed.
    let ledger = open_ledger(&config, &telemetry).await?;
    let listener = server::bind(config.http.listen).await?;
    let served = tokio::spawn(server::serve(listener, Arc::clone(&telemetry)));
    let asked = CancellationToken::new();
    let hurry = CancellationToken::new();
    tokio::spawn(listen_to_signals(asked.clone(), hurry.clone(), signals()?));
    let (broker, letters) = (Arc::new(connect(&config, &telemetry)?), letters(&config, &telemetry)?);
    let lasting = Lasting { broker, ledger, letters };
    let mut ended = Ok(());
    let mut taken_over = VecDeque::new();
    while !asked.is_cancelled() && ended.is_ok() {
        telemetry.phase(Phase::StandingBy);
        let owned = tokio::select! {
            () = asked.cancelled() => break,
            next = reloads.next(&config, None, &telemetry) => {
                telemetry.reloaded(next.destinations.len());
                config = next;
                continue;
            }
            owned = stand_by(&lasting.broker, &lasting.ledger, &config, &telemetry) => owned,
        };
        ended = match owned {
            Ok(()) if is_contested(&mut taken_over) => Err(anyhow::anyhow!(CONTESTED)),
            Ok(()) => work(&mut config, &mut reloads, &telemetry, &lasting, (&asked, &hurry)).await,
            Err(error) => Err(error),
        };
    }
    telemetry.phase(Phase::Stopping);
    // A broker that does not answer keeps nobody: it takes back by itself what we hold.
    drop(tokio::time::timeout(Duration::from_secs(10), lasting.broker.close()).await);
    served.abort();
    ended?;
    Ok(match telemetry.metrics.in_flight() {
        0 => Stopped::Clean,
        left => Stopped::Abandoned(left),
    })
}

/// The broker's token keeps two workers of one prefix apart; nothing keeps two of different prefixes from one file.
const CONTESTED: &str = "the ledger was taken from us again and again: does a worker with another broker, virtual host \
                         or prefix use the same file? Give each a store.url of its own";

/// Whether we have just taken the ledger over for the fifth time within a minute.
fn is_contested(taken_over: &mut VecDeque<Instant>) -> bool {
    taken_over.push_back(Instant::now());
    taken_over.retain(|at| at.elapsed() < Duration::from_secs(60));
    taken_over.len() >= 5
}

/// From taking the ledger over to being stopped or superseded: one life of the worker, or several under one
/// configuration after the other. Between two of them the connections stay, and with them the ledger.
async fn work(
    config: &mut Config,
    reloads: &mut Reloads,
    telemetry: &Arc<Telemetry>,
    lasting: &Lasting,
    (asked, hurry): (&CancellationToken, &CancellationToken),
) -> anyhow::Result<()> {
    telemetry.phase(Phase::Working);
    loop {
        let stop = Stop::default();
        let worker = work_and_keep_office(config, telemetry, lasting, &stop)?;
        tokio::pin!(worker);
        let (ended, next) = tokio::select! {
            ended = &mut worker => (ended, None),
            next = reloads.next(config, Some(&lasting.broker), telemetry) => {
                telemetry.reloading(config.grace);
                (end(worker, &stop, config.grace, hurry).await, Some(next))
            }
            () = asked.cancelled() => {
                telemetry.phase(Phase::Stopping);
                telemetry.stopping(config.grace);
                let ended = end(worker, &stop, config.grace, hurry).await;
                telemetry.stopped();
                (ended, None)
            }
        };
        match (ended, next) {
            (Ended::Stopped, Some(next)) => {
                let gone = config.destinations.iter().filter(|old| next.destination(old.name.as_str()).is_none());
                gone.for_each(|gone| telemetry.no_longer_configured(&gone.name));
                telemetry.reloaded(next.destinations.len());
                *config = next;
            }
            (Ended::Stopped, None) => return Ok(()),
            (Ended::Superseded, next) => {
                telemetry.superseded();
                next.into_iter().for_each(|next| *config = next);
                return Ok(());
            }
            (Ended::Broken, _) => {
                anyhow::bail!("a part of the worker panicked; what it held was handed back. Start it again")
            }
        }
        if asked.is_cancelled() {
            return Ok(());
        }
    }
}

/// Lets the worker finish what is in flight.
async fn end(
    mut worker: Pin<&mut impl Future<Output = Ended>>,
    stop: &Stop,
    grace: Duration,
    hurry: &CancellationToken,
) -> Ended {
    tokio::select! {
        ended = &mut worker => ended,
        () = stop.gracefully(grace, hurry.cancelled()) => worker.await,
    }
}

/// A worker and, where letters are taken in, the office beside it. The worker stops both: superseded or broken, it takes
/// no more.
fn work_and_keep_office(
    config: &Config,
    telemetry: &Arc<Telemetry>,
    lasting: &Lasting,
    stop: &Stop,
) -> anyhow::Result<impl Future<Output = Ended> + use<>> {
    let Lasting { broker, ledger, letters } = lasting;
    let (clock, steps, keyring) = (Clock::System, steps(), parts::keyring(config));
    let office = letters.clone().map(|letters| office::Parts {
        broker: Arc::clone(broker) as Arc<dyn Broker>,
        letters,
        keyring: keyring.clone(),
        telemetry: Arc::clone(telemetry),
        clock,
        steps: steps.clone(),
        retention: config.office.retention,
    });
    let parts = Parts {
        broker: Arc::clone(broker) as Arc<dyn Broker>,
        ledger: Arc::clone(ledger) as Arc<dyn Ledger>,
        office: letters.clone(),
        destinations: parts::destinations(config, telemetry)?,
        routes: config.routes.clone(),
        keyring,
        telemetry: Arc::clone(telemetry),
        clock,
        steps,
        settings: parts::settings(config),
    };
    let (stop, take) = (stop.clone(), stop.take.clone());
    Ok(async move {
        let office = async {
            if let Some(office) = office {
                office::run(office, take).await
            }
        };
        tokio::join!(worker::run(parts, stop), office).0
    })
}

async fn open_ledger(config: &Config, telemetry: &Arc<Telemetry>) -> anyhow::Result<Arc<SqliteLedger>> {
    let Store::Sqlite(path) = config.store.clone();
    let (keyring, telemetry) = (parts::keyring(config), Arc::clone(telemetry));
    let open = move || SqliteLedger::open(&path, &keyring, telemetry);
    Ok(Arc::new(tokio::task::spawn_blocking(open).await.context("opening the ledger panicked")??))
}

/// The office's store, where it takes letters in. It is opened when it is first asked, and a worker whose office cannot
/// be opened delivers all the same.
fn letters(config: &Config, telemetry: &Arc<Telemetry>) -> anyhow::Result<Option<Arc<dyn DeadLetters>>> {
    let Store::Sqlite(path) = &config.office.store;
    if !config.office.ingest {
        return Ok(None);
    }
    let letters = SqliteLetters::create(path, &parts::keyring(config), Arc::clone(telemetry))?;
    Ok(Some(Arc::new(letters)))
}

fn connect(config: &Config, telemetry: &Arc<Telemetry>) -> Result<AmqpBroker, BrokerError> {
    let mut broker = AmqpBroker::connect(parts::broker(config, Ownership::Exclusive), Arc::clone(telemetry))?;
    broker.tell_fates();
    Ok(broker)
}

/// Waits until we are the one owner of the embedded store, hot, and takes the ledger over.
async fn stand_by(
    broker: &AmqpBroker,
    ledger: &SqliteLedger,
    config: &Config,
    telemetry: &Telemetry,
) -> anyhow::Result<()> {
    let mut told = false;
    for delay in schedule(Duration::from_millis(200), Duration::from_secs(2)) {
        match own(broker, ledger, config).await {
            Ok(()) => break,
            Err(Unowned::Ledger(error)) => return Err(error.into()),
            Err(Unowned::Broker(BrokerError::Owned(_))) if told => {}
            Err(Unowned::Broker(BrokerError::Owned(token))) => {
                told = true;
                telemetry.standing_by(&token);
            }
            // Told by the broker's adapter, which goes on trying.
            Err(Unowned::Broker(BrokerError::Unreachable(_))) => {}
            Err(Unowned::Broker(error)) => return Err(error.into()),
        }
        tokio::time::sleep(delay).await;
    }
    Ok(())
}

/// Why we are not the owner yet.
enum Unowned {
    Broker(BrokerError),
    Ledger(LedgerError),
}

async fn own(broker: &AmqpBroker, ledger: &SqliteLedger, config: &Config) -> Result<(), Unowned> {
    broker.own().await.map_err(Unowned::Broker)?;
    take_over(ledger).await.map_err(Unowned::Ledger)?;
    broker.apply_topology(&parts::names(config)).await.map(drop).map_err(Unowned::Broker)
}

/// An owner that is frozen in the middle of a commit keeps the file locked until the system ends it.
async fn take_over(ledger: &SqliteLedger) -> Result<(), LedgerError> {
    for delay in schedule(Duration::from_millis(200), Duration::from_secs(2)) {
        match ledger.take_over().await {
            Err(LedgerError::Unavailable(_)) => tokio::time::sleep(delay).await,
            other => return other,
        }
    }
    Ok(())
}

fn signals() -> anyhow::Result<[Signal; 2]> {
    Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?])
}

/// Cancelled by the first SIGINT or SIGTERM.
pub fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    tokio::spawn(listen_to_signals(stop.clone(), CancellationToken::new(), signals()?));
    Ok(stop)
}

/// The first signal asks to stop; the second, to hurry.
async fn listen_to_signals(asked: CancellationToken, hurry: CancellationToken, signals: [Signal; 2]) {
    let [mut terminate, mut interrupt] = signals;
    for token in [asked, hurry] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    }
}

/// Only a build for tests can be told to crash.
fn steps() -> Steps {
    #[cfg(debug_assertions)]
    return crash_point::from_environment();
    #[cfg(not(debug_assertions))]
    Steps::default()
}
