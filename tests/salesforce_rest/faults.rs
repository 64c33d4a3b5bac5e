//! What the destination answers when Salesforce, or the way to it, fails; and that no fault leaves a lead behind or twice.

use std::time::Duration;

use leadrelay::destination::Outcome;
use leadrelay::domain::reply::{Code, Quick, Reply};
use leadrelay::sandbox::faults::Kind;
use leadrelay::sandbox::{Fault, What};
use serde_json::json;

use super::fault_proxy;
use super::org::*;

fn transient(code: &'static str) -> Reply {
    Reply::Transient { code: Code::known(code), quick: Quick::Pointless }
}

/// Sends through this fault, then once more without it.
async fn check(fault: Fault, expected: Outcome) {
    let org = Org::new().await;
    let leads = leads(5);
    let desk = Desk::new(org.destination()).await;
    org.sandbox.fault(fault.clone());
    let outcome = desk.deliver(&leads).await;
    assert_eq!(outcome, expected, "{fault:?}");
    assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
    org.sandbox.clear_faults();
    let again = desk.deliver(&leads).await;
    assert!(matches!(&again, Outcome::Each(replies) if replies.iter().all(Reply::is_accepted)), "{fault:?}: {again:?}");
    assert_eq!(org.count(), 5, "{fault:?}");
}

#[tokio::test]
async fn each_fault_of_a_call_has_its_reply_and_costs_no_lead() {
    let on = Kind::Collections;
    let whole = Outcome::Whole;
    check(Fault::status(on, 500), whole(transient("http_500"))).await;
    let quick = Reply::Transient { code: Code::known("SERVER_UNAVAILABLE"), quick: Quick::Worthwhile };
    check(Fault::status(on, 503).code("SERVER_UNAVAILABLE"), whole(quick)).await;
    let throttled = |seconds: Option<u64>, code: &'static str| {
        whole(Reply::Throttled { code: Code::known(code), retry_after: seconds.map(Duration::from_secs) })
    };
    check(Fault::status(on, 503).header("Retry-After", "7"), throttled(Some(7), "http_503")).await;
    check(Fault::status(on, 403).code("REQUEST_LIMIT_EXCEEDED"), throttled(None, "REQUEST_LIMIT_EXCEEDED")).await;
    let refused = |code: &'static str| whole(Reply::Credentials(Code::known(code)));
    check(Fault::status(Kind::Rest, 403).code("API_DISABLED_FOR_ORG"), refused("API_DISABLED_FOR_ORG")).await;
    check(Fault::status(Kind::Rest, 400).code("INVALID_FIELD"), refused("INVALID_FIELD")).await;
    check(Fault::status(Kind::Rest, 302).header("Location", "https://canary.example/"), refused("http_302")).await;
    check(Fault::status(on, 200).body("<html>canary</html>"), whole(transient("unreadable_answer"))).await;
    check(Fault::status(on, 200).body("[]"), whole(transient("unreadable_answer"))).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_write_leaves_each_lead_once() {
    check(Fault::new(Kind::Collections, What::DropBefore), Outcome::Whole(transient("connection_lost"))).await;
    check(Fault::new(Kind::Collections, What::DropAfter), Outcome::Whole(transient("connection_lost"))).await;
    check(Fault::new(Kind::Collections, What::HalfBody), Outcome::Whole(transient("connection_lost"))).await;
    check(Fault::status(Kind::Collections, 500).after(), Outcome::Whole(transient("http_500"))).await;
    check(Fault::new(Kind::Token, What::DropAfter), Outcome::Whole(transient("connection_lost"))).await;
}

#[tokio::test]
async fn a_record_that_is_locked_is_tried_again_and_its_neighbours_are_written() {
    let org = Org::new().await;
    let leads = leads(50);
    let desk = Desk::new(org.destination()).await;
    let locked = leads[7].key.to_string();
    org.sandbox.fault(Fault::lock(&[&locked]));
    let mut expected = vec![CREATED; 50];
    expected[7] = transient("UNABLE_TO_LOCK_ROW");
    assert_eq!(desk.deliver(&leads).await, Outcome::Each(expected));
    org.sandbox.clear_faults();
    assert_eq!(desk.deliver(&leads).await, each(CREATED, 1), "the others are duplicates");
    assert_eq!(org.count(), 50);
}

