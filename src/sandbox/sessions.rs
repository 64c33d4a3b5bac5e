//! Who may call the API: tokens for client credentials and for signed assertions, and the sessions behind them. Pure;
//! time is an argument.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use super::assertion::{ClientKey, Parts};
use super::lead_id::{USER, checksum};
use super::options::Settings;
use super::web_to_lead::Form;

/// Sessions that are kept; the longest idle goes first.
const SESSIONS: usize = 10_000;

#[derive(Debug, Default)]
pub struct Sessions {
    /// By token, when it was last used.
    used: HashMap<String, Timestamp>,
    pub issued: u64,
}

/// An error of the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OauthError(pub &'static str, pub &'static str);

impl OauthError {
    pub fn body(self) -> Value {
        json!({ "error": self.0, "error_description": self.1 })
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    #[serde(alias = "prn")]
    sub: String,
    aud: String,
    /// Seconds since 1970, which some clients write as a text.
    exp: Value,
}

impl Claims {
    fn ends(&self) -> Option<f64> {
        self.exp.as_f64().or_else(|| self.exp.as_str()?.parse().ok())
    }
}

impl Sessions {
    /// Answers a request for a token.
    pub fn token(
        &mut self,
        settings: &Settings,
        key: Option<&ClientKey>,
        form: &Form,
        (now, url): (Timestamp, &str),
    ) -> Result<Value, OauthError> {
        let given = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        match given("grant_type") {
            "client_credentials" => {
                check_client(settings, given("client_id"), given("client_secret"))?;
                Ok(self.signed_answer(settings, now, url))
            }
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                check_assertion(settings, key, given("assertion"), (now, url))?;
                Ok(self.answer(settings, now, url))
            }
            "" => Err(OauthError("invalid_request", "missing required parameter: grant_type")),
            _ => Err(OauthError("unsupported_grant_type", "grant type not supported")),
        }
    }

    fn answer(&mut self, settings: &Settings, now: Timestamp, url: &str) -> Value {
        self.issued += 1;
        // Opaque and unlike any other; nobody is kept out by it.
        let token = format!("{}!AQ{:06}.{}", settings.oid, self.issued, URL_SAFE_NO_PAD.encode(now.to_string()));
        if self.used.len() >= SESSIONS
            && let Some(idle) = self.used.iter().min_by_key(|(_, used)| **used).map(|(token, _)| token.clone())
        {
            self.used.remove(&idle);
        }
        self.used.insert(token.clone(), now);
        json!({
            "access_token": token,
            "scope": "api",
            "instance_url": url,
            "id": identity_url(settings, url),
            "token_type": "Bearer",
        })
    }

    /// With what only the client-credentials flow adds: the time, and a signature under the client's secret.
    fn signed_answer(&mut self, settings: &Settings, now: Timestamp, url: &str) -> Value {
        let mut answer = self.answer(settings, now, url);
        let issued_at = now.as_millisecond().to_string();
        let signed = format!("{}{issued_at}", identity_url(settings, url));
        if let Ok(mac) = Hmac::<Sha256>::new_from_slice(settings.client_secret.as_bytes()) {
            answer["signature"] = STANDARD.encode(mac.chain_update(signed).finalize().into_bytes()).into();
        }
        answer["issued_at"] = issued_at.into();
        answer
    }

    /// Whether the token is that of a session; using it keeps the session alive.
    pub fn touch(&mut self, settings: &Settings, token: &str, now: Timestamp) -> bool {
        let idle = SignedDuration::from_secs(i64::try_from(settings.session_seconds).unwrap_or(i64::MAX));
        match self.used.get_mut(token) {
            Some(used) if now.duration_since(*used) < idle => {
                *used = now;
                true
            }
            Some(_) | None => {
                self.used.remove(token);
                false
            }
        }
    }

    pub fn live(&self) -> usize {
        self.used.len()
    }

    pub fn expire_all(&mut self) {
        self.used.clear();
    }
}

/// Where a client reads as whom it works. Clients take the ids of org and user from this address.
pub fn identity_url(settings: &Settings, url: &str) -> String {
    format!("{url}/id/{}/{USER}", organisation(settings))
}

/// The organisation's id in 18 characters.
pub fn organisation(settings: &Settings) -> String {
    format!("{}{}", settings.oid, checksum(&settings.oid))
}

fn check_client(settings: &Settings, id: &str, secret: &str) -> Result<(), OauthError> {
    if id != settings.client_id {
        return Err(OauthError("invalid_client_id", "client identifier invalid"));
    }
    if secret != settings.client_secret {
        return Err(OauthError("invalid_client", "invalid client credentials"));
    }
    Ok(())
}

