//! What Salesforce's codes mean for a lead.
//!
//! <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm> and the `StatusCode`s of the
//! SOAP API, which the items of collections bear. Only codes are read here: the messages repeat what was sent.

use std::time::Duration;

use serde_json::Value;

use crate::destination::http::Failure;
use crate::domain::reply::{Accepted, Code, Quick, Reply};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Transient,
    Quota,
    Configuration,
    Data,
}

const TRANSIENT: [&str; 9] = [
    "UNABLE_TO_LOCK_ROW",
    "SERVER_UNAVAILABLE",
    "REQUEST_RUNNING_TOO_LONG",
    "QUERY_TIMEOUT",
    "UNKNOWN_EXCEPTION",
    "PROCESSING_HALTED",
    "ENTITY_IS_DELETED",
    "ENTITY_IS_LOCKED",
    "FUNCTIONALITY_TEMPORARILY_UNAVAILABLE",
];

const QUOTA: [&str; 3] = ["REQUEST_LIMIT_EXCEEDED", "STORAGE_LIMIT_EXCEEDED", "TOO_MANY_APEX_REQUESTS"];

/// What no lead can cause: permissions, the object's set-up, ours.
const CONFIGURATION: [&str; 21] = [
    "INVALID_SESSION_ID",
    "INVALID_AUTH_HEADER",
    "INVALID_LOGIN",
    "API_DISABLED_FOR_ORG",
    "API_CURRENTLY_DISABLED",
    "FUNCTIONALITY_NOT_ENABLED",
    "INSUFFICIENT_ACCESS",
    "INSUFFICIENT_ACCESS_OR_READONLY",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
    "INACTIVE_OWNER_OR_USER",
    "INVALID_ASSIGNMENT_RULE",
    "INVALID_FIELD",
    "INVALID_FIELD_FOR_INSERT_UPDATE",
    "INVALID_TYPE",
    "INVALID_EXTERNAL_ID_FIELD_NAME",
    "NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "UNSUPPORTED_API_VERSION",
    "UNSUPPORTED_MEDIA_TYPE",
    "MALFORMED_QUERY",
    "EXCEEDED_ID_LIMIT",
];

const DATA: [&str; 18] = [
    "REQUIRED_FIELD_MISSING",
    "INVALID_EMAIL_ADDRESS",
    "STRING_TOO_LONG",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION",
    "FIELD_FILTER_VALIDATION_EXCEPTION",
    "FIELD_INTEGRITY_EXCEPTION",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    "NUMBER_OUTSIDE_VALID_RANGE",
    "MALFORMED_ID",
    "JSON_PARSER_ERROR",
    "INVALID_INPUT",
    "MISSING_ARGUMENT",
    "INVALID_CROSS_REFERENCE_KEY",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
    "CANNOT_EXECUTE_FLOW_TRIGGER",
    "DUPLICATES_DETECTED",
    "DUPLICATE_VALUE",
    "DUPLICATE_EXTERNAL_ID",
];

fn kind(code: &str) -> Option<Kind> {
    let kinds: [(&[&str], Kind); 4] = [
        (&TRANSIENT, Kind::Transient),
        (&QUOTA, Kind::Quota),
        (&CONFIGURATION, Kind::Configuration),
        (&DATA, Kind::Data),
    ];
    kinds.into_iter().find(|(codes, _)| codes.contains(&code)).map(|(_, kind)| kind)
}

fn reply(kind: Kind, code: Code, retry_after: Option<Duration>) -> Reply {
    match kind {
        Kind::Transient => Reply::Transient { code, quick: Quick::Pointless },
        Kind::Quota => Reply::Throttled { code, retry_after },
        Kind::Configuration => Reply::Credentials(code),
        Kind::Data => Reply::Rejected(code),
    }
}

/// The refusal of one record, by its `statusCode`. `None`: somebody made a lead of this key meanwhile; look, and write
/// again. A lead that was converted has become a contact: it was delivered, and there is nothing left to change.
///
/// A code that we do not know is a rejection: of the several hundred that there are, nearly all say what is wrong with a
/// record. Rejected it is seen at once, with its code, and can be replayed; and where it is the org's fault after all,
/// twenty in a row pause the lane, and none is lost. Taken for transient, it would be tried for a week first.
pub fn of_record(code: &str) -> Option<Reply> {
    match code {
        "CANNOT_UPDATE_CONVERTED_LEAD" => Some(Reply::Accepted(Accepted::Already)),
        "DUPLICATE_VALUE" => None,
        code => Some(reply(kind(code).unwrap_or(Kind::Data), Code::foreign(code), None)),
    }
}

/// The refusal of a whole call, by its status and `errorCode`: the status decides where the code is missing or unknown.
pub fn of_call(status: u16, code: Option<&str>, retry_after: Option<Duration>) -> Reply {
    let named = code.map_or_else(|| Code::status(status), Code::foreign);
    match (status, code.and_then(kind)) {
        // Whatever it says: an outage speaks for itself.
        (503, _) if retry_after.is_some() => reply(Kind::Quota, named, retry_after),
        (503, _) => Reply::Transient { code: named, quick: Quick::Worthwhile },
        (_, Some(kind)) => reply(kind, named, retry_after),
        (420 | 429, None) => reply(Kind::Quota, named, retry_after),
        (408 | 409 | 412 | 500.., None) => reply(Kind::Transient, named, None),
        (300..400 | 401..=407 | 410 | 415 | 426 | 428, None) => reply(Kind::Configuration, named, None),
        // 400, 413, 414, 431: a lead alone in its call may yet pass, or is to blame.
        (400..500, None) => reply(Kind::Data, named, None),
        // No answer to what we asked: not from Salesforce.
        (..300, None) => reply(Kind::Transient, named, None),
    }
}

/// What it means that no whole answer came. A key tells a repeat, so that sending again is safe.
pub fn unanswered(failure: Failure) -> Reply {
    let code = failure.code();
    match failure {
        Failure::NoSuchHost | Failure::NotTrusted => Reply::Credentials(code),
        Failure::NotConnected => Reply::Transient { code, quick: Quick::Worthwhile },
        Failure::TimedOut | Failure::Lost | Failure::TooLarge => Reply::Transient { code, quick: Quick::Pointless },
    }
}

/// The refusal of a token: nothing but an overload passes by itself.
pub fn of_token(status: u16, body: &[u8], retry_after: Option<Duration>) -> Reply {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let code = body.as_ref().and_then(|body| body.get("error")?.as_str());
    let named = code.map_or_else(|| Code::status(status), Code::foreign);
    match (status, code) {
        (429, _) => reply(Kind::Quota, named, retry_after),
        (408 | 500.., _) => of_call(status, code, retry_after),
        (_, Some("temporarily_unavailable" | "server_error" | "unknown_error")) => reply(Kind::Transient, named, None),
        _ => Reply::Credentials(named),
    }
}

/// The first `errorCode` of a refused call.
pub fn code_in(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let first = body.get(0).unwrap_or(&body);
    first.get("errorCode")?.as_str().map(str::to_owned)
}

#[cfg(test)]
#[path = "codes_tests.rs"]
mod tests;
