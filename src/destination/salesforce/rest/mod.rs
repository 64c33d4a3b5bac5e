//! Salesforce's REST API: leads upserted by an external-id field that holds the lead key, up to 200 in a call, each with
//! an outcome of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::destination::http::{Http, HttpSettings, SetupError};
use crate::destination::{Destination, Group, Inspect, Limits, Outcome, Page, Parcel};
use crate::domain::found::Selection;
use crate::domain::lead::Lead;
use crate::domain::mapping::{MappedValue, Mapping};
use crate::domain::reply::{OnUnknown, Reply};
use crate::domain::route::DestinationName;
use crate::telemetry::Telemetry;
use auth::{Credential, Tokens};
use client::{Asked, Client};
use delivery::Delivery;
use record::Shape;
use refusals::Refusals;
use usage::Usage;

pub mod assertion;
pub mod auth;
pub mod probe;
mod delivery;
pub(in crate::destination::salesforce) mod record;
pub(in crate::destination::salesforce) mod journey;
mod listing;
mod client;
mod usage;
mod codes;
mod refusals;

/// "You can upsert up to 200 records":
/// <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_sobjects_collections_upsert.htm>.
pub const RECORDS_MAX: usize = 200;

#[derive(Clone, Debug)]
pub struct Settings {
    pub name: DestinationName,
    /// My Domain.
    pub instance_url: String,
    pub credential: Credential,
    /// Such as `68.0`.
    pub api_version: String,
    pub external_id_field: String,
    pub country_field: String,
    pub fields: Vec<Mapping>,
    pub allow_duplicates: bool,
    pub assign: Option<bool>,
    /// In percent of the org's API calls; 100 is no brake.
    pub api_usage_max: u8,
    /// At most 200.
    pub batch_max: usize,
    pub in_flight_max: usize,
    /// All requests of one send together.
    pub send_timeout: Duration,
    pub http: HttpSettings,
}

impl Settings {
    pub fn new(name: DestinationName, instance_url: String, external_id_field: String, credential: Credential) -> Self {
        Self {
            name,
            instance_url,
            credential,
            api_version: "68.0".into(),
            external_id_field,
            country_field: "Country".into(),
            fields: Vec::new(),
            allow_duplicates: false,
            assign: None,
            api_usage_max: 95,
            batch_max: RECORDS_MAX,
            in_flight_max: 4,
            send_timeout: Duration::from_secs(15),
            http: HttpSettings::default(),
        }
    }
}

#[derive(Debug)]
pub struct Rest {
    client: Client,
    shape: Shape,
    limits: Limits,
    telemetry: Arc<Telemetry>,
}

impl Rest {
    pub fn new(settings: Settings, telemetry: Arc<Telemetry>) -> Result<Self, SetupError> {
        let http = Http::new(&settings.http)?;
        let instance = http.address("instance_url", &settings.instance_url)?;
        let shape = Shape {
            external_id: settings.external_id_field.clone(),
            country: settings.country_field,
            mappings: settings.fields,
        };
        let mut known: Vec<String> = shape.written().into_iter().map(str::to_owned).collect();
        known.push(settings.external_id_field.clone());
        let client = Client {
            refusals: Refusals { destination: settings.name.clone(), telemetry: Arc::clone(&telemetry), known },
            tokens: Tokens::new(http.clone(), &instance, settings.credential),
            http,
            instance,
            version: settings.api_version,
            external_id: settings.external_id_field,
            usage: Usage::new(settings.name, settings.api_usage_max, Arc::clone(&telemetry)),
            allow_duplicates: settings.allow_duplicates,
            assign: settings.assign,
        };
        let limits = Limits {
            batch_max: settings.batch_max.clamp(1, RECORDS_MAX),
            in_flight_max: settings.in_flight_max.max(1),
            idempotent: true,
            updates: true,
            on_unknown: OnUnknown::default(),
            daily: None,
            send_timeout: settings.send_timeout,
        };
        Ok(Self { client, shape, limits, telemetry })
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.limits.send_timeout
    }

    /// What is asked of a lead that may be there. Opt-outs and constants are written by what we know, not by what stands.
    fn read_fields(&self) -> Vec<&str> {
        let constant = |field: &&str| matches!(self.shape.mapped(field), Some(MappedValue::Constant(_)));
        let written = self.shape.written().into_iter().filter(|field| !record::OPT_OUTS.contains(field));
        let own = [self.shape.external_id.as_str(), "IsConverted", "CreatedDate"].into_iter();
        let also =
            [record::LEAD_SOURCE, record::DESCRIPTION].into_iter().filter(|field| self.shape.mapped(field).is_some());
        let mut fields: Vec<&str> = own.chain(written.filter(|field| !constant(field))).chain(also).collect();
        let mut seen = std::collections::HashSet::new();
        fields.retain(|field| seen.insert(field.to_ascii_lowercase()));
        fields
    }
}

#[async_trait]
impl Destination for Rest {
    fn limits(&self) -> Limits {
        self.limits
    }

    /// Any leads may share a call.
    fn group(&self, _: &Lead) -> Group {
        Group(String::new())
    }

    async fn send(&self, parcels: &[Parcel<'_>]) -> Outcome {
        Delivery::new(self, parcels, self.deadline()).run().await
    }

    fn inspect(&self) -> Result<&dyn Inspect, &'static str> {
        Ok(self)
    }
}

#[async_trait]
impl Inspect for Rest {
    async fn holds(&self, lead: &Lead) -> Result<bool, Reply> {
        let keys = [lead.key.to_string()];
        let found = self.client.find(&["Id"], &keys, self.deadline()).await?;
        Ok(!found.is_empty())
    }

    async fn remove(&self, lead: &Lead) -> Result<(), Reply> {
        self.client.delete(&lead.key.to_string(), self.deadline()).await
    }

    async fn page(&self, wanted: &Selection, at_most: usize, next: Option<&str>) -> Result<Page, Reply> {
        let fields = [&["Id", "LastModifiedDate", record::DESCRIPTION][..], &self.read_fields()].concat();
        let asked = match next {
            Some(next) => Asked::Next(next.to_owned()),
            None => Asked::First(listing::soql(&self.shape, &fields, wanted)),
        };
        let (rows, next) = self.client.page(&asked, at_most.min(listing::PAGE_MAX), self.deadline()).await?;
        Ok(Page { leads: rows.iter().map(|row| listing::found(&self.shape, row)).collect(), next })
    }
}
