//! A plain client of the sandbox.

use std::time::Duration;

use leadrelay::sandbox::{Options, Sandbox};
use reqwest::Method;
use serde_json::{Value, json};

pub struct Client {
    pub sandbox: Sandbox,
    pub http: reqwest::Client,
    pub token: String,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The status, and the code of the first error.
    pub fn error(&self) -> (u16, String) {
        (self.status, self.json()[0]["errorCode"].as_str().unwrap_or_default().to_owned())
    }
}

impl Client {
    pub async fn new(options: Options) -> Self {
        leadrelay::destination::http::install_crypto_provider();
        let sandbox = Sandbox::start(options).await.expect("a sandbox");
        let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20));
        let builder = match sandbox.certificate() {
            None => builder,
            Some(pem) => {
                builder.tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate")])
            }
        };
        let mut client = Self { sandbox, http: builder.build().expect("a client"), token: String::new() };
        client.token = client.new_token().await;
        client
    }

    pub async fn default() -> Self {
        Self::new(Options::default()).await
    }

    pub async fn new_token(&self) -> String {
        let answer = self.ask_token(&[]).await.expect("an answer");
        answer.json()["access_token"].as_str().unwrap_or_default().to_owned()
    }

    /// With these changes to a good form.
    pub async fn ask_token(&self, changes: &[(&str, &str)]) -> reqwest::Result<Answer> {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", "sandbox-client"),
            ("client_secret", "sandbox-secret"),
        ];
        form.retain(|(name, _)| changes.iter().all(|(other, _)| other != name));
        form.extend(changes);
        self.post_form("/services/oauth2/token", &form).await
    }

    pub async fn post_form(&self, path: &str, form: &[(&str, &str)]) -> reqwest::Result<Answer> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let kind = "application/x-www-form-urlencoded";
        let request = self.http.post(format!("{}{path}", self.sandbox.url())).header("content-type", kind);
        read(request.body(body).send().await?).await
    }

    /// With these changes to a good form.
    pub async fn web_to_lead(&self, changes: &[(&str, &str)]) -> reqwest::Result<Answer> {
        let mut form = vec![("oid", "00D5g0000000001"), ("last_name", "Liang"), ("company", "Contoso")];
        form.retain(|(name, _)| changes.iter().all(|(other, _)| other != name));
        form.extend(changes);
        self.post_form("/servlet/servlet.WebToLead?encoding=UTF-8", &form).await
    }

    /// A call below `/services/data/v68.0`.
    pub async fn try_call(&self, method: &str, path: &str, body: &Value) -> reqwest::Result<Answer> {
        let url = format!("{}/services/data/v68.0{path}", self.sandbox.url());
        let request = self.http.request(Method::from_bytes(method.as_bytes()).expect("a method"), url);
        let request = request.bearer_auth(&self.token);
        let request = match body {
            Value::Null => request,
            body => request.header("content-type", "application/json").body(body.to_string()),
        };
        read(request.send().await?).await
    }

    pub async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.try_call(method, path, &body).await.expect("an answer")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Value::Null).await
    }

    /// A collections upsert by the external id.
    pub async fn upsert(&self, records: &[Value]) -> Answer {
        let body = json!({ "allOrNone": false, "records": records });
        self.call("PATCH", "/composite/sobjects/Lead/Leadrelay_Key__c", body).await
    }
}

pub async fn read(response: reqwest::Response) -> reqwest::Result<Answer> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, text: response.text().await? })
}

/// A record with this external id.
pub fn record(key: &str) -> Value {
    json!({ "attributes": { "type": "Lead" }, "Leadrelay_Key__c": key, "LastName": "Liang", "Company": "Contoso" })
}
