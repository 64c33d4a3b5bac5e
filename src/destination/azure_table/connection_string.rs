//! Connection strings, in all the forms in which people paste them.
//!
//! <https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string>. An error names the key
//! that is wrong and how to mend it, never a value: values are secrets.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::sign::{Sas, SharedKey};

/// Where the tables are, and what proves that we may write there.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionString {
    /// With the scheme; the address is checked where the client is made.
    pub table_endpoint: String,
    pub credential: Credential,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    SharedKey(SharedKey),
    Sas(Sas),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    #[error("the connection string is empty: copy it from the storage account's access keys")]
    Empty,
    #[error("the connection string has a line break in it: copy it again, as one line")]
    LineBreak,
    #[error("this is a URL, not a connection string: write TableEndpoint=<the URL>;SharedAccessSignature=<its query>")]
    Url,
    #[error("the connection string begins like JSON, but holds no \"connectionString\": copy it again")]
    Wrapper,
    #[error("a part of the connection string is not key=value: copy it again, whole")]
    NotAPair,
    #[error("{0} stands twice in the connection string: remove one")]
    Twice(&'static str),
    #[error("{0} is missing from the connection string: {1}")]
    Missing(&'static str, &'static str),
    #[error("{0} in the connection string is wrong: {1}")]
    Wrong(&'static str, &'static str),
}

use ConnectionStringError as Error;

const DEVELOPMENT_ACCOUNT: &str = "devstoreaccount1";
/// Public: <https://learn.microsoft.com/azure/storage/common/storage-use-azurite#well-known-storage-account-and-key>.
const DEVELOPMENT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The keys that say something to us. They are compared without case; all others (blobs, queues, secondaries) are
/// other services' affair.
const KEYS: [&str; 8] = [
    "AccountName",
    "AccountKey",
    "SharedAccessSignature",
    "TableEndpoint",
    "EndpointSuffix",
    "DefaultEndpointsProtocol",
    "UseDevelopmentStorage",
    "DevelopmentStorageProxyUri",
];

impl ConnectionString {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = unwrapped(text)?;
        let text = text.trim().trim_matches('"').trim();
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.contains(['\r', '\n']) {
            return Err(Error::LineBreak);
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Err(Error::Url);
        }
        let pairs = Pairs::read(text)?;
        match pairs.get("UseDevelopmentStorage") {
            Some(value) if value.eq_ignore_ascii_case("true") => development(&pairs),
            Some(_) => Err(Error::Wrong("UseDevelopmentStorage", "write true, or remove it")),
            None => account(&pairs),
        }
    }
}

/// The portal of 2017 wrapped the string: `{"connectionString":"…"}`.
fn unwrapped(text: &str) -> Result<String, Error> {
    if !text.trim_start().starts_with('{') {
        return Ok(text.to_owned());
    }
    let Ok(Value::Object(members)) = serde_json::from_str(text) else { return Err(Error::Wrapper) };
    let inner = members.iter().find(|(name, _)| name.eq_ignore_ascii_case("connectionString"));
    inner.and_then(|(_, value)| value.as_str()).map(str::to_owned).ok_or(Error::Wrapper)
}

struct Pairs<'a>(BTreeMap<&'static str, &'a str>);

impl<'a> Pairs<'a> {
    fn read(text: &'a str) -> Result<Self, Error> {
        let mut pairs = BTreeMap::new();
        for part in Parts(text) {
            let (name, value) = part.split_once('=').ok_or(Error::NotAPair)?;
            let Some(key) = KEYS.into_iter().find(|key| key.eq_ignore_ascii_case(name.trim())) else { continue };
            if pairs.insert(key, value.trim()).is_some() {
                return Err(Error::Twice(key));
            }
        }
        Ok(Self(pairs))
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).copied().filter(|value| !value.is_empty())
    }
}

/// The parts between semicolons. The semicolon of `&amp;`, in a signature that was pasted from XML, is not one.
struct Parts<'a>(&'a str);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches([';', ' ']);
        if text.is_empty() {
            return None;
        }
        let ends = |(index, _): &(usize, &str)| !text[..*index].ends_with("&amp");
        let end = text.match_indices(';').find(ends).map_or(text.len(), |(index, _)| index);
        self.0 = &text[end..];
        Some(&text[..end])
    }
}

