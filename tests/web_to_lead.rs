//! Salesforce Web-to-Lead against the sandbox: what is posted, what each answer means, and what travels where.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leadrelay::destination::Outcome;
use leadrelay::destination::http::HttpSettings;
use leadrelay::destination::salesforce::web_to_lead::{Settings, WebToLead};
use leadrelay::domain::allowance::{Daily, OnDailyLimit};
use leadrelay::domain::event::Event;
use leadrelay::domain::mapping::{LeadValue, MappedValue, Mapping};
use leadrelay::domain::reply::{Accepted, Class, Code, OnUnknown, Quick, Reply};
use leadrelay::sandbox::{Fate, Options, Sandbox};
use leadrelay::telemetry::Telemetry;
use support::fault_proxy::{self, FaultProxy};
use support::org::{Desk, event, lead};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const CREATED: Reply = Reply::Accepted(Accepted::Created);
const EXCEPTION: &str = "common.exception.SalesforceGenericException";

fn settings(endpoint: &str) -> Settings {
    Settings {
        oid: "00D5g0000000001EAA".into(),
        endpoint: endpoint.into(),
        fields: Vec::new(),
        on_unknown: OnUnknown::default(),
        daily: Daily { limit: 500, on_limit: OnDailyLimit::Send },
        in_flight_max: 8,
        send_timeout: Duration::from_secs(15),
        http: HttpSettings::default(),
    }
}

async fn post_with(settings: Settings, event: Event) -> (Reply, Arc<Telemetry>) {
    let telemetry = Arc::new(Telemetry::new());
    let destination = WebToLead::new(settings, Arc::clone(&telemetry)).expect("a destination");
    let outcome = Desk::of(Arc::new(destination)).await.deliver(&[lead(event)]).await;
    let Outcome::Each(mut replies) = outcome else { panic!("{outcome:?}") };
    assert_eq!(replies.len(), 1);
    (replies.remove(0), telemetry)
}

async fn post(endpoint: &str) -> Reply {
    post_with(settings(endpoint), event("canary", "INS", 0)).await.0
}

async fn sandbox() -> Sandbox {
    Sandbox::start(Options::default()).await.expect("a sandbox")
}

#[tokio::test]
async fn names_in_any_script_arrive_as_they_were_and_stand_in_their_fields() {
    let custom_fields = vec!["Stage__c:40".parse().expect("a field")];
    let sandbox = Sandbox::start(Options { custom_fields, ..Options::default() }).await.expect("a sandbox");
    for (first, last) in
        [("大山", "梁"), ("Zoë", "Müller & Søn = 100 %"), ("Анна", "Петрова+"), ("😀", "\u{202e}x\"'<>")]
    {
        let mut event = event("canary", "PLT", 0);
        (event.customer.first_name, event.customer.last_name) = (first.into(), last.into());
        assert_eq!(post_with(settings(&sandbox.web_to_lead_url()), event).await.0, CREATED);
        let lead = sandbox.leads().pop().expect("a lead");
        assert_eq!((lead["FirstName"].as_str(), lead["LastName"].as_str()), (Some(first), Some(last)));
    }
    let lead = sandbox.leads().pop().expect("a lead");
    assert_eq!(lead["LeadSource"], "AzureMarketplace-PLT|arraynetworks.ArrayLoadBalancervAPV");
    let description = lead["Description"].as_str().expect("a description");
    assert!(description.starts_with("canary-description\nleadrelay: stage: contact-me\n"), "{description}");
}

#[tokio::test]
async fn a_do_not_contact_opts_out_and_mapped_inputs_are_filled() {
    let sandbox = sandbox().await;
    // The id by which the sandbox's forms call its external id field.
    let fields = vec![
        Mapping { field: "00N5g0000000001".into(), value: MappedValue::Of(LeadValue::LeadKey) },
        Mapping { field: "industry".into(), value: MappedValue::Constant("Software".into()) },
    ];
    let settings = Settings { fields, ..settings(&sandbox.web_to_lead_url()) };
    assert_eq!(post_with(settings, event("canary", "DNC", 0)).await.0, CREATED);
    let row = sandbox.leads().pop().expect("a lead");
    assert_eq!((row["DoNotCall"].as_bool(), row["HasOptedOutOfEmail"].as_bool()), (Some(true), Some(true)));
    assert_eq!(row["Leadrelay_Key__c"], lead(event("canary", "DNC", 0)).key.to_string());
    assert_eq!(row["Industry"], "Software");
}

#[tokio::test]
async fn every_text_is_cut_to_what_salesforce_keeps_and_counted() {
    let sandbox = sandbox().await;
    let mut event = event("canary", "INS", 0);
    event.customer.first_name = "😀".repeat(30);
    event.customer.company = "é".repeat(300);
    event.customer.phone = "1".repeat(41);
    let (reply, telemetry) = post_with(settings(&sandbox.web_to_lead_url()), event).await;
    assert_eq!(reply, CREATED);
    assert!(matches!(sandbox.posts().pop().expect("a post").fate, Fate::Created(_)), "too long for the org");
    let metrics = telemetry.metrics.render();
    for field in ["FirstName", "Company", "Phone"] {
        let line = format!("leadrelay_texts_cut_total{{destination=\"org\",field=\"{field}\"}} 1");
        assert!(metrics.contains(&line), "{line}");
    }
}

