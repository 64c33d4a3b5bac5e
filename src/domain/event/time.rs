//! Times as they are written: RFC 3339, and what else the languages' own libraries print of it.
//!
//! Java leaves out seconds that are zero and adds the zone's name in brackets, Python's `strftime` leaves out the colon
//! of the offset. [`super::schema`] says the same as a pattern, and a property test holds the two together.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

/// The instant, or `None` if this is no time. Spaces around it are no part of it.
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let text = match text.strip_suffix(']') {
        Some(annotated) => annotated.split_once('[').filter(|(_, zone)| !zone.contains(']'))?.0,
        None => text,
    };
    let (date, rest) = text.split_at_checked(10)?;
    let clock = rest.strip_prefix(['T', 't', ' '])?;
    let (time, offset) = clock.split_at(clock.find(['Z', 'z', '+', '-'])?);
    let (date, time, offset) = (date_of(date)?, time_of(time)?, offset_of(offset)?);
    // The last hours of the calendar are no timestamps of jiff's, and .NET writes its last moment for "never".
    Some(offset.to_timestamp(DateTime::from_parts(date, time)).unwrap_or(Timestamp::MAX))
}

fn date_of(text: &str) -> Option<Date> {
    let [year, month, day] = fields(text, '-')?;
    let (4, 2, 2) = (year.len(), month.len(), day.len()) else { return None };
    Date::new(number(year)?, number(month)?.try_into().ok()?, number(day)?.try_into().ok()?).ok()
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`.
fn time_of(text: &str) -> Option<Time> {
    let (text, nanosecond) = match text.split_once('.') {
        Some((text, fraction)) if text.len() == 8 => (text, nanoseconds(fraction)?),
        Some(_) => return None,
        None => (text, 0),
    };
    let second = match text.len() {
        5 => 0,
        // A leap second is the last of its minute.
        8 => two_digits(text.get(5..)?.strip_prefix(':')?, 60)?.min(59),
        _ => return None,
    };
    let [hour, minute] = fields(text.get(..5)?, ':')?;
    Time::new(two_digits(hour, 23)?, two_digits(minute, 59)?, second, nanosecond).ok()
}

fn nanoseconds(fraction: &str) -> Option<i32> {
    let digits = u32::try_from(fraction.len()).ok().filter(|digits| (1..=9).contains(digits))?;
    Some(fraction.parse::<i32>().ok().filter(|_| is_number(fraction))? * 10_i32.pow(9 - digits))
}

/// `Z`, `+HH`, `+HHMM` or `+HH:MM`.
fn offset_of(text: &str) -> Option<Offset> {
    if matches!(text, "Z" | "z") {
        return Some(Offset::UTC);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = match minutes.strip_prefix(':').unwrap_or(minutes) {
        "" if minutes.is_empty() => 0,
        minutes => two_digits(minutes, 59)?,
    };
    let seconds = i32::from(two_digits(hours, 23)?) * 3_600 + i32::from(minutes) * 60;
    Offset::from_seconds(sign * seconds).ok()
}

fn fields<const N: usize>(text: &str, separator: char) -> Option<[&str; N]> {
    let (mut parts, mut fields) = (text.split(separator), [""; N]);
    for field in &mut fields {
        *field = parts.next()?;
    }
    parts.next().is_none().then_some(fields)
}

fn two_digits(text: &str, max: i8) -> Option<i8> {
    number(text).filter(|_| text.len() == 2)?.try_into().ok().filter(|value| *value <= max)
}

fn number(text: &str) -> Option<i16> {
    text.parse().ok().filter(|_| is_number(text))
}

/// Digits alone: Rust's own parser takes a sign.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_what_rfc_3339_and_the_languages_libraries_write() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse(text).map(|time| time.to_string()).as_deref(), Some(expected), "{text}");
        };
        check("2026-11-22T03:04:05Z", "2026-11-22T03:04:05Z");
        check(" 2026-11-22t03:04:05.25z\n", "2026-11-22T03:04:05.25Z");
        check("2026-11-22 03:04:05+08:00", "2026-11-21T19:04:05Z");
        check("2026-11-22T03:04:05.123456789-0330", "2026-11-22T06:34:05.123456789Z");
        check("2026-11-22T03:04+01[Europe/Paris]", "2026-11-22T02:04:00Z");
        check("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z");
        check("2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z");
    }

    #[test]
    fn both_ends_of_the_calendar_are_times() {
        assert_eq!(parse("9999-12-31T23:59:59.9999999Z"), Some(Timestamp::MAX));
        assert!(parse("0001-01-01T00:00:00Z").is_some_and(|time| time < Timestamp::UNIX_EPOCH));
        assert!(parse("0000-01-01T00:00:00+23:59").is_some());
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T03:04:05",
            "2026-11-22T03Z",
            "2026-11-22T03:04:05.Z",
            "2026-11-22T03:04.5Z",
            "2026-11-22T03:04:05.1234567890Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T03:04:61Z",
            "2026-11-22T+3:04:05Z",
            "2026-02-29T03:04:05Z",
            "2026-13-01T03:04:05Z",
            "+026-11-22T03:04:05Z",
            "2026-11-22T03:04:05+24:00",
            "2026-11-22T03:04:05+08:",
            "2026-11-22T03:04:05+08:0",
            "2026-11-22T03:04:05Z]",
            "2026-11-22T03:04:05Z[a]b]",
            "2026-11-22T03:04:05ZZ",
            "2026-11-22T03:04:05z16",
            "20261122T030405Z",
            "1795317845",
            "2026-11-2\u{e9}T03:04:05Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
