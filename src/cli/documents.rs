//! Events in files: one JSON document, or JSON lines, or standard input as `-`.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use serde::de::IgnoredAny;

/// One event of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub file: Arc<str>,
    /// `None`: it is the whole file.
    pub line: Option<usize>,
    pub body: Bytes,
}

impl Document {
    /// `events.jsonl:3`, or only the file where it is one document.
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.to_string(),
        }
    }
}

/// The events of all files, in order.
pub fn read(files: &[String]) -> anyhow::Result<Vec<Document>> {
    let each: anyhow::Result<Vec<_>> = files.iter().map(|file| of(file)).collect();
    Ok(each?.into_iter().flatten().collect())
}

/// The events of one file, which is held in memory as long as they are.
pub fn of(file: &str) -> anyhow::Result<impl Iterator<Item = Document> + use<>> {
    if file == "-" {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).context("failed to read standard input")?;
        return Ok(split("stdin", text.into()));
    }
    let text = std::fs::read(file).with_context(|| format!("failed to read {file}"))?;
    Ok(split(file, text.into()))
}

/// How much there is to read, as far as that is known.
pub fn size(files: &[String]) -> u64 {
    files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|metadata| metadata.len()).sum()
}

fn split(name: &str, text: Bytes) -> impl Iterator<Item = Document> + use<> {
    let lines = are_lines(name, &text);
    let file: Arc<str> = name.into();
    let (mut at, mut number) = (0, 0);
    std::iter::from_fn(move || {
        while at <= text.len() {
            let rest = &text[at..];
            let length = if lines { rest.iter().position(|byte| *byte == b'\n') } else { None }.unwrap_or(rest.len());
            let body = trimmed(&rest[..length]);
            (at, number) = (at + length + 1, number + 1);
            if !lines || !body.is_empty() {
                let line = lines.then_some(number);
                return Some(Document { file: file.clone(), line, body: text.slice_ref(body) });
            }
        }
        None
    })
}

/// A file that is called so is JSON lines, whatever is in it. Else it is one document, if it is JSON as a whole; or if no
/// line by itself is an object, so that one broken line spoils no other, and one broken document is told once.
fn are_lines(name: &str, text: &[u8]) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    if matches!(extension, Some("jsonl" | "ndjson")) {
        return true;
    }
    let is_json = |text: &[u8]| serde_json::from_slice::<IgnoredAny>(text).is_ok();
    if is_json(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)) {
        return false;
    }
    let lines = || text.split(|byte| *byte == b'\n').map(trimmed).filter(|line| !line.is_empty());
    lines().nth(1).is_some() && lines().any(|line| line.trim_ascii_start().starts_with(b"{") && is_json(line))
}

