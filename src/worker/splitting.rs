//! How far a batch that failed as a whole is split, to find the one lead that is to blame.

use crate::domain::reply::Reply;

/// What one round has seen so far.
pub struct Splitting {
    /// Requests that failed as a whole with nothing accepted since the round began.
    failures: usize,
    failures_max: usize,
    rejected: usize,
    /// So many rejections with nothing accepted tell that everything is rejected; `None`: whatever the others are
    /// answered, each lead is to be rejected by itself.
    reject_fuse: Option<usize>,
    accepted: bool,
}

impl Splitting {
    pub fn new(len: usize, reject_fuse: Option<usize>) -> Self {
        // A single culprit is found by halving in log2 steps; twice that without one success is an outage.
        let failures_max = 2 * (usize::BITS - len.leading_zeros()) as usize + 2;
        Self { failures: 0, failures_max, rejected: 0, reject_fuse, accepted: false }
    }

    pub fn failed(&mut self) {
        self.failures += 1;
    }

    pub fn saw(&mut self, replies: &[Reply]) {
        self.accepted |= replies.iter().any(Reply::is_accepted);
        self.rejected += replies.iter().filter(|reply| matches!(reply, Reply::Rejected(_))).count();
    }

    /// At once on a permanent answer, on a transient one from its second round, never while the lane is open.
    pub fn splits(&self, reply: &Reply, len: usize, again: bool, closed: bool) -> bool {
        let worthwhile = match reply {
            Reply::Rejected(_) => self.some_may_be_accepted(),
            Reply::Transient { .. } => again && closed && self.some_may_succeed(),
            Reply::Accepted(_) | Reply::Throttled { .. } | Reply::Credentials(_) | Reply::Unknown(_) => false,
        };
        len > 1 && worthwhile
    }

    /// With nothing accepted, as many rejections as blow the fuse are enough to know.
    fn some_may_be_accepted(&self) -> bool {
        self.accepted || self.reject_fuse.is_none_or(|fuse| self.rejected < fuse)
    }

    fn some_may_succeed(&self) -> bool {
        self.accepted || self.failures <= self.failures_max
    }
}
