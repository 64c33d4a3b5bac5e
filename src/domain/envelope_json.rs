//! A message's properties as JSON: nothing is lost, and text and whole numbers stay what a person expects.
//!
//! `"text"`, `7`, `true` and `null` are themselves; every other AMQP value is an object of one member that names its type.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::envelope::{HeaderValue, Headers, Properties};

/// Only what is there.
pub fn to_json(properties: &Properties) -> Value {
    let Properties { content_type, content_encoding, message_id, correlation_id, kind, app_id, timestamp, headers } =
        properties;
    let texts = [
        ("content_type", content_type),
        ("content_encoding", content_encoding),
        ("message_id", message_id),
        ("correlation_id", correlation_id),
        ("type", kind),
        ("app_id", app_id),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?))));
    let mut members: Map<String, Value> = texts.collect();
    if let Some(seconds) = timestamp {
        members.insert("timestamp".into(), json!(seconds));
    }
    if !headers.is_empty() {
        members.insert("headers".into(), table_to_json(headers));
    }
    Value::Object(members)
}

/// `None`: these are not properties as [`to_json`] writes them.
pub fn from_json(value: Value) -> Option<Properties> {
    let Value::Object(mut members) = value else { return None };
    let mut text = |name: &str| match members.remove(name) {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(_) => None,
    };
    let mut properties = Properties {
        content_type: text("content_type")?,
        content_encoding: text("content_encoding")?,
        message_id: text("message_id")?,
        correlation_id: text("correlation_id")?,
        kind: text("type")?,
        app_id: text("app_id")?,
        ..Properties::default()
    };
    if let Some(seconds) = members.remove("timestamp") {
        properties.timestamp = Some(seconds.as_u64()?);
    }
    if let Some(headers) = members.remove("headers") {
        properties.headers = table_from_json(headers)?;
    }
    members.is_empty().then_some(properties)
}

fn table_to_json(table: &Headers) -> Value {
    Value::Object(table.iter().map(|(name, value)| (name.clone(), value_to_json(value))).collect())
}

fn table_from_json(value: Value) -> Option<Headers> {
    let Value::Object(members) = value else { return None };
    members.into_iter().map(|(name, value)| Some((name, value_from_json(value)?))).collect::<Option<BTreeMap<_, _>>>()
}

fn value_to_json(value: &HeaderValue) -> Value {
    match value {
        HeaderValue::Null => Value::Null,
        HeaderValue::Bool(value) => json!(value),
        HeaderValue::Int(value) => json!(value),
        HeaderValue::Text(text) => json!(text),
        // JSON knows no infinity, and not every reader of it as many digits.
        HeaderValue::Float(value) => json!({ "float": value.to_string() }),
        HeaderValue::Decimal { scale, value } => json!({ "decimal": [scale, value] }),
        HeaderValue::Bytes(bytes) => json!({ "bytes": STANDARD.encode(bytes) }),
        HeaderValue::Timestamp(seconds) => json!({ "timestamp": seconds }),
        HeaderValue::List(items) => json!({ "list": items.iter().map(value_to_json).collect::<Vec<_>>() }),
        HeaderValue::Table(table) => json!({ "table": table_to_json(table) }),
    }
}

fn value_from_json(value: Value) -> Option<HeaderValue> {
    Some(match value {
        Value::Null => HeaderValue::Null,
        Value::Bool(value) => HeaderValue::Bool(value),
        Value::Number(number) => HeaderValue::Int(number.as_i64()?),
        Value::String(text) => HeaderValue::Text(text),
        Value::Array(_) => return None,
        Value::Object(members) => {
            let mut members = members.into_iter();
            let (Some((kind, value)), None) = (members.next(), members.next()) else { return None };
            typed(&kind, value)?
        }
    })
}

fn typed(kind: &str, value: Value) -> Option<HeaderValue> {
    Some(match (kind, value) {
        ("float", Value::String(text)) => HeaderValue::Float(text.parse().ok()?),
        ("bytes", Value::String(text)) => HeaderValue::Bytes(STANDARD.decode(text).ok()?),
        ("timestamp", Value::Number(seconds)) => HeaderValue::Timestamp(seconds.as_u64()?),
        ("decimal", Value::Array(parts)) => {
            let [scale, value] = parts.as_slice() else { return None };
            HeaderValue::Decimal { scale: scale.as_u64()?.try_into().ok()?, value: value.as_u64()?.try_into().ok()? }
        }
        ("list", Value::Array(items)) => {
            HeaderValue::List(items.into_iter().map(value_from_json).collect::<Option<_>>()?)
        }
        ("table", table) => HeaderValue::Table(table_from_json(table)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = HeaderValue> {
        let leaf = prop_oneof![
            Just(HeaderValue::Null),
            any::<bool>().prop_map(HeaderValue::Bool),
            any::<i64>().prop_map(HeaderValue::Int),
            any::<f64>().prop_filter("NaN is not itself", |float| !float.is_nan()).prop_map(HeaderValue::Float),
            (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
            "\\PC{0,20}".prop_map(HeaderValue::Text),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(HeaderValue::Bytes),
            any::<u64>().prop_map(HeaderValue::Timestamp),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(HeaderValue::List),
                prop::collection::btree_map("\\PC{0,8}", inner, 0..4).prop_map(HeaderValue::Table),
            ]
        })
    }

    fn text() -> impl Strategy<Value = Option<String>> {
        prop::option::of("\\PC{0,20}")
    }

    prop_compose! {
        fn properties()(
            (content_type, content_encoding, message_id) in (text(), text(), text()),
            (correlation_id, kind, app_id) in (text(), text(), text()),
            timestamp in prop::option::of(any::<u64>()),
            headers in prop::collection::btree_map("\\PC{0,12}", header(), 0..5),
        ) -> Properties {
            Properties { content_type, content_encoding, message_id, correlation_id, kind, app_id, timestamp, headers }
        }
    }

    proptest! {
        #[test]
        fn properties_come_back_as_they_were(properties in properties()) {
            let text = to_json(&properties).to_string();
            prop_assert_eq!(from_json(serde_json::from_str(&text).expect("JSON")), Some(properties));
        }
    }

    #[test]
    fn what_is_no_properties_is_none() {
        for text in [
            "[]",
            "null",
            r#"{"priority": 1}"#,
            r#"{"headers": []}"#,
            r#"{"headers": {"a": [1]}}"#,
            r#"{"headers": {"a": {"float": 1}}}"#,
            r#"{"headers": {"a": {"x": 1}}}"#,
            r#"{"headers": {"a": 1.5}}"#,
            r#"{"headers": {"a": {"timestamp": 1, "list": []}}}"#,
            r#"{"app_id": 7}"#,
            r#"{"timestamp": -1}"#,
        ] {
            assert_eq!(from_json(serde_json::from_str(text).expect("JSON")), None, "{text}");
        }
    }
}
