//! A real Azurite, leads to send to it, and a reader that shares nothing with the writer but the signature.

#![allow(clippy::disallowed_methods, reason = "a reader that shares no code with the client")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use leadrelay::destination::azure_table::connection_string::ConnectionString;
use leadrelay::destination::azure_table::sign::{SharedKey, Signed};
use leadrelay::destination::azure_table::{Account, AzureTable, Settings, TableName};
use leadrelay::destination::{Destination, Outcome, Parcel};
use leadrelay::domain::event::{Consent, Customer, Event};
use leadrelay::domain::lead::{Lead, Purpose};
use leadrelay::domain::lead_key::Keyring;
use leadrelay::domain::repeat::{Additions, Write};
use leadrelay::domain::reply::{Accepted, Reply};
use leadrelay::domain::route::{DestinationName, Offer};
use leadrelay::store::ledger::{Ask, Claim, Claiming, Ledger};
use leadrelay::store::memory::MemoryLedger;
use leadrelay::telemetry::Telemetry;
use serde_json::{Map, Value};

use super::fault_proxy::{Fault, FaultProxy, Seen};

pub type Row = Map<String, Value>;

pub const CREATED: Reply = Reply::Accepted(Accepted::Created);
pub const UPDATED: Reply = Reply::Accepted(Accepted::Updated);
pub const ALREADY: Reply = Reply::Accepted(Accepted::Already);

/// Azurite behind a proxy that counts, with a table of this test's own.
pub struct Azurite {
    pub proxy: FaultProxy,
    pub table: String,
    pub account: String,
    pub key: String,
    upstream: String,
}

