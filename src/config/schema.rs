//! The JSON Schema of the configuration, for editors: made of the [`catalogue`].

use serde_json::{Map, Value, json};

use super::catalogue::{Form, Given, Group, Key, SAMPLES, groups};
use super::destination::NAME_PATTERN;
use crate::domain::mapping::LeadValue;

/// Refuses the keys that the reader refuses. That something is missing it tells only of destinations and routes: the rest
/// may stand in another file, or in the environment.
pub fn schema() -> Value {
    let groups = groups();
    let mut properties = Map::new();
    for group in &groups {
        match group.name {
            "" => properties.extend(keys(group)),
            "routes" => {
                let routes =
                    json!({ "type": "array", "items": table(group), "description": "From an offer to a destination" });
                properties.insert("routes".into(), routes);
            }
            name if name.contains('.') => {}
            name => {
                let mut table = table(group);
                table.remove("required");
                properties.insert(name.into(), table.into());
            }
        }
    }
    properties.insert("destinations".into(), destinations(&groups));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "leadrelay.toml",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn destinations(groups: &[Group]) -> Value {
    let mut kinds: Vec<&str> = SAMPLES.iter().map(|sample| sample.kind).collect();
    kinds.dedup();
    let of_kind = |kind: &str| {
        let group = groups.iter().find(|group| group.name == format!("destinations.{kind}"))?;
        let mut table = table(group);
        let prefix = format!("destinations.{kind}.auth.");
        let ways: Vec<Value> = groups.iter().filter_map(|group| way(group, &prefix)).collect();
        let properties = table.get_mut("properties").and_then(Value::as_object_mut)?;
        properties.insert("kind".into(), json!({ "const": kind }));
        if !ways.is_empty() {
            properties
                .insert("auth".into(), json!({ "type": "object", "oneOf": ways, "description": "The way to a token" }));
        }
        require_access(kind, &mut table);
        Some(Value::from(table))
    };
    let kinds: Vec<Value> = kinds.into_iter().filter_map(of_kind).collect();
    json!({
        "type": "object",
        "patternProperties": { NAME_PATTERN: { "type": "object", "oneOf": kinds } },
        "additionalProperties": false,
    })
}

fn way(group: &Group, prefix: &str) -> Option<Value> {
    let kind = group.name.strip_prefix(prefix)?;
    let mut table = table(group);
    table.get_mut("properties")?.as_object_mut()?.insert("kind".into(), json!({ "const": kind }));
    Some(table.into())
}

/// What is required only where something else is missing.
fn require_access(kind: &str, table: &mut Map<String, Value>) {
    match kind {
        "azure-table" => {
            let ways = json!([
                { "required": ["connection_string"] },
                { "required": ["account", "auth"] },
                { "required": ["endpoint", "auth"] },
            ]);
            table.insert("oneOf".into(), ways);
        }
        "salesforce" => {
            if let Some(required) = table.get_mut("required").and_then(Value::as_array_mut) {
                required.push("auth".into());
            }
        }
        _ => {}
    }
}

fn table(group: &Group) -> Map<String, Value> {
    let required: Vec<&str> =
        group.keys.iter().filter(|key| key.given == Given::Required).map(|key| key.name).collect();
    let table = json!({
        "type": "object",
        "properties": keys(group).collect::<Map<_, _>>(),
        "required": required,
        "additionalProperties": false,
    });
    match table {
        Value::Object(table) => table,
        _ => Map::new(),
    }
}

fn keys(group: &Group) -> impl Iterator<Item = (String, Value)> {
    group.keys.iter().map(|key| (key.name.to_owned(), value(key)))
}

fn value(key: &Key) -> Value {
    let mut value = takes(&key.form);
    if let Value::Object(members) = &mut value {
        members.insert("description".into(), key.about.into());
        // A default is TOML's own writing, which JSON shares for what ours are: texts, numbers, true and false.
        if let Given::Default(default) = key.given
            && let Ok(default) = serde_json::from_str::<Value>(default)
        {
            members.insert("default".into(), default);
        }
    }
    value
}

fn takes(form: &Form) -> Value {
    match form {
        Form::Text | Form::Duration { .. } => json!({ "type": "string" }),
        Form::Secret => json!({ "oneOf": [{ "type": "string" }, named("env"), named("file")] }),
        Form::Boolean => json!({ "type": "boolean" }),
        Form::Integer { low, high } => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Form::Word(words) => json!({ "enum": words }),
        Form::Texts => {
            json!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
        }
        Form::Fields => {
            let ours: Vec<&str> = LeadValue::ALL.into_iter().map(LeadValue::name).collect();
            json!({ "type": "object", "additionalProperties": { "oneOf": [{ "enum": ours }, named("value")] } })
        }
        Form::Table | Form::Tables => json!({}),
    }
}

/// `{ name = "…" }`
fn named(name: &str) -> Value {
    json!({
        "type": "object",
        "properties": { name: { "type": "string" } },
        "required": [name],
        "additionalProperties": false,
    })
}
