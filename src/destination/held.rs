//! A lead as a destination holds it that can change what it holds: what a repeat adds to it, and what does not touch
//! it at all.
//!
//! Absorbing commutes: a field's value is that of the latest event that gave one, at equal times the greater value;
//! empty never overwrites; the later of consent and withdrawal stands.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use crate::domain::event::{CustomerField, Event};
use crate::domain::journey;
pub use crate::domain::journey::{Stage, Step};
use crate::domain::lead::{Lead, Purpose};
use crate::domain::repeat::Write;

#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// As written in the first event.
    pub offer: String,
    pub offer_display_name: String,
    pub publisher_display_name: String,
    pub description: Text,
    pub fields: BTreeMap<CustomerField, HeldField>,
    /// One step an action, in time order. Never empty.
    pub journey: Vec<Step>,
    /// The latest consent that is known here.
    pub granted_at: Timestamp,
    /// The withdrawal for which it is marked do-not-contact, while it is.
    pub withdrawn_at: Option<Timestamp>,
}

/// A text that people wrote. It does not print.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub String);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(…)")
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct HeldField {
    pub value: Text,
    /// The time of the event that gave this value.
    pub at: Timestamp,
}

/// Whether anything is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Absorbed {
    Something,
    Nothing,
}

impl Held {
    /// The lead of a first delivery.
    pub fn new(lead: &Lead) -> Self {
        let event = &lead.event;
        let given = CustomerField::ALL.into_iter().filter_map(|field| Some((field, given(event, field)?)));
        Self {
            offer: event.offer.written().to_owned(),
            offer_display_name: event.offer_display_name.clone(),
            publisher_display_name: event.publisher_display_name.clone(),
            description: Text(event.description.clone()),
            fields: given.collect(),
            journey: vec![Step { source: event.source.clone(), action: event.action.clone(), at: event.occurred_at }],
            granted_at: event.consent.at,
            withdrawn_at: None,
        }
    }

    /// Takes in what `write` of `lead` adds. What adds nothing changes nothing: readers poll for changed leads.
    pub fn absorb(&mut self, lead: &Lead, write: &Write) -> Absorbed {
        match write {
            Write::Mark { withdrawn_at } => self.mark(*withdrawn_at),
            // A mark travels as `Write::Mark` alone; whatever else it were, it is no consent to hold more.
            _ if lead.purpose == Purpose::Mark => Absorbed::Nothing,
            Write::Create => self.add(&lead.event, &CustomerField::ALL),
            Write::Merge(additions) => self.add(&lead.event, &additions.fields),
        }
    }

    fn mark(&mut self, withdrawn_at: Timestamp) -> Absorbed {
        // `None` is before every time: an unmarked lead takes any mark that is not older than its consent.
        if withdrawn_at < self.granted_at || Some(withdrawn_at) <= self.withdrawn_at {
            return Absorbed::Nothing;
        }
        self.withdrawn_at = Some(withdrawn_at);
        Absorbed::Something
    }

    fn add(&mut self, event: &Event, fields: &[CustomerField]) -> Absorbed {
        let brought: Vec<_> = fields.iter().filter_map(|field| Some((*field, self.brings(event, *field)?))).collect();
        let action = !self.journey.iter().any(|step| step.action == event.action);
        let lifts = self.withdrawn_at.is_some_and(|withdrawn| event.consent.at > withdrawn);
        if brought.is_empty() && !action && !lifts {
            return Absorbed::Nothing;
        }
        self.fields.extend(brought);
        self.confirm(event);
        self.step(event);
        self.describe(event);
        self.granted_at = self.granted_at.max(event.consent.at);
        if lifts {
            self.withdrawn_at = None;
        }
        Absorbed::Something
    }

    /// The event's value, if it is to replace what is held.
    fn brings(&self, event: &Event, field: CustomerField) -> Option<HeldField> {
        let new = given(event, field)?;
        match self.fields.get(&field) {
            None => Some(new),
            Some(held) => (held.value != new.value && (new.at, &new.value) > (held.at, &held.value)).then_some(new),
        }
    }

    /// Values that the event gives once more are as new as it is: an event between the two must not undo them. That
    /// alone is no reason to write; the ledger remembers it.
    fn confirm(&mut self, event: &Event) {
        for (field, held) in &mut self.fields {
            if event.customer.get(*field) == held.value.0 {
                held.at = held.at.max(event.occurred_at);
            }
        }
    }

    fn step(&mut self, event: &Event) {
        match self.journey.iter_mut().find(|step| step.action == event.action) {
            Some(step) if event.occurred_at < step.at => {
                step.at = event.occurred_at;
                step.source.clone_from(&event.source);
            }
            Some(_) => {}
            None => self.journey.push(Step {
                source: event.source.clone(),
                action: event.action.clone(),
                at: event.occurred_at,
            }),
        }
        self.journey.sort_by(|a, b| (a.at, &a.action).cmp(&(b.at, &b.action)));
    }

    /// What describes the offer stays as it came first; only what was missing is filled.
    fn describe(&mut self, event: &Event) {
        let fill = |held: &mut String, new: &str| {
            if held.is_empty() {
                new.clone_into(held);
            }
        };
        fill(&mut self.offer_display_name, &event.offer_display_name);
        fill(&mut self.publisher_display_name, &event.publisher_display_name);
        fill(&mut self.description.0, &event.description);
    }

    pub fn value(&self, field: CustomerField) -> &str {
        self.fields.get(&field).map_or("", |held| &held.value.0)
    }

    /// The step that the lead is named after.
    pub fn leading_step(&self) -> Option<&Step> {
        journey::leading_step(&self.journey)
    }

    pub fn stage(&self) -> Stage {
        Stage::of(&self.journey, self.withdrawn_at.is_some())
    }
}

fn given(event: &Event, field: CustomerField) -> Option<HeldField> {
    let value = event.customer.get(field);
    (!value.is_empty()).then(|| HeldField { value: Text(value.to_owned()), at: event.occurred_at })
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
