//! A lead as a record of Salesforce, and back.
//!
//! A record is the salespeople's: what stands in it stays, but for what an event newly brings. The ledger knows which
//! of the customer's values are new; where it knows nothing of the lead, only what is empty is filled.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::journey::{self, word};
use crate::destination::held::{Held, HeldField, Stage, Step, Text};
use crate::domain::event::CustomerField;
use crate::domain::lead::Lead;
use crate::domain::mapping::{LeadValue, MappedValue, Mapping};
use crate::domain::repeat::{Record, Write};

pub type Row = Map<String, Value>;

/// What the marketplace puts where Salesforce requires a value and the customer gave none.
pub const NOT_PROVIDED: &str = "[not provided]";

pub const DESCRIPTION: &str = "Description";
pub const LEAD_SOURCE: &str = "LeadSource";
/// Checkboxes that keep people from being called, and mailed.
pub const OPT_OUTS: [&str; 2] = ["DoNotCall", "HasOptedOutOfEmail"];

/// Which fields the org has for what we know.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The field that holds the lead key.
    pub external_id: String,
    /// `Country`, or `CountryCode` where the org has a picklist of countries.
    pub country: String,
    pub mappings: Vec<Mapping>,
}

impl Shape {
    pub fn customer_field(&self, field: CustomerField) -> &str {
        if field == CustomerField::Country { &self.country } else { field.name() }
    }

    pub fn mapped(&self, field: &str) -> Option<&MappedValue> {
        let found = self.mappings.iter().find(|mapping| mapping.field.eq_ignore_ascii_case(field));
        found.map(|mapping| &mapping.value)
    }

    /// The field that one of our values goes into.
    pub fn field_of(&self, value: LeadValue) -> Option<&str> {
        let found = self.mappings.iter().find(|mapping| mapping.value == MappedValue::Of(value));
        found.map(|mapping| mapping.field.as_str())
    }

    /// Whether the description tells the journey: no field of its own does, and the description is ours to write.
    fn tells_in_description(&self) -> bool {
        self.field_of(LeadValue::Journey).is_none() && self.mapped(DESCRIPTION).is_none()
    }

    /// Every field that is written, the external id aside.
    pub fn written(&self) -> Vec<&str> {
        let customer = CustomerField::ALL.into_iter().map(|field| self.customer_field(field));
        let ours = [DESCRIPTION, LEAD_SOURCE].into_iter().filter(|field| self.mapped(field).is_none());
        let mapped = self.mappings.iter().map(|mapping| mapping.field.as_str());
        customer.chain(ours).chain(OPT_OUTS).chain(mapped).collect()
    }
}

/// In UTF-16 units; Salesforce refuses what is longer. A mapped field has at most this, and the probe says if it has less:
/// <https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_lead.htm>.
fn length(field: &str) -> usize {
    match field {
        "FirstName" | "Phone" => 40,
        "LastName" | "Email" | "Country" | "CountryCode" => 80,
        "Title" => 128,
        DESCRIPTION => 32_000,
        _ => 255,
    }
}

/// The lead with its texts as Salesforce keeps them, trimmed and cut, and the names of what was cut.
pub fn fitted<'a>(lead: &'a Lead, shape: &Shape) -> (Cow<'a, Lead>, Vec<&'static str>) {
    let mut fitted = Cow::Borrowed(lead);
    let mut cuts = Vec::new();
    for field in CustomerField::ALL {
        let value = lead.event.customer.get(field);
        let max = length(shape.customer_field(field));
        let fit = match cut(value.trim(), max) {
            // Half an address is somebody else's.
            whole if field == CustomerField::Email && whole.len() < value.trim().len() => "",
            fit => fit,
        };
        if fit.len() < value.trim().len() {
            cuts.push(field.name());
        }
        if fit != value {
            fitted.to_mut().event.customer.set(field, fit.trim_end().to_owned());
        }
    }
    let event = &lead.event;
    let room = length(DESCRIPTION) - 2_000;
    let description = cut(event.description.trim(), room);
    if description.len() < event.description.trim().len() {
        cuts.push(DESCRIPTION);
    }
    if description != event.description {
        description.clone_into(&mut fitted.to_mut().event.description);
    }
    let (action, source) = (word(&event.action), word(&event.source));
    if (&action, &source) != (&event.action, &event.source) {
        let event = &mut fitted.to_mut().event;
        (event.action, event.source) = (action, source);
    }
    (fitted, cuts)
}

