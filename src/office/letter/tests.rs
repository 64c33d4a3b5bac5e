use super::*;
use crate::domain::envelope::Properties;
use crate::domain::lead_key::DeadId;
use crate::domain::verdict::Reason;

const NOW: &str = "2026-11-22T12:00:00Z";
const BODY: &str = r#"{"Offer": "pub.offer", "CustomerInfo": {"Email": "canary@example.com"}}"#;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn keyring() -> Keyring {
    Keyring::new(b"0123456789abcdef")
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::Text(text.into())
}

fn read(body: &str, headers: &[(&str, HeaderValue)]) -> Letter {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let properties = Properties { headers, ..Properties::default() };
    of(Message { body: body.to_owned().into(), properties }, &keyring(), at(NOW))
}

/// As the broker writes where a message died, the latest first.
fn died(deaths: &[(&str, &str)]) -> (&'static str, HeaderValue) {
    let death = |(reason, queue): &(&str, &str)| {
        let time = HeaderValue::Timestamp(at("2026-11-20T10:00:00Z").as_second() as u64);
        let named = [("reason", text(reason)), ("queue", text(queue)), ("time", time)];
        HeaderValue::Table(named.map(|(name, value)| (name.to_owned(), value)).into())
    };
    ("x-death", HeaderValue::List(deaths.iter().map(death).collect()))
}

