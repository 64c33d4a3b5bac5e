//! What the service's answers mean for a lead.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes> and
//! <https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes>.

use std::time::Duration;

use serde_json::Value;

use crate::destination::http::Failure;
use crate::domain::reply::{Code, Quick, Reply};

/// `code` is the service's own, where it gave one.
pub fn classify(status: u16, code: Option<&str>, retry_after: Option<Duration>) -> Reply {
    let named = code.map_or_else(|| Code::status(status), Code::foreign).answered(status);
    let transient = |quick| Reply::Transient { code: named.clone(), quick };
    match (status, code) {
        (429, _) => Reply::Throttled { code: named, retry_after },
        (503, _) if retry_after.is_some() => Reply::Throttled { code: named, retry_after },
        (503, _) => transient(Quick::Worthwhile),
        // A body that is empty or not the service's own says nothing: a proxy, or a front end in trouble.
        (408 | 500 | 502 | 504.., _) => transient(Quick::Pointless),
        // Races that somebody else won, and things that take their time. Only while they last.
        (409 | 412, _) => transient(Quick::Pointless),
        (300..400 | 401..=407 | 415 | 501, _) => Reply::Credentials(named),
        (400, Some(code)) if CONFIGURATION.contains(&code) => Reply::Credentials(named),
        (400..500, _) => Reply::Rejected(named),
        // No answer to what we asked: not from the service.
        (..300, _) => transient(Quick::Pointless),
    }
}

/// Answers of status 400 that no lead can cause.
const CONFIGURATION: [&str; 12] = [
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "InvalidHeaderValue",
    "InvalidQueryParameterValue",
    "InvalidResourceName",
    "InvalidUri",
    "InvalidHttpVerb",
    "MissingRequiredHeader",
    "MissingRequiredQueryParameter",
    "OutOfRangeQueryParameterValue",
    "UnsupportedHeader",
    "UnsupportedQueryParameter",
];

/// What it means that no whole answer came. The table tells a repeat, so that sending again is safe.
pub fn unanswered(failure: Failure) -> Reply {
    let code = failure.code();
    match failure {
        Failure::NoSuchHost | Failure::NotTrusted => Reply::Credentials(code),
        Failure::NotConnected => Reply::Transient { code, quick: Quick::Worthwhile },
        Failure::TimedOut | Failure::Lost | Failure::TooLarge => Reply::Transient { code, quick: Quick::Pointless },
    }
}

/// The code in an error's body: JSON, or XML, which errors of authentication use whatever was asked for (measured).
/// Around it may stand the rest of a multipart answer.
pub fn code_in(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let json = text.find('{').zip(text.rfind('}')).and_then(|(start, end)| text.get(start..=end));
    if let Some(Ok(value)) = json.map(serde_json::from_str::<Value>) {
        let error = value.get("odata.error").or_else(|| value.get("error"))?;
        return error.get("code").and_then(Value::as_str).map(str::to_owned);
    }
    let tags = [("<Code>", "</Code>"), ("<m:code>", "</m:code>"), ("<code>", "</code>")];
    tags.into_iter().find_map(|(open, close)| {
        let (_, rest) = text.split_once(open)?;
        rest.split_once(close).map(|(code, _)| code.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reply::Class;

    #[test]
    fn every_answer_of_the_service_has_its_meaning() {
        use Class::{Credentials, Rejected, Throttled, Transient};
        let check = |status: u16, code: &str, expected: Class| {
            let given = (!code.is_empty()).then_some(code);
            let reply = classify(status, given, None);
            assert_eq!(reply.class(), expected, "{status} {code}");
            let named = if code.is_empty() { format!("http_{status}") } else { code.to_owned() };
            assert_eq!(reply.code().map(Code::as_str), Some(named.as_str()));
        };
        let permanent = "DuplicatePropertiesSpecified EntityTooLarge InvalidInput InvalidDuplicateRow InvalidValueType \
             OutOfRangeInput PropertiesNeedValue PropertyNameInvalid PropertyNameTooLong PropertyValueTooLarge \
             TooManyProperties KeyValueTooLarge CommandsInBatchActOnDifferentPartitions";
        permanent.split_whitespace().for_each(|code| check(400, code, Rejected));
        check(400, "", Rejected);
        check(400, "SomethingNew", Rejected);
        check(413, "RequestBodyTooLarge", Rejected);
        CONFIGURATION.iter().for_each(|code| check(400, code, Credentials));
        let forbidden = "AuthenticationFailed AuthorizationFailure AuthorizationPermissionMismatch \
             InsufficientAccountPermissions AccountIsDisabled AuthorizationSourceIPMismatch";
        forbidden.split_whitespace().for_each(|code| check(403, code, Credentials));
        check(401, "NoAuthenticationInformation", Credentials);
        check(401, "InvalidAuthenticationInfo", Credentials);
        check(404, "TableNotFound", Credentials);
        check(404, "ResourceNotFound", Credentials);
        [301, 302, 307, 401, 402, 403, 404, 405, 407, 415, 501]
            .into_iter()
            .for_each(|status| check(status, "", Credentials));
        check(405, "UnsupportedHttpVerb", Credentials);
        check(409, "TableBeingDeleted", Transient);
        check(409, "AccountBeingCreated", Transient);
        check(412, "UpdateConditionNotSatisfied", Transient);
        [200, 204, 408, 500, 502, 503, 504, 599].into_iter().for_each(|status| check(status, "", Transient));
        check(500, "InternalError", Transient);
        check(500, "OperationTimedOut", Transient);
        check(503, "ServerBusy", Transient);
        check(429, "TooManyRequests", Throttled);
    }

    #[test]
    fn a_busy_server_with_a_hint_throttles_and_without_one_is_tried_again_at_once() {
        let hint = Some(Duration::from_secs(7));
        let code = Code::known("ServerBusy");
        let throttled = Reply::Throttled { code: code.clone(), retry_after: hint };
        assert_eq!(classify(503, Some("ServerBusy"), hint), throttled);
        assert_eq!(classify(503, Some("ServerBusy"), None), Reply::Transient { code, quick: Quick::Worthwhile });
        let empty = Reply::Transient { code: Code::status(500), quick: Quick::Pointless };
        assert_eq!(classify(500, None, None), empty);
    }

    #[test]
    fn a_code_is_found_in_json_in_xml_and_in_neither() {
        let check = |body: &str, expected: Option<&str>| assert_eq!(code_in(body.as_bytes()).as_deref(), expected);
        check(
            r#"{"odata.error":{"code":"EntityTooLarge","message":{"lang":"en","value":"x"}}}"#,
            Some("EntityTooLarge"),
        );
        check("Content-Type: x\r\n\r\n{\"odata.error\":{\"code\":\"A\"}}\r\n--changeset--", Some("A"));
        check(r#"<?xml version="1.0"?><Error><Code>AuthorizationFailure</Code></Error>"#, Some("AuthorizationFailure"));
        check(r#"<m:error xmlns:m="x"><m:code>ServerBusy</m:code></m:error>"#, Some("ServerBusy"));
        check("", None);
        check("<html>a proxy</html>", None);
        check("{}", None);
    }

    #[test]
    fn a_code_that_repeats_a_customers_words_is_not_repeated() {
        let reply = classify(400, Some("canary@example.com is wrong"), None);
        assert_eq!(reply, Reply::Rejected(Code::known("other")));
    }
}
