//! A lead as a row of the table, and back.
//!
//! Columns are as the marketplace writes them (`LeadSource` … `CustomerInfo`), with the customer's fields and the
//! journey beside them. `FieldTimes` and `ConsentGrantedAt` hold what a later merge must know to commute.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Deref;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::batch::Place;
use super::contents::Contents;
use super::row::Row;
use crate::destination::held::{Held, HeldField, Text};
use crate::domain::event::{CustomerField, Event};
use crate::domain::journey::{self, Stage, Step};
use crate::domain::lead::Lead;
use crate::domain::route::Offer;

pub type Columns = Map<String, Value>;

/// "Each property value … String: a UTF-16-encoded value. String values can be up to 64 KiB in size":
/// <https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model>.
const TEXT_MAX: usize = 32 * 1024;
/// All seven fit into `CustomerInfo`, which is such a string too.
const FIELD_MAX: usize = 4_000;
/// A key is "up to 1 KiB in size", in UTF-16.
const KEY_MAX: usize = 512;

/// The partition of an offer.
///
/// "The following characters are not allowed in values for the PartitionKey and RowKey": `/ \ # ?` and control
/// characters (the data model, above); `%` is not safe in them either. Each becomes `~` and its bytes in hex; so does
/// `~`, so that no two offers share a partition.
pub fn partition_key(offer: &Offer) -> String {
    let key = escaped(offer.normalised());
    if utf16_len(&key) <= KEY_MAX {
        return key;
    }
    let digest = hex::encode(Sha256::digest(&key));
    format!("{}~~{digest}", cut(&key, KEY_MAX - 2 - digest.len()))
}

pub fn escaped(text: &str) -> String {
    let is_escaped = |c: char| matches!(c, '/' | '\\' | '#' | '?' | '%' | '~') || c.is_control();
    if !text.contains(is_escaped) {
        return text.to_owned();
    }
    let mut key = String::new();
    for c in text.chars() {
        if is_escaped(c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                write!(key, "~{byte:02x}").expect("writing to a string does not fail");
            }
        } else {
            key.push(c);
        }
    }
    key
}

pub fn row_key(lead: &Lead) -> String {
    lead.key.to_string()
}

/// A lead with no text longer than a row can hold.
pub struct Fitted<'a> {
    lead: &'a Lead,
    cut: Option<Box<Lead>>,
}

impl Deref for Fitted<'_> {
    type Target = Lead;

    fn deref(&self) -> &Lead {
        self.cut.as_deref().unwrap_or(self.lead)
    }
}

impl Fitted<'_> {
    fn to_mut(&mut self) -> &mut Event {
        &mut self.cut.get_or_insert_with(|| Box::new(self.lead.clone())).event
    }
}

/// The lead with its texts cut to what a row can hold, and the names of what was cut. A lead is not lost for a
/// producer's mistake in its description.
pub fn fitted(lead: &Lead) -> (Fitted<'_>, Vec<&'static str>) {
    let mut fitted = Fitted { lead, cut: None };
    let mut cuts = Vec::new();
    for field in CustomerField::ALL {
        let value = lead.event.customer.get(field);
        if utf16_len(value) > FIELD_MAX {
            fitted.to_mut().customer.set(field, cut(value, FIELD_MAX).to_owned());
            cuts.push(field.name());
        }
    }
    let event = &lead.event;
    if utf16_len(&event.description) > TEXT_MAX {
        cut(&event.description, TEXT_MAX).clone_into(&mut fitted.to_mut().description);
        cuts.push("Description");
    }
    if utf16_len(&event.offer_display_name) > FIELD_MAX {
        cut(&event.offer_display_name, FIELD_MAX).clone_into(&mut fitted.to_mut().offer_display_name);
        cuts.push("OfferDisplayName");
    }
    if utf16_len(&event.publisher_display_name) > FIELD_MAX {
        cut(&event.publisher_display_name, FIELD_MAX).clone_into(&mut fitted.to_mut().publisher_display_name);
        cuts.push("PublisherDisplayName");
    }
    (fitted, cuts)
}

fn utf16_len(text: &str) -> usize {
    // No UTF-16 is longer than its UTF-8: only what might be too long is counted.
    if text.len() <= KEY_MAX { text.len() } else { text.encode_utf16().count() }
}

/// The beginning of `text`, in at most `max` UTF-16 units.
fn cut(text: &str, max: usize) -> &str {
    let mut units = 0;
    let end = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > max
    });
    &text[..end.map_or(text.len(), |(index, _)| index)]
}

/// The whole row, but for its keys.
fn columns(held: &Held) -> Columns {
    let mut written = Vec::new();
    let mut row = Row::begin(&mut written);
    write_columns(&mut row, &held.into());
    row.end();
    serde_json::from_slice(&written).expect("a row is a JSON object")
}

/// Writes the whole row. Every lead comes this way, so it goes from the lead into the request without a copy in between.
pub fn write_row(out: &mut Vec<u8>, lead: &Lead, place: Place<'_>) {
    let mut row = Row::begin(out);
    row.put("PartitionKey", place.partition);
    row.put("RowKey", place.row);
    write_columns(&mut row, &lead.into());
    row.end();
}

