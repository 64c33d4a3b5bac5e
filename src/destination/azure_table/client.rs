//! The service's operations, one function each: authorised, sent, and understood.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::batch::{self, Answered, Place, Transaction, percent_encoded};
use super::classify::{classify, code_in, unanswered};
use super::entity::Columns;
use super::entra::Entra;
use super::sign::{Sas, SharedKey, Signed};
use crate::clock::Clock;
use crate::destination::http::{Answer, Failure, Http};
use crate::domain::reply::{Code, Quick, Reply};

/// The first that takes Entra ID for tables: <https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services>.
const VERSION: &str = "2020-12-06";

#[derive(Debug)]
pub enum Auth {
    SharedKey(SharedKey),
    Sas(Sas),
    Entra(Entra),
}

#[derive(Debug)]
pub struct Client {
    pub http: Http,
    pub endpoint: Url,
    pub auth: Auth,
    pub table: String,
}

/// Why an operation did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A row is there that was not expected, or is not as it was read. Nothing was applied.
    Conflict,
    NoTable,
    Failed(Reply),
}

/// A row, as it was read. Not `Debug`: it is a person's data.
pub struct Row {
    pub etag: String,
    pub columns: Columns,
}

pub struct Page {
    pub rows: Vec<Row>,
    /// Query parameters that ask for the next page.
    pub next: Option<String>,
}

struct Call<'a> {
    method: Method,
    /// Below the endpoint, percent-encoded.
    path: &'a str,
    query: String,
    content_type: &'static str,
    accept: &'static str,
    body: Bytes,
}

/// The code for a row that is not there.
const NO_ROW: &str = "ResourceNotFound";

const JSON: &str = "application/json";
const PLAIN: &str = "application/json;odata=nometadata";
/// Rows come with their etags.
const WITH_ETAGS: &str = "application/json;odata=minimalmetadata";

impl Client {
    /// Where the parts of a transaction say that the table is.
    pub fn table_address(&self) -> String {
        format!("{}/{}", self.endpoint.as_str().trim_end_matches('/'), self.table)
    }

    /// Applies all operations, or none.
    pub async fn transact(&self, transaction: Transaction, deadline: Instant) -> Result<(), Trouble> {
        let operations = transaction.operations();
        let call = Call {
            method: Method::POST,
            path: "$batch",
            query: String::new(),
            content_type: batch::CONTENT_TYPE,
            accept: PLAIN,
            body: transaction.into_body().into(),
        };
        let answer = self.call(call, deadline).await?;
        if answer.status != 202 {
            return Err(trouble(answer.status, stated_code(&answer), retry_after(&answer)));
        }
        match batch::read(&answer.body, operations) {
            Answered::Applied => Ok(()),
            // A row that was to be changed is gone.
            Answered::Failed { status: 404, code: Some(code) } if code == NO_ROW => Err(Trouble::Conflict),
            Answered::Failed { status, code } => Err(trouble(status, code, retry_after(&answer))),
            Answered::Unreadable => {
                let code = Code::known("unreadable_answer");
                Err(Trouble::Failed(Reply::Transient { code, quick: Quick::Pointless }))
            }
        }
    }

    /// One page of the rows that match.
    pub async fn query(&self, filter: &str, next: Option<&str>, deadline: Instant) -> Result<Page, Trouble> {
        let (rows, next) = self.page(format!("$filter={}", percent_encoded(filter)), next, deadline).await?;
        Ok(Page { rows: rows.into_iter().filter_map(row).collect(), next })
    }

    /// One page of a query, as it comes, and how the next one is asked for.
    pub async fn page(
        &self,
        query: String,
        next: Option<&str>,
        deadline: Instant,
    ) -> Result<(Vec<Columns>, Option<String>), Trouble> {
        let next = next.map(|next| format!("&{next}")).unwrap_or_default();
        let answer = self.get(&format!("{}()", self.table), query + &next, deadline).await?;
        let Some(Value::Array(rows)) = parsed(&answer)?.remove("value") else { return Err(not_json()) };
        let columns = |row| if let Value::Object(columns) = row { Some(columns) } else { None };
        Ok((rows.into_iter().filter_map(columns).collect(), continuation(&answer)))
    }

