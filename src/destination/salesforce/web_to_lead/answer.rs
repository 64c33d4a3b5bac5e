//! What an answer to a post means for its lead. Pure: the table in the tests has a row for every form.
//!
//! Salesforce answers 200 whether or not it took the lead; the header `Is-Processed` tells, where it is there: `true`, or
//! `true Exception:…` for a lead that was refused. It tells nothing of what comes after: a lead that was accepted may
//! still be dropped by a validation or duplicate rule, with a mail to its owner.

use std::time::Duration;

use crate::destination::http::Failure;
use crate::domain::reply::{Accepted, Code, Quick, Reply};

/// What came back.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    pub status: u16,
    /// The header `Is-Processed`.
    pub processed: Option<&'a str>,
    pub retry_after: Option<Duration>,
    /// The connection may break after the headers.
    pub body: Result<&'a [u8], Failure>,
}

enum Processed {
    Unsaid,
    Yes,
    No(Code),
    Unreadable,
}

pub fn classify(said: Said<'_>) -> Reply {
    let named = Code::status(said.status);
    match (said.status, processed(said.processed)) {
        // A post with a retURL is answered by a redirect to it. We send none; who says "processed" has it all the same.
        (200..400, Processed::Yes) => Reply::Accepted(Accepted::Created),
        (200..400, Processed::No(code)) => Reply::Rejected(code.answered(said.status)),
        (200, Processed::Unsaid) => unsaid(said.body),
        // It contradicts itself.
        (_, Processed::Yes) | (200..400, Processed::Unreadable) => Reply::Unknown(Code::known("is_processed_unclear")),
        // No answer of Web-to-Lead's.
        (..300, _) => Reply::Unknown(named),
        // Never followed: it would carry a lead to where no configuration sent it.
        (300..400, _) => Reply::Credentials(named),
        (429, _) => Reply::Throttled { code: named, retry_after: said.retry_after },
        (503, _) if said.retry_after.is_some() => Reply::Throttled { code: named, retry_after: said.retry_after },
        // "The server, while acting as a gateway", had no good answer from the one that it passed the post on to
        // (<https://www.rfc-editor.org/rfc/rfc9110#section-15.6.3>, 15.6.5): that one may have taken it.
        (502 | 504, _) => Reply::Unknown(named),
        (400 | 413 | 414 | 422 | 431, _) => Reply::Rejected(named),
        (408 | 500 | 503 | 505.., _) => Reply::Transient { code: named, quick: Quick::Pointless },
        (401..=499 | 501, _) => Reply::Credentials(named),
    }
}

/// Without the header an empty body is an accepted lead; a page is of a proxy, or of an org in maintenance.
fn unsaid(body: Result<&[u8], Failure>) -> Reply {
    match body {
        Ok(body) if body.trim_ascii().is_empty() => Reply::Accepted(Accepted::Created),
        Ok(_) => Reply::Unknown(Code::known("page_without_is_processed")),
        Err(failure) => Reply::Unknown(failure.code()),
    }
}

fn processed(header: Option<&str>) -> Processed {
    let Some(header) = header.map(str::trim) else { return Processed::Unsaid };
    // It begins with "true" even then.
    if let Some((_, exception)) = header.split_once("Exception") {
        let exception = exception.trim_start_matches(':').split_whitespace().next().unwrap_or_default();
        return Processed::No(Code::foreign(exception));
    }
    match header {
        _ if header.eq_ignore_ascii_case("true") => Processed::Yes,
        _ if header.eq_ignore_ascii_case("false") => Processed::No(Code::known("is_processed_false")),
        _ => Processed::Unreadable,
    }
}

