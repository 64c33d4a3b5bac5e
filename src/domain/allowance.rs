//! How many leads a destination takes within a day, and what becomes of those beyond.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Daily {
    pub limit: u32,
    pub on_limit: OnDailyLimit,
}

/// `on_daily_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnDailyLimit {
    /// Sent all the same: the destination keeps them for its next day.
    #[default]
    Send,
    /// Kept here until its day has room again.
    Wait,
}

impl Daily {
    /// What may be sent within a day, where that is to be kept.
    pub fn max(self) -> Option<u32> {
        match self.on_limit {
            OnDailyLimit::Send => None,
            OnDailyLimit::Wait => Some(self.limit),
        }
    }
}
