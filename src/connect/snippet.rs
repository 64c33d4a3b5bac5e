//! A destination as the configuration has it.

use std::fmt::Write;

use super::form::Form;
use crate::domain::route::{DestinationName, OfferPattern};

/// What a destination is, its secret aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    AzureTable { table: Option<String> },
    WebToLead(Form),
    Salesforce { instance_url: String, external_id_field: String, auth: Auth },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    ClientCredentials { client_id: String },
    JwtBearer { client_id: String, username: String, audience: Option<String> },
}

/// A secret, as a value of TOML: written out, or where it is.
pub enum Held<'a> {
    Here(&'a str),
    File(&'a str),
}

impl Kind {
    /// The key of its secret, if it has one.
    pub fn secret(&self) -> Option<&'static str> {
        match self {
            Self::AzureTable { .. } => Some("connection_string"),
            Self::WebToLead(_) => None,
            Self::Salesforce { auth: Auth::ClientCredentials { .. }, .. } => Some("client_secret"),
            Self::Salesforce { auth: Auth::JwtBearer { .. }, .. } => Some("private_key"),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::AzureTable { .. } => "azure-table",
            Self::WebToLead(_) => "salesforce-web-to-lead",
            Self::Salesforce { .. } => "salesforce",
        }
    }
}

/// The destination's tables.
pub fn destination(name: &DestinationName, kind: &Kind, secret: &Held<'_>) -> String {
    let mut text = format!("[destinations.{name}]\nkind = {}\n", quoted(kind.name()));
    let mut line = |key: &str, value: &str| writes(&mut text, format_args!("{key} = {value}\n"));
    let secret = match secret {
        Held::Here(secret) => quoted(secret),
        Held::File(path) => format!("{{ file = {} }}", quoted(path)),
    };
    match kind {
        Kind::AzureTable { table } => {
            line("connection_string", &secret);
            table.iter().for_each(|table| line("table", &quoted(table)));
        }
        Kind::WebToLead(form) => {
            line("oid", &quoted(&form.oid));
            line("endpoint", &quoted(&form.endpoint));
            text.push_str(&fields(name, form));
        }
        Kind::Salesforce { instance_url, external_id_field, auth } => {
            line("instance_url", &quoted(instance_url));
            line("external_id_field", &quoted(external_id_field));
            writes(&mut text, format_args!("[destinations.{name}.auth]\n"));
            text.push_str(&credentials(auth, &secret));
        }
    }
    text
}

fn credentials(auth: &Auth, secret: &str) -> String {
    let lines = match auth {
        Auth::ClientCredentials { client_id } => vec![
            ("kind", quoted("client-credentials")),
            ("client_id", quoted(client_id)),
            ("client_secret", secret.to_owned()),
        ],
        Auth::JwtBearer { client_id, username, audience } => {
            let own = [
                ("kind", quoted("jwt-bearer")),
                ("client_id", quoted(client_id)),
                ("username", quoted(username)),
                ("private_key", secret.to_owned()),
            ];
            own.into_iter().chain(audience.iter().map(|audience| ("audience", quoted(audience)))).collect()
        }
    };
    lines.into_iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

/// What the form sets, and, to be filled in, what it asks for besides.
fn fields(name: &DestinationName, form: &Form) -> String {
    let mut text = String::new();
    if !form.constants.is_empty() || !form.custom.is_empty() {
        writes(&mut text, format_args!("[destinations.{name}.fields]\n"));
    }
    for (field, value) in &form.constants {
        writes(&mut text, format_args!("{field} = {{ value = {} }}\n", quoted(value)));
    }
    for (field, label) in &form.custom {
        // A label is the org's own words: nothing in it may end the comment.
        let label: String = label.chars().filter(|c| !c.is_control()).collect();
        writes(&mut text, format_args!("# {field} = \"journey\"  # {label}\n"));
    }
    text
}

pub fn route(name: &DestinationName, offer: &OfferPattern) -> String {
    format!("[[routes]]\noffer = {}\ndestination = {}\n", quoted(&offer.to_string()), quoted(name.as_str()))
}

fn writes(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a text does not fail.
    let _ = text.write_fmt(arguments);
}

/// TOML's basic strings are JSON's, but for the one control character that JSON leaves as it is.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_written_is_read_as_it_was_meant() {
        let name = DestinationName::parse("contoso").unwrap();
        let form = Form {
            oid: "00D5g0000000001".into(),
            endpoint: "https://contoso.my.salesforce.com/x?a=\"b\\c".into(),
            constants: vec![("Campaign_ID".into(), "a \"quoted\" \\ value\u{7f}\n".into())],
            custom: vec![("00N5g000001aaaa".into(), "Journey\r\n[broker]".into())],
        };
        let org = |auth| Kind::Salesforce {
            instance_url: "https://contoso.my.salesforce.com".into(),
            external_id_field: "Leadrelay_Key__c".into(),
            auth,
        };
        let kinds = [
            Kind::AzureTable { table: Some("Leads".into()) },
            Kind::AzureTable { table: None },
            Kind::WebToLead(form),
            org(Auth::ClientCredentials { client_id: "id".into() }),
            org(Auth::JwtBearer {
                client_id: "id".into(),
                username: "u@x".into(),
                audience: Some("https://test.salesforce.com".into()),
            }),
        ];
        for kind in kinds {
            let text = format!(
                "broker.url = 'amqp://localhost'\nstore.url = 'sqlite:x'\nidentity.key_secret = '0123456789abcdef'\n{}{}",
                destination(&name, &kind, &Held::Here("UseDevelopmentStorage=true")),
                route(&name, &OfferPattern::parse("contoso.*").unwrap())
            );
            let config =
                Config::parse(Path::new("x"), &text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
            let read = format!("{:?}", config.destination("contoso").unwrap().kind);
            if let Kind::WebToLead(form) = &kind {
                assert!(read.contains(&format!("{:?}", form.constants[0].1)), "{read}");
                assert!(read.contains(&format!("{:?}", form.endpoint)), "{read}");
            }
        }
    }
}