/// The beginning of `text`, in at most `max` UTF-16 units.
pub fn cut(text: &str, max: usize) -> &str {
    let mut units = 0;
    let end = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > max
    });
    &text[..end.map_or(text.len(), |(index, _)| index)]
}

/// What is known of a lead that Salesforce holds: by its record there, and by the ledger. A value that the event may
/// replace is older than any; one that it may not, later than any.
pub fn read(shape: &Shape, row: &Row, lead: &Lead, write: &Write, record: Option<&Record>) -> Held {
    let text = |name: &str| text_in(row, name);
    let mut told = match shape.field_of(LeadValue::Journey) {
        Some(field) => journey::read(text(field)),
        None => journey::read(text(DESCRIPTION)),
    };
    if told.steps.is_empty() {
        let created = time_in(row, "CreatedDate").unwrap_or(lead.event.occurred_at);
        told.steps.extend(journey::read_source_line(text(LEAD_SOURCE), created));
    }
    let field = |field: CustomerField| {
        let value = text(shape.customer_field(field));
        let replaceable = matches!(write, Write::Merge(additions) if additions.fields.contains(&field));
        let at = if replaceable { Timestamp::MIN } else { Timestamp::MAX };
        let given = !value.is_empty() && value != NOT_PROVIDED;
        given.then(|| (field, HeldField { value: Text(value.to_owned()), at }))
    };
    let mapped_text =
        |value, default: &str| shape.field_of(value).map_or(default.to_owned(), |field| text(field).to_owned());
    let event = &lead.event;
    let granted_at = record.map_or(Timestamp::MIN, |record| record.granted_at);
    let withdrawn_at = record.and_then(|record| record.marked_for).max(told.withdrawn_at);
    Held {
        offer: event.offer.written().to_owned(),
        offer_display_name: mapped_text(LeadValue::OfferName, &event.offer_display_name),
        publisher_display_name: mapped_text(LeadValue::PublisherName, &event.publisher_display_name),
        description: Text(text(DESCRIPTION).to_owned()),
        fields: CustomerField::ALL.into_iter().filter_map(field).collect(),
        granted_at,
        withdrawn_at: withdrawn_at.filter(|withdrawn| *withdrawn >= granted_at),
        journey: steps(told.steps, record),
    }
}

/// The lead anew, with all that the ledger knows of it: a person has deleted it, or it was never there.
pub fn new(lead: &Lead, record: Option<&Record>) -> Held {
    let mut held = Held::new(lead);
    if let Some(record) = record {
        held.journey = steps(held.journey, Some(record));
        held.granted_at = held.granted_at.max(record.granted_at);
        held.withdrawn_at = record.marked_for.filter(|withdrawn| *withdrawn >= held.granted_at);
    }
    held
}

fn steps(mut told: Vec<Step>, record: Option<&Record>) -> Vec<Step> {
    for (action, &at) in record.into_iter().flat_map(|record| &record.actions) {
        let action = word(action);
        match told.iter_mut().find(|step| step.action == action) {
            Some(step) => step.at = step.at.min(at),
            None => told.push(Step { source: String::new(), action, at }),
        }
    }
    if told.is_empty() {
        // Somebody else's lead, of which we know nothing: above all not that it is do-not-contact by our doing.
        told.push(Step { source: String::new(), action: String::new(), at: Timestamp::MIN });
    }
    told.sort_by(|a, b| (a.at, &a.action).cmp(&(b.at, &b.action)));
    told
}

pub fn text_in<'a>(row: &'a Row, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// `2026-11-22T03:04:05.000+0000`.
pub fn time_in(row: &Row, name: &str) -> Option<Timestamp> {
    jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text_in(row, name)).ok()?.to_timestamp().ok()
}

/// The whole record, the external id aside.
pub fn columns(shape: &Shape, held: &Held, lead: &Lead) -> Row {
    let mut row = Row::new();
    for field in CustomerField::ALL {
        let required = matches!(field, CustomerField::LastName | CustomerField::Company);
        match held.value(field) {
            "" if required => put(&mut row, shape.customer_field(field), NOT_PROVIDED),
            value => put(&mut row, shape.customer_field(field), value),
        }
    }
    if shape.mapped(LEAD_SOURCE).is_none() {
        put(&mut row, LEAD_SOURCE, &source_line(held));
    }
    if shape.mapped(DESCRIPTION).is_none() {
        let lines = if shape.tells_in_description() { journey::lines(None, held) } else { Vec::new() };
        put(&mut row, DESCRIPTION, &described(&held.description.0, &lines));
    }
    if held.stage() == Stage::DoNotContact {
        row.extend(OPT_OUTS.map(|name| (name.to_owned(), true.into())));
    }
    for mapping in &shape.mappings {
        match &mapping.value {
            MappedValue::Constant(text) => put(&mut row, &mapping.field, text),
            MappedValue::Of(value) => put(&mut row, &mapping.field, &ours(*value, held, lead)),
        }
    }
    row
}