/// What it means that no status came.
pub fn unanswered(failure: Failure) -> Reply {
    let code = failure.code();
    match failure {
        Failure::NoSuchHost | Failure::NotTrusted => Reply::Credentials(code),
        // The one case in which sending again at once is safe.
        Failure::NotConnected => Reply::Transient { code, quick: Quick::Worthwhile },
        // Any byte may have left.
        Failure::TimedOut | Failure::Lost | Failure::TooLarge => Reply::Unknown(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reply::Class::{self, Accepted, Credentials, Rejected, Throttled, Transient, Unknown};
    use crate::domain::retry::Limits;
    use crate::domain::verdict::tests::show;
    use crate::domain::verdict::{Finding, Lane, decide};

    const GENERIC: &str = "common.exception.SalesforceGenericException";

    const PAGE: &str = "<html><body>Your request has been queued.</body></html>";

    fn check(status: u16, processed: Option<&str>, body: &str, class: Class, code: &str) -> Reply {
        let reply = classify(Said { status, processed, retry_after: None, body: Ok(body.as_bytes()) });
        let found = (reply.class(), reply.code().map_or("", Code::as_str));
        assert_eq!(found, (class, code), "{status} {processed:?} {body:?}");
        reply
    }

    /// The verdicts of a first attempt, while the lane is closed and while it is paused.
    fn verdicts(reply: &Reply) -> [String; 2] {
        let finding = Finding::Replied(reply.clone());
        [Lane::Closed, Lane::Paused].map(|lane| show(&decide(&finding, 0, Duration::ZERO, lane, Limits::default())))
    }

    #[test]
    fn every_form_of_is_processed_has_its_reply_and_its_verdicts() {
        let check = |status, processed: Option<&str>, body, class, code, verdict: &str, when_paused: &str| {
            let reply = check(status, processed, body, class, code);
            assert_eq!(verdicts(&reply), [verdict, when_paused], "{status} {processed:?} {body:?}");
        };
        let (unclear, page, taken) = ("is_processed_unclear", "page_without_is_processed", "ack delivered");
        let refused = format!("true Exception:{GENERIC}");
        check(200, None, "", Accepted, "", taken, taken);
        check(200, None, " \r\n", Accepted, "", taken, taken);
        check(200, None, PAGE, Unknown, page, "dead unknown", "dead unknown");
        check(200, None, "ok", Unknown, page, "dead unknown", "dead unknown");
        check(200, Some("true"), "", Accepted, "", taken, taken);
        check(200, Some(" True "), PAGE, Accepted, "", taken, taken);
        check(200, Some(&refused), "", Rejected, GENERIC, "dead rejected", "wait");
        check(200, Some(&format!("true Exception: {GENERIC} more")), PAGE, Rejected, GENERIC, "dead rejected", "wait");
        check(200, Some("true Exception:canary@example.com"), "", Rejected, "other", "dead rejected", "wait");
        check(200, Some("true Exception"), "", Rejected, "other", "dead rejected", "wait");
        check(200, Some("false"), "", Rejected, "is_processed_false", "dead rejected", "wait");
        check(200, Some("queued"), "", Unknown, unclear, "dead unknown", "dead unknown");
        check(200, Some(""), "", Unknown, unclear, "dead unknown", "dead unknown");
        check(204, Some("true"), "", Accepted, "", taken, taken);
        check(302, Some("true"), "", Accepted, "", taken, taken);
        check(302, Some(&refused), "", Rejected, GENERIC, "dead rejected", "wait");
        check(500, Some("true"), "", Unknown, unclear, "dead unknown", "dead unknown");
        check(503, Some("false"), "", Transient, "http_503", "retry 5s, charged", "wait");
    }

    #[test]
    fn every_status_without_is_processed_has_its_meaning() {
        check(201, None, "", Unknown, "http_201");
        check(204, None, "", Unknown, "http_204");
        for status in [301, 302, 303, 307, 308] {
            check(status, None, PAGE, Credentials, &format!("http_{status}"));
        }
        for status in [400, 413, 414, 422, 431] {
            check(status, None, PAGE, Rejected, &format!("http_{status}"));
        }
        for status in [401, 402, 403, 404, 405, 407, 410, 411, 415, 421, 426, 451, 501] {
            check(status, None, PAGE, Credentials, &format!("http_{status}"));
        }
        for status in [408, 500, 503, 505, 520, 599] {
            check(status, None, PAGE, Transient, &format!("http_{status}"));
        }
        check(429, None, "", Throttled, "http_429");
        check(502, None, PAGE, Unknown, "http_502");
        check(504, None, PAGE, Unknown, "http_504");
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept() {
        let hint = Some(Duration::from_secs(7));
        for status in [429, 503] {
            let said = Said { status, processed: None, retry_after: hint, body: Ok(b"") };
            assert_eq!(classify(said), Reply::Throttled { code: Code::status(status), retry_after: hint });
        }
    }

    #[test]
    fn a_body_that_breaks_matters_only_where_the_headers_left_it_open() {
        let check = |status, processed, class: Class| {
            let said = Said { status, processed, retry_after: None, body: Err(Failure::Lost) };
            assert_eq!(classify(said).class(), class, "{status} {processed:?}");
        };
        check(200, Some("true"), Accepted);
        check(200, Some("true Exception:x"), Rejected);
        check(200, None, Unknown);
        check(500, None, Transient);
    }

    #[test]
    fn only_what_was_never_sent_is_sent_again_at_once() {
        let check = |failure: Failure, class: Class, at_once: bool| {
            let reply = unanswered(failure);
            let quick = matches!(reply, Reply::Transient { quick: Quick::Worthwhile, .. });
            assert_eq!((reply.class(), quick), (class, at_once), "{failure:?}");
        };
        check(Failure::NoSuchHost, Credentials, false);
        check(Failure::NotTrusted, Credentials, false);
        check(Failure::NotConnected, Transient, true);
        check(Failure::TimedOut, Unknown, false);
        check(Failure::Lost, Unknown, false);
        check(Failure::TooLarge, Unknown, false);
        let busy = Said { status: 503, processed: None, retry_after: None, body: Ok(b"") };
        assert!(matches!(classify(busy), Reply::Transient { quick: Quick::Pointless, .. }));
    }
}
