//! A lead as a row of the table, and back.
//!
//! Columns are as the marketplace writes them (`LeadSource` … `CustomerInfo`), with the customer's fields and the
//! journey beside them. `FieldTimes` and `ConsentGrantedAt` hold what a later merge must know to commute.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::Write as _;

use jiff::Timestamp;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::batch::Place;
use crate::destination::held::{Held, HeldField, Step, Text};
use crate::domain::event::CustomerField;
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
    let mut key = String::new();
    for c in text.chars() {
        if matches!(c, '/' | '\\' | '#' | '?' | '%' | '~') || c.is_control() {
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

/// The lead with its texts cut to what a row can hold, and the names of what was cut. A lead is not lost for a
/// producer's mistake in its description.
pub fn fitted(lead: &Lead) -> (Cow<'_, Lead>, Vec<&'static str>) {
    let mut fitted = Cow::Borrowed(lead);
    let mut cuts = Vec::new();
    for field in CustomerField::ALL {
        let value = lead.event.customer.get(field);
        if utf16_len(value) > FIELD_MAX {
            fitted.to_mut().event.customer.set(field, cut(value, FIELD_MAX).to_owned());
            cuts.push(field.name());
        }
    }
    let event = &lead.event;
    if utf16_len(&event.description) > TEXT_MAX {
        cut(&event.description, TEXT_MAX).clone_into(&mut fitted.to_mut().event.description);
        cuts.push("Description");
    }
    if utf16_len(&event.offer_display_name) > FIELD_MAX {
        cut(&event.offer_display_name, FIELD_MAX).clone_into(&mut fitted.to_mut().event.offer_display_name);
        cuts.push("OfferDisplayName");
    }
    if utf16_len(&event.publisher_display_name) > FIELD_MAX {
        cut(&event.publisher_display_name, FIELD_MAX).clone_into(&mut fitted.to_mut().event.publisher_display_name);
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
pub fn columns(held: &Held) -> Columns {
    let mut columns = Columns::new();
    each_column(held, &mut |name, value| drop(columns.insert(name.to_owned(), value.into())));
    columns
}

/// Writes the whole row. Every lead comes this way, so it goes from the lead into the request without a copy in between.
pub fn write_row(out: &mut Vec<u8>, held: &Held, place: Place<'_>) {
    let mut json = serde_json::Serializer::new(out);
    let mut row = json.serialize_map(None).expect(JSON_FORM);
    row.serialize_entry("PartitionKey", place.partition).expect(JSON_FORM);
    row.serialize_entry("RowKey", place.row).expect(JSON_FORM);
    each_column(held, &mut |name, value| row.serialize_entry(name, value).expect(JSON_FORM));
    SerializeMap::end(row).expect(JSON_FORM);
}

const JSON_FORM: &str = "text and times have a JSON form";

fn each_column(held: &Held, put: &mut dyn FnMut(&str, &str)) {
    let mut texts = Texts::default();
    if let Some(step) = held.leading_step() {
        put("LeadSource", texts.line(format_args!("{}-{}|{}", step.source, step.action, held.offer)));
        put("ActionCode", &step.action);
    }
    put("ProductId", &held.offer);
    put("PublisherDisplayName", &held.publisher_display_name);
    put("OfferDisplayName", &held.offer_display_name);
    put("Description", &held.description.0);
    put("CustomerInfo", texts.json(&CustomerInfo(held)));
    for field in CustomerField::ALL {
        put(field.name(), held.value(field));
    }
    put("FieldTimes", texts.json(&FieldTimes(held)));
    put("Journey", texts.json(&Journey(held)));
    put("Stage", held.stage().as_str());
    put("ConsentGrantedAt", texts.line(format_args!("{}", held.granted_at)));
    // A merge cannot remove a column: a mark that was lifted leaves an empty one.
    match held.withdrawn_at {
        Some(at) => put("ConsentWithdrawnAt", texts.line(format_args!("{at}"))),
        None => put("ConsentWithdrawnAt", ""),
    }
    if let (Some(first), Some(last)) = (held.journey.first(), held.journey.last()) {
        put("FirstAction", &first.action);
        put("LastAction", &last.action);
        put("CreatedTime", texts.date_time(first.at));
        put("CreatedTime@odata.type", "Edm.DateTime");
        put("LastActionTime", texts.date_time(last.at));
        put("LastActionTime@odata.type", "Edm.DateTime");
    }
}

/// Texts that are made up, one at a time, in the same memory.
#[derive(Default)]
struct Texts(Vec<u8>);

impl Texts {
    fn line(&mut self, text: fmt::Arguments<'_>) -> &str {
        self.0.clear();
        self.0.write_fmt(text).expect("writing to memory does not fail");
        self.text()
    }

    fn json(&mut self, value: &impl Serialize) -> &str {
        self.0.clear();
        serde_json::to_writer(&mut self.0, value).expect(JSON_FORM);
        self.text()
    }

    /// "DateTime: … The range of supported values starts at midnight, January 1, 1601": the data model, above.
    fn date_time(&mut self, at: Timestamp) -> &str {
        let first = Timestamp::from_second(-11_644_473_600).unwrap_or(Timestamp::MIN);
        self.line(format_args!("{:.7}", at.max(first)))
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.0).expect("what is formatted is UTF-8")
    }
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
struct CustomerInfo<'a>(&'a Held);

impl Serialize for CustomerInfo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(CustomerField::ALL.map(|field| (field.name(), self.0.value(field))))
    }
}

struct FieldTimes<'a>(&'a Held);

impl Serialize for FieldTimes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.fields.iter().map(|(field, held)| (field.name(), held.at)))
    }
}

struct Journey<'a>(&'a Held);

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
