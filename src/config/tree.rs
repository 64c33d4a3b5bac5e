//! What was typed, with the place of everything: the files' tables, laid one beside the other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::notes::Notes;
use super::problem::{Place, Problem};

pub type Table = BTreeMap<String, Node>;

/// A value. What stands under a key has the key's place.
#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    /// None: far out of every range.
    Integer(Option<i64>),
    Boolean(bool),
    Table(Table),
    List(Vec<Node>),
    /// A date, or a fraction: by TOML's name for it.
    Other(&'static str),
    /// As an environment variable says it. What it is to be, its key knows.
    Said(String),
}

impl Value {
    /// `is …, expected a table`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a TOML string",
            Self::Integer(_) => "a TOML integer",
            Self::Boolean(_) => "a TOML boolean",
            Self::Table(_) => "a TOML table",
            Self::List(_) => "a TOML array",
            Self::Other("datetime") => "a TOML datetime",
            Self::Other(_) => "a TOML float",
            Self::Said(_) => "a text",
        }
    }
}

/// The lines of a text, to tell places in it.
pub struct Lines {
    file: Arc<Path>,
    ends: Vec<usize>,
}

impl Lines {
    pub fn new(file: &Path, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { file: file.into(), ends }
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let line = self.ends.partition_point(|end| *end < span.start) + 1;
        Place::Line { file: self.file.clone(), line }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let node = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| Node {
            place: self.place(&key.span()),
            value: self.value(value.get_ref()),
        };
        table.iter().map(|entry| (entry.0.get_ref().to_string(), node(entry))).collect()
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.as_ref().to_owned()),
            DeValue::Integer(integer) => Value::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).ok()),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Table(table) => Value::Table(self.table(table)),
            DeValue::Array(items) => {
                let node = |item: &Spanned<DeValue<'_>>| Node {
                    place: self.place(&item.span()),
                    value: self.value(item.get_ref()),
                };
                Value::List(items.iter().map(node).collect())
            }
            DeValue::Float(_) | DeValue::Datetime(_) => Value::Other(value.type_str()),
        }
    }
}

/// Reads a file's text, or notes every place where it is not TOML.
pub fn parse(file: &Path, text: &str, notes: &Notes) -> Option<Table> {
    let lines = Lines::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        // Only the message: the whole error quotes the line, and with it whatever secret is there.
        let place = lines.place(&error.span().unwrap_or_default());
        let what = error.message().lines().next().unwrap_or_default();
        notes.note(Problem::error(&place, "", format!("is not TOML here: {what}"), "mend the syntax first"));
    }
    errors.is_empty().then(|| lines.table(table.get_ref()))
}

/// One value, as an environment variable writes it; its parts have the variable's place.
pub fn parse_value(text: &str, place: &Place) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let mut node = Node { place: place.clone(), value: Lines::new(Path::new(""), text).value(value.get_ref()) };
    put_at(&mut node, place);
    Some(node)
}

fn put_at(node: &mut Node, place: &Place) {
    node.place = place.clone();
    match &mut node.value {
        Value::Table(table) => table.values_mut().for_each(|node| put_at(node, place)),
        Value::List(items) => items.iter_mut().for_each(|node| put_at(node, place)),
        Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::Other(_) | Value::Said(_) => {}
    }
}

/// Lays a further file's table beside what is there: tables become one, lists follow each other, and what stands in both
/// is noted. `key` is the table's own, from the root.
pub fn merge(into: &mut Table, more: Table, key: &str, notes: &Notes) {
    for (name, node) in more {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        match into.entry(name) {
            Entry::Vacant(entry) => drop(entry.insert(node)),
            Entry::Occupied(mut entry) => match (&mut entry.get_mut().value, node.value) {
                (Value::Table(into), Value::Table(more)) => merge(into, more, &key, notes),
                (Value::List(into), Value::List(more)) => into.extend(more),
                _ => {
                    let what = format!("was set before, at {}", entry.get().place);
                    notes.note(Problem::error(&node.place, &key, what, "keep one of the two"));
                }
            },
        }
    }
}
