//! Whether what a caller sent can be a lead: names, types, lengths, what is required. Pure.

use std::collections::BTreeMap;

use email_address::EmailAddress;
use serde_json::{Map, Value};

use super::refusal::{Refusal, no_such_column};
use super::schema::{Access, Field, Kind, Schema};

/// Values by the names of their fields, as the schema spells them; null clears.
pub type Row = BTreeMap<String, Value>;

/// The first check: known columns and types. A call with a record that fails it is malformed as a whole.
pub fn read(schema: &Schema, record: &Map<String, Value>) -> Result<Row, Refusal> {
    let mut row = Row::new();
    for (name, value) in record.iter().filter(|(name, _)| *name != "attributes") {
        let field = schema.field(name).ok_or_else(|| no_such_column(name))?;
        row.insert(field.name.clone(), typed(field, value)?);
    }
    Ok(row)
}

fn typed(field: &Field, value: &Value) -> Result<Value, Refusal> {
    let wrong = |kind: &str, token: &str| {
        let message = format!(
            "Cannot deserialize instance of {kind} from {token} value {} or request may be missing a required field at \
             [line:1, column:2]",
            text_of(value)
        );
        Refusal::new("JSON_PARSER_ERROR", message)
    };
    Ok(match (field.kind, value) {
        (_, Value::Null) => Value::Null,
        (Kind::Boolean, Value::Bool(_)) | (Kind::Integer | Kind::Currency, Value::Number(_)) => value.clone(),
        (Kind::Boolean, Value::String(text)) if ["true", "false"].contains(&text.as_str()) => (text == "true").into(),
        (Kind::Boolean, other) => return Err(wrong("boolean", token(other))),
        (Kind::Integer | Kind::Currency, Value::String(text)) => {
            serde_json::from_str::<serde_json::Number>(text).map_err(|_| wrong("double", token(value)))?.into()
        }
        (Kind::Integer | Kind::Currency, other) => return Err(wrong("double", token(other))),
        // Salesforce trims, and knows no empty text.
        (_, Value::String(text)) if text.trim().is_empty() => Value::Null,
        (_, Value::String(text)) => text.trim().into(),
        (_, other) => return Err(wrong("string", token(other))),
    })
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// As Salesforce's JSON parser calls it.
fn token(value: &Value) -> &'static str {
    match value {
        Value::Null => "VALUE_NULL",
        Value::Bool(true) => "VALUE_TRUE",
        Value::Bool(false) => "VALUE_FALSE",
        Value::Number(number) if number.is_f64() => "VALUE_NUMBER_FLOAT",
        Value::Number(_) => "VALUE_NUMBER_INT",
        Value::String(_) => "VALUE_STRING",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    }
}

/// Whether a lead is made, or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Create,
    Update,
}

/// The second check, which fails this record alone.
pub fn check(schema: &Schema, required: &[String], row: &Row, purpose: Purpose) -> Vec<Refusal> {
    let is_read_only = |name: &&str| schema.field(name).is_some_and(|field| field.access == Access::ReadOnly);
    let read_only: Vec<&str> = row.keys().map(String::as_str).filter(is_read_only).collect();
    if !read_only.is_empty() {
        let message = format!(
            "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is \
             read/write for your profile or permission set.",
            read_only.join(", ")
        );
        return vec![Refusal::new("INVALID_FIELD_FOR_INSERT_UPDATE", message).of(read_only)];
    }
    let missing = missing(schema, required, row, purpose);
    if !missing.is_empty() {
        let message = format!("Required fields are missing: [{}]", missing.join(", "));
        return vec![Refusal::new("REQUIRED_FIELD_MISSING", message).of(missing)];
    }
    row.iter().filter_map(|(name, value)| misfit(schema.field(name)?, value.as_str()?)).collect()
}

fn missing<'a>(schema: &'a Schema, required: &'a [String], row: &Row, purpose: Purpose) -> Vec<&'a str> {
    let names = ["LastName", "Company"].into_iter().chain(required.iter().map(String::as_str));
    let known = names.filter_map(|name| schema.field(name)).map(|field| field.name.as_str());
    known
        .filter(|name| match (row.get(*name), purpose) {
            (None, Purpose::Create) | (Some(Value::Null), _) => true,
            (None, Purpose::Update) | (Some(_), _) => false,
        })
        .collect()
}

