//! Whether what a configuration names is there and set up for us, for `config check --probe`: asked without sending a
//! lead, and without changing anything.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use super::{Unreachable, operator, parts};
use crate::config::{self, Config, Kind, Store};
pub use crate::destination::salesforce::rest::probe::Unfit;
use crate::domain::reply::Reply;
use crate::domain::route::DestinationName;
use crate::store::sqlite::LedgerReader;
use crate::telemetry::Telemetry;

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// `the broker`, `the ledger`, `destination contoso`.
    pub subject: String,
    pub state: Found,
    pub told: Vec<Told>,
}

/// From the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    Well,
    /// A worker can start, and a person should know.
    Doubtful,
    Unfit,
    Unreachable,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub what: String,
    /// May be empty.
    pub mend: String,
}

impl Look {
    fn new(subject: impl Into<String>, state: Found, what: impl Into<String>, mend: &str) -> Self {
        let told = vec![Told { what: what.into(), mend: mend.to_owned() }];
        Self { subject: subject.into(), state, told }
    }
}

/// The broker, the ledger, and every destination, all of them at once.
pub async fn probe(config: &Config) -> Vec<Look> {
    let destinations = config.destinations.iter().map(look_at_destination);
    let (broker, mut looks) = tokio::join!(look_at_broker(config), futures_util::future::join_all(destinations));
    looks.splice(0..0, [broker, look_at_ledger(config)]);
    looks
}

async fn look_at_broker(config: &Config) -> Look {
    let subject = "the broker";
    let parts = match operator::topology_check(config).await {
        Ok(parts) => parts,
        Err(error) if error.chain().any(|cause| cause.is::<Unreachable>()) => {
            return Look::new(subject, Found::Unreachable, format!("is not there: {error:#}"), "");
        }
        Err(error) => return Look::new(subject, Found::Unfit, format!("does not let us in: {error:#}"), ""),
    };
    let differing = parts.iter().filter(|part| matches!(part.state, operator::PartState::Differs(_))).count();
    let missing = parts.iter().filter(|part| part.state == operator::PartState::Missing).count();
    match (differing, missing) {
        (0, 0) => Look::new(subject, Found::Well, "has the exchange and all queues", ""),
        (0, missing) => {
            let what = format!("lacks {missing} of the exchange, its bindings and the queues");
            Look::new(subject, Found::Doubtful, what, "leadrelay topology apply; or the first worker declares them")
        }
        (differing, _) => {
            let what = format!("has {differing} queues or exchanges of our names that are not ours");
            Look::new(subject, Found::Unfit, what, "leadrelay topology check shows how they differ")
        }
    }
}

fn look_at_ledger(config: &Config) -> Look {
    let subject = "the ledger";
    let Store::Sqlite(path) = &config.store;
    if !path.exists() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return if folder.is_dir() {
            Look::new(subject, Found::Well, format!("will be made at the first start: {}", path.display()), "")
        } else {
            let what = format!("has no folder to be in: {}", folder.display());
            Look::new(subject, Found::Unfit, what, "make the folder, or mend store.url")
        };
    }
    match LedgerReader::open(path).and_then(|ledger| ledger.is_of(&parts::keyring(config))) {
        Ok(true) => Look::new(subject, Found::Well, format!("is there: {}", path.display()), ""),
        Ok(false) => Look::new(
            subject,
            Found::Unfit,
            format!("{} was kept under another identity.key_secret", path.display()),
            "configure the old secret again, or name another file in store.url",
        ),
        Err(error) => Look::new(subject, Found::Unfit, error.to_string(), ""),
    }
}

async fn look_at_destination(destination: &config::Destination) -> Look {
    let subject = format!("destination {}", destination.name);
    match ask(destination).await {
        Ok(Probed::Told(unfit)) if unfit.is_empty() => Look::new(subject, Found::Well, "is set up for us", ""),
        Ok(Probed::Told(unfit)) => {
            let told = |unfit: Unfit| Told { what: format!("{} {}", unfit.field, unfit.what), mend: unfit.mend };
            Look { subject, state: Found::Unfit, told: unfit.into_iter().map(told).collect() }
        }
        Ok(Probed::Table { name, there: true }) => {
            Look::new(subject, Found::Well, format!("takes our credentials, and has the table {name}"), "")
        }
        Ok(Probed::Table { name, there: false }) => {
            let what = format!("takes our credentials; the table {name} is made with the first lead");
            Look::new(subject, Found::Well, what, "")
        }
        Ok(Probed::Reached) => {
            let what = "answers; what it makes of a lead, only a lead tells";
            Look::new(&subject, Found::Well, what, "")
        }
        Ok(Probed::Refused(reply)) => refused(subject, &reply),
        Err(error) => Look::new(subject, Found::Unfit, format!("{error:#}"), ""),
    }
}

fn refused(subject: String, reply: &Reply) -> Look {
    let code = reply.code().map_or("", |code| code.as_str());
    if reply.is_unreachable() {
        return Look::new(subject, Found::Unreachable, format!("is not reached: {code}"), "look at its address");
    }
    let (state, mend) = match reply {
        Reply::Credentials(_) | Reply::Rejected(_) => {
            (Found::Unfit, "credentials, permissions or configuration are wrong")
        }
        Reply::Accepted(_) | Reply::Transient { .. } | Reply::Throttled { .. } | Reply::Unknown(_) => {
            (Found::Doubtful, "it is in trouble, or asks for a pause: try again later")
        }
    };
    Look::new(subject, state, format!("refuses: {code}"), mend)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// What is wrong; nothing, if all is well.
    Told(Vec<Unfit>),
    Table {
        name: String,
        there: bool,
    },
    /// Something answers. Only a lead would tell more.
    Reached,
    /// It did not tell: credentials, permissions, an outage.
    Refused(Reply),
}

/// Fails only where the destination cannot be set up.
pub async fn destination_probe(config: &Config, name: &DestinationName) -> anyhow::Result<Probed> {
    ask(config.destination(name.as_str()).with_context(|| format!("there is no destination {name}"))?).await
}

async fn ask(destination: &config::Destination) -> anyhow::Result<Probed> {
    let telemetry = Arc::new(Telemetry::new());
    let told = match &destination.kind {
        Kind::AzureTable(table) => {
            let there = parts::azure_table(destination, table, telemetry)?.is_there().await;
            there.map(|there| Probed::Table { name: table.table.clone(), there })
        }
        Kind::Salesforce(org) => parts::salesforce(destination, org, telemetry)?.probe().await.map(Probed::Told),
        Kind::WebToLead(org) => {
            parts::web_to_lead(destination, org, telemetry)?.reach().await.map(|()| Probed::Reached)
        }
    };
    Ok(told.unwrap_or_else(Probed::Refused))
}