    /// One row, by its keys.
    pub async fn row(&self, partition: &str, row_key: &str, deadline: Instant) -> Result<Option<Row>, Trouble> {
        let path = Place { table: &self.table, partition, row: row_key }.address();
        let answer = self.get(&path, String::new(), deadline).await?;
        if answer.status == 404 && stated_code(&answer).as_deref() == Some(NO_ROW) {
            return Ok(None);
        }
        row(parsed(&answer)?).map(Some).ok_or_else(not_json)
    }

    /// Deletes a row, whatever it holds now; one that is not there is gone already.
    pub async fn delete(&self, partition: &str, row_key: &str, deadline: Instant) -> Result<(), Reply> {
        let path = Place { table: &self.table, partition, row: row_key }.address();
        let call = Call {
            method: Method::DELETE,
            path: &path,
            query: String::new(),
            content_type: "",
            accept: PLAIN,
            body: Bytes::new(),
        };
        let answer = match self.call(call, deadline).await {
            Ok(answer) => answer,
            Err(Trouble::Failed(reply)) => return Err(reply),
            Err(Trouble::Conflict | Trouble::NoTable) => return Ok(()),
        };
        match (answer.status, stated_code(&answer).as_deref()) {
            (200..300, _) | (404, Some(NO_ROW | "TableNotFound")) => Ok(()),
            (status, code) => Err(classify(status, code, retry_after(&answer))),
        }
    }

    /// Creates the table, if it is not there.
    pub async fn create_table(&self, deadline: Instant) -> Result<(), Reply> {
        let call = Call {
            method: Method::POST,
            path: "Tables",
            query: String::new(),
            content_type: JSON,
            accept: PLAIN,
            body: json!({ "TableName": self.table }).to_string().into(),
        };
        let answer = match self.call(call, deadline).await {
            Ok(answer) => answer,
            Err(Trouble::Failed(reply)) => return Err(reply),
            Err(Trouble::Conflict | Trouble::NoTable) => return Ok(()),
        };
        let code = stated_code(&answer);
        match (answer.status, code.as_deref()) {
            (200..300, _) | (409, Some("TableAlreadyExists")) => Ok(()),
            (status, code) => Err(classify(status, code, retry_after(&answer))),
        }
    }

    async fn get(&self, path: &str, query: String, deadline: Instant) -> Result<Answer, Trouble> {
        let (content_type, body) = ("", Bytes::new());
        let call = Call { method: Method::GET, path, query, content_type, accept: WITH_ETAGS, body };
        self.call(call, deadline).await
    }

    /// Sends, with one fresh token if the service refuses the one that we hold.
    async fn call(&self, call: Call<'_>, deadline: Instant) -> Result<Answer, Trouble> {
        let bearer = self.bearer(deadline).await?;
        let answer = self.attempt(&call, bearer.as_ref(), deadline).await?;
        match (&self.auth, bearer) {
            (Auth::Entra(entra), Some(bearer)) if answer.status == 401 => {
                entra.forget(&bearer).await;
                let bearer = self.bearer(deadline).await?;
                self.attempt(&call, bearer.as_ref(), deadline).await
            }
            _ => Ok(answer),
        }
    }

    async fn bearer(&self, deadline: Instant) -> Result<Option<SecretString>, Trouble> {
        match &self.auth {
            Auth::Entra(entra) => entra.bearer(deadline).await.map(Some).map_err(Trouble::Failed),
            Auth::SharedKey(_) | Auth::Sas(_) => Ok(None),
        }
    }

    async fn attempt(
        &self,
        call: &Call<'_>,
        bearer: Option<&SecretString>,
        deadline: Instant,
    ) -> Result<Answer, Trouble> {
        let request = self.request(call, bearer)?;
        let sent = timeout_at(deadline, self.http.send(request)).await;
        sent.unwrap_or(Err(Failure::TimedOut)).map_err(|failure| Trouble::Failed(unanswered(failure)))
    }

