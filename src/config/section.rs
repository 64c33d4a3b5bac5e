//! Reading a table: it takes what it asks for, as what it is to be; what nobody asked for is an unknown key.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::catalogue::Form;
use super::duration;
use super::notes::Notes;
use super::problem::{Place, Problem};
use super::secret::{Secret, Source, is_public};
use super::spelling::nearest;
use super::tree::{Node, Table, Value};

#[derive(Clone, Debug)]
pub struct Placed<T> {
    pub value: T,
    pub place: Place,
}

/// What stands under a key that is not ours to know.
pub enum Written<'a> {
    Text(String),
    Table(Section<'a>),
}

pub struct Section<'a> {
    notes: &'a Notes,
    /// The key from the root; empty for the root itself.
    pub key: String,
    pub place: Place,
    left: BTreeMap<&'a str, &'a Node>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub fn root(table: &'a Table, place: Place, notes: &'a Notes) -> Self {
        Self::new(notes, String::new(), place, table)
    }

    fn new(notes: &'a Notes, key: String, place: Place, table: &'a Table) -> Self {
        let left = table.iter().map(|(key, node)| (key.as_str(), node)).collect();
        Self { notes, key, place, left, asked: Vec::new() }
    }

    pub fn key_of(&self, name: &str) -> String {
        match (self.key.as_str(), name) {
            ("", name) => name.to_owned(),
            (key, "") => key.to_owned(),
            (key, name) => format!("{key}.{name}"),
        }
    }

    pub fn note(&self, place: &Place, name: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.notes.note(Problem::error(place, &self.key_of(name), what, mend));
    }

    pub fn warn(&self, place: &Place, name: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.notes.note(Problem::warning(place, &self.key_of(name), what, mend));
    }

    pub fn missing(&self, name: &str, mend: &str) {
        self.note(&self.place, name, "is missing", mend);
    }

    pub fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    fn take(&mut self, name: &'static str, form: Form) -> Option<&'a Node> {
        self.asked.push(name);
        self.notes.ask(self.key_of(name), form);
        self.left.remove(name)
    }

    fn wrong_type(&self, node: &Node, name: &str, expected: &str) {
        self.note(&node.place, name, format!("is {}, expected {expected}", node.value.type_name()), "");
    }

    pub fn text(&mut self, name: &'static str) -> Option<Placed<String>> {
        self.text_as(name, Form::Text)
    }

    fn text_as(&mut self, name: &'static str, form: Form) -> Option<Placed<String>> {
        let node = self.take(name, form)?;
        match &node.value {
            Value::Text(text) | Value::Said(text) => Some(Placed { value: text.clone(), place: node.place.clone() }),
            _ => {
                self.wrong_type(node, name, "a string");
                None
            }
        }
    }

    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let node = self.take(name, Form::Boolean)?;
        match &node.value {
            Value::Boolean(value) => Some(*value),
            Value::Said(text) if matches!(text.as_str(), "true" | "false") => Some(text == "true"),
            _ => {
                self.wrong_type(node, name, "true or false");
                None
            }
        }
    }

    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<u32>, default: u32) -> Placed<u32> {
        let default = Placed { value: default, place: self.place.clone() };
        let (low, high) = (*range.start(), *range.end());
        let Some(node) = self.take(name, Form::Integer { low, high }) else { return default };
        let given = match &node.value {
            Value::Integer(integer) => *integer,
            Value::Said(text) if text.parse::<i64>().is_ok() => text.parse().ok(),
            _ => {
                self.wrong_type(node, name, "an integer");
                return default;
            }
        };
        match given.and_then(|given| u32::try_from(given).ok()).filter(|value| range.contains(value)) {
            Some(value) => Placed { value, place: node.place.clone() },
            None => {
                self.note(&node.place, name, "is out of range", format!("write {low} to {high}"));
                default
            }
        }
    }

    pub fn duration(&mut self, name: &'static str, range: RangeInclusive<Duration>, default: Duration) -> Duration {
        let (low, high) = (*range.start(), *range.end());
        let text = self.text_as(name, Form::Duration { low, high });
        text.and_then(|text| self.duration_of(name, &text, range)).unwrap_or(default)
    }

    pub fn duration_of(&self, name: &str, text: &Placed<String>, range: RangeInclusive<Duration>) -> Option<Duration> {
        match duration::parse(&text.value) {
            None => self.note(&text.place, name, "is not a duration", "write it as \"20s\", \"5m\" or \"7d\""),
            Some(duration) if range.contains(&duration) => return Some(duration),
            Some(_) => {
                let mend = format!("write {} to {}", duration::show(*range.start()), duration::show(*range.end()));
                self.note(&text.place, name, "is out of range", mend);
            }
        }
        None
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let words: Vec<&'static str> = choices.iter().map(|(word, _)| *word).collect();
        let Placed { value, place } = self.text_as(name, Form::Word(words.clone()))?;
        let chosen = choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
            self.note(&place, name, "is none of the words that it can be", format!("write {}", words.join(" or ")));
        }
        chosen
    }

    pub fn secret(&mut self, name: &'static str) -> Option<Placed<Secret>> {
        let node = self.take(name, Form::Secret)?;
        let place = node.place.clone();
        let read = match &node.value {
            Value::Text(text) | Value::Said(text) => Secret::literal(text),
            Value::Table(table) => {
                let mut section = Section::new(self.notes, self.key_of(name), place.clone(), table);
                let source = section.source();
                section.finish();
                Secret::read(source?)
            }
            Value::Integer(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => {
                self.wrong_type(node, name, "a string, { env = \"NAME\" } or { file = \"path\" }");
                return None;
            }
        };
        match read {
            Ok(value) => {
                self.warn_of_public_file(&place, name, &value);
                Some(Placed { value, place })
            }
            Err(unreadable) => {
                self.note(&place, name, unreadable.to_string(), unreadable.mend());
                None
            }
        }
    }

    fn source(&mut self) -> Option<Source> {
        match (self.text("env"), self.text("file")) {
            (Some(name), None) => Some(Source::Environment(name.value)),
            (None, Some(file)) => Some(Source::File(self.resolve(&file))),
            (Some(_), Some(_)) => {
                self.note(&self.place, "env", "is there beside file", "keep one of the two");
                None
            }
            (None, None) => {
                self.missing("env", "write { env = \"NAME\" } or { file = \"path\" }");
                None
            }
        }
    }

    fn warn_of_public_file(&self, place: &Place, name: &str, secret: &Secret) {
        if let Source::File(path) = secret.source()
            && is_public(path)
        {
            let what = format!("names the file {}, which everybody may read", path.display());
            self.warn(place, name, what, "take the right from others: chmod o-r");
        }
    }

    /// Relative paths count from the folder of the file that names them: a worker started elsewhere must not find
    /// another ledger, and deliver everything again.
    pub fn resolve(&self, path: &Placed<String>) -> PathBuf {
        self.notes.folder(&path.place).join(&path.value)
    }

    /// A table in this one; an empty one if it is missing, so that defaults apply and required keys are missed there.
    pub fn section(&mut self, name: &'static str) -> Section<'a> {
        self.section_as(name, Form::Table)
    }

    fn section_as(&mut self, name: &'static str, form: Form) -> Section<'a> {
        let key = self.key_of(name);
        let empty = |place: &Place| {
            let (key, place) = (key.clone(), place.clone());
            Section { notes: self.notes, key, place, left: BTreeMap::new(), asked: Vec::new() }
        };
        let here = empty(&self.place);
        match self.take(name, form) {
            None => here,
            Some(Node { place, value: Value::Table(table) }) => Section::new(self.notes, key, place.clone(), table),
            Some(node) => {
                self.wrong_type(node, name, &format!("a table: [{key}]"));
                here
            }
        }
    }

    /// The tables in the table `name`, by their names.
    pub fn sections(&mut self, name: &'static str) -> Vec<(Placed<String>, Section<'a>)> {
        let parent = self.section(name);
        let of = |(name, node): (&'a str, &'a Node)| {
            let Value::Table(table) = &node.value else {
                parent.wrong_type(node, name, &format!("a table: [{}]", parent.key_of(name)));
                return None;
            };
            let section = Section::new(parent.notes, parent.key_of(name), node.place.clone(), table);
            Some((Placed { value: name.to_owned(), place: node.place.clone() }, section))
        };
        parent.left.clone().into_iter().filter_map(of).collect()
    }

    /// A table whose keys are the destination's own fields.
    pub fn fields(&mut self, name: &'static str) -> Section<'a> {
        self.section_as(name, Form::Fields)
    }

    /// Everything that is left, for a table whose keys are not ours to know.
    pub fn take_all(&mut self) -> Vec<(Placed<String>, Written<'a>)> {
        let left = std::mem::take(&mut self.left);
        let of = |(name, node): (&'a str, &'a Node)| {
            let place = node.place.clone();
            let written = match &node.value {
                Value::Text(text) | Value::Said(text) => Written::Text(text.clone()),
                Value::Table(table) => {
                    Written::Table(Section::new(self.notes, self.key_of(name), place.clone(), table))
                }
                Value::Integer(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => {
                    self.wrong_type(node, name, "a string, or { value = \"…\" }");
                    return None;
                }
            };
            Some((Placed { value: name.to_owned(), place }, written))
        };
        left.into_iter().filter_map(of).collect()
    }

    /// What a text key says, without taking it.
    pub fn peek(&self, name: &str) -> Option<&'a str> {
        match &self.left.get(name)?.value {
            Value::Text(text) | Value::Said(text) => Some(text),
            _ => None,
        }
    }

    /// The tables `[[name]]`.
    pub fn list(&mut self, name: &'static str) -> Vec<Section<'a>> {
        let Some(node) = self.take(name, Form::Tables) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            self.wrong_type(node, name, &format!("tables: [[{}]]", self.key_of(name)));
            return Vec::new();
        };
        let of = |item: &'a Node| {
            let Value::Table(table) = &item.value else {
                self.wrong_type(item, name, &format!("a table: [[{}]]", self.key_of(name)));
                return None;
            };
            Some(Section::new(self.notes, self.key_of(name), item.place.clone(), table))
        };
        items.iter().filter_map(of).collect()
    }

    /// A list of texts, or one of them alone.
    pub fn texts(&mut self, name: &'static str) -> Vec<Placed<String>> {
        let Some(node) = self.take(name, Form::Texts) else { return Vec::new() };
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let of = |item: &Node| match &item.value {
            Value::Text(text) | Value::Said(text) => Some(Placed { value: text.clone(), place: item.place.clone() }),
            _ => {
                self.wrong_type(item, name, "strings: [\"…\", \"…\"]");
                None
            }
        };
        items.iter().filter_map(of).collect()
    }

    /// Notes every key that nobody asked for.
    pub fn finish(self) {
        for (name, node) in &self.left {
            let meant = nearest(name, self.asked.iter().copied());
            let mend = match meant {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            self.note(&node.place, name, "is not a key that we know", mend);
        }
    }
}
