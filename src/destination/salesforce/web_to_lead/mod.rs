//! Salesforce Web-to-Lead: one form a lead, and an answer that tells little.
//!
//! It is not idempotent, and it cannot change a lead: nothing is posted without a durable intent (`worker/intents.rs`), and
//! what may have been posted is never posted again as if nothing were. So every post has a connection of its own: one
//! that was kept, and that the other side closes at the moment of the next post, leaves open whether it arrived.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::destination::http::{Failure, Http, HttpSettings, SetupError};
use crate::destination::{Destination, Group, Inspect, Limits, Outcome, Parcel};
use crate::domain::allowance::Daily;
use crate::domain::lead::Lead;
use crate::domain::mapping::Mapping;
use crate::domain::repeat::Write;
use crate::domain::reply::{Code, OnUnknown, Reply};
use crate::telemetry::Telemetry;
use answer::{Said, classify, unanswered};
use form::Shape;

mod answer;
mod form;

#[derive(Clone, Debug)]
pub struct Settings {
    pub oid: String,
    /// Of the generated form, or My Domain alone.
    pub endpoint: String,
    pub fields: Vec<Mapping>,
    pub on_unknown: OnUnknown,
    pub daily: Daily,
    pub in_flight_max: usize,
    pub send_timeout: Duration,
    pub http: HttpSettings,
}

#[derive(Debug)]
pub struct WebToLead {
    http: Http,
    endpoint: Url,
    shape: Shape,
    limits: Limits,
    telemetry: Arc<Telemetry>,
}

impl WebToLead {
    pub fn new(settings: Settings, telemetry: Arc<Telemetry>) -> Result<Self, SetupError> {
        let http = Http::new(&HttpSettings { idle_max: 0, ..settings.http })?;
        let mut endpoint = http.address("the endpoint", &settings.endpoint)?;
        if endpoint.path() == "/" {
            endpoint.set_path("/servlet/servlet.WebToLead");
        }
        // As the generated forms have it: without it, Salesforce reads the form in another character set.
        if !endpoint.query_pairs().any(|(name, _)| name == "encoding") {
            endpoint.query_pairs_mut().append_pair("encoding", "UTF-8");
        }
        let limits = Limits {
            batch_max: 1,
            in_flight_max: settings.in_flight_max.max(1),
            idempotent: false,
            updates: false,
            on_unknown: settings.on_unknown,
            daily: Some(settings.daily),
            send_timeout: settings.send_timeout,
        };
        Ok(Self { http, endpoint, shape: Shape { oid: settings.oid, mappings: settings.fields }, limits, telemetry })
    }

    /// Whether something answers at the endpoint. Nothing is posted: without an `oid` Salesforce makes nothing of it.
    pub async fn reach(&self) -> Result<(), Reply> {
        let deadline = Instant::now() + self.limits.send_timeout;
        let sent = timeout_at(deadline, self.http.send(Request::new(Method::HEAD, self.endpoint.clone()))).await;
        sent.unwrap_or(Err(Failure::TimedOut)).map(drop).map_err(unanswered)
    }

    async fn post(&self, parcel: &Parcel<'_>, deadline: Instant) -> Reply {
        match parcel.write {
            Write::Create => {}
            // Never asked of a destination that cannot update.
            Write::Merge(_) | Write::Mark { .. } => return Reply::Rejected(Code::known("cannot_update")),
        }
        let form = self.shape.form(parcel.lead, parcel.claim.record());
        self.telemetry.texts_cut(&parcel.lead.destination, parcel.lead.key, &form.cuts);
        let mut request = Request::new(Method::POST, self.endpoint.clone());
        let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        *request.body_mut() = Some(form.encoded().into());
        let sent = timeout_at(deadline, self.http.send_in_parts(request)).await;
        match sent.unwrap_or(Err(Failure::TimedOut)) {
            Err(failure) => unanswered(failure),
            Ok((answer, broken)) => classify(Said {
                status: answer.status,
                // What is no text is there all the same.
                processed: answer.headers.get("Is-Processed").map(|value| value.to_str().unwrap_or("?")),
                retry_after: answer.retry_after(Clock::System.now()),
                body: broken.map_or(Ok(&answer.body), Err),
            }),
        }
    }
}

#[async_trait]
impl Destination for WebToLead {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn group(&self, _: &Lead) -> Group {
        Group(String::new())
    }

    async fn send(&self, parcels: &[Parcel<'_>]) -> Outcome {
        let deadline = Instant::now() + self.limits.send_timeout;
        let mut replies = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            replies.push(self.post(parcel, deadline).await);
        }
        Outcome::Each(replies)
    }

    fn inspect(&self) -> Result<&dyn Inspect, &'static str> {
        Err("a form only takes leads; Salesforce makes the lead later, or drops it with a mail to its default owner")
    }
}
