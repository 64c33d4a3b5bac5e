//! From a message to an event, or to everything that is wrong with it.

use jiff::Timestamp;

use super::Event;
use super::cloud_events::{StandIn, binary_data, is_structured, stand_in_of_headers, wrong_version};
use super::json::{Part, RawCloudEvent, read};
use super::judge::Judge;
use super::malformed::{Malformed, Place, Problem, Wrong};
use crate::domain::envelope::Message;

/// A larger body is no consent event, and is not even looked at.
pub const BODY_MAX: usize = 256 * 1024;

pub const SOURCES: [&str; 4] = ["AzureMarketplace", "AzurePortal", "TestDrive", "SPZA"];
pub const ACTIONS: [&str; 5] = ["INS", "PLT", "DNC", "Create", "StartTestDrive"];

/// A valid event, and what is worth counting about how it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub event: Event,
    /// Members that are not in the contract: kept out of the lead.
    pub unknown_members: u32,
    pub known_source: bool,
    pub known_action: bool,
}

/// Decodes the event in `message`, which we first received at `received`.
pub fn decode(message: &Message, received: Timestamp) -> Result<Decoded, Malformed> {
    let text = text_of(&message.body).map_err(whole_body)?;
    let stand_in = stand_in_of_headers(&message.properties);
    if is_structured(&message.properties).map_err(whole_body)? {
        return decode_structured(text, stand_in, received);
    }
    let raw = read(text).map_err(|error| whole_body(not_json(&error)))?;
    Judge::new(received).event(raw, stand_in)
}

fn decode_structured(text: &str, of_headers: StandIn<'_>, received: Timestamp) -> Result<Decoded, Malformed> {
    let raw: Part<RawCloudEvent<'_>> = read(text).map_err(|error| whole_body(not_json(&error)))?;
    let mut judge = Judge::new(received);
    let Some(raw) = judge.object("", raw) else { return Err(judge.verdict()) };
    if let Some(wrong) = wrong_version(&raw.version) {
        judge.note("/specversion", wrong);
    }
    let data = match binary_data(&raw) {
        Ok(data) => data,
        Err(wrong) => {
            judge.note("/data_base64", wrong);
            return Err(judge.verdict());
        }
    };
    let id = judge.text("/id", raw.id).or(of_headers.id);
    let time = judge.text("/time", raw.time);
    let stand_in = StandIn { id, time, time_at: "/time" };
    let Some(bytes) = data else { return judge.within("/data").event(raw.data, stand_in) };
    let mut judge = judge.within("/data_base64");
    match text_of(&bytes).and_then(|text| read(text).map_err(|error| not_json(&error))) {
        Ok(event) => judge.event(event, stand_in),
        Err(wrong) => {
            judge.note("", wrong);
            Err(judge.verdict())
        }
    }
}

/// The body as text, without the byte order mark that some writers put before it.
fn text_of(body: &[u8]) -> Result<&str, Wrong> {
    if body.is_empty() {
        return Err(Wrong::NoBody);
    }
    if body.len() > BODY_MAX {
        return Err(Wrong::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| Wrong::NotUtf8)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn not_json(error: &serde_json::Error) -> Wrong {
    Wrong::NotJson { line: error.line(), column: error.column() }
}

fn whole_body(wrong: Wrong) -> Malformed {
    Malformed { problems: vec![Problem { place: Place { event: "", member: "" }, wrong }] }
}