fn write_columns(row: &mut Row<'_>, lead: &Contents<'_>) {
    if let Some(step) = journey::leading_step(&lead.journey) {
        row.put("LeadSource", &format_args!("{}-{}|{}", step.source, step.action, lead.offer));
        row.put("ActionCode", &step.action);
    }
    row.put("ProductId", lead.offer);
    row.put("PublisherDisplayName", lead.publisher_display_name);
    row.put("OfferDisplayName", lead.offer_display_name);
    row.put("Description", lead.description);
    row.put_json("CustomerInfo", &CustomerInfo(lead));
    for (name, value) in lead.values() {
        row.put(name, value);
    }
    row.put_times("FieldTimes", lead.times());
    row.put_json("Journey", &Journey(lead));
    row.put("Stage", Stage::of(&lead.journey, lead.withdrawn_at.is_some()).as_str());
    row.put("ConsentGrantedAt", &lead.granted_at);
    // A merge cannot remove a column: a mark that was lifted leaves an empty one.
    match lead.withdrawn_at {
        Some(at) => row.put("ConsentWithdrawnAt", &at),
        None => row.put("ConsentWithdrawnAt", ""),
    }
    if let (Some(first), Some(last)) = (lead.journey.first(), lead.journey.last()) {
        row.put("FirstAction", &first.action);
        row.put("LastAction", &last.action);
        for (name, type_name, at) in [
            ("CreatedTime", "CreatedTime@odata.type", first.at),
            ("LastActionTime", "LastActionTime@odata.type", last.at),
        ] {
            row.put(name, &format_args!("{:.7}", at.max(first_date_time())));
            row.put(type_name, "Edm.DateTime");
        }
    }
}

/// "DateTime: … The range of supported values starts at midnight, January 1, 1601": the data model, above.
fn first_date_time() -> Timestamp {
    Timestamp::from_second(-11_644_473_600).unwrap_or(Timestamp::MIN)
}

/// The columns in which `after` differs. What it leaves alone may have been edited by people, and stays theirs.
pub fn changes(before: &Held, after: &Held) -> Columns {
    let before = columns(before);
    let mut changes = columns(after);
    changes.retain(|name, value| !name.ends_with("@odata.type") && before.get(name) != Some(value));
    for name in ["CreatedTime", "LastActionTime"] {
        if changes.contains_key(name) {
            changes.insert(format!("{name}@odata.type"), "Edm.DateTime".into());
        }
    }
    changes
}

/// What a row says. People edit rows: what cannot be read counts as missing.
pub fn read(row: &Columns) -> Held {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = |name: &str| text(name).parse::<Timestamp>().ok();
    let steps: Vec<JourneyStep<'_>> = serde_json::from_str(text("Journey")).unwrap_or_default();
    let mut journey: Vec<_> = steps.into_iter().map(Step::from).collect();
    journey.sort_by(|a, b| (a.at, &a.action).cmp(&(b.at, &b.action)));
    let times: BTreeMap<String, Timestamp> = serde_json::from_str(text("FieldTimes")).unwrap_or_default();
    let created = time("CreatedTime").unwrap_or(Timestamp::MIN);
    let field = |field: CustomerField| {
        let value = text(field.name());
        let at = times.get(field.name()).copied().unwrap_or(created);
        (!value.is_empty()).then(|| (field, HeldField { value: Text(value.to_owned()), at }))
    };
    Held {
        offer: text("ProductId").to_owned(),
        offer_display_name: text("OfferDisplayName").to_owned(),
        publisher_display_name: text("PublisherDisplayName").to_owned(),
        description: Text(text("Description").to_owned()),
        fields: CustomerField::ALL.into_iter().filter_map(field).collect(),
        granted_at: time("ConsentGrantedAt").unwrap_or(created),
        withdrawn_at: time("ConsentWithdrawnAt"),
        journey,
    }
}

/// The marketplace's own form: seven members in its order, empty where nothing was given.
struct CustomerInfo<'a>(&'a Contents<'a>);

impl Serialize for CustomerInfo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.values())
    }
}

struct Journey<'a>(&'a Contents<'a>);

impl Serialize for Journey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.journey.iter().map(JourneyStep::from))
    }
}

#[derive(Serialize, Deserialize)]
struct JourneyStep<'a> {
    source: Cow<'a, str>,
    action: Cow<'a, str>,
    at: Timestamp,
}

impl<'a> From<&'a Step> for JourneyStep<'a> {
    fn from(step: &'a Step) -> Self {
        Self { source: Cow::Borrowed(&step.source), action: Cow::Borrowed(&step.action), at: step.at }
    }
}

impl From<JourneyStep<'_>> for Step {
    fn from(step: JourneyStep<'_>) -> Self {
        Self { source: step.source.into_owned(), action: step.action.into_owned(), at: step.at }
    }
}

#[cfg(test)]
#[path = "entity_tests.rs"]
mod tests;
