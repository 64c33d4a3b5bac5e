//! What a lane holds and has not sent: by group, oldest first, one lead of a key at a time.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use tokio::time::Instant;

use super::Item;
use crate::destination::Group;
use crate::domain::lead_key::LeadKey;

#[derive(Default)]
pub struct Pending {
    groups: HashMap<Group, VecDeque<(u64, Item)>>,
    /// The groups by the arrival of their oldest item.
    heads: BTreeMap<u64, Group>,
    /// Keys that are pending here or in flight. A second lead of such a key is parked until the first is done.
    in_hand: HashSet<LeadKey>,
    parked: HashMap<LeadKey, VecDeque<(Group, Item)>>,
    arrivals: u64,
    len: usize,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn push(&mut self, group: Group, item: Item) {
        self.len += 1;
        if self.in_hand.insert(item.lead.key) {
            self.enqueue(group, item);
        } else {
            self.parked.entry(item.lead.key).or_default().push_back((group, item));
        }
    }

    fn enqueue(&mut self, group: Group, item: Item) {
        self.arrivals += 1;
        let queue = self.groups.entry(group.clone()).or_default();
        if queue.is_empty() {
            self.heads.insert(self.arrivals, group);
        }
        queue.push_back((self.arrivals, item));
    }

    /// Since when the longest-held has been here.
    pub fn oldest(&self) -> Option<Instant> {
        let (_, group) = self.heads.first_key_value()?;
        self.groups.get(group)?.front().map(|(_, item)| item.since)
    }

    /// Whether the next batch would be one of `max` leads.
    pub fn has_a_full(&self, max: usize) -> bool {
        let next = self.heads.first_key_value().and_then(|(_, group)| self.groups.get(group));
        next.is_some_and(|queue| queue.len() >= max)
    }

    /// The next batch: at most `max` leads of the group whose oldest lead is the oldest of all. Their keys stay in
    /// hand until [`Self::done`].
    pub fn take(&mut self, max: usize) -> Vec<Item> {
        let Some((_, group)) = self.heads.pop_first() else { return Vec::new() };
        let queue = self.groups.get_mut(&group).expect("a head names a group that has items");
        let batch: Vec<Item> = queue.drain(..queue.len().min(max)).map(|(_, item)| item).collect();
        match queue.front() {
            Some((arrival, _)) => {
                self.heads.insert(*arrival, group);
            }
            None => {
                self.groups.remove(&group);
            }
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
        if let Some((group, item)) = next {
            self.in_hand.insert(key);
            self.enqueue(group, item);
        }
    }

    /// Everything that is not in flight. The parked go too; their keys stay in hand where one is in flight.
    pub fn drain(&mut self) -> Vec<Item> {
        self.heads.clear();
        let mut items = Vec::with_capacity(self.len);
        for (_, item) in self.groups.drain().flat_map(|(_, queue)| queue) {
            self.in_hand.remove(&item.lead.key);
            items.push(item);
        }
        items.extend(self.parked.drain().flat_map(|(_, queue)| queue).map(|(_, item)| item));
        self.len = 0;
        items
    }
}
