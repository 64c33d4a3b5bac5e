//! Environment variables that override keys: `LEADRELAY__HTTP__LISTEN` is `http.listen`.

use std::ffi::OsString;
use std::sync::Arc;

use super::notes::Notes;
use super::problem::{Place, Problem};
use super::tree::{self, Node, Table, Value};

const PREFIX: &str = "LEADRELAY__";

/// What a variable overrides, and with what.
pub struct Override {
    place: Place,
    /// Between the double underscores.
    parts: Vec<String>,
    /// None: it is not UTF-8.
    text: Option<String>,
}

/// In the order of their names.
pub fn overrides(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<Override> {
    let of = |(name, text): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        let parts = name.strip_prefix(PREFIX)?.split("__").map(str::to_owned).collect();
        Some((name, parts, text.into_string().ok()))
    };
    let mut found: Vec<(String, Vec<String>, Option<String>)> = environment.into_iter().filter_map(of).collect();
    found.sort();
    let placed = |(name, parts, text)| Override { place: Place::Variable(Arc::from(name)), parts, text };
    found.into_iter().map(placed).collect()
}

impl Override {
    /// Whether it says which files are read at all.
    pub fn is_include(&self) -> bool {
        self.parts.len() == 1 && self.parts[0].eq_ignore_ascii_case("include")
    }

    /// Puts it in its place in the table.
    pub fn apply(&self, table: &mut Table, notes: &Notes) {
        let note = |key: &str, what: &str, mend: String| notes.note(Problem::error(&self.place, key, what, mend));
        let Some(text) = &self.text else { return note("", "is not UTF-8", "write it as text".into()) };
        if self.parts.iter().any(String::is_empty) {
            return note("", "names no key", format!("write it as {PREFIX}HTTP__LISTEN, for http.listen"));
        }
        match put(table, &self.parts, &mut Vec::new(), &|path| self.node(text, path)) {
            Ok(()) => {}
            Err(Unplaced { key, what, mend }) => note(&key, what, mend),
        }
    }

    fn node(&self, text: &str, path: &[String]) -> Result<Node, Unplaced> {
        let place = self.place.clone();
        // A list has no text of its own: TOML's stands in.
        let listed = match path {
            [only] if only == "routes" => true,
            [only] if only == "include" => text.trim_start().starts_with('['),
            _ => false,
        };
        if !listed {
            return Ok(Node { place, value: Value::Said(text.to_owned()) });
        }
        tree::parse_value(text, &place).ok_or_else(|| Unplaced {
            key: path.join("."),
            what: "is no list as TOML writes it",
            mend: "write it as [{ offer = \"publisher.*\", destination = \"name\" }], or [\"destinations.d/*.toml\"]"
                .to_owned(),
        })
    }
}

/// Why a variable overrides nothing.
struct Unplaced {
    key: String,
    what: &'static str,
    mend: String,
}

/// `path` is where `table` is, from the root.
fn put(
    table: &mut Table,
    parts: &[String],
    path: &mut Vec<String>,
    node: &dyn Fn(&[String]) -> Result<Node, Unplaced>,
) -> Result<(), Unplaced> {
    let (name, rest) = next_key(table, parts, path)?;
    path.push(name.clone());
    if rest.is_empty() {
        table.insert(name, node(path)?);
        return Ok(());
    }
    let place = node(path)?.place;
    let below = table.entry(name).or_insert_with(|| Node { place: place.clone(), value: Value::Table(Table::new()) });
    let names_source = |name: &str| matches!(name, "env" | "file");
    match &mut below.value {
        // A secret is written in one way: another source takes the place of the one in the file.
        Value::Table(secret) if rest.len() == 1 && secret.keys().all(|key| names_source(key)) => secret.clear(),
        Value::Table(_) => {}
        _ => below.value = Value::Table(Table::new()),
    }
    match &mut below.value {
        Value::Table(below) => put(below, rest, path, node),
        _ => Ok(()),
    }
}

/// The key that the next parts name, and the parts that are left. A key of the files may hold double underscores itself
/// (`Journey__c`), and what a variable's name cannot hold (`contoso-table`).
fn next_key<'p>(table: &Table, parts: &'p [String], path: &[String]) -> Result<(String, &'p [String]), Unplaced> {
    for taken in (1..=parts.len()).rev() {
        let wanted = folded(&parts[..taken].join("__"));
        let mut known = table.keys().filter(|key| folded(key) == wanted);
        match (known.next(), known.next()) {
            (Some(key), None) => return Ok((key.clone(), &parts[taken..])),
            (Some(one), Some(other)) => {
                let mend = format!("{one} and {other} are alike to an environment variable: write it in the file");
                return Err(Unplaced { key: path.join("."), what: "is not told apart", mend });
            }
            (None, _) => {}
        }
    }
    let named_by_people = match path {
        [destinations] => destinations == "destinations",
        [destinations, _, fields] => destinations == "destinations" && fields == "fields",
        _ => false,
    };
    if named_by_people {
        let names: Vec<&str> = table.keys().map(String::as_str).collect();
        let mend = format!("write it in a file first; there are: {}", names.join(", "));
        return Err(Unplaced { key: path.join("."), what: "has nothing of this name in the files", mend });
    }
    Ok((parts[0].to_ascii_lowercase(), &parts[1..]))
}

/// As a variable's name writes it.
fn folded(key: &str) -> String {
    key.chars().map(|c| if c == '-' || c == '.' { '_' } else { c.to_ascii_lowercase() }).collect()
}
