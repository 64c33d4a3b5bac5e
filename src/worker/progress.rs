//! How far one lead of a round has come.

use std::time::Duration;

use tokio::time::Instant;

use super::Item;
use crate::broker::Outgoing;
use crate::destination::Parcel;
use crate::domain::event::CustomerField;
use crate::domain::lead_key::Digest;
use crate::domain::repeat::{Record, Write};
use crate::domain::reply::Reply;
use crate::domain::verdict::Finding;
use crate::store::ledger::{Claim, Intention, Recorded};

/// What is known of one lead of the round, beside its item.
pub enum Progress {
    /// Known without sending.
    Known(Finding),
    /// A duplicate that is later than what is recorded: nothing is sent, but the ledger must know.
    Confirmed { claim: Claim, record: Record },
    /// To be sent.
    Ready { claim: Claim, plan: Plan },
    /// Sent, and answered.
    Answered { claim: Claim, plan: Plan, reply: Reply },
    /// Recorded, and a mark is owed.
    Owed(Finding, Option<Box<Outgoing>>),
}

/// What is to be sent of a lead, and what is to be recorded of it then.
pub struct Plan {
    pub write: Write,
    pub digests: Vec<(CustomerField, Digest)>,
    /// Committed, where the destination cannot tell a repeat.
    pub intention: Option<Intention>,
}

impl Progress {
    pub fn parcel<'a>(&'a self, item: &'a Item) -> Option<Parcel<'a>> {
        match self {
            Self::Ready { claim, plan } => {
                debug_assert_eq!(claim.key(), item.lead.key, "a claim is a proof for its own lead only");
                Some(Parcel { lead: &item.lead, write: &plan.write, claim })
            }
            Self::Known(_) | Self::Confirmed { .. } | Self::Answered { .. } | Self::Owed(..) => None,
        }
    }

    pub fn covers(&self, timeout: Duration, now: Instant) -> bool {
        matches!(self, Self::Ready { claim, .. } if claim.covers(timeout, now))
    }

    pub fn answer(&mut self, reply: Reply) {
        let taken = std::mem::replace(self, Self::Known(Finding::Interrupted));
        if let Self::Ready { claim, plan } = taken {
            *self = Self::Answered { claim, plan, reply };
        }
    }

    /// Not recorded, it is not delivered as far as we may say: it comes again, and its destination tells the repeat.
    pub fn recorded(&mut self, recorded: Option<&Recorded>, mark: impl FnOnce(jiff::Timestamp) -> Option<Outgoing>) {
        let taken = std::mem::replace(self, Self::Known(Finding::Interrupted));
        *self = match (recorded, taken) {
            (None, _) => Self::Known(Finding::Interrupted),
            (Some(Recorded::Done), Self::Known(finding)) => Self::Known(finding),
            (Some(Recorded::WithdrawnAt(at)), Self::Known(finding)) => Self::Owed(finding, mark(*at).map(Box::new)),
            (Some(_), other) => other,
        };
    }
}
