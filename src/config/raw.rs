//! The file as typed: tables with the line of everything in them. Reading takes what it asks for; what nobody asked for
//! is an unknown key.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};
use super::secret::{Secret, Source, is_public};
use super::spelling::nearest;

/// The places of a file, and what is wrong in them.
pub struct Notes {
    file: Arc<Path>,
    line_ends: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl Notes {
    pub fn new(file: &Path, text: &str) -> Self {
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { file: file.into(), line_ends, problems: RefCell::default() }
    }

    pub fn place(&self, span: &Range<usize>) -> Place {
        let line = self.line_ends.partition_point(|end| *end < span.start) + 1;
        Place { file: self.file.clone(), line }
    }

    pub fn note(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// In the order of the file.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        problems
    }
}

/// Reads the text, or notes every place where it is not TOML.
pub fn parse<'t>(text: &'t str, notes: &Notes) -> Option<DeTable<'t>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        // Only the message: the whole error quotes the line, and with it whatever secret is there.
        let place = notes.place(&error.span().unwrap_or_default());
        let what = error.message().lines().next().unwrap_or_default();
        notes.note(Problem::error(&place, "", format!("is not TOML here: {what}"), "mend the syntax first"));
    }
    errors.is_empty().then(|| table.into_inner())
}

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

