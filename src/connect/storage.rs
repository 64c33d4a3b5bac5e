//! A storage account's connection string: what the portal gives, and what becomes of it on its way to us.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::{Recognised, Unusable, paste};
use crate::config::Cloud;
use crate::destination::azure_table::connection_string::ConnectionString;

const PUBLIC: &str = "core.windows.net";
const CHINA: &str = "core.chinacloudapi.cn";
/// A slip of find and replace in Microsoft's own guides, since 2020.
const SLIP: &str = "core.screens.net";

/// Where the tables are, and the secret with which one gets there.
#[derive(Clone)]
pub struct Storage {
    pub connection_string: SecretString,
    /// The text says itself which cloud it is of.
    pub cloud_is_said: bool,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Storage(…)")
    }
}

/// `cloud`, where a person has said it.
pub fn recognise(text: &str, cloud: Option<Cloud>) -> Result<Recognised<Storage>, Unusable> {
    let (mut text, mut remarks) = paste::line(text);
    for mend in [without_name, on_one_line, with_plain_punctuation, without_entities, from_url] {
        if let Some(remark) = mend(&mut text)? {
            remarks.push(remark);
        }
    }
    let cloud_is_said = in_its_cloud(&mut text, cloud, &mut remarks)?;
    if let Err(error) = ConnectionString::parse(&text) {
        let error = error.to_string();
        let (what, mend) = error.split_once(": ").unwrap_or((&error, "copy it again"));
        return Err(Unusable::new(what, mend));
    }
    remarks.extend(doubts(&text));
    Ok(Recognised { value: Storage { connection_string: text.into(), cloud_is_said }, remarks })
}

type Mended = Result<Option<String>, Unusable>;

/// As a shell, a `.env` file or an app's settings have it: `AZURE_STORAGE_CONNECTION_STRING="…"`.
fn without_name(text: &mut String) -> Mended {
    let Some((name, rest)) = text.split_once('=') else { return Ok(None) };
    let name = name.trim().trim_start_matches("export ").trim_start_matches("set ");
    let is_name = name.to_ascii_lowercase().replace('_', "").ends_with("connectionstring");
    let rest = rest.trim().trim_matches(['"', '\'']);
    if !is_name || !rest.contains('=') {
        return Ok(None);
    }
    *text = rest.to_owned();
    Ok(Some("took off the name of a variable before it".to_owned()))
}

/// Mails break long lines, and nothing in a connection string has a space.
fn on_one_line(text: &mut String) -> Mended {
    if text.starts_with('{') || !text.contains(['\n', '\r']) {
        return Ok(None);
    }
    *text = text.lines().map(str::trim).collect();
    Ok(Some("took out the line breaks within it".to_owned()))
}

/// An input method for Chinese writes ；and ＝ where ; and = are meant.
fn with_plain_punctuation(text: &mut String) -> Mended {
    let plain = text.replace('；', ";").replace('＝', "=").replace('：', ":");
    let changed = plain != *text;
    *text = plain;
    Ok(changed.then(|| "replaced full-width punctuation".to_owned()))
}

fn without_entities(text: &mut String) -> Mended {
    let plain = text.replace("&amp;", "&").replace("&#38;", "&");
    let changed = plain != *text;
    *text = plain;
    Ok(changed.then(|| "replaced &amp; by &".to_owned()))
}

/// The portal gives a shared access signature as URLs too, one a service.
fn from_url(text: &mut String) -> Mended {
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return Ok(None);
    }
    let missing = || Unusable::new("this is a URL without a signature", "copy the connection string");
    let (address, query) = text.split_once('?').ok_or_else(missing)?;
    let (scheme, rest) = address.split_once("://").ok_or_else(missing)?;
    let host = rest.split('/').next().unwrap_or_default();
    let parameter = |name: &str| query.split('&').filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name);
    parameter("sig").ok_or_else(missing)?;
    let for_tables = match parameter("ss") {
        // An account's signature names the services that it is for.
        Some((_, services)) => services.contains('t'),
        None => host.contains(".table."),
    };
    if !for_tables {
        let mend = "in the portal, allow the service \"Table\", generate it again, and copy the connection string";
        return Err(Unusable::new("this signature is not for tables", mend));
    }
    let host = ["blob", "queue", "file", "dfs"]
        .iter()
        .fold(host.to_owned(), |host, service| host.replace(&format!(".{service}."), ".table."));
    *text = format!("TableEndpoint={scheme}://{host};SharedAccessSignature={query}");
    Ok(Some("made a connection string of the signed URL".to_owned()))
}

/// Whether the text says its cloud; mended where it says the wrong one by a slip, or none though it is China's.
fn in_its_cloud(text: &mut String, cloud: Option<Cloud>, remarks: &mut Vec<String>) -> Result<bool, Unusable> {
    if text.trim_start().starts_with('{') {
        return Ok(text.contains("EndpointSuffix"));
    }
    let suffix = part(text, "EndpointSuffix").map(str::to_owned);
    let own_endpoint = part(text, "TableEndpoint").is_some() || part(text, "UseDevelopmentStorage").is_some();
    let wanted = match cloud {
        Some(Cloud::China) => Some(CHINA),
        Some(Cloud::Public) => Some(PUBLIC),
        // Other services' endpoints tell it.
        None if text.to_ascii_lowercase().contains(CHINA) => Some(CHINA),
        None => None,
    };
    match suffix.as_deref() {
        Some(slip) if slip.eq_ignore_ascii_case(SLIP) => {
            let right = wanted.unwrap_or(PUBLIC);
            *text = text.replace(slip, right);
            remarks.push(format!("replaced {SLIP}, a slip in an old guide, by {right}"));
            Ok(cloud.is_some())
        }
        Some(other) if wanted.is_some_and(|wanted| !other.eq_ignore_ascii_case(wanted)) && cloud.is_some() => {
            let mend = "leave --cloud out, or copy the connection string from the portal of that cloud";
            Err(Unusable::new("its EndpointSuffix is of another cloud than --cloud says", mend))
        }
        Some(_) => Ok(true),
        None if own_endpoint => Ok(true),
        None => {
            if wanted == Some(CHINA) {
                let end = if text.ends_with(';') { "" } else { ";" };
                text.push_str(&format!("{end}EndpointSuffix={CHINA}"));
                remarks.push(format!("added EndpointSuffix={CHINA}, for Azure in China"));
            }
            Ok(wanted.is_some())
        }
    }
}

/// What does not keep it from being tried.
fn doubts(text: &str) -> Option<String> {
    let key = part(text, "AccountKey")?;
    let bytes = STANDARD.decode(key).map_or(0, |key| key.len());
    (bytes != 64).then(|| format!("the AccountKey has {bytes} bytes, and Azure's have 64: was it cut off?"))
}

fn part<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let parts = text.split(';').filter_map(|part| part.split_once('='));
    parts.into_iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
