//! The contract as JSON Schema, for producers: what a document must be so that [`super::decode()`] takes it.
//!
//! Generated from the types of [`super::contract`]. A property test shows that the schema and the decoder accept the same
//! documents. Draft 7, and patterns without lookaround, Unicode classes or escapes of more than two digits: there is
//! hardly a language whose validators and regular expressions do not know these.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::contract::{CloudEventContract, Contract};
use super::judge::{EMAIL_MAX, WORD_MAX};

/// The schema of an event; under `#/definitions/CloudEvent`, of an event in a CloudEvent.
pub fn schema() -> Value {
    let mut generator = generator();
    generator.subschema_for::<CloudEventContract<'_>>();
    generator.into_root_schema_for::<Contract<'_>>().into()
}

/// The schema of another type of the contract, in the same manner.
pub fn of<T: JsonSchema>() -> Value {
    generator().into_root_schema_for::<T>().into()
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft07().with_transform(RecursiveTransform(tidied)).into_generator()
}

/// What stands for a missing member is no value of the contract's, and where our comments break their lines is no
/// business of its readers.
fn tidied(schema: &mut Schema) {
    schema.remove("default");
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let lines = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *text = lines.collect::<Vec<_>>().join("\n\n");
    }
}

/// [`schema`] as a file.
pub fn file() -> String {
    as_file(&schema())
}

/// A schema as a file: ASCII, so that nobody has to guess which blank a pattern means.
pub fn as_file(schema: &Value) -> String {
    let text = serde_json::to_string_pretty(schema).expect("a schema is JSON") + "\n";
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            c if c.is_ascii() => ascii.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    ascii
}

/// White space as Unicode has it, all of it: what is taken away around words, addresses and times. In brackets.
const WHITE: &str = r"\t-\r \x85\xa0";
const WHITE_BEYOND: &str = "\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";
const CONTROL: &str = r"\x00-\x1f\x7f-\x9f";

/// A pattern with the classes written out: `{w}` and `{c}` are white space and controls, `{b}` is what no letter beyond
/// ASCII is.
fn pattern(text: &str) -> String {
    let white = format!("{WHITE}{WHITE_BEYOND}");
    let beyond = format!(r"\x7f-\xa0{WHITE_BEYOND}");
    format!("^{}$", text.replace("{w}", &white).replace("{c}", CONTROL).replace("{b}", &beyond))
}

/// Names a kind of text, so that the schema describes it once.
macro_rules! kind {
    ($(#[doc = $doc:literal] $name:ident = $schema:expr;)*) => {$(
        #[doc = $doc]
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema: Schema = $schema;
                schema.insert("description".into(), $doc.trim().into());
                schema
            }
        }
    )*};
}

kind! {
    /// Any text without a NUL character, or nothing.
    Text = optional(&[r"[^\x00]*"]);
    /// A time with its offset from UTC, as RFC 3339 writes it, such as 2026-11-22T03:04:05Z; or nothing.
    Time = optional(&[&format!("({TIME})?")]);
    /// At most 256 characters between the blanks around them, no control characters among them; or nothing.
    Word = optional(&[&format!("({}|[{{w}}]*)", word())]);
    /// A word of the form publisher.offer, or nothing.
    OfferName = optional(&[&format!("({}|[{{w}}]*)", word()), &format!("({OFFER}|[{{w}}]*)")]);
    /// An email address.
    Email = email();
}

/// A text that matches all of the patterns, or null.
fn optional(patterns: &[&str]) -> Schema {
    let mut schema = all_of(patterns);
    schema.insert("type".into(), json!(["string", "null"]));
    schema
}

fn all_of(patterns: &[&str]) -> Schema {
    match patterns {
        [only] => json_schema!({ "type": "string", "pattern": pattern(only) }),
        several => {
            let each: Vec<Value> = several.iter().map(|text| json!({ "pattern": pattern(text) })).collect();
            json_schema!({ "type": "string", "allOf": each })
        }
    }
}

