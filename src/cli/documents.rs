//! Events in files: one JSON document, or JSON lines, or standard input as `-`.

use std::io::Read;

use anyhow::Context;
use bytes::Bytes;
use serde::de::IgnoredAny;

/// One event of a file.
pub struct Document {
    /// `events.jsonl:3`, or only the file where it is one document.
    pub place: String,
    pub body: Bytes,
}

/// The events of all files, in order.
pub fn read(files: &[String]) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for file in files {
        let (name, text) = read_file(file)?;
        split(name, &Bytes::from(text), &mut documents);
    }
    Ok(documents)
}

fn read_file(file: &str) -> anyhow::Result<(&str, Vec<u8>)> {
    if file == "-" {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).context("failed to read standard input")?;
        return Ok(("stdin", text));
    }
    Ok((file, std::fs::read(file).with_context(|| format!("failed to read {file}"))?))
}

/// JSON lines, if one line is a whole JSON object, so that one broken line spoils no other; else one document, which may
/// be broken itself.
fn split(name: &str, text: &Bytes, documents: &mut Vec<Document>) {
    let lines =
        || text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate().filter(|(_, line)| !line.is_empty());
    let is_object = |line: &[u8]| line.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(line).is_ok();
    if lines().nth(1).is_some() && lines().any(|(_, line)| is_object(line)) {
        let of_line = |(nth, line)| Document { place: format!("{name}:{}", nth + 1), body: text.slice_ref(line) };
        documents.extend(lines().map(of_line));
    } else {
        documents.push(Document { place: name.to_owned(), body: text.slice_ref(text.trim_ascii()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_one_document_or_json_lines() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let mut documents = Vec::new();
            split("f", &Bytes::copy_from_slice(text.as_bytes()), &mut documents);
            let found: Vec<_> =
                documents.iter().map(|d| (d.place.as_str(), std::str::from_utf8(&d.body).unwrap())).collect();
            assert_eq!(found, expected, "{text:?}");
        };
        check("{}", &[("f", "{}")]);
        check("\n {\"a\":\n 1}\r\n", &[("f", "{\"a\":\n 1}")]);
        check("{}\r\n\n{} \n", &[("f:1", "{}"), ("f:3", "{}")]);
        check("{}\nbroken\n{\"a\":1}\n", &[("f:1", "{}"), ("f:2", "broken"), ("f:3", "{\"a\":1}")]);
        check("broken", &[("f", "broken")]);
        check("{\n \"a\": 1,,\n}", &[("f", "{\n \"a\": 1,,\n}")]);
        check("1\n2", &[("f", "1\n2")]);
        check("", &[("f", "")]);
        check(" \n\n", &[("f", "")]);
    }
}
