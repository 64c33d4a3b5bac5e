//! Entries in memory, in order and small: an entry takes eight bytes, and what room its bucket has left.

use std::ops::RangeInclusive;

use super::lead_pages::Entry;
use super::place::Place;

/// The last that there can be.
pub(super) const LAST: Entry = (Place::LAST, (1 << ID) - 1);

/// By the first bits of the place. Places come evenly, and so a bucket holds some eighty of a tail.
const BUCKETS: usize = 1 << 12;
/// Of a place within a bucket.
const REST: u32 = 28;
/// Of an id: so many leads fill more than the 2^32 pages that a file may have (<https://sqlite.org/limits.html>).
const ID: u32 = 64 - REST;

#[derive(Debug)]
pub(super) struct Sorted {
    buckets: Vec<Vec<u64>>,
    len: usize,
}

impl Sorted {
    pub fn len(&self) -> usize {
        self.len
    }

    /// One that is not there yet.
    pub fn insert(&mut self, entry: Entry) {
        let (bucket, packed) = pack(entry);
        let bucket = &mut self.buckets[bucket];
        bucket.insert(bucket.partition_point(|held| *held < packed), packed);
        self.len += 1;
    }

    /// In order, from the first to the last of these.
    pub fn range(&self, entries: RangeInclusive<Entry>) -> impl Iterator<Item = Entry> {
        let (first, last) = entries.into_inner();
        let ((from, packed), (to, _)) = (pack(first), pack(last));
        let begun = self.buckets[from].partition_point(|held| *held < packed);
        let buckets = self.buckets[..=to].iter().enumerate().skip(from);
        let held = buckets.flat_map(move |(bucket, held)| {
            let begun = if bucket == from { begun } else { 0 };
            held[begun..].iter().map(move |packed| unpack(bucket, *packed))
        });
        held.take_while(move |entry| *entry <= last)
    }

    /// Only those with a later id.
    pub fn retain_after(&mut self, last: i64) {
        for (bucket, held) in self.buckets.iter_mut().enumerate() {
            held.retain(|packed| unpack(bucket, *packed).1 > last);
        }
        self.len = self.buckets.iter().map(Vec::len).sum();
    }
}

impl FromIterator<Entry> for Sorted {
    fn from_iter<T: IntoIterator<Item = Entry>>(entries: T) -> Self {
        let mut buckets = vec![Vec::new(); BUCKETS];
        for (bucket, packed) in entries.into_iter().map(pack) {
            buckets[bucket].push(packed);
        }
        buckets.iter_mut().for_each(|bucket| bucket.sort_unstable());
        let len = buckets.iter().map(Vec::len).sum();
        Self { buckets, len }
    }
}

fn pack((place, id): Entry) -> (usize, u64) {
    let place = place.number().cast_unsigned();
    let rest = place & ((1 << REST) - 1);
    ((place >> REST) as usize, rest << ID | id.cast_unsigned())
}

fn unpack(bucket: usize, packed: u64) -> Entry {
    let place = (bucket as u64) << REST | packed >> ID;
    (Place::from_number(place), (packed & ((1 << ID) - 1)).cast_signed())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = BTreeSet<Entry>> {
        // Some are neighbours, and some share a place.
        let byte = || prop_oneof![Just(0), Just(1), Just(255), any::<u8>()];
        let place = [byte(), byte(), byte(), byte(), byte()].prop_map(Place::from_bytes);
        prop::collection::btree_set((place, prop_oneof![1..4_i64, 1..(1_i64 << ID)]), 0..20)
    }

    proptest! {
        #[test]
        fn it_is_a_set_in_order(read in entries(), added in entries(), from in entries(), last in 0..4_i64) {
            let mut sorted: Sorted = read.iter().copied().collect();
            added.difference(&read).for_each(|entry| sorted.insert(*entry));
            let mut expected: BTreeSet<_> = read.union(&added).copied().collect();
            for retained in [false, true] {
                prop_assert_eq!(sorted.len(), expected.len());
                for first in from.iter().copied().chain([(Place::FIRST, 0)]) {
                    for last in from.range(first..).copied().chain([LAST]) {
                        let here = sorted.range(first..=last).collect::<Vec<_>>();
                        prop_assert_eq!(here, expected.range(first..=last).copied().collect::<Vec<_>>());
                    }
                }
                if !retained {
                    sorted.retain_after(last);
                    expected.retain(|(_, id)| *id > last);
                }
            }
        }
    }
}
