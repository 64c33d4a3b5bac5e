//! What an event brings to a lead that may have been delivered before.
//!
//! Two merges of one lead commute: a field's value is that of the latest event that gave one, empty never
//! overwrites, and equal times keep what is there only where the values are equal.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::event::CustomerField;
use super::lead::{Lead, Purpose};
use super::lead_key::{Digest, PersonKey};

/// The marketplace's action by which a customer asks not to be contacted.
const DO_NOT_CONTACT: &str = "DNC";

/// What the ledger keeps of a delivered lead. No personal data: digests and times.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// As written in the first event; a mark needs it to name the row.
    pub offer: String,
    pub person: PersonKey,
    /// Every action delivered, with the time of its first event.
    pub actions: BTreeMap<String, Timestamp>,
    pub fields: BTreeMap<CustomerField, FieldRecord>,
    pub delivered_at: Timestamp,
    pub last_event_at: Timestamp,
    /// The latest consent among the delivered events.
    pub granted_at: Timestamp,
    /// The withdrawal for which the destination's row is marked do-not-contact, while it is.
    pub marked_for: Option<Timestamp>,
}

impl Record {
    /// Whether a withdrawal at this time asks for a mark that the destination's row does not bear. A mark for an
    /// earlier withdrawal is enough: what lifts it must be later than every withdrawal.
    pub fn is_to_be_marked(&self, withdrawn_at: Timestamp) -> bool {
        self.marked_for.is_none() && withdrawn(Some(self.granted_at), Some(withdrawn_at))
    }

    fn first(lead: &Lead, now: Timestamp) -> Self {
        Self {
            offer: lead.event.offer.written().to_owned(),
            person: lead.person,
            actions: BTreeMap::new(),
            fields: BTreeMap::new(),
            delivered_at: now,
            last_event_at: lead.event.occurred_at,
            granted_at: lead.event.consent.at,
            marked_for: None,
        }
    }

    /// What two deliveries that did not know of each other leave behind. In either order it is the same.
    fn joined(mut self, other: &Self) -> Self {
        for (action, &at) in &other.actions {
            self.act(action, at);
        }
        for (&field, &brought) in &other.fields {
            self.hold(field, brought);
        }
        self.delivered_at = self.delivered_at.max(other.delivered_at);
        self.last_event_at = self.last_event_at.max(other.last_event_at);
        self.marked_for = self.marked_for.max(other.marked_for);
        self.grant(other.granted_at);
        self
    }

    fn act(&mut self, action: &str, at: Timestamp) {
        self.actions.entry(action.to_owned()).and_modify(|first| *first = at.min(*first)).or_insert(at);
    }

    /// The later value stays; of two at the same time, the one with the greater digest, so that order is nothing.
    fn hold(&mut self, field: CustomerField, brought: FieldRecord) {
        let held = self.fields.entry(field).or_insert(brought);
        if brought.supersedes(held) {
            *held = brought;
        }
    }

    /// A consent later than the withdrawal lifts its mark.
    fn grant(&mut self, at: Timestamp) {
        self.granted_at = self.granted_at.max(at);
        self.marked_for = self.marked_for.filter(|withdrawn_at| *withdrawn_at >= self.granted_at);
    }
}

/// Whether a withdrawal forbids what was granted at this time: it does unless the grant is later. `None`, a mark, is
/// forbidden by none.
pub fn withdrawn(granted_at: Option<Timestamp>, withdrawn_at: Option<Timestamp>) -> bool {
    granted_at.zip(withdrawn_at).is_some_and(|(granted, withdrawn)| withdrawn >= granted)
}

/// What the ledger keeps when `delivered`, built on `base`, meets the record that stands there now: another one only
/// if the claim was lost meanwhile.
pub fn reconciled(base: Option<&Record>, standing: Option<&Record>, delivered: Record) -> Record {
    match standing {
        Some(standing) if base != Some(standing) => delivered.joined(standing),
        _ => delivered,
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FieldRecord {
    pub digest: Digest,
    /// The time of the event that gave this value.
    pub at: Timestamp,
}

impl FieldRecord {
    fn supersedes(&self, held: &Self) -> bool {
        (self.at, self.digest.0) > (held.at, held.digest.0)
    }
}

/// What a repeat does, by configuration: `on_repeat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnRepeat {
    #[default]
    Merge,
    Drop,
}

/// How long a delivered lead makes a repeat of it a repeat: `dedupe.window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Window {
    #[default]
    Forever,
    For(Duration),
}