#[tokio::test]
async fn every_answer_of_an_org_has_its_meaning() {
    let sandbox = sandbox().await;
    let url = sandbox.web_to_lead_url();
    let rejected = Reply::Rejected(Code::known(EXCEPTION));
    assert_eq!(post(&url).await, CREATED);
    sandbox.set(|org| org.web_to_lead.says_processed = false);
    assert_eq!(post(&url).await, CREATED);
    sandbox.set(|org| org.oid = "00D5g0000000002".into());
    assert_eq!(post(&url).await, rejected);
    sandbox.set(|org| org.oid = "00D5g0000000001".into());
    sandbox.set(|org| org.required = vec!["Phone".into()]);
    assert_eq!(post(&url).await, rejected);
    sandbox.set(|org| org.required.clear());
    assert_eq!(sandbox.leads().len(), 2);
    for (fault, class, code) in [
        ("status=200:body=<html>maintenance</html>", Class::Unknown, "page_without_is_processed"),
        ("status=302:header=Location=/elsewhere", Class::Credentials, "http_302"),
        ("status=400", Class::Rejected, "http_400"),
        ("status=404", Class::Credentials, "http_404"),
        ("status=429:header=Retry-After=7", Class::Throttled, "http_429"),
        ("status=500", Class::Transient, "http_500"),
        ("status=502", Class::Unknown, "http_502"),
        ("status=503", Class::Transient, "http_503"),
        ("status=504", Class::Unknown, "http_504"),
        ("drop-before", Class::Unknown, "connection_lost"),
        ("drop-after", Class::Unknown, "connection_lost"),
        ("slow=5s", Class::Unknown, "timeout"),
    ] {
        sandbox.fault(format!("web-to-lead:{fault}").parse().unwrap_or_else(|error| panic!("{fault}: {error}")));
        let settings = Settings { send_timeout: Duration::from_secs(2), ..settings(&url) };
        let reply = post_with(settings, event("canary", "INS", 0)).await.0;
        assert_eq!((reply.class(), reply.code().map(Code::as_str)), (class, Some(code)), "{fault}");
        sandbox.clear_faults();
    }
}

#[tokio::test]
async fn what_was_never_sent_is_transient_and_quick_or_the_configurations_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let nobody = post(&format!("http://{address}/")).await;
    let not_connected = Reply::Transient { code: Code::known("not_connected"), quick: Quick::Worthwhile };
    assert_eq!(nobody, not_connected);
    let no_host = post("https://no-such-host.invalid/").await;
    assert_eq!(no_host, Reply::Credentials(Code::known("no_such_host")));
    // A certificate that nobody vouches for.
    let tls = Sandbox::start(Options { tls: true, ..Options::default() }).await.expect("a sandbox");
    assert_eq!(post(&tls.web_to_lead_url()).await, Reply::Credentials(Code::known("tls_failed")));
    assert_eq!(tls.posts().len(), 0);
}

#[tokio::test]
async fn nothing_personal_is_in_the_address_or_in_the_headers_and_redirects_are_not_followed() {
    let sandbox = sandbox().await;
    let proxy = FaultProxy::start(&sandbox.address().to_string()).await;
    let elsewhere = format!("http://{}/elsewhere", sandbox.address());
    for (path, target) in [
        ("", "/servlet/servlet.WebToLead?encoding=UTF-8"),
        ("/servlet/servlet.WebToLead", "/servlet/servlet.WebToLead?encoding=UTF-8"),
        ("/servlet/servlet.WebToLead?encoding=UTF-8", "/servlet/servlet.WebToLead?encoding=UTF-8"),
        ("/x?orgId=00D5g0000000001", "/x?orgId=00D5g0000000001&encoding=UTF-8"),
    ] {
        let to = elsewhere.clone();
        proxy.set(move |_| fault_proxy::Fault::status(307).with("Location", &to));
        let reply = post(&format!("http://{}{path}", proxy.address())).await;
        assert_eq!(reply, Reply::Credentials(Code::known("http_307")));
        let [seen] = &proxy.requests()[..] else { panic!("more than one request") };
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", target));
        assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert!(!format!("{:?}", seen.headers).contains("canary"), "{:?}", seen.headers);
        assert!(seen.text().contains("canary"));
    }
    assert_eq!(sandbox.posts().len(), 0);
}

#[tokio::test]
async fn every_post_has_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    // Keeps every connection, and answers whatever comes on it.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 * 1024];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nIs-Processed: true\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(answer).await.expect("it reads");
                }
            });
        }
    });
    let destination = WebToLead::new(settings(&url), Arc::new(Telemetry::new())).expect("a destination");
    let desk = Desk::of(Arc::new(destination)).await;
    for n in 0..5 {
        let outcome = desk.deliver(&[lead(event(&format!("canary{n}"), "INS", 0))]).await;
        assert_eq!(outcome, Outcome::Each(vec![CREATED]));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn an_answer_whose_body_breaks_counts_if_its_headers_told() {
    for (headers, expected) in
        [("Is-Processed: true\r\n", CREATED), ("", Reply::Unknown(Code::known("connection_lost")))]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut bytes = vec![0; 64 * 1024];
            let _ = stream.read(&mut bytes).await.expect("a request");
            let answer = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 100\r\n\r\nhalf");
            stream.write_all(answer.as_bytes()).await.expect("it reads");
        });
        assert_eq!(post(&url).await, expected);
        answering.await.expect("it answered");
    }
}
