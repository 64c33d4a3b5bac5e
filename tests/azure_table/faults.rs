//! What the destination answers when the service, or the way to it, fails. Azurite never throttles and never fails:
//! the proxy does.

#![allow(clippy::disallowed_methods, reason = "the service is real")]

use std::time::Duration;

use leadrelay::destination::azure_table::Settings;
use leadrelay::destination::http::HttpSettings;
use leadrelay::destination::{Destination, Outcome};
use leadrelay::domain::reply::{Code, Quick, Reply};

use super::azure::*;
use super::fault_proxy::Fault;

fn transient(code: &'static str, quick: Quick) -> Outcome {
    Outcome::Whole(Reply::Transient { code: Code::known(code), quick })
}

/// Sends five leads through this fault, then once more without it: no fault may leave a lead behind or twice.
async fn check(fault: Fault, expected: Outcome) {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    create(&destination, &leads(1)).await;
    azurite.proxy.set(move |_| fault.clone());
    let outcome = create(&destination, &leads(5)).await;
    assert_eq!(outcome, expected);
    assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
    azurite.proxy.heal();
    let again = create(&destination, &leads(5)).await;
    assert!(matches!(&again, Outcome::Each(replies) if replies.iter().all(Reply::is_accepted)), "{again:?}");
    assert_eq!(azurite.rows().await.len(), 5);
}

#[tokio::test]
async fn an_empty_500_is_transient() {
    check(Fault::status(500), transient("http_500", Quick::Pointless)).await;
}

#[tokio::test]
async fn a_503_without_a_hint_is_worth_a_quick_retry() {
    check(Fault::status(503).with("x-ms-error-code", "ServerBusy"), transient("ServerBusy", Quick::Worthwhile)).await;
}

#[tokio::test]
async fn a_503_or_a_429_with_a_hint_throttles() {
    let throttled = |code: &'static str, seconds| Reply::Throttled {
        code: Code::known(code),
        retry_after: Some(Duration::from_secs(seconds)),
    };
    check(Fault::status(503).with("Retry-After", "7"), Outcome::Whole(throttled("http_503", 7))).await;
    check(Fault::status(429).with("Retry-After", "30"), Outcome::Whole(throttled("http_429", 30))).await;
}

#[tokio::test]
async fn a_refusal_is_the_credentials_fault_also_in_xml() {
    let body = "<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>canary@x</Message></Error>";
    let fault =
        Fault::Answer { status: 403, headers: vec![("Content-Type", "application/xml".into())], body: body.into() };
    check(fault, Outcome::Whole(Reply::Credentials(Code::known("AuthenticationFailed")))).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let fault = Fault::status(307).with("Location", "https://canary.example/");
    check(fault, Outcome::Whole(Reply::Credentials(Code::known("http_307")))).await;
}

#[tokio::test]
async fn an_error_text_that_repeats_a_customer_is_not_repeated() {
    let error = "{\"odata.error\":{\"code\":\"canary@canary.example\",\"message\":{\"value\":\"canary\"}}}";
    check(Fault::json(400, error.into()), Outcome::Whole(Reply::Rejected(Code::known("other")))).await;
}

#[tokio::test]
async fn a_lost_answer_is_transient_and_what_was_written_is_found() {
    check(Fault::Reset, transient("connection_lost", Quick::Pointless)).await;
    check(Fault::ResetAfterWrite, transient("connection_lost", Quick::Pointless)).await;
    check(Fault::HalfAnswer, transient("connection_lost", Quick::Pointless)).await;
}

