//! Salesforce, rehearsed: a server that answers as an org does, for trying, for rehearsing failures, and for our tests.
//! It keeps all in memory, and forgets it when it ends.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;

pub mod options;
pub mod schema;
pub mod lead_id;
pub mod refusal;
pub mod record;
pub mod org;
pub mod quota;
pub mod web_to_lead;
pub mod sessions;
pub mod assertion;
pub mod faults;
pub mod fault_text;
mod state;
mod answer;
mod call;
mod rest;
mod collections;
mod describe;
pub mod soql;
mod query;
mod control;
mod page;
mod intercept;
mod routes;
mod serve;
mod tls;

pub use faults::{Fault, Kind, What};
pub use options::{DuplicateRule, Options, Settings, TooLong};
pub use state::Counters;
pub use web_to_lead::{Fate, Post};

use routes::Desk;
use schema::Schema;
use serve::Running;
use state::State;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("failed to listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error("failed to make a certificate: {0}")]
    Certificate(String),
    #[error("the settings cannot be used: {0}")]
    Settings(String),
    #[error("the client's key is neither an RSA certificate nor an RSA public key in PEM")]
    ClientKey,
}

/// A sandbox that serves until it is dropped.
pub struct Sandbox {
    address: SocketAddr,
    desk: Arc<Desk>,
    certificate: Option<String>,
    serving: Running,
}

impl Sandbox {
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let schema = Schema::new(&options.external_field, options.external_id, &options.custom_fields);
        options.settings.check(&schema).map_err(StartError::Settings)?;
        if options.client_key.as_deref().is_some_and(|pem| assertion::ClientKey::from_pem(pem).is_none()) {
            return Err(StartError::ClientKey);
        }
        let refused = |error| StartError::Listen(options.listen, error);
        let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (acceptor, certificate) = match options.tls {
            true => tls::acceptor(address.ip()).map(|(acceptor, pem)| (Some(acceptor), Some(pem)))?,
            false => (None, None),
        };
        let desk = Desk::new(State::new(&options), options.tls);
        let serving = Running(tokio::spawn(serve::serve(listener, acceptor, routes::router(Arc::clone(&desk)))));
        Ok(Self { address, desk, certificate, serving })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, such as `http://127.0.0.1:8089`.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub fn web_to_lead_url(&self) -> String {
        format!("{}/servlet/servlet.WebToLead?encoding=UTF-8", self.url())
    }

    /// What clients must trust, if it serves https: a certificate in PEM.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Every lead with all its fields, in the order of their making.
    pub fn leads(&self) -> Vec<Value> {
        self.desk.state().shown_leads()
    }

    /// Every Web-to-Lead post received, and what became of it.
    pub fn posts(&self) -> Vec<Post> {
        self.desk.state().web_to_lead.posts().cloned().collect()
    }

    pub fn counters(&self) -> Counters {
        self.desk.state().counters
    }

    /// Adds a fault. The first that strikes a request is the one that it gets.
    pub fn fault(&self, fault: Fault) {
        self.desk.state().faults.add(fault);
    }

    pub fn clear_faults(&self) {
        self.desk.state().faults.clear();
    }

    /// Requests and records that faults have hit.
    pub fn hits(&self) -> u64 {
        self.desk.state().faults.hits
    }

    /// Changes the org's settings: another `oid`, a field suddenly required, a rule, a limit.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.desk.state().org.settings);
    }

    /// So many API calls have been used.
    pub fn use_quota(&self, calls: u64) {
        self.desk.state().quota.used = calls;
    }

    /// All sessions end: the next call of each is answered `INVALID_SESSION_ID`.
    pub fn expire_tokens(&self) {
        self.desk.state().sessions.expire_all();
    }

    /// Converts the leads with this external id, as a salesperson would; answers how many.
    pub fn convert(&self, external_id: &str) -> usize {
        let mut state = self.desk.state();
        let ids = state.org.with_external(external_id);
        ids.iter().filter(|id| state.org.convert(**id)).count()
    }

    /// Lets the org's time pass: limits are renewed, sessions end, pending posts become leads.
    pub fn advance(&self, time: jiff::SignedDuration) {
        self.desk.state().advance(time);
    }

    /// Serves on until it is stopped from outside.
    pub async fn wait(&mut self) {
        // It ends only by being aborted.
        let _ = (&mut self.serving.0).await;
    }
}