fn check_assertion(
    settings: &Settings,
    key: Option<&ClientKey>,
    assertion: &str,
    (now, url): (Timestamp, &str),
) -> Result<(), OauthError> {
    let invalid = OauthError("invalid_grant", "invalid assertion");
    let parts = Parts::split(assertion).ok_or(invalid)?;
    let claims: Claims = serde_json::from_slice(&parts.claims).map_err(|_| invalid)?;
    if claims.iss != settings.client_id {
        return Err(OauthError("invalid_client_id", "client identifier invalid"));
    }
    if !key.is_some_and(|key| key.verifies(&parts)) {
        return Err(invalid);
    }
    let audiences = ["https://login.salesforce.com", "https://test.salesforce.com", url];
    if !audiences.contains(&claims.aud.trim_end_matches('/')) {
        return Err(OauthError("invalid_grant", "audience is invalid"));
    }
    if claims.ends().is_none_or(|end| end <= now.as_second() as f64) {
        return Err(OauthError("invalid_grant", "expired authorization code"));
    }
    if claims.sub != settings.username {
        return Err(OauthError("invalid_grant", "user hasn't approved this consumer"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://127.0.0.1:8089";

    fn now() -> Timestamp {
        "2026-11-22T03:04:05Z".parse().unwrap()
    }

    fn form(values: &[(&str, &str)]) -> Form {
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn ask(key: Option<&ClientKey>, values: &[(&str, &str)]) -> Result<Value, OauthError> {
        Sessions::default().token(&Settings::default(), key, &form(values), (now(), URL))
    }

    #[test]
    fn a_client_that_names_itself_gets_a_token_and_another_does_not() {
        let check = |change: (&str, &str), expected: Option<&str>| {
            let mut form = form(&[
                ("grant_type", "client_credentials"),
                ("client_id", "sandbox-client"),
                ("client_secret", "sandbox-secret"),
            ]);
            form.insert(change.0.into(), change.1.into());
            let answer = Sessions::default().token(&Settings::default(), None, &form, (now(), URL));
            assert_eq!(answer.err().map(|error| error.0), expected, "{change:?}");
        };
        check(("scope", ""), None);
        check(("client_id", "x"), Some("invalid_client_id"));
        check(("client_secret", "x"), Some("invalid_client"));
        check(("grant_type", "password"), Some("unsupported_grant_type"));
        check(("grant_type", ""), Some("invalid_request"));
    }

    #[test]
    fn the_answer_has_what_clients_read() {
        let answer = ask(
            None,
            &[
                ("grant_type", "client_credentials"),
                ("client_id", "sandbox-client"),
                ("client_secret", "sandbox-secret"),
            ],
        );
        let answer = answer.unwrap();
        assert_eq!(answer["instance_url"], URL);
        assert_eq!(answer["id"], format!("{URL}/id/00D5g0000000001EAA/{USER}"));
        assert_eq!((&answer["token_type"], &answer["issued_at"]), (&json!("Bearer"), &json!("1795316645000")));
        assert!(answer["access_token"].as_str().unwrap().starts_with("00D5g0000000001!AQ"));
        let signed = format!("{URL}/id/00D5g0000000001EAA/{USER}1795316645000");
        let mac = Hmac::<Sha256>::new_from_slice(b"sandbox-secret").unwrap().chain_update(signed);
        mac.verify_slice(&STANDARD.decode(answer["signature"].as_str().unwrap()).unwrap()).unwrap();
    }

    #[test]
    fn a_signed_assertion_is_believed_for_its_signature_its_words_and_its_time() {
        let certificate = ClientKey::from_pem(include_str!("../../tests/sandbox/keys/client.crt")).unwrap();
        let key = ClientKey::from_pem(include_str!("../../tests/sandbox/keys/client.pub")).unwrap();
        assert!(matches!((&certificate, &key), (ClientKey::Certificate(_), ClientKey::Key(_))));
        let check = |assertion: &str, expected: Option<&str>| {
            for key in [&certificate, &key] {
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                let answer = ask(Some(key), &[("grant_type", grant), ("assertion", assertion.trim())]);
                assert_eq!(answer.err().map(|error| error.1), expected, "{assertion}");
            }
        };
        // Signed by openssl's RSA, in PyJWT; the good one ends in 2100.
        check(include_str!("../../tests/sandbox/keys/good.jwt"), None);
        check(include_str!("../../tests/sandbox/keys/text_exp.jwt"), None);
        check(include_str!("../../tests/sandbox/keys/forged.jwt"), Some("invalid assertion"));
        check(include_str!("../../tests/sandbox/keys/hmac.jwt"), Some("invalid assertion"));
        check(include_str!("../../tests/sandbox/keys/rs512.jwt"), Some("invalid assertion"));
        check(include_str!("../../tests/sandbox/keys/mislabelled.jwt"), Some("invalid assertion"));
        check("nonsense", Some("invalid assertion"));
        check(include_str!("../../tests/sandbox/keys/expired.jwt"), Some("expired authorization code"));
        check(include_str!("../../tests/sandbox/keys/other_user.jwt"), Some("user hasn't approved this consumer"));
        check(include_str!("../../tests/sandbox/keys/other_audience.jwt"), Some("audience is invalid"));
        check(include_str!("../../tests/sandbox/keys/other_client.jwt"), Some("client identifier invalid"));
        let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let good = include_str!("../../tests/sandbox/keys/good.jwt").trim();
        assert!(ask(None, &[grant, ("assertion", good)]).is_err(), "without a key nobody is believed");
    }

    #[test]
    fn a_session_ends_when_it_has_been_idle_for_long() {
        let mut sessions = Sessions::default();
        let settings = Settings { session_seconds: 100, ..Settings::default() };
        let answer = sessions.answer(&settings, now(), URL);
        let token = answer["access_token"].as_str().unwrap();
        let at = |seconds| now() + SignedDuration::from_secs(seconds);
        for (seconds, lives) in [(99, true), (198, true), (298, false), (298, false)] {
            assert_eq!(sessions.touch(&settings, token, at(seconds)), lives, "{seconds}");
        }
        assert!(!sessions.touch(&settings, "nonsense", now()));
    }
}