#[test]
fn a_letter_that_we_wrote_is_read_as_we_wrote_it() {
    let key = "0123456789abcdef0123456789abcdef";
    let letter = read(
        BODY,
        &[
            (envelope::REASON, text("rejected")),
            (envelope::DETAIL, text("PropertyValueTooLarge")),
            (envelope::DESTINATION, text("contoso-table")),
            (envelope::LEAD_KEY, text(key)),
            (envelope::ATTEMPT, HeaderValue::Int(2)),
            (envelope::FIRST_RECEIVED, text("2026-11-20T10:00:00Z")),
            (envelope::DEAD_AT, text("2026-11-20T11:00:00.123456789Z")),
            (envelope::REPLAY, HeaderValue::Int(1)),
            (envelope::REPLAY_OF, text(key)),
            (envelope::ATTEMPTS, text("2026-11-20T11:00:00Z rejected PropertyValueTooLarge 400")),
            ("traceparent", text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        ],
    );
    let facts = &letter.facts;
    assert_eq!((facts.cause, facts.detail.as_deref()), (Cause::Rejected, Some("PropertyValueTooLarge")));
    assert_eq!((facts.class, facts.code.as_ref().and_then(Code::http_status)), (Some(Class::Rejected), Some(400)));
    assert_eq!(facts.destination.as_ref().map(|name| name.as_str()), Some("contoso-table"));
    assert_eq!(facts.lead.map(|key| key.to_string()).as_deref(), Some(key));
    assert_eq!((facts.attempts, facts.generation, letter.attempts.len()), (2, 1, 1));
    assert_eq!(facts.first_received, Some(at("2026-11-20T10:00:00Z")));
    assert_eq!(facts.dead_at, at("2026-11-20T11:00:00.123456Z"), "as exact as it is kept");
    assert_eq!(facts.replay_of, Some(key.parse::<DeadId>().expect("an id")));
    assert_eq!(facts.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!((facts.offer.as_deref(), facts.size), (Some("pub.offer"), BODY.len() as u64));
    assert_eq!(facts.address, Some(keyring().address_key("Canary@example.com ")));
    assert_eq!(letter.id, keyring().dead_id(BODY.as_bytes(), None, 1));
}

#[test]
fn what_the_broker_dead_lettered_is_known_by_where_and_why_it_died() {
    let check = |deaths: &[(&str, &str)], cause: Cause, detail: &str| {
        let facts = read(BODY, &[died(deaths)]).facts;
        assert_eq!((facts.cause, facts.detail.as_deref()), (cause, Some(detail)));
        assert_eq!(facts.dead_at, if deaths.is_empty() { at(NOW) } else { at("2026-11-20T10:00:00Z") });
    };
    check(&[("delivery_limit", "leads.consent")], Cause::CrashedWorker, "delivery_limit in leads.consent");
    let retried = [("expired", "leads.retry.5s"), ("delivery_limit", "leads.consent")];
    check(&retried, Cause::CrashedWorker, "delivery_limit in leads.consent");
    check(&[("expired", "leads.consent")], Cause::ExpiredInQueue, "expired in leads.consent");
    check(&[("maxlen", "leads.consent\x1b[2J")], Cause::Foreign, "maxlen in leads.consent[2J");
    check(&[], Cause::Foreign, "unsaid in unsaid");
}

#[test]
fn what_a_producer_wrote_into_our_headers_is_not_believed_when_the_broker_made_the_letter() {
    let death = died(&[("delivery_limit", "leads.consent")]);
    let forged = [
        (envelope::REASON, text("rejected")),
        (envelope::DETAIL, text("canary")),
        (envelope::DESTINATION, text("canary")),
        (envelope::LEAD_KEY, text("00000000000000000000000000000000")),
        (envelope::DEAD_ID, text("00000000000000000000000000000000")),
        (envelope::DEAD_AT, text("1970-01-01T00:00:00Z")),
        (envelope::REPLAY_OF, text("00000000000000000000000000000000")),
        death.clone(),
    ];
    let (read, honest) = (read(BODY, &forged), read(BODY, &[death]));
    assert_eq!((read.id, &read.facts), (honest.id, &honest.facts));
    assert!(read.facts.lead.is_some(), "that is read from the body");
}

#[test]
fn a_letter_that_nobody_explains_is_foreign_and_cannot_speak_to_the_terminal() {
    let foreign = read(
        BODY,
        &[
            (envelope::REASON, text("canary")),
            (envelope::DETAIL, text("\x1b[2Jcanary")),
            (envelope::DESTINATION, text("A\n")),
        ],
    );
    let facts = foreign.facts;
    assert_eq!((facts.cause, facts.detail, facts.destination), (Cause::Foreign, None, None));
    let ours = read(BODY, &[(envelope::REASON, text("malformed")), (envelope::DETAIL, text("\x1b[2J/Offer missing"))]);
    assert_eq!(ours.facts.detail.as_deref(), Some("[2J/Offer missing"));
}

#[test]
fn times_to_come_are_now() {
    let later = text("2027-01-01T00:00:00Z");
    let facts = read(BODY, &[(envelope::FIRST_RECEIVED, later.clone()), (envelope::DEAD_AT, later)]).facts;
    assert_eq!((facts.first_received, facts.dead_at), (Some(at(NOW)), at(NOW)));
}

#[test]
fn every_reason_that_a_verdict_can_give_is_read_back() {
    let code = || Code::known("x");
    for reason in [
        Reason::Malformed(String::new()),
        Reason::HeadersTooLarge,
        Reason::Panicked,
        Reason::Poison,
        Reason::Unroutable,
        Reason::Rejected(code()),
        Reason::AttemptsExhausted(code()),
        Reason::Expired(code()),
        Reason::Unknown(code()),
    ] {
        assert_eq!(read(BODY, &[(envelope::REASON, text(reason.name()))]).facts.cause, reason.cause());
    }
}

#[test]
fn whom_a_letter_is_about_is_read_as_far_as_it_can_be() {
    let check = |body: &str, offer: Option<&str>, email: Option<&str>| {
        let facts = read(body, &[]).facts;
        assert_eq!(facts.offer.as_deref(), offer, "{body}");
        assert_eq!(facts.address, email.map(|email| keyring().address_key(email)), "{body}");
        assert_eq!(facts.lead.is_some(), offer.is_some() && email.is_some(), "{body}");
    };
    check(BODY, Some("pub.offer"), Some("canary@example.com"));
    check(&format!(r#"{{"data": {BODY}}}"#), Some("pub.offer"), Some("canary@example.com"));
    check(r#"{"LeadSource": "a-b|Pub.Offer"}"#, Some("pub.offer"), None);
    check(r#"{"Offer": "canary@example.com", "CustomerInfo": {"Email": " "}}"#, None, None);
    check(r#"{"CustomerInfo": {"Email": "not an address"}}"#, None, Some("not an address"));
    check("not json", None, None);
    check(&"[".repeat(100_000), None, None);
}
