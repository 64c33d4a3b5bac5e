//! CloudEvents 1.0, in both modes: where in a message the event is, and what stands in for its id and its time.
//!
//! The AMQP binding speaks of AMQP 1.0; RabbitMQ maps its application properties to 0-9-1 headers, so the names are the
//! binding's: `cloudEvents_id`, or `cloudEvents:id` as it was first.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::json::{Leaf, Part, RawCloudEvent};
use super::malformed::{Type, Wrong};
use crate::domain::envelope::{HeaderValue, Properties};

/// What the message says about the event, where the event itself says nothing.
#[derive(Debug, Default)]
pub struct StandIn<'a> {
    pub id: Option<Cow<'a, str>>,
    pub time: Option<Cow<'a, str>>,
    /// The pointer of `time`, for when it is wrong.
    pub time_at: &'static str,
}

/// Structured mode: `application/cloudevents+json`, with parameters or without. `Err`: CloudEvents, but a batch or
/// another format.
pub fn is_structured(properties: &Properties) -> Result<bool, Wrong> {
    let Some(content_type) = properties.content_type.as_deref() else { return Ok(false) };
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.strip_prefix("application/cloudevents") {
        None => Ok(false),
        Some("" | "+json") => Ok(true),
        Some(_) => Err(Wrong::CloudEventsFormat),
    }
}

/// Binary mode, or no CloudEvent at all: the body is the event, and the attributes, if any, are headers.
pub fn stand_in_of_headers(properties: &Properties) -> StandIn<'_> {
    let usable = |text: &&str| !text.is_empty() && !text.contains('\0');
    let attribute = |names: [&str; 2]| {
        let text = |name| properties.headers.get(name).and_then(HeaderValue::as_text);
        names.into_iter().find_map(text).filter(usable)
    };
    let message_id = properties.message_id.as_deref().filter(usable);
    let id = attribute(["cloudEvents_id", "cloudEvents:id"]).or(message_id);
    let time = attribute(["cloudEvents_time", "cloudEvents:time"]);
    StandIn { id: id.map(Cow::Borrowed), time: time.map(Cow::Borrowed), time_at: "header cloudEvents:time" }
}

/// The version is only looked at where it is given: before 1.0, `data` could be base64 without saying so here.
pub fn wrong_version(version: &Leaf<'_>) -> Option<Wrong> {
    match version {
        Leaf::Absent => None,
        Leaf::Text(text) if text.starts_with("1.") => None,
        Leaf::Text(_) => Some(Wrong::CloudEventsVersion),
        Leaf::Boolean(_) => Some(Wrong::Type { found: Type::Boolean, expected: Type::String }),
        Leaf::Other(found) => Some(Wrong::Type { found: *found, expected: Type::String }),
        Leaf::Twice => Some(Wrong::Twice),
    }
}

/// The bytes of `data_base64`, or nothing if the event is in `data`.
pub fn binary_data(raw: &RawCloudEvent<'_>) -> Result<Option<Vec<u8>>, Wrong> {
    match (&raw.data_base64, &raw.data) {
        (Leaf::Absent | Leaf::Other(Type::Null), _) => Ok(None),
        (_, Part::Object(_) | Part::Twice) => Err(Wrong::BothData),
        (Leaf::Text(text), _) => STANDARD.decode(text.as_bytes()).map(Some).map_err(|_| Wrong::NotBase64),
        (Leaf::Boolean(_), _) => Err(Wrong::Type { found: Type::Boolean, expected: Type::String }),
        (Leaf::Other(found), _) => Err(Wrong::Type { found: *found, expected: Type::String }),
        (Leaf::Twice, _) => Err(Wrong::Twice),
    }
}
