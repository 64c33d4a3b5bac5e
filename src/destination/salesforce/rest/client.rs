//! The calls, one function each: authorised, sent, and understood.

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::auth::Tokens;
use super::codes::{code_in, of_call, unanswered};
use super::record::Row;
use super::refusals::Refusals;
use super::usage::Usage;
use crate::clock::Clock;
use crate::destination::http::{Answer, Failure, Http};
use crate::domain::reply::{Code, Quick, Reply};

#[derive(Debug)]
pub struct Client {
    pub http: Http,
    pub instance: Url,
    /// Such as `68.0`.
    pub version: String,
    pub external_id: String,
    pub tokens: Tokens,
    pub usage: Usage,
    pub refusals: Refusals,
    /// Also what an alerting duplicate rule objects to.
    pub allow_duplicates: bool,
    /// Whether new leads go through the org's assignment rules; unsaid, Salesforce applies them.
    pub assign: Option<bool>,
}

/// Leads that are made may be assigned; those that are changed keep their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    Create,
    Update,
}

/// What became of one record. The codes are Salesforce's, its messages are left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Written { created: bool },
    Refused { code: String, fields: Vec<String> },
}

#[derive(Default)]
struct Call<'a> {
    method: Method,
    /// Below the version; percent-encoded.
    path: &'a str,
    query: Option<&'a str>,
    body: Option<String>,
    headers: Vec<(&'static str, String)>,
}

/// A query, or what comes after a page of it.
pub enum Asked {
    First(String),
    Next(String),
}

/// "The default is 2,000; the minimum is 200, and the maximum is 2,000":
/// <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/headers_queryoptions.htm>.
const BATCH_MIN: usize = 200;
const BATCH_MAX: usize = 2_000;

/// Pages of an answer to a query; a send asks for 200 leads at most.
const PAGES: usize = 20;

impl Client {
    /// The leads with these keys, those that are deleted aside.
    pub async fn find(&self, fields: &[&str], keys: &[String], deadline: Instant) -> Result<Vec<Row>, Reply> {
        // Keys are hexadecimal: nothing in them needs escaping, and nothing in them is personal.
        let keys: Vec<_> = keys.iter().map(|key| format!("'{key}'")).collect();
        let soql = format!("SELECT {} FROM Lead WHERE {} IN ({})", fields.join(","), self.external_id, keys.join(","));
        let (mut asked, mut rows) = (Asked::First(soql), Vec::new());
        for _ in 0..PAGES {
            let (page, next) = self.page(&asked, BATCH_MAX, deadline).await?;
            rows.extend(page);
            let Some(next) = next else { return Ok(rows) };
            asked = Asked::Next(next);
        }
        Err(unreadable())
    }

    /// One page of a query, and how the next one is asked for.
    pub async fn page(
        &self,
        asked: &Asked,
        at_most: usize,
        deadline: Instant,
    ) -> Result<(Vec<Row>, Option<String>), Reply> {
        let options = at_most.clamp(BATCH_MIN, BATCH_MAX);
        let headers = vec![("sforce-query-options", format!("batchSize={options}"))];
        let path;
        let call = match asked {
            Asked::First(soql) => Call { path: "query", query: Some(soql), headers, ..Call::default() },
            Asked::Next(locator) => {
                path = format!("query/{locator}");
                Call { path: &path, headers, ..Call::default() }
            }
        };
        let answer = self.call(&call, deadline).await?;
        let Value::Object(mut page) = self.parsed(&answer)? else { return Err(unreadable()) };
        let Some(Value::Array(records)) = page.remove("records") else { return Err(unreadable()) };
        let row = |record| if let Value::Object(row) = record { Some(row) } else { None };
        let next = page.get("nextRecordsUrl").and_then(Value::as_str).and_then(|url| url.split("/query/").nth(1));
        Ok((records.into_iter().filter_map(row).collect(), next.map(str::to_owned)))
    }

