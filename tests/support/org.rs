//! A Salesforce org (our sandbox) behind a proxy that counts, leads for it, and a worker in small that claims, decides,
//! sends and records as the real one does.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leadrelay::destination::salesforce::rest::auth::Credential;
use leadrelay::destination::salesforce::rest::{Rest, Settings};
use leadrelay::destination::{Destination, Outcome, Parcel};
use leadrelay::domain::event::{Consent, Customer, Event};
use leadrelay::domain::lead::{Lead, Purpose};
use leadrelay::domain::lead_key::Keyring;
use leadrelay::domain::mapping::{LeadValue, MappedValue, Mapping};
use leadrelay::domain::repeat::{self, RepeatPolicy, Write};
use leadrelay::domain::reply::{Accepted, Reply};
use leadrelay::domain::route::{DestinationName, Offer};
use leadrelay::sandbox::{Options, Sandbox};
use leadrelay::store::ledger::{Ask, Claim, Claiming, Delivered, Ledger};
use leadrelay::store::memory::MemoryLedger;
use leadrelay::telemetry::Telemetry;
use serde_json::Value;

use super::fault_proxy::{FaultProxy, Seen};

pub const CREATED: Reply = Reply::Accepted(Accepted::Created);
pub const UPDATED: Reply = Reply::Accepted(Accepted::Updated);
pub const ALREADY: Reply = Reply::Accepted(Accepted::Already);

pub struct Org {
    pub sandbox: Sandbox,
    pub proxy: FaultProxy,
    pub telemetry: Arc<Telemetry>,
}

impl Org {
    pub async fn new() -> Self {
        Self::with(Options::default()).await
    }

    /// With fields of its own for journey, stage and time.
    pub async fn with_fields() -> Self {
        let custom_fields = ["Journey__c", "Stage__c:40", "Last_Action_Time__c:40", "Channel__c"];
        let custom_fields = custom_fields.map(|field| field.parse().expect("a field")).into();
        Self::with(Options { custom_fields, ..Options::default() }).await
    }

    pub async fn with(options: Options) -> Self {
        let sandbox = Sandbox::start(options).await.expect("a sandbox");
        let proxy = FaultProxy::start(&sandbox.address().to_string()).await;
        Self { sandbox, proxy, telemetry: Arc::new(Telemetry::new()) }
    }

    pub fn settings(&self) -> Settings {
        let credential = Credential::ClientCredentials {
            client_id: "sandbox-client".into(),
            client_secret: "sandbox-secret".into(),
        };
        let url = format!("http://{}", self.proxy.address());
        Settings::new(DestinationName::parse("org").expect("a name"), url, "Leadrelay_Key__c".into(), credential)
    }

    /// Journey, stage and time go into the fields that [`Org::with_fields`] has.
    pub fn mapped(&self) -> Settings {
        let of = |field: &str, value| Mapping { field: field.into(), value: MappedValue::Of(value) };
        let constant = MappedValue::Constant("Marketplace".into());
        let fields = vec![
            of("Journey__c", LeadValue::Journey),
            of("Stage__c", LeadValue::Stage),
            of("Last_Action_Time__c", LeadValue::LastActionTime),
            Mapping { field: "Channel__c".into(), value: constant },
        ];
        Settings { fields, ..self.settings() }
    }

    pub fn open(&self, settings: Settings) -> Rest {
        Rest::new(settings, Arc::clone(&self.telemetry)).expect("a destination")
    }

    pub fn destination(&self) -> Rest {
        self.open(self.settings())
    }

    /// The lead, as the org holds it.
    pub fn lead(&self, lead: &Lead) -> Option<Value> {
        let key = lead.key.to_string();
        self.sandbox.leads().into_iter().find(|row| row["Leadrelay_Key__c"] == key.as_str())
    }

    pub fn count(&self) -> usize {
        self.sandbox.leads().len()
    }

    /// What was asked of the org, by kind, since this was last asked.
    pub fn calls(&self) -> String {
        let mut kinds: Vec<_> = self.proxy.requests().iter().map(kind).collect();
        kinds.sort_unstable();
        let groups = kinds.chunk_by(|a, b| a == b);
        groups.map(|group| format!("{} {}", group.len(), group[0])).collect::<Vec<_>>().join(", ")
    }

    /// A salesperson writes into a lead.
    pub async fn edit(&self, lead: &Lead, body: Value) {
        let token = self.call("POST", "/services/oauth2/token", TOKEN, None).await;
        let token: Value = serde_json::from_str(&token).expect("a token");
        let path = format!("/services/data/v60.0/sobjects/Lead/Leadrelay_Key__c/{}", lead.key);
        let token = token["access_token"].as_str().expect("a token");
        let answer = self.call("PATCH", &path, &body.to_string(), Some(token)).await;
        assert!(!answer.contains("errorCode"), "{answer}");
    }

    /// Writes the key of `to` into the lead of `from`, as somebody does who clones a lead.
    pub async fn clone_key(&self, from: &Lead, to: &Lead) {
        let id = self.lead(from).expect("a lead")["Id"].as_str().expect("an id").to_owned();
        let token = self.call("POST", "/services/oauth2/token", TOKEN, None).await;
        let token: Value = serde_json::from_str(&token).expect("a token");
        let body = serde_json::json!({ "Leadrelay_Key__c": to.key.to_string() }).to_string();
        let path = format!("/services/data/v60.0/sobjects/Lead/{id}");
        let answer = self.call("PATCH", &path, &body, token["access_token"].as_str()).await;
        assert!(!answer.contains("errorCode"), "{answer}");
    }