impl Azurite {
    pub async fn new() -> Self {
        let text = std::env::var("LEADRELAY_TEST_AZURITE")
            .expect("LEADRELAY_TEST_AZURITE is not set: run `make test`, which starts Azurite and sets it");
        let part = |name: &str| {
            let parts = text.split(';').filter_map(|part| part.split_once('='));
            let value = parts.into_iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_owned());
            value.unwrap_or_else(|| panic!("LEADRELAY_TEST_AZURITE has no {name}"))
        };
        let endpoint = part("TableEndpoint");
        let upstream = endpoint.trim_start_matches("http://").split('/').next().expect("a host").to_owned();
        static TABLES: AtomicU32 = AtomicU32::new(0);
        let number = TABLES.fetch_add(1, Ordering::Relaxed);
        let table = format!("Leads{}x{number}", Timestamp::now().as_nanosecond());
        let proxy = FaultProxy::start(&upstream).await;
        Self { proxy, table, account: part("AccountName"), key: part("AccountKey"), upstream }
    }

    /// Through the proxy.
    pub fn endpoint(&self) -> String {
        format!("http://{}/{}", self.proxy.address(), self.account)
    }

    pub fn settings(&self, credential: &str) -> Settings {
        let text = format!("TableEndpoint={};{credential}", self.endpoint());
        let account = Account::ConnectionString(ConnectionString::parse(&text).expect("a connection string"));
        let table = TableName::parse(&self.table).expect("a table's name");
        Settings { table, ..Settings::new(account) }
    }

    pub fn open(&self, settings: Settings) -> AzureTable {
        AzureTable::new(settings, Arc::new(Telemetry::new())).expect("a destination")
    }

    pub fn destination(&self) -> AzureTable {
        self.open(self.own_settings())
    }

    /// With the account's key.
    pub fn own_settings(&self) -> Settings {
        self.settings(&format!("AccountName={};AccountKey={}", self.account, self.key))
    }

    /// The row of a lead, read past the proxy.
    pub async fn row(&self, lead: &Lead) -> Option<Row> {
        let key = lead.key.to_string();
        self.rows().await.into_iter().find(|row| row["RowKey"] == key.as_str())
    }

    /// All rows of the table, read past the proxy.
    pub async fn rows(&self) -> Vec<Row> {
        let answer = self.call("GET", &format!("{}()", self.table), "").await;
        match serde_json::from_str::<Row>(&answer).expect("JSON").remove("value") {
            Some(Value::Array(rows)) => rows
                .into_iter()
                .map(|row| match row {
                    Value::Object(row) => row,
                    other => panic!("a row is {other}"),
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Past the proxy, signed by the account's key.
    pub async fn call(&self, method: &str, path: &str, body: &str) -> String {
        let path = format!("/{}/{path}", self.account);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new();
        let date = date.timestamp_to_rfc9110_string(&Timestamp::now()).expect("a date");
        let content_type = "application/json";
        let signed = Signed { verb: method, content_type, date: &date, path: &path };
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let url = format!("http://{}{path}", self.upstream);
        leadrelay::destination::http::install_crypto_provider();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client
            .request(method, url)
            .header("x-ms-date", &date)
            .header("x-ms-version", "2020-12-06")
            .header("content-type", content_type)
            .header("accept", "application/json;odata=nometadata")
            .header("if-match", "*")
            .header("authorization", SharedKey::new(&self.account, &self.key()).authorization(signed))
            .body(body.to_owned());
        request.send().await.expect("an answer").text().await.expect("a text")
    }

    /// A signature for this table alone, which may do what `permissions` say.
    pub fn table_sas(&self, permissions: &str) -> String {
        self.sas(&self.table, permissions)
    }

    /// Azurite takes a table's signature for a transaction only if it was made for a table called `$batch` (measured);
    /// the service takes it as it is. Puts that right, on the way.
    pub fn mend_sas(&self, permissions: &'static str) {
        let (service, azurite) = (self.table_sas(permissions), self.sas("$batch", permissions));
        self.proxy.set(move |seen| match seen.target.contains("$batch") {
            true => Fault::Rewrite(Seen { target: seen.target.replace(&service, &azurite), ..seen.clone() }),
            false => Fault::Pass,
        });
    }

    fn sas(&self, table: &str, permissions: &str) -> String {
        let (version, end) = ("2020-12-06", "2099-01-01T00:00:00Z");
        let resource = format!("/table/{}/{}", self.account, table.to_lowercase());
        let text = format!("{permissions}\n\n{end}\n{resource}\n\n\nhttps,http\n{version}\n\n\n\n");
        let (signature, table) = (encoded(&self.hmac(&text)), encoded(table));
        format!("sv={version}&tn={table}&sp={permissions}&se={}&spr=https%2Chttp&sig={signature}", encoded(end))
    }

    /// The same request, signed by the account's key.
    pub fn signer(&self) -> impl Fn(&Seen) -> Seen + Send + 'static {
        let key = SharedKey::new(&self.account, &self.key());
        move |seen| {
            let path = seen.target.split('?').next().unwrap_or_default();
            let header = |name| seen.header(name).unwrap_or_default();
            let signed =
                Signed { verb: &seen.method, content_type: header("content-type"), date: header("x-ms-date"), path };
            let authorization = ("authorization".to_owned(), key.authorization(signed));
            let others = seen.headers.iter().filter(|(name, _)| name != "authorization").cloned();
            Seen { headers: others.chain([authorization]).collect(), ..seen.clone() }
        }
    }

    fn key(&self) -> Vec<u8> {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(&self.key).expect("Base64")
    }

    fn hmac(&self, text: &str) -> String {
        use base64::Engine;
        use hmac::{Hmac, KeyInit, Mac};
        let mac = Hmac::<sha2::Sha256>::new_from_slice(&self.key()).expect("a key").chain_update(text);
        base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

pub fn at(second: i64) -> Timestamp {
    "2026-11-22T03:00:00Z".parse::<Timestamp>().expect("a time") + jiff::SignedDuration::from_secs(second)
}

/// An event of this person, for this offer; change it before it becomes a lead.
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
            email: format!("{person}@canary.example"),
            ..Customer::default()
        },
    }
}

pub fn lead(event: Event) -> Lead {
    let destination = DestinationName::parse("table").expect("a name");
    Lead::new(&Keyring::new(b"secret"), event, destination, Purpose::Deliver)
}

/// As many leads of one offer, of different people.
pub fn leads(count: usize) -> Vec<Lead> {
    (0..count).map(|person| lead(event(&format!("person{person}"), "INS", 0))).collect()
}

pub fn merge(additions: Additions) -> Write {
    Write::Merge(additions)
}

/// Claims the leads of a fresh ledger, and sends them as one batch.
pub async fn send(destination: &dyn Destination, orders: &[(&Lead, Write)]) -> Outcome {
    let ledger = MemoryLedger::new();
    ledger.take_over().await.expect("a ledger");
    let ask = |(lead, _): &(&Lead, Write)| Ask {
        key: lead.key,
        destination: lead.destination.clone(),
        person: lead.person,
        address: lead.address,
        granted_at: None,
    };
    let claims = ledger.claim(orders.iter().map(ask).collect()).await.expect("claims");
    let claims: Vec<Claim> = claims
        .into_iter()
        .map(|claiming| match claiming {
            Claiming::Granted(claim) => claim,
            other => panic!("not granted: {other:?}"),
        })
        .collect();
    let parcel = |((lead, write), claim)| Parcel { lead, write, claim };
    let parcels: Vec<_> = orders.iter().map(|(lead, write)| (*lead, write)).zip(&claims).map(parcel).collect();
    let outcome = tokio::time::timeout(Duration::from_secs(30), destination.send(&parcels)).await;
    outcome.expect("a send ends")
}

pub async fn create(destination: &dyn Destination, leads: &[Lead]) -> Outcome {
    send(destination, &leads.iter().map(|lead| (lead, Write::Create)).collect::<Vec<_>>()).await
}

pub fn each(reply: Reply, count: usize) -> Outcome {
    Outcome::Each(vec![reply; count])
}
