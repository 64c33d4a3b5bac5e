//! From what the configuration means to what the adapters take.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use secrecy::SecretString;

use crate::broker::amqp::{self, Ownership};
use crate::config::{self, Access, Address, Config, Credential, Kind, Part, Problem, SalesforceAuth};
use crate::destination::Destination;
use crate::destination::azure_table::connection_string::ConnectionString;
use crate::destination::azure_table::entra::{Cloud, Identity};
use crate::destination::azure_table::{Account, AzureTable, Settings, TableName};
use crate::destination::http::HttpSettings;
use crate::destination::renewing::Renewing;
use crate::destination::salesforce::rest::assertion::SigningKey;
use crate::destination::salesforce::rest::auth;
use crate::destination::salesforce::rest::{self, Rest};
use crate::destination::salesforce::web_to_lead::{self, WebToLead};
use crate::domain::health;
use crate::domain::lead_key::Keyring;
use crate::domain::repeat::RepeatPolicy;
use crate::domain::route::DestinationName;
use crate::telemetry::Telemetry;
use crate::worker;

/// What is wrong with a part of the configuration that only its adapter can tell.
pub fn judge(part: Part<'_>) -> Vec<Problem> {
    match part {
        Part::Broker(broker) => {
            let error = amqp::check_url(&secret(broker.url.value.expose())).err();
            error
                .map(|error| Problem::error(&broker.url.place, "broker.url", format!("is wrong: {error}"), ""))
                .into_iter()
        }
        Part::Destination(destination) => judge_destination(destination).into_iter(),
    }
    .collect()
}

fn judge_destination(destination: &config::Destination) -> Option<Problem> {
    let key = |last: &str| format!("destinations.{}.{last}", destination.name);
    if let Some((place, last, what)) = unreadable_secret(&destination.kind) {
        return Some(Problem::error(&place, &key(last), what, ""));
    }
    let error = adapter(destination, &Arc::new(Telemetry::new())).err()?;
    Some(Problem::error(&destination.place, &key("kind"), format!("{error:#}"), ""))
}

/// A secret that is there, and not of the form that it must have.
fn unreadable_secret(kind: &Kind) -> Option<(config::Place, &'static str, String)> {
    match kind {
        Kind::AzureTable(config::AzureTable { access: Access::ConnectionString(text), .. }) => {
            let error = ConnectionString::parse(text.value.expose()).err()?;
            Some((text.place.clone(), "connection_string", error.to_string()))
        }
        Kind::Salesforce(config::Salesforce { auth: SalesforceAuth::JwtBearer { private_key, .. }, .. }) => {
            let error = SigningKey::from_pem(private_key.value.expose()).err()?;
            Some((private_key.place.clone(), "auth.private_key", error.to_string()))
        }
        Kind::AzureTable(_) | Kind::Salesforce(_) | Kind::WebToLead(_) => None,
    }
}

pub fn keyring(config: &Config) -> Keyring {
    Keyring::new(config.key_secret.expose().as_bytes())
}

pub fn names(config: &Config) -> Vec<DestinationName> {
    config.destinations.iter().map(|destination| destination.name.clone()).collect()
}

pub fn broker(config: &Config, ownership: Ownership) -> amqp::Settings {
    let url = secret(config.broker.url.value.expose());
    amqp::Settings {
        url,
        prefix: config.broker.prefix.clone(),
        ownership,
        authorities: None,
        fates: config.broker.fates,
    }
}

pub fn settings(config: &Config) -> worker::Settings {
    worker::Settings {
        prefetch: config.worker.prefetch,
        limits: config.retry,
        health: health::Policy { reject_fuse: config.lanes.reject_fuse, ..health::Policy::default() },
        intake_fuse: config.lanes.intake_fuse,
        grace: config.grace,
        ..worker::Settings::default()
    }
}

type Configured = (DestinationName, Arc<dyn Destination>, RepeatPolicy);

pub fn destinations(config: &Config, telemetry: &Arc<Telemetry>) -> anyhow::Result<Vec<Configured>> {
    let make = |destination: &config::Destination| {
        let adapter = renewing(destination, telemetry)
            .with_context(|| format!("failed to set up destination {}", destination.name))?;
        let updates = adapter.limits().updates;
        let policy = RepeatPolicy { on_repeat: destination.on_repeat, window: config.dedupe.window, updates };
        Ok((destination.name.clone(), adapter, policy))
    };
    config.destinations.iter().map(make).collect()
}

/// The destination's adapter; made anew when it is refused, and the files of its secrets hold others by then.
fn renewing(destination: &config::Destination, telemetry: &Arc<Telemetry>) -> anyhow::Result<Arc<dyn Destination>> {
    let first = adapter(destination, telemetry)?;
    if !destination.has_secret_files() || !first.limits().idempotent {
        return Ok(first);
    }
    let (known, telemetry) = (Mutex::new(destination.clone()), Arc::clone(telemetry));
    let renew = move || {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let name = known.name.clone();
        let again = match known.with_secrets_read_again() {
            Ok(again) => again?,
            Err((key, unreadable)) => {
                telemetry.secret_unreadable(&name, key, &unreadable.to_string());
                return None;
            }
        };
        match adapter(&again, &telemetry) {
            Ok(adapter) => {
                telemetry.secrets_read_again(&name);
                *known = again;
                Some(adapter)
            }
            Err(error) => {
                telemetry.secret_unreadable(&name, "its secret", &format!("{error:#}"));
                None
            }
        }
    };
    Ok(Arc::new(Renewing::new(first, Arc::new(renew))))
}

