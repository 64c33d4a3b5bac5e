//! All that the sandbox knows, behind one lock. Requests are carried out whole, one after the other.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::assertion::ClientKey;
use super::faults::Faults;
use super::options::Options;
use super::org::Org;
use super::quota::Quota;
use super::schema::Schema;
use super::sessions::Sessions;
use super::web_to_lead::WebToLead;
use crate::clock::Clock;

/// Requests that reached the sandbox, by what they were for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    pub web_to_lead: u64,
    pub token: u64,
    pub collections: u64,
    pub rest: u64,
    /// Records in all requests for collections.
    pub records: u64,
}

pub struct State {
    pub org: Org,
    pub web_to_lead: WebToLead,
    pub sessions: Sessions,
    pub quota: Quota,
    pub faults: Faults,
    pub counters: Counters,
    pub client_key: Option<ClientKey>,
    pub seed: u64,
    clock: Clock,
    /// How far the org's time is ahead, by order of the one who rehearses.
    ahead: SignedDuration,
}

impl State {
    pub fn new(options: &Options) -> Self {
        let now = options.clock.now();
        let schema = Schema::new(&options.external_field, options.external_id, &options.custom_fields);
        Self {
            org: Org::new(schema, options.settings.clone()),
            web_to_lead: WebToLead::new(now),
            sessions: Sessions::default(),
            quota: Quota::new(now),
            faults: Faults::new(options.seed, options.faults.clone()),
            counters: Counters::default(),
            client_key: options.client_key.as_deref().and_then(ClientKey::from_pem),
            seed: options.seed,
            clock: options.clock,
            ahead: SignedDuration::ZERO,
        }
    }

    /// The org's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now().saturating_add(self.ahead).unwrap_or(Timestamp::MAX)
    }

    /// Every lead with all its fields, as the API shows them.
    pub fn shown_leads(&self) -> Vec<Value> {
        let org = &self.org;
        org.leads().map(|lead| org.show(lead, org.schema.fields().iter(), "v68.0")).collect()
    }

    /// No leads, no posts, no faults, no sessions, nothing used. Settings stay.
    pub fn reset(&mut self) {
        let now = self.now();
        self.org.clear();
        self.web_to_lead = WebToLead::new(now);
        self.quota = Quota::new(now);
        self.sessions.expire_all();
        self.faults = Faults::new(self.seed, Vec::new());
        self.counters = Counters::default();
    }

    /// Lets the org's time pass.
    pub fn advance(&mut self, time: SignedDuration) {
        self.ahead = self.ahead.saturating_add(time);
        let now = self.now();
        self.web_to_lead.pass_days(&mut self.org, now);
        self.quota.pass_days(now);
    }
}
