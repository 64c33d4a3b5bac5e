//! A destination as configured.

use std::time::Duration;

use super::meaning::REPEATS;
use super::salesforce::{self, Salesforce};
use super::section::{Placed, Section};
use super::web_to_lead::{self, WebToLead};
use super::{Place, Secret};
use crate::domain::repeat::OnRepeat;
use crate::domain::route::DestinationName;

#[derive(Clone, Debug)]
pub struct Destination {
    pub name: DestinationName,
    pub place: Place,
    pub kind: Kind,
    pub on_repeat: OnRepeat,
    pub batch: Batch,
    /// Of one HTTP request. Shorter than half a claim's lease.
    pub timeout: Duration,
    /// Whether personal data may leave this machine over `http://`.
    pub allow_plaintext: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Leads in one send.
    pub max: usize,
    /// Sends at once.
    pub in_flight_max: usize,
}

#[derive(Clone, Debug)]
pub enum Kind {
    AzureTable(AzureTable),
    Salesforce(Salesforce),
    WebToLead(WebToLead),
}

#[derive(Clone, Debug)]
pub struct AzureTable {
    pub table: String,
    pub access: Access,
}

#[derive(Clone, Debug)]
pub enum Access {
    /// In any of its forms; read by the adapter.
    ConnectionString(Placed<Secret>),
    Entra {
        address: Address,
        cloud: Cloud,
        credential: Credential,
    },
}

