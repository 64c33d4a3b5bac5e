//! What a sandbox is started with, and what of it can be changed while it runs.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::faults::Fault;
use super::schema::{Access, CustomField, ExternalId, Schema};
use crate::clock::Clock;

#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Serve https, under a self-signed certificate made on the spot.
    pub tls: bool,
    pub clock: Clock,
    /// Decides which requests a share of faults hits.
    pub seed: u64,
    pub external_field: CustomField,
    pub external_id: ExternalId,
    pub custom_fields: Vec<CustomField>,
    /// The certificate or public key (PEM) by which the client's assertions are verified. Without one there are none.
    pub client_key: Option<String>,
    pub settings: Settings,
    pub faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: false,
            clock: Clock::System,
            seed: 0,
            external_field: CustomField { name: "Leadrelay_Key__c".into(), length: 64 },
            external_id: ExternalId { unique: true, case_sensitive: false },
            custom_fields: Vec::new(),
            client_key: None,
            settings: Settings::default(),
            faults: Vec::new(),
        }
    }
}

/// How the org is set up. Changed while it runs by `PATCH /_sandbox/settings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The organisation's id, in its 15 characters.
    pub oid: String,
    pub client_id: String,
    pub client_secret: String,
    /// Whose name signed assertions bear.
    pub username: String,
    /// A session that is idle for so many seconds ends.
    pub session_seconds: u64,
    /// API calls in 24 hours.
    pub api_daily: u64,
    /// Leads that the org has room for.
    pub storage: usize,
    /// Fields that a new lead must have, beside `LastName` and `Company`.
    pub required: Vec<String>,
    pub duplicate_rule: DuplicateRule,
    pub web_to_lead: WebToLeadSettings,
}

/// What happens to a lead whose email another lead has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateRule {
    Off,
    /// Refused, unless the caller allows it.
    Alert,
    /// Refused.
    Block,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebToLeadSettings {
    pub enabled: bool,
    /// Leads in 24 hours; what comes beyond waits for the next.
    pub daily: usize,
    /// How many may wait; what comes beyond is refused.
    pub pending: usize,
    pub too_long: TooLong,
    /// Whether an accepted post is answered with `Is-Processed: true`, or without that header.
    pub says_processed: bool,
    /// Requires a reCAPTCHA, which no server can solve: every post is accepted, and dropped.
    pub captcha: bool,
}

/// What becomes of a post with a value that is too long. Salesforce documents that no lead is made of invalid values,
/// and not whether the poster learns of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TooLong {
    /// Accepted, and no lead is made: the org's administrator gets a mail.
    Drop,
    Reject,
    Cut,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            oid: "00D5g0000000001".into(),
            client_id: "sandbox-client".into(),
            client_secret: "sandbox-secret".into(),
            username: "integration@sandbox.example".into(),
            session_seconds: 7_200,
            api_daily: 100_000,
            storage: 100_000,
            required: Vec::new(),
            duplicate_rule: DuplicateRule::Off,
            web_to_lead: WebToLeadSettings {
                enabled: true,
                daily: 500,
                pending: 50_000,
                too_long: TooLong::Drop,
                says_processed: true,
                captcha: false,
            },
        }
    }
}

impl Settings {
    /// What is wrong with them.
    pub fn check(&self, schema: &Schema) -> Result<(), String> {
        let is_oid =
            self.oid.len() == 15 && self.oid.starts_with("00D") && self.oid.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_oid {
            return Err("oid is not an organisation's id in 15 characters, such as 00D5g0000000001".into());
        }
        let is_writable = |name: &String| schema.field(name).is_some_and(|field| field.access == Access::Writable);
        match self.required.iter().find(|name| !is_writable(name)) {
            None => Ok(()),
            Some(name) => Err(format!("{name}, which is required, is not a field that one can write")),
        }
    }
}
