//! Faults: what the client sees, and what the org has done meanwhile.

use std::time::Duration;

use leadrelay::sandbox::{Fate, Fault, Kind, Options, What};

use super::client::{Client, record};

#[tokio::test]
async fn a_status_answers_instead_of_the_org_or_after_it() {
    let client = Client::default().await;
    client
        .sandbox
        .fault(Fault::status(Kind::Collections, 503).next(1).header("Retry-After", "7").code("SERVER_UNAVAILABLE"));
    let answer = client.upsert(&[record("a")]).await;
    assert_eq!(answer.error(), (503, "SERVER_UNAVAILABLE".into()));
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert!(client.sandbox.leads().is_empty());
    client.sandbox.fault(Fault::status(Kind::Collections, 500).next(1).after());
    assert_eq!(client.upsert(&[record("a")]).await.status, 500);
    assert_eq!(client.sandbox.leads().len(), 1);
    assert_eq!(client.upsert(&[record("a")]).await.status, 200);
    assert_eq!((client.sandbox.hits(), client.sandbox.counters().collections), (2, 3));
}

#[tokio::test]
async fn a_page_of_maintenance_has_no_is_processed() {
    let client = Client::default().await;
    client.sandbox.fault(Fault::status(Kind::WebToLead, 200).body("<html>maintenance</html>").next(1));
    let answer = client.web_to_lead(&[]).await.unwrap();
    assert_eq!((answer.status, answer.header("is-processed")), (200, None));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.text, "<html>maintenance</html>");
    assert_eq!(client.sandbox.posts()[0].fate, Fate::Faulted);
    assert!(client.sandbox.leads().is_empty());
}

#[tokio::test]
async fn a_connection_is_dropped_before_or_after_the_write() {
    let client = Client::default().await;
    for (what, leads) in [(What::DropBefore, 0), (What::DropAfter, 1)] {
        client.sandbox.fault(Fault::new(Kind::Any, what.clone()).next(1));
        let error = client.try_call("PATCH", "/sobjects/Lead/Leadrelay_Key__c/a", &record_body()).await.unwrap_err();
        assert!(error.is_request(), "{what:?}: no answer at all: {error:?}");
        assert_eq!(client.sandbox.leads().len(), leads, "{what:?}");
    }
}

fn record_body() -> serde_json::Value {
    serde_json::json!({ "LastName": "Liang", "Company": "Contoso" })
}

#[tokio::test]
async fn half_a_body_arrives_with_its_status_and_then_the_connection_ends() {
    for tls in [false, true] {
        let client = Client::new(Options { tls, ..Options::default() }).await;
        client.sandbox.fault(Fault::new(Kind::Any, What::HalfBody).next(2));
        let error = client.try_call("GET", "/limits", &serde_json::Value::Null).await.unwrap_err();
        assert!(error.is_body() || error.is_decode(), "the head came, the body did not: {error:?}");
        assert!(client.web_to_lead(&[]).await.is_err(), "an empty answer is cut short as well");
        assert_eq!(client.sandbox.leads().len(), 1);
        assert!(client.web_to_lead(&[]).await.is_ok());
    }
}

#[tokio::test]
async fn a_slow_answer_outlasts_a_client_without_patience() {
    let client = Client::default().await;
    client.sandbox.fault(Fault::new(Kind::WebToLead, What::Slow(Duration::from_secs(3_600))).next(1));
    let url = client.sandbox.web_to_lead_url();
    let impatient = client.http.post(url).timeout(Duration::from_millis(50));
    assert!(impatient.send().await.unwrap_err().is_timeout());
    assert_eq!((client.sandbox.hits(), client.sandbox.counters().web_to_lead), (1, 1));
    assert!(client.sandbox.posts().is_empty(), "it waits before all else");
    assert!(client.web_to_lead(&[]).await.is_ok());
}

#[tokio::test]
async fn faults_strike_only_the_kind_that_they_are_for() {
    let client = Client::default().await;
    for kind in [Kind::Token, Kind::WebToLead, Kind::Collections, Kind::Rest] {
        client.sandbox.clear_faults();
        client.sandbox.fault(Fault::status(kind, 503));
        let struck = [
            (Kind::Token, client.ask_token(&[]).await.unwrap().status),
            (Kind::WebToLead, client.web_to_lead(&[]).await.unwrap().status),
            (Kind::Collections, client.upsert(&[record("a")]).await.status),
            (Kind::Rest, client.get("/limits").await.status),
        ];
        for (asked, status) in struck {
            assert_eq!(status == 503, asked == kind, "{kind:?} {asked:?}");
        }
    }
}

#[tokio::test]
async fn a_share_of_connections_that_is_dropped_follows_the_seed() {
    let fates = async |seed| {
        let client = Client::new(Options { seed, ..Options::default() }).await;
        client.sandbox.fault(Fault::new(Kind::WebToLead, What::DropAfter).share(0.5));
        let mut fates = Vec::new();
        for _ in 0..20 {
            fates.push(client.web_to_lead(&[]).await.is_ok());
        }
        assert_eq!(client.sandbox.posts().len(), 20, "every post is kept, answered or not");
        fates
    };
    assert_eq!(fates(7).await, fates(7).await);
    assert_ne!(fates(7).await, fates(8).await);
}
