//! Times, as people type them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};

use super::Misused;

/// `7d`, `2h`, or a time.
pub fn since_when(text: &str, now: Timestamp) -> Result<Timestamp, Misused> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let span = text.parse::<Span>().ok();
    let age = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let age = age.and_then(|age| Duration::try_from(age).ok());
    let since = age.and_then(|age| now.checked_sub(age).ok());
    since.ok_or_else(|| Misused("--since is neither an age, such as 2h or 7d, nor a time".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_or_a_time_tells_since_when() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let since = since_when(text, now).ok().map(|since| since.to_string());
            assert_eq!(since.as_deref(), expected, "{text}");
        };
        check("2h", Some("2026-11-22T10:00:00Z"));
        check("1d 2h", Some("2026-11-21T10:00:00Z"));
        check("7d", Some("2026-11-15T12:00:00Z"));
        check("2026-11-22T08:00:00Z", Some("2026-11-22T08:00:00Z"));
        for wrong in ["", "yesterday", "-2h", "2", "1 month"] {
            check(wrong, None);
        }
    }
}
