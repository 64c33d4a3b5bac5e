//! How many API calls the org has left. Pure; time is an argument.

use jiff::{SignedDuration, Timestamp};

use super::refusal::Refusal;

/// Salesforce's quota rolls; here a day ends 24 hours after it began.
#[derive(Debug)]
pub struct Quota {
    day_ends: Timestamp,
    pub used: u64,
}

impl Quota {
    pub fn new(now: Timestamp) -> Self {
        Self { day_ends: now + SignedDuration::from_hours(24), used: 0 }
    }

    /// Counts a call, or refuses it.
    pub fn take(&mut self, daily: u64, now: Timestamp) -> Result<(), Refusal> {
        self.pass_days(now);
        if self.used >= daily {
            return Err(Refusal::new("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."));
        }
        self.used += 1;
        Ok(())
    }

    pub fn pass_days(&mut self, now: Timestamp) {
        if now >= self.day_ends {
            self.used = 0;
            self.day_ends = now + SignedDuration::from_hours(24);
        }
    }

    /// What the header `Sforce-Limit-Info` says.
    pub fn limit_info(&self, daily: u64) -> String {
        format!("api-usage={}/{daily}", self.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_that_is_used_up_is_free_again_a_day_later() {
        let now: Timestamp = "2026-11-22T03:04:05Z".parse().unwrap();
        let mut quota = Quota::new(now);
        assert!(quota.take(2, now).is_ok() && quota.take(2, now).is_ok());
        assert_eq!(quota.take(2, now).unwrap_err().code, "REQUEST_LIMIT_EXCEEDED");
        assert_eq!(quota.limit_info(2), "api-usage=2/2");
        let almost = now + SignedDuration::from_secs(86_399);
        assert!(quota.take(2, almost).is_err());
        assert!(quota.take(2, now + SignedDuration::from_hours(24)).is_ok());
        assert_eq!(quota.limit_info(2), "api-usage=1/2");
    }
}