    /// Writes each record by itself; what became of each, in order.
    pub async fn upsert(&self, records: &[Row], intent: Intent, deadline: Instant) -> Result<Vec<Item>, Reply> {
        let path = format!("composite/sobjects/Lead/{}", self.external_id);
        let mut headers = Vec::new();
        if self.allow_duplicates {
            headers.push(("sforce-duplicate-rule-header", "allowSave=true".to_owned()));
        }
        // "TRUE. Active assignment rules are applied for created or updated … Leads … the default value is TRUE":
        // https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/headers_autoassign.htm
        match (intent, self.assign) {
            (Intent::Update, _) | (Intent::Create, Some(false)) => {
                headers.push(("sforce-auto-assign", "FALSE".to_owned()))
            }
            (Intent::Create, Some(true)) => headers.push(("sforce-auto-assign", "TRUE".to_owned())),
            (Intent::Create, None) => {}
        }
        let body = Some(json!({ "allOrNone": false, "records": records }).to_string());
        let call = Call { method: Method::PATCH, path: &path, body, headers, ..Call::default() };
        let answer = self.call(&call, deadline).await?;
        let Value::Array(items) = self.parsed(&answer)? else { return Err(unreadable()) };
        let items: Option<Vec<_>> = items.iter().map(item).collect();
        items.filter(|items| items.len() == records.len()).ok_or_else(unreadable)
    }

    /// What the org tells of its leads' fields.
    pub async fn describe(&self, deadline: Instant) -> Result<Value, Reply> {
        let answer = self.call(&Call { path: "sobjects/Lead/describe", ..Call::default() }, deadline).await?;
        self.parsed(&answer)
    }

    /// Deletes a lead; one that is not there is gone already.
    pub async fn delete(&self, key: &str, deadline: Instant) -> Result<(), Reply> {
        let path = format!("sobjects/Lead/{}/{key}", self.external_id);
        let answer = self.call(&Call { method: Method::DELETE, path: &path, ..Call::default() }, deadline).await?;
        match answer.status {
            200..300 | 404 => Ok(()),
            _ => Err(self.refusal(&answer)),
        }
    }

    /// Sends, once more with a fresh token if Salesforce refuses the one that we hold.
    async fn call(&self, call: &Call<'_>, deadline: Instant) -> Result<Answer, Reply> {
        let token = self.tokens.bearer(deadline).await?;
        let answer = self.attempt(call, &token, deadline).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.tokens.forget(&token).await;
        let token = self.tokens.bearer(deadline).await?;
        self.attempt(call, &token, deadline).await
    }

    async fn attempt(&self, call: &Call<'_>, token: &SecretString, deadline: Instant) -> Result<Answer, Reply> {
        let request = self.request(call, token)?;
        let sent = timeout_at(deadline, self.http.send(request)).await;
        let answer = sent.unwrap_or(Err(Failure::TimedOut)).map_err(unanswered)?;
        self.usage.learn(&answer);
        Ok(answer)
    }

    fn request(&self, call: &Call<'_>, token: &SecretString) -> Result<Request, Reply> {
        let mut url = self.instance.clone();
        let base = self.instance.path().trim_end_matches('/');
        url.set_path(&format!("{base}/services/data/v{}/{}", self.version, call.path));
        if let Some(soql) = call.query {
            url.query_pairs_mut().append_pair("q", soql);
        }
        let mut request = Request::new(call.method.clone(), url);
        let headers = request.headers_mut();
        // Only a token that somebody made up can hold what a header cannot.
        let unusable = |_| Reply::Credentials(Code::known("unusable_token"));
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(unusable)?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in &call.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).map_err(unusable)?);
        }
        if let Some(body) = &call.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
            *request.body_mut() = Some(body.clone().into());
        }
        Ok(request)
    }

    fn parsed(&self, answer: &Answer) -> Result<Value, Reply> {
        if answer.status != 200 {
            return Err(self.refusal(answer));
        }
        serde_json::from_slice(&answer.body).map_err(|_| unreadable())
    }

    fn refusal(&self, answer: &Answer) -> Reply {
        let reply = of_call(answer.status, code_in(&answer.body).as_deref(), answer.retry_after(Clock::System.now()));
        self.refusals.of_call(&reply, &answer.body);
        reply
    }
}

fn unreadable() -> Reply {
    Reply::Transient { code: Code::known("unreadable_answer"), quick: Quick::Pointless }
}

/// `{"success":false,"errors":[{"statusCode":"..","message":"..","fields":[..]}]}`:
/// <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_sobjects_collections_upsert.htm>.
fn item(item: &Value) -> Option<Item> {
    if item.get("success")?.as_bool()? {
        return Some(Item::Written { created: item.get("created").and_then(Value::as_bool).unwrap_or_default() });
    }
    let error = item.get("errors")?.get(0)?;
    let code = error.get("statusCode").or_else(|| error.get("errorCode"))?.as_str()?.to_owned();
    let fields = error.get("fields").and_then(Value::as_array).into_iter().flatten();
    let fields = fields.filter_map(Value::as_str).map(str::to_owned).collect();
    Some(Item::Refused { code, fields })
}
