//! Every key there is: which ones, and what each takes, the reader itself says when it reads the smallest configurations;
//! what each is for stands in [`keys`].

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::notes::Notes;
use super::{Config, Sources, duration, keys};

pub use keys::Given;

/// A key that was asked for, from the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub key: String,
    pub form: Form,
}

/// What a key takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    /// A text, or where it is.
    Secret,
    Boolean,
    Integer {
        low: u32,
        high: u32,
    },
    Duration {
        low: Duration,
        high: Duration,
    },
    Word(Vec<&'static str>),
    Texts,
    /// The destination's own fields, with what goes into each.
    Fields,
    Table,
    /// `[[name]]`
    Tables,
}

/// A table of the file: `http`, or `destinations.azure-table` for a kind of destination, or
/// `destinations.azure-table.auth.client-secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: &'static str,
    /// In the order in which they are explained.
    pub keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    pub form: Form,
    pub given: Given,
    pub about: &'static str,
}

/// The smallest destination of a kind, and of a way to its credentials.
pub struct Sample {
    pub kind: &'static str,
    pub auth: Option<&'static str>,
    /// Keys beside `kind` and `auth.kind`, as TOML.
    keys: &'static str,
}

pub const SAMPLES: [Sample; 6] = [
    Sample { kind: "azure-table", auth: None, keys: "connection_string = 'UseDevelopmentStorage=true'" },
    Sample { kind: "azure-table", auth: Some("managed-identity"), keys: "account = 'contoso'" },
    Sample {
        kind: "azure-table",
        auth: Some("client-secret"),
        keys: "endpoint = 'https://contoso.table.core.windows.net'\nauth.tenant = 'x'\nauth.client_id = 'x'\n\
               auth.client_secret = 'x'",
    },
    Sample {
        kind: "salesforce",
        auth: Some("client-credentials"),
        keys: "instance_url = 'https://contoso.my.salesforce.com'\nexternal_id_field = 'Leadrelay_Key__c'\n\
               auth.client_id = 'x'\nauth.client_secret = 'x'",
    },
    Sample {
        kind: "salesforce",
        auth: Some("jwt-bearer"),
        keys: "instance_url = 'https://contoso.my.salesforce.com'\nexternal_id_field = 'Leadrelay_Key__c'\n\
               auth.client_id = 'x'\nauth.username = 'x'\nauth.private_key = 'x'",
    },
    Sample {
        kind: "salesforce-web-to-lead",
        auth: None,
        keys: "oid = '00D5g0000000001'\nendpoint = 'https://contoso.my.salesforce.com/servlet/servlet.WebToLead'",
    },
];

impl Sample {
    /// A sound configuration, with this one destination.
    pub fn config(&self) -> String {
        let Self { kind, auth, keys } = self;
        let auth = auth.map(|auth| format!("auth.kind = '{auth}'\n")).unwrap_or_default();
        format!(
            "broker.url = 'amqp://localhost'\nstore.url = 'sqlite:x'\nidentity.key_secret = '0123456789abcdef'\n\
             [[routes]]\noffer = '*'\ndestination = 'sample'\n[destinations.sample]\nkind = '{kind}'\n{auth}{keys}\n"
        )
    }

    fn asked(&self) -> Vec<Asked> {
        let text = self.config();
        let notes = Notes::new(Path::new(""));
        let sources = Sources { main: Path::new(""), text: &text, beside: &[], environment: Vec::new() };
        // That it is sound, a test says.
        let _ = Config::noted(sources, &notes, &|_| Vec::new());
        notes.into_asked()
    }

    /// The group and the name of a key that this sample was asked for.
    fn place<'k>(&self, key: &'k str) -> (String, &'k str) {
        let Self { kind, auth, .. } = self;
        let within = |table: String, name: &'k str| (table, name);
        if let Some(rest) = key.strip_prefix("destinations.sample.") {
            return match (rest.strip_prefix("auth."), auth) {
                (Some(name), Some(auth)) => within(format!("destinations.{kind}.auth.{auth}"), name),
                _ => within(format!("destinations.{kind}"), rest),
            };
        }
        let (table, name) = key.split_once('.').unwrap_or(("", key));
        within(table.to_owned(), name)
    }
}

/// All groups, in the order in which they are explained. Where the reader and the explanations do not name the same
/// keys, a test says so.
pub fn groups() -> Vec<Group> {
    let forms = forms();
    let key = |group: &str, explained: &keys::Explained| {
        let form = forms.get(&(group.to_owned(), explained.name.to_owned()))?.clone();
        Some(Key { name: explained.name, form, given: explained.given, about: explained.about })
    };
    let group = |(name, explained): &(&'static str, &'static [keys::Explained])| Group {
        name,
        keys: explained.iter().filter_map(|explained| key(name, explained)).collect(),
    };
    keys::KEYS.iter().map(group).collect()
}

/// What every key takes, by group and name.
pub fn forms() -> BTreeMap<(String, String), Form> {
    let mut forms = BTreeMap::new();
    for sample in &SAMPLES {
        for Asked { key, form } in sample.asked() {
            let (group, name) = sample.place(&key);
            forms.insert((group, name.to_owned()), form);
        }
    }
    // Tables of tables are groups of their own.
    forms.retain(|_, form| !matches!(form, Form::Table | Form::Tables));
    forms
}

impl Form {
    /// As a table of a document says it.
    pub fn show(&self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Secret => "secret".into(),
            Self::Boolean => "`true` or `false`".into(),
            Self::Integer { low, high } => format!("{low} to {high}"),
            Self::Duration { low, high } => format!("{} to {}", duration::show(*low), duration::show(*high)),
            Self::Word(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
            Self::Texts => "list of texts".into(),
            Self::Fields => "table".into(),
            Self::Table | Self::Tables => "tables".into(),
        }
    }
}