#[tokio::test]
async fn a_lead_that_another_made_between_looking_and_writing_is_looked_at_again() {
    let org = Org::new().await;
    let lead = leads(1);
    let raced = json!([{ "success": false, "errors": [{
        "statusCode": "DUPLICATE_VALUE", "message": "canary duplicates value on record with id: 00Q", "fields": [] }] }]);
    let other = Desk::new(org.open(leadrelay::destination::salesforce::rest::Settings {
        instance_url: org.sandbox.url(),
        ..org.settings()
    }));
    other.await.deliver(&lead).await;
    // The first look came before the other's write.
    let mut first = true;
    let (mut race, answer) = (true, raced.to_string());
    org.proxy.set(move |seen| match kind(seen) {
        "look" if std::mem::take(&mut first) => fault_proxy::Fault::json(200, r#"{"done":true,"records":[]}"#.into()),
        "write" if std::mem::take(&mut race) => fault_proxy::Fault::json(200, answer.clone()),
        _ => fault_proxy::Fault::Pass,
    });
    assert_eq!(deliver(org.destination(), &lead).await, each(ALREADY, 1));
    assert_eq!(org.calls(), "2 look, 1 token, 1 write");
    // A value that stays taken is another field's, and no race.
    let answer = raced.to_string();
    org.proxy.set(move |seen| match kind(seen) {
        "write" => fault_proxy::Fault::json(200, answer.clone()),
        _ => fault_proxy::Fault::Pass,
    });
    let stranger = [super::org::lead(event("stranger", "INS", 0))];
    let rejected = Reply::Rejected(Code::known("DUPLICATE_VALUE"));
    assert_eq!(deliver(org.destination(), &stranger).await, each(rejected, 1));
    assert_eq!(org.calls(), "2 look, 1 token, 2 write");
}

#[tokio::test]
async fn what_was_written_counts_and_the_rest_comes_again_when_the_second_part_of_a_batch_fails() {
    let org = Org::new().await;
    let desk = Desk::new(org.destination()).await;
    let known = leads(3);
    desk.deliver(&known).await;
    let mut batch: Vec<_> = (0..3).map(|person| lead(event(&format!("person{person}"), "PLT", 9))).collect();
    batch.push(lead(event("new", "INS", 0)));
    // New leads are written first.
    let mut writes = 0;
    org.proxy.set(move |seen| {
        writes += usize::from(kind(seen) == "write");
        if kind(seen) == "write" && writes == 2 { fault_proxy::Fault::status(400) } else { fault_proxy::Fault::Pass }
    });
    let mut expected = vec![transient("http_400"); 3];
    expected.push(CREATED);
    assert_eq!(desk.deliver(&batch).await, Outcome::Each(expected));
    org.proxy.heal();
    assert_eq!(desk.deliver(&batch).await, each(UPDATED, 3));
}

#[tokio::test]
async fn the_calls_that_the_org_has_used_are_told_and_from_a_share_on_none_is_made() {
    let org = Org::new().await;
    org.sandbox.set(|settings| settings.api_daily = 1_000);
    let desk = Desk::new(org.destination()).await;
    desk.deliver(&leads(1)).await;
    let metrics = org.telemetry.metrics.render();
    assert!(metrics.contains("leadrelay_api_calls_limit{destination=\"org\"} 1000"), "{metrics}");
    assert!(metrics.contains("leadrelay_api_calls_used{destination=\"org\"} 2"), "{metrics}");
    org.sandbox.use_quota(949);
    org.calls();
    let outcome = desk.deliver(&leads(2)).await;
    let Outcome::Whole(Reply::Throttled { code, retry_after: Some(pause) }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((code.as_str(), org.calls().as_str()), ("api_usage_max", "1 look"), "nothing is written");
    assert!(pause > Duration::from_secs(600), "{pause:?}");
    assert!(matches!(desk.deliver(&leads(2)).await, Outcome::Whole(Reply::Throttled { .. })));
    assert_eq!(org.calls(), "", "and nothing is asked");
}

#[tokio::test]
async fn a_quota_that_is_used_up_throttles() {
    let org = Org::new().await;
    org.sandbox.set(|settings| settings.api_daily = 10);
    org.sandbox.use_quota(10);
    let settings = leadrelay::destination::salesforce::rest::Settings { api_usage_max: 100, ..org.settings() };
    let code = Code::known("REQUEST_LIMIT_EXCEEDED");
    let outcome = deliver(org.open(settings), &leads(1)).await;
    assert_eq!(outcome, Outcome::Whole(Reply::Throttled { code, retry_after: None }));
}
