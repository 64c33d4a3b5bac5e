//! Where a lead is looked for: by a few bytes of its keys.

use std::ops::RangeInclusive;

use crate::domain::lead_key::{LeadKey, PersonKey};
use crate::domain::route::DestinationName;

/// What tells one lead at one destination from every other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'a> {
    pub person: PersonKey,
    pub lead: LeadKey,
    pub destination: &'a DestinationName,
}

impl Identity<'_> {
    pub fn place(&self) -> Place {
        Place::of(self.person, self.lead)
    }
}

/// Three bytes of the person's key, since withdrawals ask for all leads of one, then two of the lead's. Both are keyed
/// hashes, so that places come evenly, and few leads share one: of ten million, a new lead meets another's place once
/// in a hundred thousand times. A place says only where to look, and the row there whose it is.
///
/// It is in the file: it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

impl Place {
    pub const FIRST: Self = Self(0);
    pub const LAST: Self = Self((1 << 40) - 1);
    const LAST_OF_A_PERSON: u64 = 0xffff;

    pub fn of(person: PersonKey, lead: LeadKey) -> Self {
        let ([a, b, c, ..], [d, e, ..]) = (*person.as_bytes(), *lead.as_bytes());
        Self::from_bytes([a, b, c, d, e])
    }

    pub fn alone(self) -> RangeInclusive<Self> {
        self..=self
    }

    /// Where leads of this person may be.
    pub fn all_of(person: PersonKey) -> RangeInclusive<Self> {
        let Self(first) = Self::of(person, LeadKey::from_bytes([0; 16]));
        Self(first)..=Self(first | Self::LAST_OF_A_PERSON)
    }

    /// Whether this lead may be there, whosever it is.
    pub fn may_be_of(self, lead: LeadKey) -> bool {
        self.to_bytes()[3..] == lead.as_bytes()[..2]
    }

    pub fn from_bytes([a, b, c, d, e]: [u8; 5]) -> Self {
        Self(u64::from_be_bytes([0, 0, 0, a, b, c, d, e]))
    }

    pub fn to_bytes(self) -> [u8; 5] {
        let [_, _, _, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub fn number(self) -> i64 {
        self.0.cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_on_disk_never_changes() {
        let bytes = |first: u8| std::array::from_fn(|n| first + n as u8);
        let (person, lead) = (PersonKey::from_bytes(bytes(0xa0)), LeadKey::from_bytes(bytes(0xb0)));
        let place = Place::of(person, lead);
        assert_eq!(place.number(), 0xa0_a1_a2_b0_b1);
        assert_eq!(Place::from_bytes(place.to_bytes()), place);
        assert!(Place::all_of(person).contains(&place) && place.may_be_of(lead));
        assert!(!Place::all_of(PersonKey::from_bytes(bytes(0xa1))).contains(&place));
        assert!(!place.may_be_of(LeadKey::from_bytes(bytes(0xb1))));
    }
}