/// What is wrong with a text in its field.
pub fn misfit(field: &Field, text: &str) -> Option<Refusal> {
    let Field { name, label, length, .. } = field;
    if *length > 0 && length_of(text) > *length {
        let message = format!("{label}: data value too large: {text} (max length={length})");
        return Some(Refusal::new("STRING_TOO_LONG", message).of([name.as_str()]));
    }
    if field.kind == Kind::Email && !is_email(text) {
        let message = format!("{label}: invalid email address: {text}");
        return Some(Refusal::new("INVALID_EMAIL_ADDRESS", message).of([name.as_str()]));
    }
    None
}

/// In UTF-16 code units.
pub fn length_of(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Stricter than RFC 5321, as Salesforce is: ASCII, nothing quoted, a domain with a dot.
fn is_email(text: &str) -> bool {
    let domain = text.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
    text.is_ascii() && !text.contains('"') && domain.contains('.') && EmailAddress::is_valid(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::{CustomField, ExternalId};
    use super::*;

    fn schema() -> Schema {
        let external = CustomField { name: "Leadrelay_Key__c".into(), length: 8 };
        Schema::new(&external, ExternalId { unique: true, case_sensitive: false }, &[])
    }

    fn codes(record: &Value, purpose: Purpose) -> Vec<(&'static str, Vec<String>)> {
        let record = record.as_object().unwrap();
        let refusals = match read(&schema(), record) {
            Ok(row) => check(&schema(), &["phone".into()], &row, purpose),
            Err(refusal) => vec![refusal],
        };
        refusals.into_iter().map(|refusal| (refusal.code, refusal.fields)).collect()
    }

    #[test]
    fn a_record_is_refused_for_what_salesforce_refuses() {
        let good = json!({ "LastName": "Liang", "Company": "Contoso", "Phone": "1" });
        let check = |change: Value, expected: &[(&'static str, &[&str])]| {
            let mut record = good.clone();
            for (name, value) in change.as_object().unwrap() {
                record[name] = value.clone();
            }
            let expected: Vec<(&str, Vec<String>)> = expected
                .iter()
                .map(|(code, fields)| (*code, fields.iter().map(|f| (*f).to_owned()).collect()))
                .collect();
            assert_eq!(codes(&record, Purpose::Create), expected, "{change}");
        };
        check(json!({}), &[]);
        check(json!({ "attributes": { "type": "Lead" }, "email": "a@b.example", "doNotCall": true }), &[]);
        check(json!({ "LastName": " " }), &[("REQUIRED_FIELD_MISSING", &["LastName"])]);
        check(json!({ "Company": null, "Phone": "" }), &[("REQUIRED_FIELD_MISSING", &["Company", "Phone"])]);
        check(json!({ "FirstName": "x".repeat(40) }), &[]);
        check(json!({ "FirstName": "x".repeat(41) }), &[("STRING_TOO_LONG", &["FirstName"])]);
        check(json!({ "FirstName": "😀".repeat(20) }), &[]);
        check(json!({ "FirstName": "😀".repeat(21) }), &[("STRING_TOO_LONG", &["FirstName"])]);
        check(json!({ "Leadrelay_Key__c": "123456789" }), &[("STRING_TOO_LONG", &["Leadrelay_Key__c"])]);
        for email in ["nobody", "a@b", "a b@c.example", "ä@b.example", "\"a\"@b.example"] {
            check(json!({ "Email": email }), &[("INVALID_EMAIL_ADDRESS", &["Email"])]);
        }
        check(json!({ "Nonsense": 1 }), &[("INVALID_FIELD", &[])]);
        check(json!({ "Name": "Dashan Liang" }), &[("INVALID_FIELD_FOR_INSERT_UPDATE", &["Name"])]);
        check(json!({ "FirstName": 7 }), &[("JSON_PARSER_ERROR", &[])]);
        check(json!({ "DoNotCall": "yes" }), &[("JSON_PARSER_ERROR", &[])]);
        check(json!({ "DoNotCall": "true", "NumberOfEmployees": "12" }), &[]);
        check(json!({ "NumberOfEmployees": "many" }), &[("JSON_PARSER_ERROR", &[])]);
    }

    #[test]
    fn an_update_may_leave_out_what_is_required_and_may_not_clear_it() {
        assert_eq!(codes(&json!({ "FirstName": "Dashan" }), Purpose::Update), []);
        let cleared = json!({ "LastName": null });
        assert_eq!(codes(&cleared, Purpose::Update), [("REQUIRED_FIELD_MISSING", vec!["LastName".to_owned()])]);
    }

    #[test]
    fn messages_repeat_what_was_sent_as_salesforces_do() {
        let email = schema().field("Email").cloned().unwrap();
        assert_eq!(misfit(&email, "dashan@").unwrap().message, "Email: invalid email address: dashan@");
    }
}