/// Where the tables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The storage account's name; the cloud tells the rest.
    Account(String),
    Endpoint(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cloud {
    #[default]
    Public,
    China,
}

#[derive(Clone, Debug)]
pub enum Credential {
    ManagedIdentity {
        /// Of a user-assigned identity.
        client_id: Option<String>,
        token_endpoint: Option<String>,
    },
    ClientSecret {
        tenant: String,
        client_id: String,
        client_secret: Secret,
        token_endpoint: Option<String>,
    },
}

/// As [`DestinationName`] has it, for editors.
pub const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";

/// Half of a claim's lease: a send begins with more than its timeout left.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

const SALESFORCE: &str = "salesforce";
const WEB_TO_LEAD: &str = "salesforce-web-to-lead";

pub fn batch(section: &mut Section<'_>) -> Batch {
    // What fits into a transaction of a table, and into a collection of Salesforce's.
    let (most, in_flight) = match section.peek("kind") {
        Some(SALESFORCE) => (200, 4),
        // A form is one lead.
        Some(WEB_TO_LEAD) => (1, web_to_lead::IN_FLIGHT),
        Some(_) | None => (100, 4),
    };
    let max = section.integer("batch_max", 1..=most, most).value as usize;
    let in_flight_max = section.integer("in_flight_max", 1..=64, in_flight).value as usize;
    Batch { max, in_flight_max }
}

pub fn of(name: &Placed<String>, mut section: Section<'_>, batch: Batch, on_repeat: OnRepeat) -> Option<Destination> {
    let parsed = DestinationName::parse(&name.value);
    if let Err(illegal) = &parsed {
        section.note(&name.place, "", "is no name of a destination", illegal.to_string());
    }
    let own_repeat = section.choice("on_repeat", &REPEATS);
    let timeout = section.duration("timeout", Duration::from_secs(1)..=TIMEOUT_MAX, Duration::from_secs(15));
    let allow_plaintext = section.boolean("allow_plaintext").unwrap_or_default();
    let missing = !section.has("kind");
    #[derive(Clone, Copy)]
    enum Form {
        AzureTable,
        Salesforce,
        WebToLead,
    }
    let forms = [("azure-table", Form::AzureTable), (SALESFORCE, Form::Salesforce), (WEB_TO_LEAD, Form::WebToLead)];
    let kind = section.choice("kind", &forms);
    if missing {
        section.missing("kind", "write kind = \"azure-table\", \"salesforce\" or \"salesforce-web-to-lead\"");
    }
    // Of an unknown kind we do not know the keys either.
    let kind = match kind? {
        Form::AzureTable => azure_table(&mut section, allow_plaintext).map(Kind::AzureTable),
        Form::Salesforce => salesforce::of(&mut section, allow_plaintext).map(Kind::Salesforce),
        Form::WebToLead => {
            if own_repeat == Some(OnRepeat::Merge) {
                let mend = "take it out: Web-to-Lead cannot change a lead, and drops repeats";
                section.note(&section.place, "on_repeat", "is \"merge\"", mend);
            }
            web_to_lead::of(&mut section, allow_plaintext).map(Kind::WebToLead)
        }
    };
    let place = section.place.clone();
    section.finish();
    let on_repeat = own_repeat.unwrap_or(on_repeat);
    Some(Destination { name: parsed.ok()?, place, kind: kind?, on_repeat, batch, timeout, allow_plaintext })
}

fn azure_table(section: &mut Section<'_>, allow_plaintext: bool) -> Option<AzureTable> {
    let table = section.text("table");
    if let Some(table) = table.as_ref().filter(|table| !is_table_name(&table.value)) {
        let mend = "write 3 to 63 letters and digits, beginning with a letter, and not \"tables\"";
        section.note(&table.place, "table", "is no name of a table", mend);
    }
    let access = access(section, allow_plaintext);
    Some(AzureTable { table: table.map_or_else(|| "MarketplaceLeads".into(), |table| table.value), access: access? })
}

/// "Understanding the Table Service Data Model": `^[A-Za-z][A-Za-z0-9]{2,62}$`, and `tables` is reserved.
fn is_table_name(name: &str) -> bool {
    let letter_first = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let legal = name.chars().all(|c| c.is_ascii_alphanumeric()) && (3..=63).contains(&name.len());
    letter_first && legal && !name.eq_ignore_ascii_case("tables")
}

fn access(section: &mut Section<'_>, allow_plaintext: bool) -> Option<Access> {
    let typed = section.has("connection_string");
    let connection_string = section.secret("connection_string");
    let beside = ["account", "endpoint", "auth", "cloud"].into_iter().find(|name| section.has(name));
    match (typed, beside) {
        (true, None) => connection_string.map(Access::ConnectionString),
        (false, Some(_)) => entra(section, allow_plaintext),
        (true, Some(beside)) => {
            let what = format!("is there beside {beside}");
            section.note(&section.place, "connection_string", what, "keep the connection string, or account and auth");
            entra(section, allow_plaintext);
            None
        }
        (false, None) => {
            let mend = "paste connection_string, or write account and [….auth]";
            section.missing("connection_string", mend);
            None
        }
    }
}

fn entra(section: &mut Section<'_>, allow_plaintext: bool) -> Option<Access> {
    let address = address(section, allow_plaintext);
    let cloud = section.choice("cloud", &[("public", Cloud::Public), ("china", Cloud::China)]).unwrap_or_default();
    let missing = !section.has("auth");
    let auth = section.section("auth");
    if missing {
        let mend = format!("write [{}.auth] with kind = \"managed-identity\" or \"client-secret\"", section.key);
        section.missing("auth", &mend);
        return None;
    }
    let credential = credential(auth, allow_plaintext);
    Some(Access::Entra { address: address?, cloud, credential: credential? })
}

fn address(section: &mut Section<'_>, allow_plaintext: bool) -> Option<Address> {
    let account = section.text("account");
    let endpoint = url(section, "endpoint", allow_plaintext);
    match (account, endpoint) {
        (Some(account), None) => {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            if !(3..=24).contains(&account.value.len()) || !account.value.chars().all(legal) {
                let mend = "write 3 to 24 small letters and digits";
                section.note(&account.place, "account", "is no name of a storage account", mend);
            }
            Some(Address::Account(account.value))
        }
        (None, Some(endpoint)) => Some(Address::Endpoint(endpoint)),
        (Some(account), Some(_)) => {
            section.note(&account.place, "account", "is there beside endpoint", "keep one of the two");
            None
        }
        (None, None) => {
            section.missing("account", "write the storage account's name, or its table endpoint as endpoint");
            None
        }
    }
}

fn credential(mut auth: Section<'_>, allow_plaintext: bool) -> Option<Credential> {
    #[derive(Clone, Copy)]
    enum Form {
        ManagedIdentity,
        ClientSecret,
    }
    let forms = [("managed-identity", Form::ManagedIdentity), ("client-secret", Form::ClientSecret)];
    if !auth.has("kind") {
        auth.missing("kind", "write kind = \"managed-identity\" or \"client-secret\"");
    }
    let form = auth.choice("kind", &forms)?;
    let token_endpoint = url(&mut auth, "token_endpoint", allow_plaintext);
    let credential = match form {
        Form::ManagedIdentity => {
            let client_id = auth.text("client_id").map(|id| id.value);
            Some(Credential::ManagedIdentity { client_id, token_endpoint })
        }
        Form::ClientSecret => client_secret(&mut auth, token_endpoint),
    };
    auth.finish();
    credential
}

fn client_secret(auth: &mut Section<'_>, token_endpoint: Option<String>) -> Option<Credential> {
    for name in ["tenant", "client_id", "client_secret"] {
        if !auth.has(name) {
            auth.missing(name, "copy it from the app registration");
        }
    }
    let tenant = auth.text("tenant");
    let client_id = auth.text("client_id");
    let client_secret = auth.secret("client_secret");
    Some(Credential::ClientSecret {
        tenant: tenant?.value,
        client_id: client_id?.value,
        client_secret: client_secret?.value,
        token_endpoint,
    })
}

/// An address that personal data or credentials go to: encrypted, or on this machine, or explicitly allowed.
pub fn url(section: &mut Section<'_>, name: &'static str, allow_plaintext: bool) -> Option<String> {
    let Placed { value, place } = section.text(name)?;
    let host = value.split_once("://").map(|(_, rest)| host_of(rest)).unwrap_or_default();
    let plain = value.starts_with("http://");
    if host.is_empty() || !(plain || value.starts_with("https://")) {
        section.note(&place, name, "is no address", "write it as \"https://host/\"");
    } else if plain && !allow_plaintext && !is_loopback(host) {
        let mend = "write https://, or allow_plaintext = true if you must";
        section.note(&place, name, "would send personal data or credentials unencrypted", mend);
    }
    Some(value)
}

/// The host in what follows `://`.
fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_is_for_this_machine_only() {
        let check = |rest: &str, loopback: bool| assert_eq!(is_loopback(host_of(rest)), loopback, "{rest}");
        for loopback in ["127.0.0.1:10002/devstoreaccount1", "localhost", "LOCALHOST/x", "[::1]:80/", "127.1.2.3?x"] {
            check(loopback, true);
        }
        for other in
            ["10.0.0.1", "127.0.0.1@evil.example/", "127.0.0.1.evil.example", "localhost.evil.example", "[::2]"]
        {
            check(other, false);
        }
    }

    #[test]
    fn tables_are_named_as_azure_wants_it() {
        for good in ["MarketplaceLeads", "abc", "A12", &"a".repeat(63)] {
            assert!(is_table_name(good), "{good}");
        }
        for bad in ["", "ab", "1ab", "a-b", "tables", "Tables", "läds", &"a".repeat(64)] {
            assert!(!is_table_name(bad), "{bad}");
        }
    }
}