/// RFC 3339, and what the languages' own libraries make of it: see [`super::time`].
const TIME: &str = concat!(
    "[{w}]*(",
    "[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))",
    "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29",
    r")[Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:([0-5][0-9]|60)(\.[0-9]{1,9})?)?",
    r"([Zz]|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)(\[[^\]\x00]*\])?[{w}]*",
);

/// A word: no control characters, and no more than 256 characters between the blanks around it.
fn word() -> String {
    format!("[{{w}}]*[^{{w}}{{c}}][^{{c}}]{{0,{}}}[{{w}}]*", WORD_MAX - 1)
}

/// `publisher.offer`: something before the first dot, and something after it.
const OFFER: &str = r"[{w}]*[^.{w}{c}][^.{c}]*\.[^{c}]*[^{w}{c}][{w}]*";

/// Source, Action and Offer; or a LeadSource for those of them that are missing.
pub(super) fn words_or_lead_source(schema: &mut Schema) {
    let (word, rest) = (word(), WORD_MAX - 1);
    // The first bar, and the last dash before it.
    let split = format!(
        r"[{{w}}]*[^|{{w}}{{c}}][^|{{c}}]{{0,{rest}}}[{{w}}]*-[{{w}}]*[^|{{w}}{{c}}-][^|{{c}}-]{{0,{rest}}}[{{w}}]*\|{OFFER}"
    );
    schema.insert(
        "anyOf".into(),
        json!([
            {
                "required": ["Source", "Action", "Offer"],
                "properties": { "Source": all_of(&[&word]), "Action": all_of(&[&word]), "Offer": all_of(&[&word, OFFER]) }
            },
            {
                "required": ["LeadSource"],
                "properties": { "LeadSource": all_of(&[&split, &format!(r"[^|]*\|{word}")]) }
            }
        ]),
    );
}

/// RFC 5321 and 5322, and beyond ASCII RFC 6531: see [`super::address`].
fn email() -> Schema {
    const ATOM: &str = r#"[^\x00- "(),.:;<>@\[\\\]{b}]"#;
    const ENDS: &str = r"[^\x00-/:-@\[-`\{-~{b}]";
    const QUOTED: &str = r#""([^\x00-\x08\x0a-\x1f"\\{b}]|\\[^\x00- {b}])+""#;
    const LITERAL: &str = r"\[[^\x00- @\[\\\]{b}]*\]";
    let label = format!("{ENDS}({ATOM}{{0,61}}{ENDS})?");
    let address = format!(r"[{{w}}]*({ATOM}+(\.{ATOM}+)*|{QUOTED})@({label}(\.{label})*|{LITERAL})[{{w}}]*",);
    let dots_and_atoms = ATOM.replace(",.:", ",:");
    let local = format!(r#"[{{w}}]*({dots_and_atoms}{{1,64}}|"[^\x00]{{1,62}}")@[^@]*"#);
    let whole = format!(r"[{{w}}]*[^{{w}}\x00][^\x00]{{0,{}}}[{{w}}]*", EMAIL_MAX - 1);
    let mut schema = all_of(&[&address, &local, &whole]);
    // The library takes what follows for an address after a name.
    schema.insert("not".into(), json!({ "pattern": " <" }));
    schema
}

pub(super) fn cloud_events_version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": r"^1\." })
}

/// With its padding, and no bits left over.
const BASE64: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// One of the two; `data` beside `data_base64` may be anything but an object.
pub(super) fn data_or_base64(schema: &mut Schema) {
    schema.insert(
        "oneOf".into(),
        json!([
            {
                "required": ["data"],
                "properties": { "data": { "$ref": "#" }, "data_base64": { "type": "null" } }
            },
            {
                "required": ["data_base64"],
                "properties": {
                    "data": { "not": { "type": "object" } },
                    "data_base64": {
                        "type": "string",
                        "pattern": BASE64,
                        "contentEncoding": "base64",
                        "contentMediaType": "application/json"
                    }
                }
            }
        ]),
    );
}
