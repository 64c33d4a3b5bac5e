//! Azure Table storage: one row a lead, one partition an offer.
//!
//! A first delivery inserts. A row that is there already is read, and written only if the event adds something, and
//! only as it was read: readers poll `Timestamp`, so that a repeat must not touch it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::http::{Http, HttpSettings, SetupError};
use super::{Destination, Group, Inspect, Limits, Outcome, Page, Parcel};
use crate::domain::found::Selection;
use crate::domain::lead::Lead;
use crate::domain::reply::{Code, OnUnknown, Quick, Reply};
use crate::telemetry::Telemetry;
use client::{Auth, Client, Trouble};
use connection_string::{ConnectionString, Credential};
use delivery::Delivery;
use entra::{Cloud, Entra, Identity};
use look_up::Way;

pub mod connection_string;
pub mod entra;
pub mod sign;
mod delivery;
mod look_up;
mod listing;
mod client;
mod batch;
mod entity;
mod contents;
mod row;
mod classify;

#[derive(Clone, Debug)]
pub struct Settings {
    pub account: Account,
    pub table: TableName,
    /// At most 100.
    pub batch_max: usize,
    pub in_flight_max: usize,
    /// All requests of one send together.
    pub send_timeout: Duration,
    pub http: HttpSettings,
}