fn development(pairs: &Pairs<'_>) -> Result<ConnectionString, Error> {
    let base = pairs.get("DevelopmentStorageProxyUri").unwrap_or("http://127.0.0.1");
    Ok(ConnectionString {
        table_endpoint: format!("{}:10002/{DEVELOPMENT_ACCOUNT}", base.trim_end_matches('/')),
        credential: Credential::SharedKey(shared_key(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY)?),
    })
}

fn account(pairs: &Pairs<'_>) -> Result<ConnectionString, Error> {
    let name = pairs.get("AccountName").map(account_name).transpose()?;
    let table_endpoint = match pairs.get("TableEndpoint") {
        Some(endpoint) => explicit_endpoint(endpoint)?,
        None => derived_endpoint(pairs, name)?,
    };
    let credential = match (pairs.get("AccountKey"), pairs.get("SharedAccessSignature")) {
        (Some(_), Some(_)) => {
            return Err(Error::Wrong("SharedAccessSignature", "it stands beside an AccountKey: keep one of the two"));
        }
        (Some(key), None) => {
            let name = name.ok_or(Error::Missing("AccountName", "an AccountKey needs it to sign"))?;
            Credential::SharedKey(shared_key(name, key)?)
        }
        (None, Some(token)) => Credential::Sas(sas(token)?),
        (None, None) => return Err(Error::Missing("AccountKey", "add it, or a SharedAccessSignature")),
    };
    Ok(ConnectionString { table_endpoint, credential })
}

fn account_name(name: &str) -> Result<&str, Error> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if (3..=24).contains(&name.len()) && name.chars().all(legal) {
        Ok(name)
    } else {
        Err(Error::Wrong("AccountName", "a storage account's name is 3 to 24 of a-z and 0-9"))
    }
}

fn explicit_endpoint(endpoint: &str) -> Result<String, Error> {
    if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
        return Err(Error::Wrong("TableEndpoint", "begin it with https://"));
    }
    if endpoint.contains('?') {
        return Err(Error::Wrong("TableEndpoint", "put what follows the ? into SharedAccessSignature"));
    }
    Ok(endpoint.trim_end_matches('/').to_owned())
}

fn derived_endpoint(pairs: &Pairs<'_>, name: Option<&str>) -> Result<String, Error> {
    let name = name.ok_or(Error::Missing("AccountName", "add it, or a TableEndpoint"))?;
    let protocol = match pairs.get("DefaultEndpointsProtocol").map(str::to_ascii_lowercase).as_deref() {
        None | Some("https") => "https",
        Some("http") => "http",
        Some(_) => return Err(Error::Wrong("DefaultEndpointsProtocol", "write https")),
    };
    let suffix = pairs.get("EndpointSuffix").unwrap_or("core.windows.net");
    // Microsoft's own guides printed this since 2020, by a slip of find and replace.
    if suffix.eq_ignore_ascii_case("core.screens.net") {
        return Err(Error::Wrong("EndpointSuffix", "core.screens.net is a slip in a guide: write core.windows.net"));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if !suffix.chars().all(legal) || suffix.starts_with('.') {
        return Err(Error::Wrong("EndpointSuffix", "write core.windows.net, or core.chinacloudapi.cn"));
    }
    Ok(format!("{protocol}://{name}.table.{suffix}"))
}

fn shared_key(account: &str, key: &str) -> Result<SharedKey, Error> {
    let key = STANDARD.decode(key).map_err(|_| Error::Wrong("AccountKey", "it is not Base64: copy it again, whole"))?;
    Ok(SharedKey::new(account, &key))
}

fn sas(token: &str) -> Result<Sas, Error> {
    let token = token.trim_start_matches('?').replace("&amp;", "&");
    if !token.split('&').any(|parameter| parameter.starts_with("sig=") && parameter.len() > 4) {
        return Err(Error::Wrong("SharedAccessSignature", "it has no sig: copy it again, whole"));
    }
    if token.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#') {
        return Err(Error::Wrong("SharedAccessSignature", "it has a space in it: copy it again, percent-encoded"));
    }
    Ok(Sas::new(token))
}

#[cfg(test)]
#[path = "connection_string_tests.rs"]
mod tests;
