//! Tokens of Microsoft Entra ID: by the machine's managed identity, or by a client's secret; of the public cloud and
//! of the one in China.

use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::batch::percent_encoded;
use super::classify::{classify, unanswered};
use crate::clock::Clock;
use crate::destination::http::{Answer, Failure, Http, HttpSettings, Proxy, SetupError};
use crate::domain::reply::{Code, Quick, Reply};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cloud {
    #[default]
    Public,
    China,
}

impl Cloud {
    /// The tables of a storage account.
    pub fn table_endpoint(self, account: &str) -> String {
        match self {
            Self::Public => format!("https://{account}.table.core.windows.net"),
            Self::China => format!("https://{account}.table.core.chinacloudapi.cn"),
        }
    }

    /// What a token is for.
    fn resource(self) -> &'static str {
        match self {
            Self::Public => "https://storage.azure.com/",
            Self::China => "https://storage.azure.cn/",
        }
    }

    fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }
}

#[derive(Clone, Debug)]
pub enum Identity {
    /// The machine's own: <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>.
    Managed {
        /// Of a user-assigned identity.
        client_id: Option<String>,
        /// Elsewhere than at the address that every machine of Azure has.
        endpoint: Option<String>,
    },
    ClientSecret {
        tenant: String,
        client_id: String,
        secret: SecretString,
        /// Elsewhere than at the cloud's own.
        authority: Option<String>,
    },
}

/// The instance metadata service. Plain HTTP by design: the address does not leave the machine's host.
const METADATA: &str = "http://169.254.169.254";

/// A token is renewed this long before it ends, so that none ends under way.
const MARGIN: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct Entra {
    http: Http,
    cloud: Cloud,
    identity: Identity,
    source: Url,
    /// Locked while a token is fetched: one at a time, and whoever waits takes what came.
    token: Mutex<Option<Token>>,
}

struct Token {
    bearer: SecretString,
    renew_at: Instant,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Entra {
    pub fn new(identity: Identity, cloud: Cloud, settings: &HttpSettings) -> Result<Self, SetupError> {
        let (http, source) = match &identity {
            Identity::Managed { endpoint, .. } => {
                // "IMDS … isn't intended to be used behind a proxy":
                // https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service#proxies
                let allow_plaintext = settings.allow_plaintext || endpoint.is_none();
                let http = Http::new(&HttpSettings { proxy: Proxy::None, allow_plaintext, ..settings.clone() })?;
                let base = endpoint.as_deref().unwrap_or(METADATA).trim_end_matches('/');
                let mut source =
                    http.address("the identity endpoint", &format!("{base}/metadata/identity/oauth2/token"))?;
                source.set_query(Some(&metadata_query(cloud, &identity)));
                (http, source)
            }
            Identity::ClientSecret { tenant, authority, .. } => {
                let http = Http::new(settings)?;
                let base = authority.as_deref().unwrap_or(cloud.authority()).trim_end_matches('/');
                let tenant = percent_encoded(tenant);
                let source = http.address("the authority", &format!("{base}/{tenant}/oauth2/v2.0/token"))?;
                (http, source)
            }
        };
        Ok(Self { http, cloud, identity, source, token: Mutex::new(None) })
    }

    /// A token that is good for a while.
    pub async fn bearer(&self, deadline: Instant) -> Result<SecretString, Reply> {
        let fetched = timeout_at(deadline, async {
            let mut held = self.token.lock().await;
            if let Some(token) = held.as_ref().filter(|token| Instant::now() < token.renew_at) {
                return Ok(token.bearer.clone());
            }
            let token = self.fetch().await?;
            let bearer = token.bearer.clone();
            *held = Some(token);
            Ok(bearer)
        });
        fetched.await.unwrap_or_else(|_| Err(unanswered(Failure::TimedOut)))
    }

    /// The service refused this token: the next one is fetched, unless somebody did so meanwhile.
    pub async fn forget(&self, refused: &SecretString) {
        let mut held = self.token.lock().await;
        if held.as_ref().is_some_and(|token| token.bearer.expose_secret() == refused.expose_secret()) {
            *held = None;
        }
    }

    async fn fetch(&self) -> Result<Token, Reply> {
        let answer = self.http.send(self.request()).await.map_err(unanswered)?;
        if answer.status != 200 {
            return Err(self.refusal(&answer));
        }
        token(&answer.body).ok_or(Reply::Transient { code: Code::known("no_token"), quick: Quick::Pointless })
    }

    fn request(&self) -> Request {
        match &self.identity {
            Identity::Managed { .. } => {
                let mut request = Request::new(Method::GET, self.source.clone());
                request.headers_mut().insert("Metadata", HeaderValue::from_static("true"));
                request
            }
            Identity::ClientSecret { client_id, secret, .. } => {
                let mut request = Request::new(Method::POST, self.source.clone());
                let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers_mut().insert(CONTENT_TYPE, form);
                let scope = format!("{}.default", self.cloud.resource());
                let body = format!(
                    "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
                    percent_encoded(client_id),
                    percent_encoded(secret.expose_secret()),
                    percent_encoded(&scope)
                );
                *request.body_mut() = Some(body.into());
                request
            }
        }
    }

    fn refusal(&self, answer: &Answer) -> Reply {
        let code = serde_json::from_slice::<Value>(&answer.body).ok();
        let code = code.as_ref().and_then(|body| body.get("error")?.as_str());
        let retry_after = answer.retry_after(Clock::System.now());
        // The metadata service answers 404 and 410 while it is being updated, and asks to try again:
        // https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling
        let updating = matches!(self.identity, Identity::Managed { .. }) && matches!(answer.status, 404 | 410);
        let named = code.map_or_else(|| Code::status(answer.status), Code::foreign);
        match answer.status {
            _ if updating => Reply::Transient { code: named, quick: Quick::Pointless },
            429 | 500.. => classify(answer.status, code, retry_after),
            _ => Reply::Credentials(named),
        }
    }
}

fn metadata_query(cloud: Cloud, identity: &Identity) -> String {
    let mut query = format!("api-version=2018-02-01&resource={}", percent_encoded(cloud.resource()));
    if let Identity::Managed { client_id: Some(client_id), .. } = identity {
        query.push_str("&client_id=");
        query.push_str(&percent_encoded(client_id));
    }
    query
}

fn token(body: &[u8]) -> Option<Token> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let bearer = body.get("access_token")?.as_str()?.to_owned();
    // The metadata service writes the number as a string.
    let lasts = body.get("expires_in")?;
    let lasts = lasts.as_u64().or_else(|| lasts.as_str()?.parse().ok())?;
    let lasts = Duration::from_secs(lasts.min(7 * 86_400));
    let renew_at = Instant::now() + lasts.saturating_sub(MARGIN.min(lasts / 2));
    Some(Token { bearer: bearer.into(), renew_at })
}