    fn request(&self, call: &Call<'_>, bearer: Option<&SecretString>) -> Result<Request, Trouble> {
        let url = self.url(call);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&Clock::System.now());
        let date = date.unwrap_or_default();
        let authorization = match &self.auth {
            Auth::SharedKey(key) => {
                let (verb, content_type, path) = (call.method.as_str(), call.content_type, url.path());
                Some(key.authorization(Signed { verb, content_type, date: &date, path }))
            }
            Auth::Sas(_) => None,
            Auth::Entra(_) => bearer.map(|bearer| format!("Bearer {}", bearer.expose_secret())),
        };
        let mut request = Request::new(call.method.clone(), url);
        let headers = request.headers_mut();
        headers.insert("x-ms-date", header(&date)?);
        headers.insert("x-ms-version", HeaderValue::from_static(VERSION));
        headers.insert("DataServiceVersion", HeaderValue::from_static("3.0"));
        headers.insert(ACCEPT, HeaderValue::from_static(call.accept));
        if !call.content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
        }
        if call.method == Method::DELETE {
            // "If-Match … is required": <https://learn.microsoft.com/rest/api/storageservices/delete-entity1>.
            headers.insert(IF_MATCH, HeaderValue::from_static("*"));
        }
        if let Some(authorization) = authorization {
            secret(headers, header(&authorization)?);
        }
        if !call.body.is_empty() {
            *request.body_mut() = Some(call.body.clone().into());
        }
        Ok(request)
    }

    fn url(&self, call: &Call<'_>) -> Url {
        let mut url = self.endpoint.clone();
        url.set_path(&format!("{}/{}", self.endpoint.path().trim_end_matches('/'), call.path));
        let sas = match &self.auth {
            Auth::Sas(sas) => sas.query(),
            Auth::SharedKey(_) | Auth::Entra(_) => "",
        };
        let parameters: Vec<_> = [call.query.as_str(), sas].into_iter().filter(|part| !part.is_empty()).collect();
        url.set_query((!parameters.is_empty()).then(|| parameters.join("&")).as_deref());
        url
    }
}

fn secret(headers: &mut HeaderMap, mut value: HeaderValue) {
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
}

fn header(text: &str) -> Result<HeaderValue, Trouble> {
    // Only a token that somebody made up can hold what a header cannot.
    let illegal = |_| Trouble::Failed(Reply::Credentials(Code::known("unusable_token")));
    HeaderValue::from_str(text).map_err(illegal)
}

/// What a refusal means, wherever in an answer it stood.
fn trouble(status: u16, code: Option<String>, retry_after: Option<Duration>) -> Trouble {
    match (status, code.as_deref()) {
        (409, Some("EntityAlreadyExists")) => Trouble::Conflict,
        (412, _) => Trouble::Conflict,
        (404, Some("TableNotFound")) => Trouble::NoTable,
        (status, code) => Trouble::Failed(classify(status, code, retry_after)),
    }
}

fn stated_code(answer: &Answer) -> Option<String> {
    answer.header("x-ms-error-code").map(str::to_owned).or_else(|| code_in(&answer.body))
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.retry_after(Clock::System.now())
}

fn parsed(answer: &Answer) -> Result<Columns, Trouble> {
    if answer.status != 200 {
        return Err(trouble(answer.status, stated_code(answer), retry_after(answer)));
    }
    serde_json::from_slice(&answer.body).map_err(|_| not_json())
}

fn not_json() -> Trouble {
    Trouble::Failed(Reply::Transient { code: Code::known("unreadable_answer"), quick: Quick::Pointless })
}

fn row(columns: Columns) -> Option<Row> {
    let etag = columns.get("odata.etag")?.as_str()?.to_owned();
    Some(Row { etag, columns })
}

/// "x-ms-continuation-NextPartitionKey … x-ms-continuation-NextRowKey":
/// <https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination>.
fn continuation(answer: &Answer) -> Option<String> {
    let partition = answer.header("x-ms-continuation-NextPartitionKey")?;
    let mut next = format!("NextPartitionKey={}", percent_encoded(partition));
    if let Some(row) = answer.header("x-ms-continuation-NextRowKey") {
        next.push_str("&NextRowKey=");
        next.push_str(&percent_encoded(row));
    }
    Some(next)
}

/// A comparison of a filter.
pub fn comparison(column: &str, operator: &str, value: &str) -> String {
    format!("{column} {operator} '{}'", value.replace('\'', "''"))
}