    async fn call(&self, method: &str, path: &str, body: &str, token: Option<&str>) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.sandbox.address()).await.expect("a connection");
        let kind = if token.is_some() { "application/json" } else { "application/x-www-form-urlencoded" };
        let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: org\r\nConnection: close\r\n{bearer}Content-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }
}

const TOKEN: &str = "grant_type=client_credentials&client_id=sandbox-client&client_secret=sandbox-secret";

pub fn kind(seen: &Seen) -> &'static str {
    match (seen.method.as_str(), seen.target.as_str()) {
        ("POST", "/services/oauth2/token") => "token",
        ("GET", target) if target.contains("/query?q=SELECT") => "look",
        ("PATCH", target) if target.ends_with("/composite/sobjects/Lead/Leadrelay_Key__c") => "write",
        ("GET", target) if target.ends_with("/describe") => "describe",
        ("DELETE", _) => "delete",
        _ => "other",
    }
}

pub fn at(second: i64) -> Timestamp {
    "2026-11-22T03:00:00Z".parse::<Timestamp>().expect("a time") + jiff::SignedDuration::from_secs(second)
}

/// An event of this person; change it before it becomes a lead.
pub fn event(person: &str, action: &str, second: i64) -> Event {
    Event {
        id: None,
        occurred_at: at(second),
        source: "AzureMarketplace".into(),
        action: action.into(),
        offer: Offer::parse("arraynetworks.ArrayLoadBalancervAPV").expect("an offer"),
        offer_display_name: "Array vAPV".into(),
        publisher_display_name: "Array Networks".into(),
        description: "canary-description".into(),
        consent: Consent { granted: true, at: at(second), agreement: String::new() },
        customer: Customer {
            first_name: "canary-first".into(),
            last_name: "canary-last".into(),
            company: "canary-company".into(),
            email: format!("{person}@canary.example"),
            ..Customer::default()
        },
    }
}

pub fn keyring() -> Keyring {
    Keyring::new(b"secret")
}

pub fn lead(event: Event) -> Lead {
    Lead::new(&keyring(), event, DestinationName::parse("org").expect("a name"), Purpose::Deliver)
}

/// The person of `lead` withdrew at this second.
pub fn mark(person: &str, second: i64) -> Lead {
    Lead { purpose: Purpose::Mark, ..lead(event(person, "INS", second)) }
}

pub fn leads(count: usize) -> Vec<Lead> {
    (0..count).map(|person| lead(event(&format!("person{person}"), "INS", 0))).collect()
}

pub fn each(reply: Reply, count: usize) -> Outcome {
    Outcome::Each(vec![reply; count])
}

/// Claims, decides, sends and records, as a lane does.
pub struct Desk {
    pub destination: Arc<dyn Destination>,
    ledger: MemoryLedger,
}

impl Desk {
    /// With an empty ledger: a new one, or one that was lost.
    pub async fn new(destination: Rest) -> Self {
        Self::of(Arc::new(destination)).await
    }

    pub async fn of(destination: Arc<dyn Destination>) -> Self {
        let ledger = MemoryLedger::new();
        ledger.take_over().await.expect("a ledger");
        Self { destination, ledger }
    }

    pub async fn deliver(&self, leads: &[Lead]) -> Outcome {
        self.go(leads, true).await
    }

    /// A crash between sending and recording.
    pub async fn deliver_and_crash(&self, leads: &[Lead]) -> Outcome {
        self.go(leads, false).await
    }

    async fn go(&self, leads: &[Lead], records: bool) -> Outcome {
        let ask = |lead: &Lead| Ask {
            key: lead.key,
            destination: lead.destination.clone(),
            person: lead.person,
            address: lead.address,
            granted_at: None,
        };
        let claims = self.ledger.claim(leads.iter().map(ask).collect()).await.expect("claims");
        let claims = claims.into_iter().map(|claiming| match claiming {
            Claiming::Granted(claim) => claim,
            other => panic!("not granted: {other:?}"),
        });
        let policy = RepeatPolicy { updates: true, ..RepeatPolicy::default() };
        let (now, keyring) = (at(1_000), keyring());
        let mut due: Vec<(&Lead, Write, Claim)> = Vec::new();
        for (lead, claim) in leads.iter().zip(claims) {
            match repeat::assess(claim.record(), lead, &lead.digests(&keyring), policy, now) {
                Some(write) => due.push((lead, write, claim)),
                // Not confirmed, as the real one does: then the ledger would know more than the destination.
                None => self.ledger.release(vec![claim]).await,
            }
        }
        if due.is_empty() {
            return Outcome::Each(Vec::new());
        }
        let parcels: Vec<_> = due.iter().map(|(lead, write, claim)| Parcel { lead, write, claim }).collect();
        let outcome = tokio::time::timeout(Duration::from_secs(30), self.destination.send(&parcels)).await;
        let outcome = outcome.expect("a send ends");
        let replies = match &outcome {
            Outcome::Each(replies) => replies.clone(),
            Outcome::Whole(reply) => vec![reply.clone(); due.len()],
        };
        for ((lead, write, claim), reply) in due.into_iter().zip(replies) {
            if reply.is_accepted() && records {
                let record = repeat::recorded(claim.record(), lead, &lead.digests(&keyring), &write, now);
                drop(self.ledger.record([Delivered { claim, record }].into()).await.expect("committed"));
            } else {
                self.ledger.release(vec![claim]).await;
            }
        }
        outcome
    }
}

pub async fn deliver(destination: Rest, leads: &[Lead]) -> Outcome {
    Desk::new(destination).await.deliver(leads).await
}
