use super::*;
use crate::domain::reply::Class::{self, Accepted as Taken, Credentials, Rejected, Throttled, Transient};
use crate::domain::retry::Limits;
use crate::domain::verdict::tests::show;
use crate::domain::verdict::{Finding, Lane, decide};

/// What becomes of a lead at its first attempt.
fn verdict(reply: &Reply, lane: Lane) -> String {
    show(&decide(&Finding::Replied(reply.clone()), 0, Duration::ZERO, lane, Limits::default()))
}

const AGAIN: &str = "retry 5s, charged";
const DEAD: &str = "dead rejected";

/// Of one record of a collection: its code, the reply, and the verdict while the lane is closed. Where the trouble is the
/// destination's, such replies pause the lane.
const RECORDS: [(&str, Class, &str); 52] = [
    ("CANNOT_UPDATE_CONVERTED_LEAD", Taken, "ack delivered"),
    ("UNABLE_TO_LOCK_ROW", Transient, AGAIN),
    ("SERVER_UNAVAILABLE", Transient, AGAIN),
    ("REQUEST_RUNNING_TOO_LONG", Transient, AGAIN),
    ("QUERY_TIMEOUT", Transient, AGAIN),
    ("UNKNOWN_EXCEPTION", Transient, AGAIN),
    ("PROCESSING_HALTED", Transient, AGAIN),
    ("ENTITY_IS_DELETED", Transient, AGAIN),
    ("ENTITY_IS_LOCKED", Transient, AGAIN),
    ("FUNCTIONALITY_TEMPORARILY_UNAVAILABLE", Transient, AGAIN),
    ("REQUEST_LIMIT_EXCEEDED", Throttled, AGAIN),
    ("STORAGE_LIMIT_EXCEEDED", Throttled, AGAIN),
    ("TOO_MANY_APEX_REQUESTS", Throttled, AGAIN),
    ("INVALID_SESSION_ID", Credentials, AGAIN),
    ("INVALID_AUTH_HEADER", Credentials, AGAIN),
    ("INVALID_LOGIN", Credentials, AGAIN),
    ("API_DISABLED_FOR_ORG", Credentials, AGAIN),
    ("API_CURRENTLY_DISABLED", Credentials, AGAIN),
    ("FUNCTIONALITY_NOT_ENABLED", Credentials, AGAIN),
    ("INSUFFICIENT_ACCESS", Credentials, AGAIN),
    ("INSUFFICIENT_ACCESS_OR_READONLY", Credentials, AGAIN),
    ("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", Credentials, AGAIN),
    ("INACTIVE_OWNER_OR_USER", Credentials, AGAIN),
    ("INVALID_ASSIGNMENT_RULE", Credentials, AGAIN),
    ("INVALID_FIELD", Credentials, AGAIN),
    ("INVALID_FIELD_FOR_INSERT_UPDATE", Credentials, AGAIN),
    ("INVALID_TYPE", Credentials, AGAIN),
    ("INVALID_EXTERNAL_ID_FIELD_NAME", Credentials, AGAIN),
    ("NOT_FOUND", Credentials, AGAIN),
    ("METHOD_NOT_ALLOWED", Credentials, AGAIN),
    ("UNSUPPORTED_API_VERSION", Credentials, AGAIN),
    ("UNSUPPORTED_MEDIA_TYPE", Credentials, AGAIN),
    ("MALFORMED_QUERY", Credentials, AGAIN),
    ("EXCEEDED_ID_LIMIT", Credentials, AGAIN),
    ("REQUIRED_FIELD_MISSING", Rejected, DEAD),
    ("INVALID_EMAIL_ADDRESS", Rejected, DEAD),
    ("STRING_TOO_LONG", Rejected, DEAD),
    ("FIELD_CUSTOM_VALIDATION_EXCEPTION", Rejected, DEAD),
    ("FIELD_FILTER_VALIDATION_EXCEPTION", Rejected, DEAD),
    ("FIELD_INTEGRITY_EXCEPTION", Rejected, DEAD),
    ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", Rejected, DEAD),
    ("NUMBER_OUTSIDE_VALID_RANGE", Rejected, DEAD),
    ("MALFORMED_ID", Rejected, DEAD),
    ("JSON_PARSER_ERROR", Rejected, DEAD),
    ("INVALID_INPUT", Rejected, DEAD),
    ("MISSING_ARGUMENT", Rejected, DEAD),
    ("INVALID_CROSS_REFERENCE_KEY", Rejected, DEAD),
    ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Rejected, DEAD),
    ("CANNOT_EXECUTE_FLOW_TRIGGER", Rejected, DEAD),
    ("DUPLICATES_DETECTED", Rejected, DEAD),
    ("DUPLICATE_EXTERNAL_ID", Rejected, DEAD),
    ("A_CODE_OF_NEXT_YEAR", Rejected, DEAD),
];

#[test]
fn every_code_of_a_record_has_its_reply_and_its_verdict() {
    for (code, class, becomes) in RECORDS {
        let reply = of_record(code).unwrap_or_else(|| panic!("{code} is no race"));
        let named = (class != Taken).then_some(code);
        assert_eq!((reply.class(), reply.code().map(Code::as_str)), (class, named), "{code}");
        assert_eq!(verdict(&reply, Lane::Closed), becomes, "{code}");
        // A paused lane charges nobody, and kills nobody.
        let paused = if class == Taken { becomes } else { "wait" };
        assert_eq!(verdict(&reply, Lane::Paused), paused, "{code}");
    }
    assert_eq!(of_record("DUPLICATE_VALUE"), None, "looked at, and written again");
}

#[test]
fn every_code_that_is_known_has_a_row() {
    let rows: Vec<_> = RECORDS.iter().map(|(code, ..)| *code).chain(["DUPLICATE_VALUE"]).collect();
    for code in [TRANSIENT.as_slice(), &QUOTA, &CONFIGURATION, &DATA].concat() {
        assert_eq!(rows.iter().filter(|row| **row == code).count(), 1, "{code}");
    }
}

#[test]
fn every_answer_to_a_call_has_its_reply_and_its_verdict() {
    let check = |status: u16, code: &str, expected: Class| {
        let reply = of_call(status, (!code.is_empty()).then_some(code), None);
        assert_eq!(reply.class(), expected, "{status} {code}");
        let named = if code.is_empty() { format!("http_{status}") } else { code.to_owned() };
        assert_eq!(reply.code().map(Code::as_str), Some(named.as_str()));
        assert_eq!(verdict(&reply, Lane::Closed), if expected == Rejected { DEAD } else { AGAIN }, "{status} {code}");
    };
    check(401, "INVALID_SESSION_ID", Credentials);
    check(403, "REQUEST_LIMIT_EXCEEDED", Throttled);
    check(403, "API_DISABLED_FOR_ORG", Credentials);
    check(403, "API_CURRENTLY_DISABLED", Credentials);
    check(403, "INSUFFICIENT_ACCESS_OR_READONLY", Credentials);
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
