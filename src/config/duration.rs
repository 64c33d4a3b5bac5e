//! Durations as people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// With days of 24 hours and nothing longer: `20s`, `1h 30m`, `7d`.
pub fn parse(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

/// In its largest whole unit: `90s` is `90s`, `120s` is `2m`.
pub fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let whole = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{}ms", duration.as_millis()), |(unit, name)| format!("{}{name}", seconds / unit))
}
