//! The newest leads, indexed in memory alone: found here until the file's own index has them.
//!
//! Keyed hashes come in no order. In an index on disk each falls on a page of its own, and a commit of a thousand leads
//! would write a thousand pages. Kept here, they go into that index many at once and in order, a slice with each commit,
//! so that no commit is long.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use crate::domain::lead_key::{LeadKey, PersonKey};
use crate::domain::route::DestinationName;

/// What a lead is found by. By person first, since withdrawals ask for all leads of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub person: PersonKey,
    pub lead: LeadKey,
    pub destination: DestinationName,
}

/// So many leads are worth indexing. More would be quicker still with many millions of leads, and slower to read again
/// at the start.
pub(super) const ENOUGH: usize = 32_768;

/// While indexing, so many leads for each one that was added: it catches up.
const PACE: usize = 4;

#[derive(Debug)]
pub(super) struct Tail {
    ids: BTreeMap<Place, i64>,
    /// The highest id in the table.
    last: i64,
    enough: usize,
    /// Appended since the last commit.
    appended: usize,
    /// Under way, as of the last commit.
    indexing: Option<Indexing>,
    /// As of the next.
    next: Option<Next>,
}

#[derive(Clone, Debug)]
struct Indexing {
    /// The leads up to this id.
    up_to: i64,
    /// In order of their places; those up to this one are done.
    done: Option<Place>,
}

#[derive(Debug)]
enum Next {
    Goes(Indexing),
    Ends { up_to: i64 },
}

/// What is to be indexed with the next commit.
pub(super) struct Slice {
    pub leads: Vec<(Place, i64)>,
    /// After it, all up to this id are indexed.
    pub completes: Option<i64>,
}

impl Tail {
    /// Of these leads, which the index has not, in a table whose highest id is `last`.
    pub fn new(ids: BTreeMap<Place, i64>, last: i64, enough: usize) -> Self {
        Self { ids, last, enough, appended: 0, indexing: None, next: None }
    }

    pub fn get(&self, place: &Place) -> Option<i64> {
        self.ids.get(place).copied()
    }

    pub fn of_person(&self, person: PersonKey) -> impl Iterator<Item = (&Place, i64)> {
        let least = DestinationName::parse("0").expect("it is a name, and none comes before it");
        let first = Place { person, lead: LeadKey::from_bytes([0; 16]), destination: least };
        let from_there = self.ids.range((Included(first), Unbounded));
        from_there.take_while(move |(place, _)| place.person == person).map(|(place, id)| (place, *id))
    }

    /// The id for a lead that is appended.
    pub fn append(&mut self, place: Place) -> i64 {
        self.last += 1;
        self.appended += 1;
        self.ids.insert(place, self.last);
        self.last
    }

    /// To be asked once before a commit.
    pub fn slice(&mut self) -> Option<Slice> {
        let whole = || Indexing { up_to: self.last, done: None };
        let indexing = self.indexing.clone().or_else(|| (self.ids.len() >= self.enough).then(whole))?;
        let from = indexing.done.clone().map_or(Unbounded, Excluded);
        let due = self.ids.range((from, Unbounded)).filter(|(_, id)| **id <= indexing.up_to);
        let leads: Vec<_> = due.take(PACE * self.appended).map(|(place, id)| (place.clone(), *id)).collect();
        let up_to = indexing.up_to;
        let completes = (leads.len() < PACE * self.appended).then_some(up_to);
        let done = leads.last().map(|(place, _)| place.clone()).or(indexing.done);
        self.next = Some(completes.map_or(Next::Goes(Indexing { up_to, done }), |up_to| Next::Ends { up_to }));
        Some(Slice { leads, completes })
    }

    /// What was appended is there to stay, and so is what was indexed.
    pub fn committed(&mut self) {
        self.appended = 0;
        match self.next.take() {
            None => {}
            Some(Next::Goes(indexing)) => self.indexing = Some(indexing),
            Some(Next::Ends { up_to }) => {
                self.indexing = None;
                self.ids.retain(|_, id| *id > up_to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64) -> Place {
        let bytes = [number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(), number.to_be_bytes()].concat();
        let bytes = bytes.try_into().expect("16 bytes");
        let destination = DestinationName::parse("contoso").expect("a name");
        Place { person: PersonKey::from_bytes(bytes), lead: LeadKey::from_bytes(bytes), destination }
    }

    #[test]
    fn every_lead_is_indexed_once_and_is_found_here_until_it_is() {
        let mut tail = Tail::new(BTreeMap::new(), 0, 50);
        let (mut indexed, mut indexed_to) = (BTreeMap::new(), 0);
        for number in 0..1_000 {
            tail.append(place(number));
            if number % 3 == 0 {
                if let Some(Slice { leads, completes }) = tail.slice() {
                    for (place, id) in leads {
                        assert_eq!(indexed.insert(place, id), None, "indexed twice");
                    }
                    indexed_to = completes.unwrap_or(indexed_to);
                }
                tail.committed();
            }
            for number in 0..=number {
                let (here, there) = (tail.get(&place(number)), indexed.get(&place(number)));
                assert!(here.is_some() || there.is_some(), "{number} is nowhere");
                assert!(here.is_some() || number < indexed_to as u64, "{number} would not be read again");
            }
            assert!(tail.ids.len() < 100, "it catches up");
        }
        assert!(indexed_to > 900);
    }

    #[test]
    fn a_commit_indexes_a_few_leads_for_each_that_it_adds() {
        let full = (0..1_000).map(|number| (place(number), number as i64 + 1)).collect();
        let mut tail = Tail::new(full, 1_000, 50);
        tail.append(place(1_000));
        tail.append(place(1_001));
        let slice = tail.slice().expect("there is enough to index");
        assert_eq!((slice.leads.len(), slice.completes), (8, None));
        assert!(slice.leads.is_sorted(), "neighbours share pages");
    }

    #[test]
    fn the_leads_of_a_person_are_those_and_no_others() {
        let same = |number: u64, lead: u8| Place { lead: LeadKey::from_bytes([lead; 16]), ..place(number) };
        let places = [same(1, 0), same(1, 255), same(2, 0), same(3, 7)];
        let ids: BTreeMap<_, _> = places.iter().cloned().zip(1..).collect();
        let tail = Tail::new(ids, 4, 50);
        let found: Vec<_> = tail.of_person(place(1).person).map(|(_, id)| id).collect();
        assert_eq!(found, [1, 2]);
        assert_eq!(tail.of_person(place(9).person).count(), 0);
    }
}