/// A table of the file.
pub struct Section<'a> {
    notes: &'a Notes,
    /// The key from the root; empty for the root itself.
    pub key: String,
    pub place: Place,
    left: BTreeMap<&'a str, (Range<usize>, &'a Spanned<DeValue<'a>>)>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub fn root(table: &'a DeTable<'a>, notes: &'a Notes) -> Self {
        Self::new(notes, String::new(), notes.place(&(0..0)), table)
    }

    fn new(notes: &'a Notes, key: String, place: Place, table: &'a DeTable<'a>) -> Self {
        let left = table.iter().map(|(key, value)| (key.get_ref().as_ref(), (key.span(), value))).collect();
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

    fn take(&mut self, name: &'static str) -> Option<(Place, &'a DeValue<'a>)> {
        self.asked.push(name);
        let (span, value) = self.left.remove(name)?;
        Some((self.notes.place(&span), value.get_ref()))
    }

    fn wrong_type(&self, place: &Place, name: &str, found: &DeValue<'_>, expected: &str) {
        self.note(place, name, format!("is a TOML {}, expected {expected}", found.type_str()), "");
    }

    pub fn text(&mut self, name: &'static str) -> Option<Placed<String>> {
        match self.take(name)? {
            (place, DeValue::String(text)) => Some(Placed { value: text.as_ref().to_owned(), place }),
            (place, other) => {
                self.wrong_type(&place, name, other, "a string");
                None
            }
        }
    }

    pub fn boolean(&mut self, name: &'static str, default: bool) -> bool {
        match self.take(name) {
            None => default,
            Some((_, DeValue::Boolean(value))) => *value,
            Some((place, other)) => {
                self.wrong_type(&place, name, other, "true or false");
                default
            }
        }
    }

    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<u32>, default: u32) -> Placed<u32> {
        let default = Placed { value: default, place: self.place.clone() };
        let Some((place, value)) = self.take(name) else { return default };
        let DeValue::Integer(integer) = value else {
            self.wrong_type(&place, name, value, "an integer");
            return default;
        };
        match u32::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) if range.contains(&value) => Placed { value, place },
            _ => {
                let (low, high) = range.into_inner();
                self.note(&place, name, "is out of range", format!("write {low} to {high}"));
                default
            }
        }
    }

    pub fn duration(&mut self, name: &'static str, range: RangeInclusive<Duration>, default: Duration) -> Duration {
        let text = self.text(name);
        text.and_then(|text| self.duration_of(name, &text, range)).unwrap_or(default)
    }

    pub fn duration_of(&self, name: &str, text: &Placed<String>, range: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = duration(&text.value);
        match duration {
            None => self.note(&text.place, name, "is not a duration", "write it as \"20s\", \"5m\" or \"7d\""),
            Some(duration) if range.contains(&duration) => return Some(duration),
            Some(_) => {
                let mend = format!("write {} to {}", human(*range.start()), human(*range.end()));
                self.note(&text.place, name, "is out of range", mend);
            }
        }
        None
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let Placed { value, place } = self.text(name)?;
        let chosen = choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.note(&place, name, "is none of the words that it can be", format!("write {}", words.join(" or ")));
        }
        chosen
    }

    pub fn secret(&mut self, name: &'static str) -> Option<Placed<Secret>> {
        let (place, value) = self.take(name)?;
        let read = match value {
            DeValue::String(text) => Secret::literal(text),
            DeValue::Table(table) => {
                let mut section = Section::new(self.notes, self.key_of(name), place.clone(), table);
                let source = section.source();
                section.finish();
                Secret::read(source?)
            }
            other => {
                self.wrong_type(&place, name, other, "a string, { env = \"NAME\" } or { file = \"path\" }");
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
            (None, Some(file)) => Some(Source::File(self.resolve(&file.value))),
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
    pub fn resolve(&self, path: &str) -> std::path::PathBuf {
        self.notes.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// A table in this one; an empty one if it is missing, so that defaults apply and required keys are missed there.
    pub fn section(&mut self, name: &'static str) -> Section<'a> {
        let empty = |place| Section {
            notes: self.notes,
            key: self.key_of(name),
            place,
            left: BTreeMap::new(),
            asked: Vec::new(),
        };
        let here = empty(self.place.clone());
        match self.take(name) {
            None => here,
            Some((place, DeValue::Table(table))) => Section::new(self.notes, self.key_of(name), place, table),
            Some((place, other)) => {
                self.wrong_type(&place, name, other, &format!("a table: [{}]", self.key_of(name)));
                here
            }
        }
    }

    /// The tables in the table `name`, by their names.
    pub fn sections(&mut self, name: &'static str) -> Vec<(Placed<String>, Section<'a>)> {
        let parent = self.section(name);
        let of = |(name, (span, value)): (&'a str, (Range<usize>, &'a Spanned<DeValue<'a>>))| {
            let place = parent.notes.place(&span);
            let DeValue::Table(table) = value.get_ref() else {
                parent.wrong_type(&place, name, value.get_ref(), &format!("a table: [{}]", parent.key_of(name)));
                return None;
            };
            let section = Section::new(parent.notes, parent.key_of(name), place.clone(), table);
            Some((Placed { value: name.to_owned(), place }, section))
        };
        parent.left.clone().into_iter().filter_map(of).collect()
    }

    /// Everything that is left, for a table whose keys are not ours to know.
    pub fn take_all(&mut self) -> Vec<(Placed<String>, Written<'a>)> {
        let left = std::mem::take(&mut self.left);
        let of = |(name, (span, value)): (&'a str, (Range<usize>, &'a Spanned<DeValue<'a>>))| {
            let place = self.notes.place(&span);
            let written = match value.get_ref() {
                DeValue::String(text) => Written::Text(text.as_ref().to_owned()),
                DeValue::Table(table) => {
                    Written::Table(Section::new(self.notes, self.key_of(name), place.clone(), table))
                }
                other => {
                    self.wrong_type(&place, name, other, "a string, or { value = \"…\" }");
                    return None;
                }
            };
            Some((Placed { value: name.to_owned(), place }, written))
        };
        left.into_iter().filter_map(of).collect()
    }

    /// What a text key says, without taking it.
    pub fn peek(&self, name: &str) -> Option<&'a str> {
        match self.left.get(name)?.1.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            _ => None,
        }
    }

    /// The tables `[[name]]`.
    pub fn list(&mut self, name: &'static str) -> Vec<Section<'a>> {
        let Some((place, value)) = self.take(name) else { return Vec::new() };
        let DeValue::Array(items) = value else {
            self.wrong_type(&place, name, value, &format!("tables: [[{}]]", self.key_of(name)));
            return Vec::new();
        };
        let of = |item: &'a Spanned<DeValue<'a>>| {
            let place = self.notes.place(&item.span());
            let DeValue::Table(table) = item.get_ref() else {
                self.wrong_type(&place, name, item.get_ref(), &format!("a table: [[{}]]", self.key_of(name)));
                return None;
            };
            Some(Section::new(self.notes, self.key_of(name), place, table))
        };
        items.iter().filter_map(of).collect()
    }

    /// Notes every key that nobody asked for.
    pub fn finish(self) {
        for (name, (span, _)) in &self.left {
            let meant = nearest(name, self.asked.iter().copied());
            let mend = match meant {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            self.note(&self.notes.place(span), name, "is not a key that we know", mend);
        }
    }
}

/// As people write it, with days of 24 hours and nothing longer: `20s`, `1h 30m`, `7d`.
fn duration(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

/// In its largest whole unit: `90s` is `90s`, `120s` is `2m`.
fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let whole = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{}ms", duration.as_millis()), |(unit, name)| format!("{}{name}", seconds / unit))
}
