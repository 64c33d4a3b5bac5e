//! Access tokens: by the client's secret, or by an assertion that the client's key signs.
//!
//! One is fetched when the first is needed, all share it, and it lives until Salesforce refuses it: how long that is, the
//! org's session settings say, and no token does.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::assertion::{Claims, SigningKey};
use super::codes::{of_token, unanswered};
use crate::clock::Clock;
use crate::destination::http::{Failure, Http};
use crate::domain::reply::{Code, Quick, Reply};

#[derive(Clone, Debug)]
pub enum Credential {
    /// "You must use your My Domain": <https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_client_credentials_flow.htm>.
    ClientCredentials {
        client_id: String,
        client_secret: SecretString,
    },
    JwtBearer {
        client_id: String,
        username: String,
        audience: String,
        key: SigningKey,
    },
}

/// "The expiration time … within 3 minutes":
/// <https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_jwt_flow.htm>.
const ASSERTION_LASTS: SignedDuration = SignedDuration::from_secs(120);

pub struct Tokens {
    http: Http,
    source: Url,
    credential: Credential,
    /// Locked while a token is fetched: one at a time, and whoever waits takes what came.
    held: Mutex<Option<SecretString>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl Tokens {
    pub fn new(http: Http, instance: &Url, credential: Credential) -> Self {
        let mut source = instance.clone();
        source.set_path(&format!("{}/services/oauth2/token", instance.path().trim_end_matches('/')));
        Self { http, source, credential, held: Mutex::new(None) }
    }

    pub async fn bearer(&self, deadline: Instant) -> Result<SecretString, Reply> {
        let fetched = timeout_at(deadline, async {
            let mut held = self.held.lock().await;
            if let Some(token) = held.as_ref() {
                return Ok(token.clone());
            }
            let token = self.fetch().await?;
            *held = Some(token.clone());
            Ok(token)
        });
        fetched.await.unwrap_or_else(|_| Err(unanswered(Failure::TimedOut)))
    }

    /// Salesforce refused this token: the next one is fetched, unless somebody did so meanwhile.
    pub async fn forget(&self, refused: &SecretString) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|token| token.expose_secret() == refused.expose_secret()) {
            *held = None;
        }
    }

    async fn fetch(&self) -> Result<SecretString, Reply> {
        let now = Clock::System.now();
        let answer = self.http.send(self.request(now)?).await.map_err(unanswered)?;
        if answer.status != 200 {
            return Err(of_token(answer.status, &answer.body, answer.retry_after(now)));
        }
        // Its `instance_url` is not followed: only the configuration says where leads go.
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let token = body.as_ref().and_then(|body| body.get("access_token")?.as_str()).filter(|token| !token.is_empty());
        let none = Reply::Transient { code: Code::known("no_token"), quick: Quick::Pointless };
        token.map(SecretString::from).ok_or(none)
    }

    fn request(&self, now: Timestamp) -> Result<Request, Reply> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        match &self.credential {
            Credential::ClientCredentials { client_id, client_secret } => {
                form.append_pair("grant_type", "client_credentials");
                form.append_pair("client_id", client_id);
                form.append_pair("client_secret", client_secret.expose_secret());
            }
            Credential::JwtBearer { client_id, username, audience, key } => {
                let claims =
                    Claims { iss: client_id, sub: username, aud: audience, exp: (now + ASSERTION_LASTS).as_second() };
                let unsigned = || Reply::Credentials(Code::known("unusable_private_key"));
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                form.append_pair("assertion", key.assertion(&claims).ok_or_else(unsigned)?.expose_secret());
            }
        }
        let mut request = Request::new(Method::POST, self.source.clone());
        let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        *request.body_mut() = Some(form.finish().into());
        Ok(request)
    }
}