#[tokio::test]
async fn an_answer_that_does_not_speak_of_every_lead_is_no_success() {
    for body in ["", "<html>welcome</html>", "--a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n--a--\r\n"] {
        check(Fault::json(202, body.into()), transient("unreadable_answer", Quick::Pointless)).await;
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_it() {
    let fault = Fault::json(202, "x".repeat(9 * 1024 * 1024));
    check(fault, transient("answer_too_large", Quick::Pointless)).await;
}

#[tokio::test]
async fn a_service_that_hangs_holds_a_send_no_longer_than_its_deadline() {
    let azurite = Azurite::new().await;
    let settings = azurite.settings(&format!("AccountName={};AccountKey={}", azurite.account, azurite.key));
    let destination = azurite.open(Settings { send_timeout: Duration::from_millis(300), ..settings });
    azurite.proxy.set(|_| Fault::Hang);
    let before = std::time::Instant::now();
    assert_eq!(create(&destination, &leads(1)).await, transient("timeout", Quick::Pointless));
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    assert_eq!(destination.limits().send_timeout, Duration::from_millis(300));
}

#[tokio::test]
async fn the_deadline_is_of_all_requests_together() {
    let azurite = Azurite::new().await;
    let settings = azurite.settings(&format!("AccountName={};AccountKey={}", azurite.account, azurite.key));
    create(&azurite.destination(), &leads(1)).await;
    let destination = azurite.open(Settings { send_timeout: Duration::from_millis(800), ..settings });
    // The transaction fails at once, the look that follows hangs.
    azurite.proxy.set(|seen| if seen.method == "GET" { Fault::Hang } else { Fault::Pass });
    let before = std::time::Instant::now();
    assert_eq!(create(&destination, &leads(1)).await, transient("timeout", Quick::Pointless));
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_host_that_nobody_listens_on_or_knows_is_told_apart() {
    let azurite = Azurite::new().await;
    let open = |endpoint: &str| {
        let mut settings = azurite.settings("AccountName=leads1;AccountKey=YQ==");
        let text = format!("TableEndpoint={endpoint};AccountName=leads1;AccountKey=YQ==");
        settings.account = leadrelay::destination::azure_table::Account::ConnectionString(
            leadrelay::destination::azure_table::connection_string::ConnectionString::parse(&text).expect("a string"),
        );
        settings.http = HttpSettings { allow_plaintext: true, ..HttpSettings::default() };
        azurite.open(settings)
    };
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let refused = create(&open(&format!("http://{unused}/leads1")), &leads(1)).await;
    assert_eq!(refused, transient("not_connected", Quick::Worthwhile));
    let unknown = create(&open("http://leads1.table.invalid"), &leads(1)).await;
    assert_eq!(unknown, Outcome::Whole(Reply::Credentials(Code::known("no_such_host"))));
}

/// The lane splits; here, one poisoned row fails its batch as a whole, and alone fails alone.
#[tokio::test]
async fn a_poisoned_row_fails_its_batch_and_nobody_elses() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    create(&destination, &leads(1)).await;
    let leads = leads(100);
    let poisoned = leads[57].key.to_string();
    azurite.proxy.set(move |seen| if seen.text().contains(&poisoned) { Fault::status(500) } else { Fault::Pass });
    let failed = transient("http_500", Quick::Pointless);
    assert_eq!(create(&destination, &leads[1..]).await, failed);
    assert_eq!(create(&destination, &leads[1..57]).await, each(CREATED, 56));
    assert_eq!(create(&destination, &leads[57..58]).await, failed);
    assert_eq!(create(&destination, &leads[58..]).await, each(CREATED, 42));
}

#[tokio::test]
async fn a_row_that_the_service_refuses_is_rejected_and_applies_nothing_of_its_batch() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    create(&destination, &leads(1)).await;
    let mut endless = event("person9", "INS", 0);
    endless.source = "x".repeat(40_000);
    let mut batch = leads(5);
    batch.push(lead(endless));
    let rejected = Outcome::Whole(Reply::Rejected(Code::known("PropertyValueTooLarge")));
    assert_eq!(create(&destination, &batch).await, rejected);
    assert_eq!(azurite.rows().await.len(), 1);
    assert_eq!(create(&destination, &batch[5..]).await, rejected);
}

/// Two transactions in one send: what went through is told, and what did not is nobody's fault yet.
#[tokio::test]
async fn where_the_second_transaction_fails_the_first_is_not_forgotten() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    create(&destination, &leads(1)).await;
    let fat = |person| {
        let mut event = event(&format!("fat{person}"), "INS", 0);
        event.description = "梁".repeat(32_768);
        lead(event)
    };
    let leads: Vec<_> = (0..50).map(fat).collect();
    let mut writes = 0;
    azurite.proxy.set(move |_| {
        writes += 1;
        if writes == 2 { Fault::json(400, "{\"odata.error\":{\"code\":\"InvalidInput\"}}".into()) } else { Fault::Pass }
    });
    let Outcome::Each(replies) = create(&destination, &leads).await else { panic!("a part was written") };
    let written = replies.iter().filter(|reply| **reply == CREATED).count();
    let again = Reply::Transient { code: Code::known("InvalidInput"), quick: Quick::Pointless };
    let left = replies.iter().filter(|reply| **reply == again).count();
    assert!(written > 0 && left > 0 && written + left == 50, "{written} written, {left} left");
    assert_eq!(azurite.rows().await.len(), written + 1);
}
