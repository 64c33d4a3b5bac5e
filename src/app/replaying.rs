//! What an operator needs to replay: the office's letters, the broker, the ledger as it is read beside a worker, and the
//! worker's own word on its lanes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::asking::{Page, Patience};
use super::{listen_to_signals, operator, parts, signals, steps};
use crate::broker::Broker;
use crate::broker::amqp::AmqpBroker;
use crate::config::{Config, Store};
use crate::domain::lead_key::{AddressKey, LeadKey, PersonKey};
use crate::domain::repeat::Record;
use crate::domain::route::DestinationName;
use crate::office::desk::Desk;
use crate::office::replay::Replayer;
use crate::office::replay::forecast::{Known, Setup};
use crate::office::replay::lanes::{self, Lanes, OpenLane};
use crate::store::ledger::LedgerError;
use crate::store::sqlite::LedgerReader;
use crate::telemetry::Telemetry;

/// Hands on the office's plans, and on the broker that its letters go to.
pub async fn replayer(config: &Config, desk: &Desk) -> anyhow::Result<Replayer> {
    let broker: Arc<AmqpBroker> = Arc::new(operator::connect(config).await?);
    Ok(Replayer {
        letters: Arc::clone(&desk.letters),
        broker: broker as Arc<dyn Broker>,
        lanes: Arc::new(WorkerLanes(Page::of(config.http.listen, "metrics", PATIENCE)?)),
        clock: desk.clock,
        steps: steps(),
        who: desk.who.clone(),
        owner: format!("{} (process {}, {:08x})", desk.who, std::process::id(), rand::random::<u32>()),
        prefix: config.broker.prefix.clone(),
    })
}

/// What a forecast is made of.
pub fn forecaster(config: &Config) -> anyhow::Result<(Setup, Ledger)> {
    let policies = parts::destinations(config, &Arc::new(Telemetry::new()))?;
    let policies = policies.into_iter().map(|(name, _, policy)| (name, policy)).collect();
    let setup = Setup { routes: config.routes.clone(), policies, keyring: parts::keyring(config) };
    let Store::Sqlite(path) = &config.store;
    // Before a worker has ever run there is none, and nothing has been delivered.
    let reader = path.exists().then(|| LedgerReader::open(path)).transpose()?;
    Ok((setup, Ledger(reader)))
}

/// Cancelled by the first SIGINT or SIGTERM; the second ends the process where it stands, as a kill would.
pub fn interrupted() -> anyhow::Result<CancellationToken> {
    let (asked, hurry) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(listen_to_signals(asked.clone(), hurry.clone(), signals()?));
    tokio::spawn(async move {
        hurry.cancelled().await;
        #[expect(
            clippy::disallowed_methods,
            reason = "as a kill would: what was taken is handed out again by the plan"
        )]
        std::process::exit(1);
    });
    Ok(asked)
}

pub struct Ledger(Option<LedgerReader>);

impl Known for Ledger {
    type Error = LedgerError;

    fn records(&self, lead: LeadKey, person: PersonKey) -> Result<Vec<(DestinationName, Record)>, LedgerError> {
        self.0.as_ref().map_or(Ok(Vec::new()), |reader| reader.look_up_of(lead, person))
    }

    fn withdrawn_at(&self, person: PersonKey) -> Result<Option<Timestamp>, LedgerError> {
        self.0.as_ref().map_or(Ok(None), |reader| reader.withdrawn_at(person))
    }

    fn suppressed(&self, address: AddressKey) -> Result<bool, LedgerError> {
        self.0.as_ref().map_or(Ok(false), |reader| reader.is_suppressed(address))
    }
}

/// The lanes of the worker that listens where the configuration says: on this host, or one that it is reached by.
struct WorkerLanes(Page);

/// A plan does not wait long for a word on the lanes.
const PATIENCE: Patience = Patience { connect: Duration::from_secs(1), whole: Duration::from_secs(2) };

#[async_trait]
impl Lanes for WorkerLanes {
    async fn open(&self) -> Result<Vec<OpenLane>, String> {
        match self.0.get().await {
            Ok(answer) if answer.status == 200 => Ok(lanes::read(&String::from_utf8_lossy(&answer.body))),
            Ok(answer) => Err(format!("{} answers {}", self.0.url, answer.status)),
            Err(failure) => Err(format!("{} does not answer ({})", self.0.url, failure.code().as_str())),
        }
    }
}
