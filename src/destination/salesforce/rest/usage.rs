//! How much of the org's API calls is used, as Salesforce says with every answer; and the brake that leaves the org's
//! other integrations their share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::destination::http::Answer;
use crate::domain::reply::{Code, Reply};
use crate::domain::route::DestinationName;
use crate::telemetry::Telemetry;

/// Usage is known only by calling: while braked, one call in so long finds out. The quota rolls over 24 hours, so that
/// it comes back little by little.
const LOOK_AGAIN: Duration = Duration::from_secs(15 * 60);

#[derive(Debug)]
pub struct Usage {
    destination: DestinationName,
    /// In percent of the org's limit, from which on nothing is sent.
    max: u8,
    telemetry: Arc<Telemetry>,
    seen: Mutex<Option<(Calls, Instant)>>,
}

/// Calls used, of those that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Calls {
    used: u64,
    limit: u64,
}

impl Usage {
    pub fn new(destination: DestinationName, max: u8, telemetry: Arc<Telemetry>) -> Self {
        Self { destination, max, telemetry, seen: Mutex::new(None) }
    }

    pub fn learn(&self, answer: &Answer) {
        let Some(calls) = answer.header("Sforce-Limit-Info").and_then(read) else { return };
        self.telemetry.api_calls(&self.destination, calls.used, calls.limit);
        let before = self.seen.lock().unwrap_or_else(PoisonError::into_inner).replace((calls, Instant::now()));
        if self.is_over(calls) && !before.is_some_and(|(before, _)| self.is_over(before)) {
            self.telemetry.api_calls_braked(&self.destination, calls.used, calls.limit, self.max);
        }
    }

    /// Asks for a pause, if what was learned of late says so.
    pub fn brake(&self) -> Result<(), Reply> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, at)) = seen.filter(|(calls, _)| self.is_over(*calls)) else { return Ok(()) };
        match LOOK_AGAIN.checked_sub(at.elapsed()) {
            Some(left) if !left.is_zero() => {
                Err(Reply::Throttled { code: Code::known("api_usage_max"), retry_after: Some(left) })
            }
            _ => Ok(()),
        }
    }

    fn is_over(&self, calls: Calls) -> bool {
        self.max < 100 && u128::from(calls.used) * 100 >= u128::from(calls.limit) * u128::from(self.max)
    }
}

/// `api-usage=10018/100000; api-bursts=1/750`:
/// <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/headers_api_usage.htm>.
fn read(header: &str) -> Option<Calls> {
    let parts = header.split([';', ',']).map(str::trim);
    let (used, limit) =
        parts.filter_map(|part| part.strip_prefix("api-usage=")).find_map(|part| part.split_once('/'))?;
    let calls = Calls { used: used.trim().parse().ok()?, limit: limit.trim().parse().ok()? };
    (calls.limit > 0).then_some(calls)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(info: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("Sforce-Limit-Info", info.parse().expect("a header"));
        Answer { status: 200, headers, body: Bytes::new() }
    }

    fn usage(max: u8) -> Usage {
        Usage::new(DestinationName::parse("org").expect("a name"), max, Arc::new(Telemetry::new()))
    }

    #[test]
    fn the_header_is_read_in_all_its_forms() {
        let check = |text: &str, expected: Option<(u64, u64)>| {
            assert_eq!(read(text), expected.map(|(used, limit)| Calls { used, limit }), "{text}");
        };
        check("api-usage=18/5000", Some((18, 5_000)));
        check("api-usage=10018/100000; api-bursts=1/750", Some((10_018, 100_000)));
        check("per-app-api-usage=17/250(appName=x), api-usage=25/5000", Some((25, 5_000)));
        check("per-app-api-usage=17/250(appName=x)", None);
        check("api-usage=1/0", None);
        check("api-usage=x/9", None);
        check("", None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_brake_holds_from_its_share_on_and_lets_one_call_look_again() {
        let usage = usage(95);
        assert_eq!(usage.brake(), Ok(()), "nothing is known");
        usage.learn(&answer("api-usage=949/1000"));
        assert_eq!(usage.brake(), Ok(()));
        usage.learn(&answer("api-usage=950/1000"));
        let hint = |reply: Result<(), Reply>| match reply {
            Err(Reply::Throttled { retry_after, .. }) => retry_after,
            _ => None,
        };
        assert_eq!(hint(usage.brake()), Some(LOOK_AGAIN));
        tokio::time::advance(LOOK_AGAIN / 3).await;
        assert_eq!(hint(usage.brake()), Some(LOOK_AGAIN * 2 / 3));
        tokio::time::advance(LOOK_AGAIN).await;
        assert_eq!(usage.brake(), Ok(()), "one call looks again");
        usage.learn(&answer("api-usage=951/1000"));
        assert!(usage.brake().is_err());
        usage.learn(&answer("api-usage=900/1000"));
        assert_eq!(usage.brake(), Ok(()));
    }

    #[test]
    fn a_hundred_percent_is_no_brake() {
        let usage = usage(100);
        usage.learn(&answer("api-usage=1000/1000"));
        assert_eq!(usage.brake(), Ok(()));
    }
}
