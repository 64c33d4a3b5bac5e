//! Intents: leads that were about to be sent to a destination that cannot tell a repeat. What one says is decided here,
//! for every ledger.
//!
//! An intent without a live claim means: this lead may have arrived, and nobody knows. Only the claim under which it was
//! made takes it back or replaces it by a record; a replay, which has a higher generation, may send over it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::ledger::{Claim, Intention};
use crate::domain::reply::OnUnknown;

/// What the ledger keeps of a lead that may have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The replay generation of the message that was to be sent.
    pub generation: u32,
    pub at: Timestamp,
    /// The generation of an earlier send whose outcome was never known either: it stands again if this is taken back.
    pub(in crate::store) before: Option<u32>,
    pub(in crate::store) holder: Holder,
}

/// The claim under which an intent was made. Tokens are distinct within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Holder {
    pub token: u64,
    pub epoch: u64,
}

/// No claim has it: epochs begin at 1.
const NOBODY: Holder = Holder { token: 0, epoch: 0 };

/// What an intention finds.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum Met {
    /// Committed before, under the same claim: the answer was lost.
    Ours,
    Free(Intent),
    /// It may have been sent already.
    Barred,
}

pub(in crate::store) fn meet(standing: Option<&Intent>, intention: &Intention, on_unknown: OnUnknown) -> Met {
    let Intention { generation, at, holder, .. } = *intention;
    let free = |before| Met::Free(Intent { generation, at, before, holder });
    match (standing, on_unknown) {
        (None, _) => free(None),
        (Some(standing), _) if standing.holder == holder => Met::Ours,
        (Some(standing), OnUnknown::Resend) => free(Some(standing.generation)),
        (Some(standing), OnUnknown::DeadLetter) if standing.generation < generation => free(Some(standing.generation)),
        (Some(_), OnUnknown::DeadLetter) => Met::Barred,
    }
}

/// What becomes of an intent of whose send it is known that nothing arrived.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum Back {
    /// Another's by now, or none.
    Untouched,
    Gone,
    Earlier(Intent),
}

pub(in crate::store) fn take_back(standing: Option<&Intent>, intention: &Intention) -> Back {
    match standing.filter(|standing| standing.holder == intention.holder) {
        None => Back::Untouched,
        Some(Intent { before: None, .. }) => Back::Gone,
        Some(Intent { before: Some(generation), at, .. }) => {
            Back::Earlier(Intent { generation: *generation, at: *at, before: None, holder: NOBODY })
        }
    }
}

/// Whether a delivery under this claim ends the intent: the lead's outcome is known.
pub(in crate::store) fn is_ended(standing: Option<&Intent>, claim: &Claim) -> bool {
    standing.is_some_and(|standing| standing.holder == claim.holder())
}

/// Posts are counted by the hour. What a destination allows in a day is allowed in any 24 hours: whenever its own day
/// begins, it gets no more than that in it.
pub(in crate::store) fn hour(at: Timestamp) -> i64 {
    at.as_second().div_euclid(HOUR)
}

/// The earliest hour that counts at `now`.
pub(in crate::store) fn first_hour(now: Timestamp) -> i64 {
    hour(now) - 24
}

/// When the posts of this hour count no more.
pub(in crate::store) fn frees_at(first: i64, now: Timestamp) -> Timestamp {
    let second = first.saturating_add(25).saturating_mul(HOUR);
    // A clock that was set back makes this far away: look again tomorrow.
    let latest = now.saturating_add(SignedDuration::from_hours(25)).unwrap_or(now);
    Timestamp::from_second(second).unwrap_or(latest).clamp(now, latest)
}

const HOUR: i64 = Duration::from_secs(60 * 60).as_secs() as i64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lead_key::LeadKey;
    use crate::domain::route::DestinationName;

    fn intention(generation: u32, token: u64) -> Intention {
        Intention {
            key: LeadKey::from_bytes([1; 16]),
            destination: DestinationName::parse("contoso").expect("a name"),
            generation,
            at: Timestamp::UNIX_EPOCH,
            holder: Holder { token, epoch: 1 },
        }
    }

    fn intent(generation: u32, token: u64, before: Option<u32>) -> Intent {
        Intent { generation, at: Timestamp::UNIX_EPOCH, before, holder: Holder { token, epoch: 1 } }
    }

    #[test]
    fn an_intent_bars_its_own_generation_and_every_lower_one_unless_resending_is_wanted() {
        use OnUnknown::{DeadLetter, Resend};
        let check = |standing: Option<Intent>, generation, on_unknown, expected: Met| {
            let met = meet(standing.as_ref(), &intention(generation, 7), on_unknown);
            assert_eq!(met, expected, "{standing:?} met by {generation} under {on_unknown:?}");
        };
        let standing = |generation| Some(intent(generation, 6, None));
        let free = |generation, before| Met::Free(intent(generation, 7, before));
        check(None, 0, DeadLetter, free(0, None));
        check(standing(0), 0, DeadLetter, Met::Barred);
        check(standing(1), 0, DeadLetter, Met::Barred);
        check(standing(1), 2, DeadLetter, free(2, Some(1)));
        check(standing(0), 0, Resend, free(0, Some(0)));
        check(standing(2), 0, Resend, free(0, Some(2)));
        check(Some(intent(0, 7, None)), 0, DeadLetter, Met::Ours);
        check(Some(intent(0, 7, None)), 0, Resend, Met::Ours);
    }

    #[test]
    fn only_its_own_claim_takes_an_intent_back_and_an_earlier_doubt_stands_again() {
        let back = |standing: Option<Intent>| take_back(standing.as_ref(), &intention(1, 7));
        assert_eq!(back(None), Back::Untouched);
        assert_eq!(back(Some(intent(1, 6, None))), Back::Untouched);
        assert_eq!(back(Some(intent(1, 7, None))), Back::Gone);
        let Back::Earlier(earlier) = back(Some(intent(1, 7, Some(0)))) else { panic!("it is forgotten") };
        assert_eq!(meet(Some(&earlier), &intention(0, 7), OnUnknown::DeadLetter), Met::Barred);
        assert!(matches!(meet(Some(&earlier), &intention(1, 7), OnUnknown::DeadLetter), Met::Free(_)));
    }

    #[test]
    fn an_hour_counts_until_all_of_it_is_a_day_ago() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let posted = hour(at("2026-11-22T10:59:59Z"));
        assert!(first_hour(at("2026-11-23T10:59:59Z")) <= posted);
        assert!(first_hour(at("2026-11-23T11:00:00Z")) > posted);
        assert_eq!(frees_at(posted, at("2026-11-22T12:00:00Z")), at("2026-11-23T11:00:00Z"));
        assert_eq!(frees_at(posted, at("2020-01-01T00:00:00Z")), at("2020-01-02T01:00:00Z"), "a clock set back");
    }
}