/// Without the blanks of JSON after it (ASCII has more of them). Those before it stay: a byte order mark behind a blank is
/// none, and lines are counted from the file's first.
fn trimmed(text: &[u8]) -> &[u8] {
    let last = text.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    &text[..last.map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::envelope::{Message, Properties};
    use crate::domain::event::{Event, decode};

    fn documents(name: &str, text: impl Into<Vec<u8>>) -> Vec<Document> {
        split(name, Bytes::from(text.into())).collect()
    }

    #[test]
    fn a_file_is_one_document_or_json_lines() {
        let check = |name: &str, text: &str, expected: &[(&str, &str)]| {
            let documents = documents(name, text);
            let found: Vec<_> =
                documents.iter().map(|d| (d.place(), std::str::from_utf8(&d.body).unwrap().to_owned())).collect();
            let expected: Vec<_> = expected.iter().map(|(place, body)| (place.to_string(), body.to_string())).collect();
            assert_eq!(found, expected, "{text:?}");
        };
        check("f", "{}", &[("f", "{}")]);
        check("f", "\n {\"a\":\n 1}\r\n", &[("f", "\n {\"a\":\n 1}")]);
        check("f", "{\"a\":\n{}\n}", &[("f", "{\"a\":\n{}\n}")]);
        check("f", "\u{feff}{\"a\":\n{}\n}", &[("f", "\u{feff}{\"a\":\n{}\n}")]);
        check("f", "{}\r\n\n{} \n", &[("f:1", "{}"), ("f:3", "{}")]);
        check("f", "{}\nbroken\n{\"a\":1}\n", &[("f:1", "{}"), ("f:2", "broken"), ("f:3", "{\"a\":1}")]);
        check("f", "broken", &[("f", "broken")]);
        check("f", "{\n \"a\": 1,,\n}", &[("f", "{\n \"a\": 1,,\n}")]);
        check("f", "1\n2", &[("f", "1\n2")]);
        check("f", "", &[("f", "")]);
        check("f", " \n\n", &[("f", "")]);
        check("f", "{}\u{c}", &[("f", "{}\u{c}")]);
        check("f.jsonl", "broken\n", &[("f.jsonl:1", "broken")]);
        check("f.ndjson", "1\n\n2", &[("f.ndjson:1", "1"), ("f.ndjson:3", "2")]);
        check("f.jsonl", "", &[]);
    }

    /// What the worker makes of a body.
    fn worker(body: impl Into<Bytes>) -> Option<Event> {
        let received = Timestamp::UNIX_EPOCH;
        decode(&Message { body: body.into(), properties: Properties::default() }, received).ok().map(|it| it.event)
    }

    fn event() -> impl Strategy<Value = Value> {
        let word = |right: &'static str, wrong: Value| prop_oneof![8 => Just(json!(right)), 1 => Just(wrong)];
        let texts = (".{0,8}", "[ \\t\\r\\n{}\\[\\]\":,a]{0,8}");
        let words = (word("INS", json!(1)), word("a.b", json!("ab")), word("a@b.c", json!(null)));
        (words, texts).prop_map(|((action, offer, email), (text, more))| {
            json!({ "Source": "SPZA", "Action": action, "Offer": offer, "Description": text,
                    "Consent": { "Granted": true }, "CustomerInfo": { "Email": email, "Title": more }, "Else": {} })
        })
    }

    /// An event in bytes: as it is, over many lines, with blanks around, cut short, or with a byte changed.
    fn body() -> impl Strategy<Value = Vec<u8>> {
        let blanks = "[ \\t\\r\\u{c}\\u{b}\\u{feff}\\u{a0}]{0,2}";
        let broken = prop_oneof![3 => Just(None), 1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(Some)];
        (event(), any::<bool>(), (blanks, blanks), broken).prop_map(|(event, pretty, (before, after), broken)| {
            let text = if pretty { format!("{event:#}").replace(": {", ":\n{") } else { event.to_string() };
            let mut bytes = format!("{before}{text}{after}").into_bytes();
            match broken {
                Some((at, byte)) if byte < 128 => {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                Some((at, _)) => bytes.truncate(at.index(bytes.len())),
                None => {}
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn a_file_is_accepted_if_the_worker_accepts_it_as_a_body(body in body()) {
            let expected = worker(body.clone());
            let found: Vec<_> = documents("event.json", body.clone()).into_iter().map(|it| worker(it.body)).collect();
            match expected {
                Some(event) => prop_assert_eq!(found, [Some(event)]),
                // Broken, it may pass for several lines, of which one may be an event.
                None if body.contains(&b'\n') => prop_assert!(found.contains(&None)),
                None => prop_assert_eq!(found, [None]),
            }
        }

        #[test]
        fn each_line_is_accepted_if_the_worker_accepts_it(bodies in prop::collection::vec(body(), 1..6)) {
            let is_line = |body: &Vec<u8>| !body.contains(&b'\n') && !trimmed(body).is_empty();
            let bodies: Vec<_> = bodies.into_iter().filter(is_line).collect();
            let found: Vec<_> = documents("f.jsonl", bodies.join(&b'\n')).into_iter().map(|it| worker(it.body)).collect();
            let expected: Vec<_> = bodies.into_iter().map(worker).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