impl Settings {
    pub fn new(account: Account) -> Self {
        Self {
            account,
            table: TableName::default(),
            batch_max: batch::OPERATIONS_MAX,
            in_flight_max: 4,
            send_timeout: Duration::from_secs(15),
            http: HttpSettings::default(),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Account {
    ConnectionString(ConnectionString),
    Entra {
        /// [`Cloud::table_endpoint`], or an account's own domain.
        table_endpoint: String,
        cloud: Cloud,
        identity: Identity,
    },
}

impl Account {
    pub fn endpoint(&self) -> &str {
        match self {
            Self::ConnectionString(ConnectionString { table_endpoint, .. }) | Self::Entra { table_endpoint, .. } => {
                table_endpoint
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a table's name is 3 to 63 letters and digits, begins with a letter, and is not \"tables\"")]
pub struct NotATableName;

impl TableName {
    /// <https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#table-names>.
    pub fn parse(text: &str) -> Result<Self, NotATableName> {
        let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
        let legal = first && text.chars().all(|c| c.is_ascii_alphanumeric());
        if legal && (3..=63).contains(&text.len()) && !text.eq_ignore_ascii_case("tables") {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotATableName)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As in Microsoft's own sample.
impl Default for TableName {
    fn default() -> Self {
        Self("MarketplaceLeads".to_owned())
    }
}

#[derive(Debug)]
pub struct AzureTable {
    client: Client,
    limits: Limits,
    telemetry: Arc<Telemetry>,
    found_rows: FoundRows,
}

impl AzureTable {
    pub fn new(settings: Settings, telemetry: Arc<Telemetry>) -> Result<Self, SetupError> {
        let http = Http::new(&settings.http)?;
        let (endpoint, auth) = match settings.account {
            Account::ConnectionString(ConnectionString { table_endpoint, credential }) => match credential {
                Credential::SharedKey(key) => (table_endpoint, Auth::SharedKey(key)),
                Credential::Sas(sas) => (table_endpoint, Auth::Sas(sas)),
            },
            Account::Entra { table_endpoint, cloud, identity } => {
                (table_endpoint, Auth::Entra(Entra::new(identity, cloud, &settings.http)?))
            }
        };
        let endpoint = http.address("the table endpoint", &endpoint)?;
        let limits = Limits {
            batch_max: settings.batch_max.clamp(1, batch::OPERATIONS_MAX),
            in_flight_max: settings.in_flight_max.max(1),
            idempotent: true,
            updates: true,
            on_unknown: OnUnknown::default(),
            daily: None,
            send_timeout: settings.send_timeout,
        };
        let client = Client { http, endpoint, auth, table: settings.table.0 };
        Ok(Self { client, limits, telemetry, found_rows: FoundRows::default() })
    }

    /// Whether the table is there; or that we may not know.
    pub async fn is_there(&self) -> Result<bool, Reply> {
        let deadline = Instant::now() + self.limits.send_timeout;
        // No partition is named so: an answer without rows.
        match self.client.query(&client::comparison("PartitionKey", "eq", ""), None, deadline).await {
            Ok(_) => Ok(true),
            Err(Trouble::NoTable) => Ok(false),
            Err(Trouble::Failed(reply)) => Err(reply),
            Err(Trouble::Conflict) => Err(contended()),
        }
    }

    async fn create_table(&self, deadline: Instant) -> Result<(), Reply> {
        match self.client.create_table(deadline).await {
            Ok(()) => {
                self.telemetry.table_created(&self.client.table);
                Ok(())
            }
            Err(reply) => {
                if let Reply::Credentials(code) = &reply {
                    self.telemetry.table_not_creatable(&self.client.table, code);
                }
                Err(reply)
            }
        }
    }
}

#[async_trait]
impl Destination for AzureTable {
    fn limits(&self) -> Limits {
        self.limits
    }

    /// "All entities subject to operations as part of the transaction must have the same PartitionKey value."
    fn group(&self, lead: &Lead) -> Group {
        Group(entity::partition_key(&lead.event.offer))
    }

    async fn send(&self, parcels: &[Parcel<'_>]) -> Outcome {
        let deadline = Instant::now() + self.limits.send_timeout;
        let leads = parcels.iter().map(|parcel| (parcel.lead, parcel.write));
        Delivery::new(self, leads, deadline).run().await
    }

    fn inspect(&self) -> Result<&dyn Inspect, &'static str> {
        Ok(self)
    }
}

#[async_trait]
impl Inspect for AzureTable {
    async fn holds(&self, lead: &Lead) -> Result<bool, Reply> {
        let deadline = Instant::now() + self.limits.send_timeout;
        let (partition, row) = (entity::partition_key(&lead.event.offer), entity::row_key(lead));
        match self.client.row(&partition, &row, deadline).await {
            Ok(row) => Ok(row.is_some()),
            Err(Trouble::NoTable) => Ok(false),
            Err(Trouble::Failed(reply)) => Err(reply),
            Err(Trouble::Conflict) => Err(contended()),
        }
    }

    async fn remove(&self, lead: &Lead) -> Result<(), Reply> {
        let deadline = Instant::now() + self.limits.send_timeout;
        let (partition, row) = (entity::partition_key(&lead.event.offer), entity::row_key(lead));
        self.client.delete(&partition, &row, deadline).await
    }

    async fn page(&self, wanted: &Selection, at_most: usize, next: Option<&str>) -> Result<Page, Reply> {
        let deadline = Instant::now() + self.limits.send_timeout;
        match self.client.page(listing::query(wanted, at_most), next, deadline).await {
            Ok((rows, next)) => Ok(Page { leads: rows.iter().map(listing::found).collect(), next }),
            // The first lead creates it.
            Err(Trouble::NoTable) => Ok(Page { leads: Vec::new(), next: None }),
            Err(Trouble::Failed(reply)) => Err(reply),
            Err(Trouble::Conflict) => Err(contended()),
        }
    }
}

fn contended() -> Reply {
    Reply::Transient { code: Code::known("contended"), quick: Quick::Pointless }
}

/// What we have learned of partitions: in which of them first deliveries met rows of late (after a lost ledger, whole
/// backlogs do), and which are too long to walk.
#[derive(Debug, Default)]
struct FoundRows(Mutex<Learned>);

#[derive(Debug, Default)]
struct Learned {
    expected: HashSet<String>,
    long: HashSet<String>,
}

impl FoundRows {
    /// More than any worker has in flight; what is forgotten costs a transaction that fails, or a walk.
    const MAX: usize = 1_024;

    fn expected(&self, partition: &str) -> bool {
        self.lock().expected.contains(partition)
    }

    fn expect(&self, partition: &str) {
        remember(&mut self.lock().expected, partition);
    }

    fn forget(&self, partition: &str) {
        self.lock().expected.remove(partition);
    }

    fn way(&self, partition: &str) -> Way {
        if self.lock().long.contains(partition) { Way::Singly } else { Way::Walk }
    }

    fn too_long_to_walk(&self, partition: &str) {
        remember(&mut self.lock().long, partition);
    }

    fn lock(&self) -> MutexGuard<'_, Learned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remember(partitions: &mut HashSet<String>, partition: &str) {
    if partitions.len() >= FoundRows::MAX {
        partitions.clear();
    }
    partitions.insert(partition.to_owned());
}
