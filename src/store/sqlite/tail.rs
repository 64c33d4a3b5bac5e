//! The newest leads, indexed in memory alone: found here until the file's own index has them.
//!
//! Keyed hashes come in no order. In an index on disk each falls on a page of its own, and a commit of a thousand leads
//! would write a thousand pages. Kept here, they go into that index many at once and in order, a slice with each commit,
//! so that no commit is long.

use std::ops::RangeInclusive;

use super::lead_pages::Entry;
use super::place::Place;
use super::sorted::{self, Sorted};

/// So many leads are worth indexing. More would be quicker still with many millions of leads, and slower to read again
/// at the start.
pub(super) const ENOUGH: usize = 262_144;

/// While indexing, so many leads for each one that was added: it catches up.
const PACE: usize = 4;

#[derive(Debug)]
pub(super) struct Tail {
    entries: Sorted,
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

#[derive(Clone, Copy, Debug)]
struct Indexing {
    /// The leads up to this id.
    up_to: i64,
    /// In order of their places; those up to this one are done.
    done: Option<Entry>,
}

#[derive(Debug)]
enum Next {
    Goes(Indexing),
    Ends { up_to: i64 },
}

/// What is to be indexed with the next commit.
pub(super) struct Slice {
    pub entries: Vec<Entry>,
    /// After it, all up to this id are indexed.
    pub completes: Option<i64>,
}

impl Tail {
    /// Of these leads, which the index has not, in a table whose highest id is `last`.
    pub fn new(entries: Sorted, last: i64, enough: usize) -> Self {
        Self { entries, last, enough, appended: 0, indexing: None, next: None }
    }

    /// The ids at these places.
    pub fn ids(&self, places: RangeInclusive<Place>) -> impl Iterator<Item = i64> {
        let (first, last) = places.into_inner();
        self.entries.range((first, 0)..=(last, sorted::LAST.1)).map(|(_, id)| id)
    }

    /// The id for a lead that is appended.
    pub fn append(&mut self, place: Place) -> i64 {
        self.last += 1;
        self.appended += 1;
        self.entries.insert((place, self.last));
        self.last
    }

    /// To be asked once before a commit.
    pub fn slice(&mut self) -> Option<Slice> {
        let whole = || Indexing { up_to: self.last, done: None };
        let indexing = self.indexing.or_else(|| (self.entries.len() >= self.enough).then(whole))?;
        let up_to = indexing.up_to;
        let from = indexing.done.map_or((Place::FIRST, 0), |(place, id)| (place, id + 1));
        let due = self.entries.range(from..=sorted::LAST);
        let due = due.filter(|(_, id)| *id <= up_to);
        let entries: Vec<_> = due.take(PACE * self.appended).collect();
        let completes = (entries.len() < PACE * self.appended).then_some(up_to);
        let done = entries.last().copied().or(indexing.done);
        self.next = Some(completes.map_or(Next::Goes(Indexing { up_to, done }), |up_to| Next::Ends { up_to }));
        Some(Slice { entries, completes })
    }

    /// What was appended is there to stay, and so is what was indexed.
    pub fn committed(&mut self) {
        self.appended = 0;
        match self.next.take() {
            None => {}
            Some(Next::Goes(indexing)) => self.indexing = Some(indexing),
            Some(Next::Ends { up_to }) => {
                self.indexing = None;
                self.entries.retain_after(up_to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::lead_key::{LeadKey, PersonKey};

    fn place(number: u64) -> Place {
        let person = [number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(); 2].concat();
        let person = PersonKey::from_bytes(person.try_into().expect("16 bytes"));
        Place::of(person, LeadKey::from_bytes([7; 16]))
    }

    #[test]
    fn every_lead_is_indexed_once_and_is_found_here_until_it_is() {
        let mut tail = Tail::new(Sorted::from_iter([]), 0, 50);
        let (mut indexed, mut indexed_to) = (BTreeSet::new(), 0);
        for number in 0..1_000 {
            tail.append(place(number));
            if number % 3 == 0 {
                if let Some(Slice { entries, completes }) = tail.slice() {
                    for entry in entries {
                        assert!(indexed.insert(entry), "indexed twice");
                    }
                    indexed_to = completes.unwrap_or(indexed_to);
                }
                tail.committed();
            }
            for number in 0..=number {
                let (place, id) = (place(number), number.cast_signed() + 1);
                let here = tail.ids(place..=place).any(|found| found == id);
                assert!(here || indexed.contains(&(place, id)), "{number} is nowhere");
                assert!(here || number < indexed_to as u64, "{number} would not be read again");
            }
            assert!(tail.entries.len() < 100, "it catches up");
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
        assert_eq!((slice.entries.len(), slice.completes), (8, None));
        assert!(slice.entries.is_sorted(), "neighbours share pages");
    }

    #[test]
    fn leads_that_share_a_place_are_all_found_there() {
        let mut tail = Tail::new(Sorted::from_iter([]), 4, 50);
        let ids: Vec<_> = [1, 2, 1, 3].map(|number| tail.append(place(number))).into();
        assert_eq!(ids, [5, 6, 7, 8]);
        assert_eq!(tail.ids(place(1)..=place(1)).collect::<Vec<_>>(), [5, 7]);
        assert_eq!(tail.ids(place(9)..=place(9)).count(), 0);
    }
}
