//! The composition root: the only module that names concrete adapters.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::amqp::{AmqpBroker, Ownership};
use crate::broker::{Broker, BrokerError};
use crate::clock::Clock;
use crate::config::{Config, Store};
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
pub mod replaying;
pub mod trial;
pub mod probe;
pub mod sandbox;
#[cfg(debug_assertions)]
pub mod crash_point;

pub use desk::{desk, desk_to_fill};
pub use operator::{
    Browsed, Intent, Known, Part, PartState, Producer, browse_dead, ledger_look_up, topology_apply, topology_check,
    topology_prune,
};
pub use parts::check;
pub use probe::{Probed, destination_probe};
pub use trial::{Afterwards, Trial, destination_test};

pub use crate::broker::PublishError as Unpublished;

/// Something that a command needs did not answer: the exit code says so. Names what, without credentials.
#[derive(Debug, thiserror::Error)]
#[error("{0} is unreachable")]
pub struct Unreachable(pub String);

/// How a worker ended that was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing had to be handed back, or all of it was.
    Clean,
    /// So many messages were neither settled nor handed back; the broker hands them out again.
    Abandoned(u64),
}

/// Runs the worker until it is asked to stop.
pub async fn run(config: Config) -> anyhow::Result<Stopped> {
    let telemetry = Arc::new(Telemetry::new());
    // Before anything else: what cannot be recorded must not be consumed.
    let ledger = open_ledger(&config, &telemetry).await?;
    let listener = server::bind(config.http.listen).await?;
    let served = tokio::spawn(server::serve(listener, Arc::clone(&telemetry)));
    let asked = CancellationToken::new();
    let hurry = CancellationToken::new();
    tokio::spawn(listen_to_signals(asked.clone(), hurry.clone(), signals()?));
    let broker = Arc::new(connect(&config, &telemetry)?);
    let letters = letters(&config, &telemetry)?;
    let mut ended = Ok(());
    let mut taken_over = VecDeque::new();
    while !asked.is_cancelled() && ended.is_ok() {
        telemetry.phase(Phase::StandingBy);
        ended = match asked.run_until_cancelled(stand_by(&broker, &ledger, &config, &telemetry)).await {
            None => break,
            Some(Ok(())) if is_contested(&mut taken_over) => Err(anyhow::anyhow!(CONTESTED)),
            Some(Ok(())) => work(&config, &telemetry, &broker, (&ledger, &letters), (&asked, &hurry)).await,
            Some(Err(error)) => Err(error),
        };
    }
    telemetry.phase(Phase::Stopping);
    // A broker that does not answer keeps nobody: it takes back by itself what we hold.
    drop(tokio::time::timeout(Duration::from_secs(10), broker.close()).await);
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

/// One life of the worker, from taking the ledger over to being stopped or superseded.
async fn work(
    config: &Config,
    telemetry: &Arc<Telemetry>,
    broker: &Arc<AmqpBroker>,
    (ledger, letters): (&Arc<SqliteLedger>, &Option<Arc<dyn DeadLetters>>),
    (asked, hurry): (&CancellationToken, &CancellationToken),
) -> anyhow::Result<()> {
    let (stop, steps) = (Stop::default(), steps());
    let office = letters.clone().map(|letters| office::Parts {
        broker: Arc::clone(broker) as Arc<dyn Broker>,
        letters,
        keyring: parts::keyring(config),
        telemetry: Arc::clone(telemetry),
        clock: Clock::System,
        steps: steps.clone(),
        retention: config.office.retention,
    });
    let parts = Parts {
        broker: Arc::clone(broker) as Arc<dyn Broker>,
        ledger: Arc::clone(ledger) as Arc<dyn Ledger>,
        office: letters.clone(),
        destinations: parts::destinations(config, telemetry)?,
        routes: config.routes.clone(),
        keyring: parts::keyring(config),
        telemetry: Arc::clone(telemetry),
        clock: Clock::System,
        steps,
        settings: parts::settings(config),
    };
    telemetry.phase(Phase::Working);
    // The worker stops both: superseded or broken, it takes no more.
    let take = stop.take.clone();
    let office = async {
        if let Some(office) = office {
            office::run(office, take).await
        }
    };
    let worker = worker::run(parts, stop.clone());
    let worker = async { tokio::join!(worker, office).0 };
    tokio::pin!(worker);
    let ended = tokio::select! {
        ended = &mut worker => ended,
        () = asked.cancelled() => {
            telemetry.phase(Phase::Stopping);
            telemetry.stopping(config.grace);
            let ended = tokio::select! {
                ended = &mut worker => ended,
                () = stop.gracefully(config.grace, hurry.cancelled()) => worker.await,
            };
            telemetry.stopped();
            ended
        }
    };
    match ended {
        Ended::Stopped => Ok(()),
        Ended::Superseded => {
            telemetry.superseded();
            Ok(())
        }
        Ended::Broken => anyhow::bail!("a part of the worker panicked; what it held was handed back. Start it again"),
    }
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
    AmqpBroker::connect(parts::broker(config, Ownership::Exclusive), Arc::clone(telemetry))
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
