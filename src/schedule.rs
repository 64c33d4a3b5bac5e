//! The in-process exponential schedules: quick retries and reconnects. The one file that names the `backoff` crate,
//! which is unmaintained (RUSTSEC-2025-0012), so that it can be replaced here.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

/// Jittered, doubling delays from about `first` to about `max`, without end.
pub fn schedule(first: Duration, max: Duration) -> impl Iterator<Item = Duration> + Send {
    let mut backoff = ExponentialBackoff {
        current_interval: first,
        initial_interval: first,
        randomization_factor: 0.3,
        multiplier: 2.0,
        max_interval: max,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    std::iter::from_fn(move || Some(backoff.next_backoff().unwrap_or(max)))
}