/// What `after` has and `before` has not, as far as the record does not say it already.
pub fn changes(shape: &Shape, row: &Row, (before, after): (&Held, &Held), lead: &Lead) -> Row {
    let mut changes = Row::new();
    for field in CustomerField::ALL {
        if before.value(field) != after.value(field) {
            put(&mut changes, shape.customer_field(field), after.value(field));
        }
    }
    let silent = |held: &Held| held.stage() == Stage::DoNotContact;
    if silent(before) != silent(after) {
        changes.extend(OPT_OUTS.map(|name| (name.to_owned(), silent(after).into())));
    }
    let (was, is) = (source_line(before), source_line(after));
    if shape.mapped(LEAD_SOURCE).is_none() && was != is && still_ours(text_in(row, LEAD_SOURCE), before) {
        put(&mut changes, LEAD_SOURCE, &is);
    }
    if shape.mapped(DESCRIPTION).is_none() {
        let lines = if shape.tells_in_description() { journey::lines(Some(before), after) } else { Vec::new() };
        let text = described(&after.description.0, &lines);
        if text != before.description.0.trim() {
            put(&mut changes, DESCRIPTION, &text);
        }
    }
    for mapping in &shape.mappings {
        // A constant is for a new lead: a status that people have moved on stays where it is.
        if let MappedValue::Of(value) = mapping.value {
            let (was, is) = (ours(value, before, lead), ours(value, after, lead));
            if was != is && text_in(row, &mapping.field) != is {
                put(&mut changes, &mapping.field, &is);
            }
        }
    }
    changes
}

/// Whether nobody has written another source over ours.
fn still_ours(text: &str, held: &Held) -> bool {
    let leads = |step: Step| held.leading_step().is_some_and(|leading| leading.action == step.action);
    text.is_empty() || journey::read_source_line(text, Timestamp::MIN).is_some_and(leads)
}

/// Salesforce knows no empty text.
fn put(row: &mut Row, name: &str, value: &str) {
    let value = cut(value, length(name)).trim();
    if !value.is_empty() {
        row.insert(name.to_owned(), value.into());
    }
}

fn source_line(held: &Held) -> String {
    held.leading_step().map(|step| format!("{}-{}|{}", step.source, step.action, held.offer)).unwrap_or_default()
}

/// Our lines come last; what would not fit is left out, and nothing that people wrote is.
fn described(text: &str, lines: &[String]) -> String {
    let mut described = text.trim().to_owned();
    for line in lines {
        let longer = if described.is_empty() { line.clone() } else { format!("{described}\n{line}") };
        if cut(&longer, length(DESCRIPTION)).len() == longer.len() {
            described = longer;
        }
    }
    described
}

pub fn ours(value: LeadValue, held: &Held, lead: &Lead) -> String {
    let (leading, last) = (held.leading_step(), held.journey.last());
    let of = |step: Option<&Step>, pick: fn(&Step) -> String| step.map(pick).unwrap_or_default();
    match value {
        LeadValue::LeadKey => lead.key.to_string(),
        LeadValue::LeadSource => source_line(held),
        LeadValue::Source => of(leading, |step| step.source.clone()),
        LeadValue::Action => of(leading, |step| step.action.clone()),
        LeadValue::Offer => held.offer.clone(),
        LeadValue::OfferName => held.offer_display_name.clone(),
        LeadValue::PublisherName => held.publisher_display_name.clone(),
        LeadValue::Description => lead.event.description.clone(),
        LeadValue::Journey => journey::in_a_field(held),
        LeadValue::Stage => held.stage().as_str().to_owned(),
        LeadValue::LastAction => of(last, |step| step.action.clone()),
        LeadValue::LastActionTime => of(last, |step| date_time(step.at)),
        LeadValue::ConsentTime => date_time(held.granted_at),
        LeadValue::Customer(field) => held.value(field).to_owned(),
    }
}

/// A form that fields of text and of date and time both take.
fn date_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
