//! A Salesforce org, reached by its REST API.

use super::destination::url;
use super::fields;
use super::secret::Secret;
use super::section::{Placed, Section};
use crate::domain::event::CustomerField;
use crate::domain::mapping::Mapping;

#[derive(Clone, Debug)]
pub struct Salesforce {
    /// My Domain.
    pub instance_url: String,
    pub auth: SalesforceAuth,
    /// The field that holds the lead key.
    pub external_id_field: String,
    pub country_field: String,
    pub api_version: String,
    pub fields: Vec<Mapping>,
    pub allow_duplicates: bool,
    /// Whether new leads go through the assignment rules; unsaid, as Salesforce does.
    pub assign: Option<bool>,
    /// In percent.
    pub api_usage_max: u8,
}

#[derive(Clone, Debug)]
pub enum SalesforceAuth {
    ClientCredentials {
        client_id: String,
        client_secret: Secret,
    },
    JwtBearer {
        client_id: String,
        username: String,
        audience: String,
        /// PEM; read by the adapter.
        private_key: Placed<Secret>,
    },
}

/// The first with collections' upsert.
const VERSION_MIN: u32 = 46;
const VERSION: &str = "68.0";

pub fn of(section: &mut Section<'_>, allow_plaintext: bool) -> Option<Salesforce> {
    let instance_url = instance_url(section, allow_plaintext);
    let external_id_field = external_id_field(section);
    let country = section.choice("country_field", &[("Country", "Country"), ("CountryCode", "CountryCode")]);
    let api_version = api_version(section);
    let fields = mappings(section, external_id_field.as_deref());
    let allow_duplicates = section.boolean("allow_duplicates").unwrap_or_default();
    let assign = section.boolean("assign");
    let api_usage_max = section.integer("api_usage_max", 1..=100, 95).value as u8;
    let missing = !section.has("auth");
    let auth = section.section("auth");
    let auth = if missing {
        let mend = format!("write [{}.auth] with kind = \"client-credentials\" or \"jwt-bearer\"", section.key);
        section.missing("auth", &mend);
        None
    } else {
        credential(auth, allow_plaintext)
    };
    Some(Salesforce {
        instance_url: instance_url?,
        auth: auth?,
        external_id_field: external_id_field?,
        country_field: country.unwrap_or("Country").to_owned(),
        api_version,
        fields,
        allow_duplicates,
        assign,
        api_usage_max,
    })
}

fn instance_url(section: &mut Section<'_>, allow_plaintext: bool) -> Option<String> {
    if !section.has("instance_url") {
        section.missing("instance_url", "write your My Domain: \"https://YOURS.my.salesforce.com\"");
    }
    url(section, "instance_url", allow_plaintext)
}

fn external_id_field(section: &mut Section<'_>) -> Option<String> {
    let mend = "write the API name of the field on Lead that holds the lead key, such as \"Leadrelay_Key__c\"";
    if !section.has("external_id_field") {
        section.missing("external_id_field", mend);
    }
    let Placed { value, place } = section.text("external_id_field")?;
    if !fields::is_field_name(&value) || !value.ends_with("__c") {
        section.note(&place, "external_id_field", "is no name of a custom field", mend);
        return None;
    }
    Some(value)
}

fn api_version(section: &mut Section<'_>) -> String {
    let Some(Placed { value, place }) = section.text("api_version") else { return VERSION.to_owned() };
    let number = value.strip_suffix(".0").and_then(|number| number.parse::<u32>().ok());
    if number.is_none_or(|number| !(VERSION_MIN..1_000).contains(&number)) {
        let mend = format!("write \"{VERSION}\", or an earlier one from \"{VERSION_MIN}.0\" on");
        section.note(&place, "api_version", "is no version of the API that we can use", mend);
    }
    value
}

fn mappings(section: &mut Section<'_>, external_id_field: Option<&str>) -> Vec<Mapping> {
    let mappings = fields::of(section.fields("fields"));
    let customer = CustomerField::ALL.map(CustomerField::name);
    let kept = ["CountryCode", "DoNotCall", "HasOptedOutOfEmail", "Id"];
    let ours = || customer.into_iter().chain(kept).chain(external_id_field);
    for Placed { value, place } in &mappings {
        if ours().any(|name| name.eq_ignore_ascii_case(&value.field)) {
            let key = format!("fields.{}", value.field);
            section.note(place, &key, "is written by leadrelay itself", "take it out");
        }
    }
    mappings.into_iter().map(|mapping| mapping.value).collect()
}

fn credential(mut auth: Section<'_>, allow_plaintext: bool) -> Option<SalesforceAuth> {
    #[derive(Clone, Copy)]
    enum Form {
        ClientCredentials,
        JwtBearer,
    }
    if !auth.has("kind") {
        auth.missing("kind", "write kind = \"client-credentials\" or \"jwt-bearer\"");
    }
    let forms = [("client-credentials", Form::ClientCredentials), ("jwt-bearer", Form::JwtBearer)];
    let form = auth.choice("kind", &forms)?;
    let mut required = |name| {
        if !auth.has(name) {
            auth.missing(name, "copy it from the external client app");
        }
        auth.text(name).map(|text| text.value)
    };
    let client_id = required("client_id");
    let credential = match form {
        Form::ClientCredentials => {
            if !auth.has("client_secret") {
                auth.missing("client_secret", "copy it from the external client app");
            }
            let client_secret = auth.secret("client_secret").map(|secret| secret.value);
            client_id
                .zip(client_secret)
                .map(|(client_id, client_secret)| SalesforceAuth::ClientCredentials { client_id, client_secret })
        }
        Form::JwtBearer => jwt_bearer(&mut auth, client_id, allow_plaintext),
    };
    auth.finish();
    credential
}

fn jwt_bearer(auth: &mut Section<'_>, client_id: Option<String>, allow_plaintext: bool) -> Option<SalesforceAuth> {
    for (name, mend) in [
        ("username", "write the name of the user as whom the app works"),
        ("private_key", "write { file = \"path\" } of the key whose certificate the app holds, in PEM"),
    ] {
        if !auth.has(name) {
            auth.missing(name, mend);
        }
    }
    let username = auth.text("username");
    let audience = url(auth, "audience", allow_plaintext).unwrap_or_else(|| "https://login.salesforce.com".into());
    let private_key = auth.secret("private_key");
    Some(SalesforceAuth::JwtBearer {
        client_id: client_id?,
        username: username?.value,
        audience,
        private_key: private_key?,
    })
}
