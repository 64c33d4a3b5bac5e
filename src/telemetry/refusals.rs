//! What each destination refused last: a pause is told with its cause; and that a lead was not accepted is told at all,
//! but once a minute and not a thousand times.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::reply::Code;
use crate::domain::route::DestinationName;

const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<DestinationName, Refusal>>);

#[derive(Debug)]
struct Refusal {
    code: Code,
    told_at: Instant,
}

impl Refusals {
    /// Notes it, and answers whether it is to be told.
    pub fn note(&self, destination: &DestinationName, code: &Code) -> bool {
        let (mut refusals, now) = (self.lock(), Instant::now());
        let told_at = refusals.get(destination).map(|refusal| refusal.told_at);
        let silent_since = told_at.filter(|at| now.duration_since(*at) < TOLD_AGAIN_AFTER);
        let refusal = Refusal { code: code.clone(), told_at: silent_since.unwrap_or(now) };
        refusals.insert(destination.clone(), refusal);
        silent_since.is_none()
    }

    /// The code of the last.
    pub fn last(&self, destination: &DestinationName) -> Option<Code> {
        self.lock().get(destination).map(|refusal| refusal.code.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DestinationName, Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_at_once_and_then_once_a_minute_for_each_destination() {
        let [contoso, fabrikam] = ["contoso", "fabrikam"].map(|name| DestinationName::parse(name).unwrap());
        let (refusals, busy, wrong) = (Refusals::default(), Code::known("ServerBusy"), Code::known("InvalidInput"));
        assert_eq!(refusals.last(&contoso), None);
        assert!(refusals.note(&contoso, &busy) && refusals.note(&fabrikam, &busy));
        for _ in 0..59 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(!refusals.note(&contoso, &wrong));
        }
        assert_eq!(refusals.last(&contoso), Some(wrong.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(refusals.note(&contoso, &wrong) && !refusals.note(&contoso, &wrong));
    }
}
