//! What a whole row says: of a lead that is new to the table, or of one that it holds. Borrowed, since every lead is written
//! once and few are changed later.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::destination::held::Held;
use crate::domain::event::CustomerField;
use crate::domain::journey::Step;
use crate::domain::lead::Lead;

/// The fields' values, and the times of the events that gave them, in the marketplace's order.
type Fields<'a> = [(CustomerField, Option<(&'a str, Timestamp)>); CustomerField::ALL.len()];

pub struct Contents<'a> {
    pub offer: &'a str,
    pub offer_display_name: &'a str,
    pub publisher_display_name: &'a str,
    pub description: &'a str,
    pub fields: Fields<'a>,
    /// In time order.
    pub journey: Cow<'a, [Step]>,
    pub granted_at: Timestamp,
    pub withdrawn_at: Option<Timestamp>,
}

impl<'a> From<&'a Lead> for Contents<'a> {
    fn from(Lead { event, .. }: &'a Lead) -> Self {
        let field = |field| {
            let value = event.customer.get(field);
            (field, (!value.is_empty()).then_some((value, event.occurred_at)))
        };
        let step = Step { source: event.source.clone(), action: event.action.clone(), at: event.occurred_at };
        Self {
            offer: event.offer.written(),
            offer_display_name: &event.offer_display_name,
            publisher_display_name: &event.publisher_display_name,
            description: &event.description,
            fields: CustomerField::ALL.map(field),
            journey: Cow::Owned(vec![step]),
            granted_at: event.consent.at,
            withdrawn_at: None,
        }
    }
}

impl<'a> From<&'a Held> for Contents<'a> {
    fn from(held: &'a Held) -> Self {
        let field = |field| (field, held.fields.get(&field).map(|held| (held.value.0.as_str(), held.at)));
        Self {
            offer: &held.offer,
            offer_display_name: &held.offer_display_name,
            publisher_display_name: &held.publisher_display_name,
            description: &held.description.0,
            fields: CustomerField::ALL.map(field),
            journey: Cow::Borrowed(&held.journey),
            granted_at: held.granted_at,
            withdrawn_at: held.withdrawn_at,
        }
    }
}

impl<'a> Contents<'a> {
    /// Every field with its value, empty where none was given.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        self.fields.iter().map(|(field, given)| (field.name(), given.map_or("", |(value, _)| value)))
    }

    /// The fields that were given, and when.
    pub fn times(&self) -> impl Iterator<Item = (&'static str, Timestamp)> {
        self.fields.iter().filter_map(|(field, given)| Some((field.name(), given.as_ref()?.1)))
    }
}