fn adapter(destination: &config::Destination, telemetry: &Arc<Telemetry>) -> anyhow::Result<Arc<dyn Destination>> {
    Ok(match &destination.kind {
        Kind::AzureTable(table) => Arc::new(azure_table(destination, table, Arc::clone(telemetry))?),
        Kind::Salesforce(org) => Arc::new(salesforce(destination, org, Arc::clone(telemetry))?),
        Kind::WebToLead(org) => Arc::new(web_to_lead(destination, org, Arc::clone(telemetry))?),
    })
}

fn http(destination: &config::Destination) -> HttpSettings {
    HttpSettings {
        timeout: destination.timeout,
        allow_plaintext: destination.allow_plaintext,
        ..HttpSettings::default()
    }
}

pub fn salesforce(
    destination: &config::Destination,
    org: &config::Salesforce,
    telemetry: Arc<Telemetry>,
) -> anyhow::Result<Rest> {
    let credential = match org.auth.clone() {
        SalesforceAuth::ClientCredentials { client_id, client_secret } => {
            auth::Credential::ClientCredentials { client_id, client_secret: secret(client_secret.expose()) }
        }
        SalesforceAuth::JwtBearer { client_id, username, audience, private_key } => {
            let key = SigningKey::from_pem(private_key.value.expose()).context("auth.private_key")?;
            auth::Credential::JwtBearer { client_id, username, audience, key }
        }
    };
    let (name, instance_url, external_id) =
        (destination.name.clone(), org.instance_url.clone(), org.external_id_field.clone());
    let settings = rest::Settings {
        api_version: org.api_version.clone(),
        country_field: org.country_field.clone(),
        fields: org.fields.clone(),
        allow_duplicates: org.allow_duplicates,
        assign: org.assign,
        api_usage_max: org.api_usage_max,
        batch_max: destination.batch.max,
        in_flight_max: destination.batch.in_flight_max,
        send_timeout: destination.timeout,
        http: http(destination),
        ..rest::Settings::new(name, instance_url, external_id, credential)
    };
    Ok(Rest::new(settings, telemetry)?)
}

pub fn web_to_lead(
    destination: &config::Destination,
    org: &config::WebToLead,
    telemetry: Arc<Telemetry>,
) -> anyhow::Result<WebToLead> {
    let settings = web_to_lead::Settings {
        oid: org.oid.clone(),
        endpoint: org.endpoint.clone(),
        fields: org.fields.clone(),
        on_unknown: org.on_unknown,
        daily: org.daily,
        in_flight_max: destination.batch.in_flight_max,
        send_timeout: destination.timeout,
        http: http(destination),
    };
    Ok(WebToLead::new(settings, telemetry)?)
}

pub fn azure_table(
    destination: &config::Destination,
    table: &config::AzureTable,
    telemetry: Arc<Telemetry>,
) -> anyhow::Result<AzureTable> {
    let settings = Settings {
        table: TableName::parse(&table.table)?,
        batch_max: destination.batch.max,
        in_flight_max: destination.batch.in_flight_max,
        send_timeout: destination.timeout,
        http: http(destination),
        ..Settings::new(account(&table.access)?)
    };
    Ok(AzureTable::new(settings, telemetry)?)
}

fn account(access: &Access) -> anyhow::Result<Account> {
    Ok(match access {
        Access::ConnectionString(text) => Account::ConnectionString(ConnectionString::parse(text.value.expose())?),
        Access::Entra { address, cloud, credential } => {
            let cloud = match cloud {
                config::Cloud::Public => Cloud::Public,
                config::Cloud::China => Cloud::China,
            };
            let table_endpoint = match address {
                Address::Account(account) => cloud.table_endpoint(account),
                Address::Endpoint(endpoint) => endpoint.clone(),
            };
            Account::Entra { table_endpoint, cloud, identity: identity(credential) }
        }
    })
}

/// What it is called, and the host that its leads go to.
pub fn kind_and_host(kind: &Kind) -> (&'static str, String) {
    let (name, address) = match kind {
        Kind::AzureTable(table) => ("azure-table", account(&table.access).map(|account| account.endpoint().to_owned())),
        Kind::Salesforce(org) => ("salesforce", Ok(org.instance_url.clone())),
        Kind::WebToLead(form) => ("salesforce-web-to-lead", Ok(form.endpoint.clone())),
    };
    let address = address.unwrap_or_default();
    let rest = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
    (name, rest.split(['/', '?']).next().unwrap_or_default().to_owned())
}

fn identity(credential: &Credential) -> Identity {
    match credential.clone() {
        Credential::ManagedIdentity { client_id, token_endpoint } => {
            Identity::Managed { client_id, endpoint: token_endpoint }
        }
        Credential::ClientSecret { tenant, client_id, client_secret, token_endpoint } => Identity::ClientSecret {
            tenant,
            client_id,
            secret: secret(client_secret.expose()),
            authority: token_endpoint,
        },
    }
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}
