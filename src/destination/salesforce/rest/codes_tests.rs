use super::*;
use crate::domain::reply::Class;
use crate::domain::retry::{Limits, Tier};
use crate::domain::verdict::{Finding, Lane, Reason, Verdict, decide};

fn verdict(reply: &Reply, lane: Lane) -> Verdict {
    decide(&Finding::Replied(reply.clone()), 0, Duration::ZERO, lane, Limits::default())
}

#[test]
fn every_code_of_a_record_has_its_reply_and_its_verdict() {
    use Class::{Credentials, Rejected, Throttled, Transient};
    let check = |codes: &str, class: Class| {
        for code in codes.split_whitespace() {
            let Told::Refused(reply) = of_record(code) else { panic!("{code}") };
            assert_eq!((reply.class(), reply.code().map(Code::as_str)), (class, Some(code)));
            let closed = match class {
                Rejected => Verdict::DeadLetter(Reason::Rejected(Code::foreign(code))),
                _ => Verdict::Retry { tier: Tier::S5, charged: true },
            };
            assert_eq!(verdict(&reply, Lane::Closed), closed, "{code}");
            // A paused lane charges nobody.
            assert_eq!(verdict(&reply, Lane::Paused), Verdict::Wait, "{code}");
        }
    };
    check("UNABLE_TO_LOCK_ROW SERVER_UNAVAILABLE REQUEST_RUNNING_TOO_LONG QUERY_TIMEOUT UNKNOWN_EXCEPTION", Transient);
    check("REQUEST_LIMIT_EXCEEDED STORAGE_LIMIT_EXCEEDED", Throttled);
    check("API_DISABLED_FOR_ORG API_CURRENTLY_DISABLED INSUFFICIENT_ACCESS_OR_READONLY INVALID_FIELD", Credentials);
    check("INVALID_TYPE NOT_FOUND INVALID_SESSION_ID INVALID_FIELD_FOR_INSERT_UPDATE", Credentials);
    check("REQUIRED_FIELD_MISSING INVALID_EMAIL_ADDRESS STRING_TOO_LONG FIELD_CUSTOM_VALIDATION_EXCEPTION", Rejected);
    check("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST FIELD_INTEGRITY_EXCEPTION MALFORMED_ID JSON_PARSER_ERROR", Rejected);
    check("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY DUPLICATES_DETECTED DUPLICATE_EXTERNAL_ID", Rejected);
    check("A_CODE_OF_NEXT_YEAR", Rejected);
    assert_eq!(of_record("CANNOT_UPDATE_CONVERTED_LEAD"), Told::Converted);
    assert_eq!(of_record("DUPLICATE_VALUE"), Told::Raced);
}

#[test]
fn every_answer_to_a_call_has_its_reply() {
    use Class::{Credentials, Rejected, Throttled, Transient};
    let check = |status: u16, code: &str, expected: Class| {
        let reply = of_call(status, (!code.is_empty()).then_some(code), None);
        assert_eq!(reply.class(), expected, "{status} {code}");
        let named = if code.is_empty() { format!("http_{status}") } else { code.to_owned() };
        assert_eq!(reply.code().map(Code::as_str), Some(named.as_str()));
    };
    check(401, "INVALID_SESSION_ID", Credentials);
    check(403, "REQUEST_LIMIT_EXCEEDED", Throttled);
    check(403, "API_DISABLED_FOR_ORG", Credentials);
    check(403, "SOMETHING_NEW", Credentials);
    check(404, "NOT_FOUND", Credentials);
    check(400, "INVALID_FIELD", Credentials);
    check(400, "JSON_PARSER_ERROR", Rejected);
    check(400, "SOMETHING_NEW", Rejected);
    check(400, "UNABLE_TO_LOCK_ROW", Transient);
    check(500, "UNKNOWN_EXCEPTION", Transient);
    check(503, "SERVER_UNAVAILABLE", Transient);
    [400, 413, 414, 431].into_iter().for_each(|status| check(status, "", Rejected));
    let configuration = [300, 301, 302, 304, 307, 401, 403, 404, 405, 410, 415, 428];
    configuration.into_iter().for_each(|status| check(status, "", Credentials));
    [200, 204, 408, 409, 412, 500, 502, 503, 504, 599].into_iter().for_each(|status| check(status, "", Transient));
    [420, 429].into_iter().for_each(|status| check(status, "", Throttled));
}

#[test]
fn a_hint_is_honoured_and_a_503_without_one_is_tried_again_at_once() {
    let hint = Some(Duration::from_secs(7));
    let code = Code::known("SERVER_UNAVAILABLE");
    let throttled = Reply::Throttled { code: code.clone(), retry_after: hint };
    assert_eq!(of_call(503, Some("SERVER_UNAVAILABLE"), hint), throttled);
    let quick = Reply::Transient { code, quick: Quick::Worthwhile };
    assert_eq!(of_call(503, Some("SERVER_UNAVAILABLE"), None), quick);
}

#[test]
fn a_refused_token_is_a_matter_of_credentials_unless_the_server_is_in_trouble() {
    let check = |status: u16, body: &str, expected: Class, code: &str| {
        let reply = of_token(status, body.as_bytes(), None);
        assert_eq!((reply.class(), reply.code().map(Code::as_str)), (expected, Some(code)), "{status} {body}");
    };
    for code in ["invalid_grant", "invalid_client", "invalid_client_id", "unsupported_grant_type", "inactive_user"] {
        check(400, &format!("{{\"error\":\"{code}\",\"error_description\":\"canary\"}}"), Class::Credentials, code);
    }
    check(400, "{\"error\":\"server_error\"}", Class::Transient, "server_error");
    check(429, "", Class::Throttled, "http_429");
    check(503, "<html>", Class::Transient, "http_503");
    check(302, "", Class::Credentials, "http_302");
}

#[test]
fn a_code_is_found_in_either_form_and_never_a_message() {
    let check = |body: &str, expected: Option<&str>| assert_eq!(code_in(body.as_bytes()).as_deref(), expected);
    check(
        r#"[{"message":"canary@x","errorCode":"INVALID_EMAIL_ADDRESS","fields":["Email"]}]"#,
        Some("INVALID_EMAIL_ADDRESS"),
    );
    check(r#"{"errorCode":"NOT_FOUND"}"#, Some("NOT_FOUND"));
    check(r#"{"message":"canary"}"#, None);
    check("<html>", None);
    check("", None);
    let reply = of_call(400, Some("canary@example.com is wrong"), None);
    assert_eq!(reply, Reply::Rejected(Code::known("other")));
}
