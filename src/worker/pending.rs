//! What a lane holds and has not sent: by group, oldest first, one lead of a key at a time.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use tokio::time::Instant;

use super::Item;
use crate::destination::Group;
use crate::domain::lead_key::LeadKey;

pub struct Pending<T = Item> {
    groups: HashMap<Group, VecDeque<Held<T>>>,
    /// The groups by the arrival of their oldest item.
    heads: BTreeMap<u64, Group>,
    /// Those of them that fill a batch.
    full: BTreeMap<u64, Group>,
    batch_max: usize,
    /// Keys that are pending here or in flight. A second lead of such a key is parked until the first is done.
    in_hand: HashSet<LeadKey>,
    parked: HashMap<LeadKey, VecDeque<(Group, Held<T>)>>,
    arrivals: u64,
    len: usize,
}

struct Held<T> {
    arrival: u64,
    key: LeadKey,
    since: Instant,
    item: T,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The group whose oldest lead is the oldest of all.
    Oldest,
    /// The oldest of those that fill a batch, if there is one.
    Full,
}

impl<T> Pending<T> {
    pub fn new(batch_max: usize) -> Self {
        let (groups, heads, full) = (HashMap::new(), BTreeMap::new(), BTreeMap::new());
        let (in_hand, parked) = (HashSet::new(), HashMap::new());
        Self { groups, heads, full, batch_max, in_hand, parked, arrivals: 0, len: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The parked are counted too.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, group: Group, (key, since): (LeadKey, Instant), item: T) {
        self.len += 1;
        self.arrivals += 1;
        let held = Held { arrival: self.arrivals, key, since, item };
        if self.in_hand.insert(key) {
            self.enqueue(group, held);
        } else {
            self.parked.entry(key).or_default().push_back((group, held));
        }
    }

    /// By its arrival: who was parked is older than those who came meanwhile, and what was received after it can be
    /// acknowledged together only once it is done.
    fn enqueue(&mut self, group: Group, held: Held<T>) {
        let queue = self.groups.entry(group.clone()).or_default();
        let head = queue.front().map(|held| held.arrival);
        let place = queue.partition_point(|other| other.arrival < held.arrival);
        queue.insert(place, held);
        if let Some(head) = head.filter(|_| place == 0) {
            self.heads.remove(&head);
            self.full.remove(&head);
        }
        if place == 0 || queue.len() == self.batch_max {
            self.list(group);
        }
    }

    fn list(&mut self, group: Group) {
        let Some(queue) = self.groups.get(&group) else { return };
        let Some(head) = queue.front() else { return };
        if queue.len() >= self.batch_max {
            self.full.insert(head.arrival, group.clone());
        }
        self.heads.insert(head.arrival, group);
    }

    /// Since when the longest-held has been here.
    pub fn oldest(&self) -> Option<Instant> {
        let (_, group) = self.heads.first_key_value()?;
        self.groups.get(group)?.front().map(|held| held.since)
    }

    /// Whether the next batch would be as large as a batch may be.
    pub fn has_a_full(&self, turn: Turn) -> bool {
        match (turn, self.heads.first_key_value()) {
            (Turn::Full, _) => !self.full.is_empty(),
            (Turn::Oldest, Some((head, _))) => self.full.contains_key(head),
            (Turn::Oldest, None) => false,
        }
    }

    /// The next batch: at most `max` leads of one group. Their keys stay in hand until [`Self::done`].
    pub fn take(&mut self, turn: Turn, max: usize) -> Vec<T> {
        let full = self.full.first_key_value().filter(|_| turn == Turn::Full);
        let Some((&head, _)) = full.or_else(|| self.heads.first_key_value()) else { return Vec::new() };
        self.full.remove(&head);
        let group = self.heads.remove(&head).expect("what is full has a head");
        let queue = self.groups.get_mut(&group).expect("a head names a group that has items");
        let batch: Vec<T> = queue.drain(..queue.len().min(max)).map(|held| held.item).collect();
        if queue.is_empty() {
            self.groups.remove(&group);
        } else {
            self.list(group);
        }
        self.len -= batch.len();
        batch
    }

    /// The lead of this key is no longer in hand: the next one of the key may go.
    pub fn done(&mut self, key: LeadKey) {
        self.in_hand.remove(&key);
        let Some(queue) = self.parked.get_mut(&key) else { return };
        let next = queue.pop_front();
        if queue.is_empty() {
            self.parked.remove(&key);
        }
        if let Some((group, held)) = next {
            self.in_hand.insert(key);
            self.enqueue(group, held);
        }
    }

    /// Everything that is not in flight. The parked go too; their keys stay in hand where one is in flight.
    pub fn drain(&mut self) -> Vec<T> {
        self.heads.clear();
        self.full.clear();
        let mut items = Vec::with_capacity(self.len);
        for held in self.groups.drain().flat_map(|(_, queue)| queue) {
            self.in_hand.remove(&held.key);
            items.push(held.item);
        }
        items.extend(self.parked.drain().flat_map(|(_, queue)| queue).map(|(_, held)| held.item));
        self.len = 0;
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> Group {
        Group(name.to_owned())
    }

    fn key(number: u8) -> LeadKey {
        format!("{number:032x}").parse().expect("32 hexadecimal digits")
    }

    /// Leads by number, a batch of at most two.
    fn pending(leads: &[(&str, u8)]) -> Pending<u8> {
        let mut pending = Pending::new(2);
        for (name, number) in leads {
            pending.push(group(name), (key(*number), Instant::now()), *number);
        }
        pending
    }

    #[test]
    fn the_group_of_the_oldest_comes_first_and_in_its_turn_a_full_one() {
        let mut pending = pending(&[("a", 1), ("b", 2), ("b", 3), ("b", 4), ("c", 5), ("c", 6)]);
        assert!(!pending.has_a_full(Turn::Oldest) && pending.has_a_full(Turn::Full));
        assert_eq!(pending.take(Turn::Full, 2), [2, 3]);
        assert_eq!(pending.take(Turn::Full, 2), [5, 6]);
        assert!(!pending.has_a_full(Turn::Full), "of b one is left");
        assert_eq!(pending.take(Turn::Full, 2), [1], "none is full: the oldest");
        assert_eq!(pending.take(Turn::Oldest, 2), [4]);
        assert!(pending.is_empty() && pending.take(Turn::Oldest, 2).is_empty());
    }

    #[test]
    fn a_second_lead_of_a_key_waits_for_the_first_and_then_stands_where_it_came() {
        let mut pending = pending(&[("a", 1), ("a", 1), ("b", 2), ("a", 3)]);
        assert_eq!(pending.take(Turn::Oldest, 1), [1]);
        assert_eq!(pending.take(Turn::Oldest, 1), [2], "the second of key 1 is parked");
        pending.done(key(1));
        assert!(pending.has_a_full(Turn::Oldest));
        assert_eq!(pending.take(Turn::Oldest, 2), [1, 3], "it came before 3");
        assert!(pending.is_empty());
    }

    #[test]
    fn drained_it_gives_up_the_parked_too_and_keeps_the_keys_that_are_in_flight() {
        let mut pending = pending(&[("a", 1), ("a", 1), ("b", 2)]);
        assert_eq!(pending.take(Turn::Oldest, 1), [1]);
        let mut drained = pending.drain();
        drained.sort_unstable();
        assert_eq!(drained, [1, 2]);
        pending.push(group("a"), (key(1), Instant::now()), 1);
        pending.push(group("b"), (key(2), Instant::now()), 2);
        assert_eq!(pending.take(Turn::Oldest, 2), [2], "1 is still in flight");
        pending.done(key(1));
        assert_eq!(pending.take(Turn::Oldest, 2), [1]);
    }
}