impl Window {
    fn has_passed(self, delivered_at: Timestamp, now: Timestamp) -> bool {
        match self {
            Self::Forever => false,
            Self::For(window) => Duration::try_from(now.duration_since(delivered_at)).is_ok_and(|age| age > window),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RepeatPolicy {
    pub on_repeat: OnRepeat,
    pub window: Window,
    /// Whether the destination can change a lead that it holds.
    pub updates: bool,
}

/// What is to be written at the destination.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// The first delivery. The destination may hold the lead all the same (a lost ledger, a crash): then it adds
    /// only what is new.
    Create,
    /// Add this action to the journey, and set these fields and no others.
    Merge(Additions),
    /// The person withdrew at this time: do not contact.
    Mark { withdrawn_at: Timestamp },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Additions {
    /// The event's action is new to this lead.
    pub action: bool,
    pub fields: Vec<CustomerField>,
    /// A consent later than the withdrawal: the mark goes.
    pub lifts_mark: bool,
}

impl Additions {
    fn is_empty(&self) -> bool {
        !self.action && self.fields.is_empty() && !self.lifts_mark
    }
}

/// Decides what `lead` brings, given what was delivered before. `None`: nothing new, a duplicate.
///
/// `digests` are those of the lead's given fields. A mark of a lead that was never delivered here is nothing new.
pub fn assess(
    record: Option<&Record>,
    lead: &Lead,
    digests: &[(CustomerField, Digest)],
    policy: RepeatPolicy,
    now: Timestamp,
) -> Option<Write> {
    let Some(record) = record else {
        return (lead.purpose == Purpose::Deliver).then_some(Write::Create);
    };
    if lead.purpose == Purpose::Mark {
        let withdrawn_at = lead.event.consent.at;
        let mark = policy.updates && record.is_to_be_marked(withdrawn_at);
        return mark.then_some(Write::Mark { withdrawn_at });
    }
    let additions = additions(record, lead, digests);
    if additions.lifts_mark && policy.updates {
        // Before the window: a lead that is created anew over its marked row would leave the mark standing.
        return Some(Write::Merge(additions));
    }
    let unsilences = unsilences(record, lead);
    if policy.window.has_passed(record.delivered_at, now) || !policy.updates && unsilences {
        return Some(Write::Create);
    }
    let allowed = policy.updates && (policy.on_repeat == OnRepeat::Merge || unsilences);
    (allowed && !additions.is_empty()).then_some(Write::Merge(additions))
}

/// Whether `lead` is a mark that the destination's lead needs and cannot be given.
pub fn leaves_unmarked(record: Option<&Record>, lead: &Lead, policy: RepeatPolicy) -> bool {
    let needed = record.is_some_and(|record| record.is_to_be_marked(lead.event.consent.at));
    lead.purpose == Purpose::Mark && needed && !policy.updates
}

/// A do-not-contact stands only while it is the lead's only action: whatever repeats do, and even where the destination
/// cannot update, it never keeps a later action from being heard.
fn unsilences(record: &Record, lead: &Lead) -> bool {
    let only_dnc = record.actions.keys().all(|action| action == DO_NOT_CONTACT);
    only_dnc && lead.event.action != DO_NOT_CONTACT
}

fn additions(record: &Record, lead: &Lead, digests: &[(CustomerField, Digest)]) -> Additions {
    let at = lead.event.occurred_at;
    let brings = |&(field, digest): &(CustomerField, Digest)| match record.fields.get(&field) {
        None => true,
        Some(held) => held.digest != digest && FieldRecord { digest, at }.supersedes(held),
    };
    Additions {
        action: !record.actions.contains_key(&lead.event.action),
        fields: digests.iter().filter(|entry| brings(entry)).map(|(field, _)| *field).collect(),
        lifts_mark: record.marked_for.is_some_and(|withdrawn| lead.event.consent.at > withdrawn),
    }
}

/// The record after `write` of `lead` was accepted at `now`.
pub fn recorded(
    record: Option<&Record>,
    lead: &Lead,
    digests: &[(CustomerField, Digest)],
    write: &Write,
    now: Timestamp,
) -> Record {
    let event = &lead.event;
    let mut next = record.cloned().unwrap_or_else(|| Record::first(lead, now));
    match write {
        Write::Mark { withdrawn_at } => {
            next.marked_for = next.marked_for.max(Some(*withdrawn_at));
            return next;
        }
        // Created anew, past the window: what is known of the lead stays known, only the window starts again.
        Write::Create => next.delivered_at = now,
        Write::Merge(_) => {}
    }
    let at = event.occurred_at;
    next.act(&event.action, at);
    for &(field, digest) in digests {
        next.hold(field, FieldRecord { digest, at });
    }
    next.last_event_at = next.last_event_at.max(at);
    next.grant(event.consent.at);
    next
}

/// The record after a duplicate, if it is another than before: the event brought nothing that the destination lacks,
/// but it was later, so that an event or a withdrawal between the two must no longer count. Nothing is sent for it.
///
/// Only what the destination holds is touched, whatever the policy: what was not sent is not recorded.
pub fn confirmed(record: &Record, lead: &Lead, digests: &[(CustomerField, Digest)]) -> Option<Record> {
    if lead.purpose == Purpose::Mark {
        return None;
    }
    let event = &lead.event;
    let mut next = record.clone();
    if next.actions.contains_key(&event.action) {
        next.act(&event.action, event.occurred_at);
    }
    for (field, digest) in digests {
        if let Some(held) = next.fields.get_mut(field).filter(|held| held.digest == *digest) {
            held.at = held.at.max(event.occurred_at);
        }
    }
    next.last_event_at = next.last_event_at.max(event.occurred_at);
    // The mark stays: only a write lifts it.
    next.granted_at = next.granted_at.max(event.consent.at);
    (next != *record).then_some(next)
}

#[cfg(test)]
mod tests;
