//! The JSON of a row, written straight into the request: names that need no escapes, and texts that are JSON themselves.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

const JSON_FORM: &str = "text and times have a JSON form, and writing to memory does not fail";

/// One row, a column after the other.
pub struct Row<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> Row<'a> {
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    /// `value` is a text, or something that is written as one.
    pub fn put(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) {
        self.name(name);
        serde_json::to_writer(&mut *self.out, value).expect(JSON_FORM);
    }

    /// The column's value is a text, and the text is the JSON of `value`.
    pub fn put_json(&mut self, name: &'static str, value: &impl Serialize) {
        self.name(name);
        self.out.push(b'"');
        serde_json::to_writer(InString(self.out), value).expect(JSON_FORM);
        self.out.push(b'"');
    }

    /// The column's value is a text, and the text is a JSON object of times: neither they nor their names need escapes.
    pub fn put_times(&mut self, name: &'static str, times: impl Iterator<Item = (&'static str, Timestamp)>) {
        self.name(name);
        self.out.extend_from_slice(b"\"{");
        // Mostly they are one and the same: it is printed once.
        let (mut printed, mut text) = (None, String::new());
        let mut separator: &[u8] = b"";
        for (name, at) in times {
            if printed != Some(at) {
                (printed, text) = (Some(at), at.to_string());
            }
            for part in [separator, b"\\\"", name.as_bytes(), b"\\\":\\\"", text.as_bytes(), b"\\\""] {
                self.out.extend_from_slice(part);
            }
            separator = b",";
        }
        self.out.extend_from_slice(b"}\"");
    }

    pub fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    /// Ours, and plain letters.
    fn name(&mut self, name: &'static str) {
        self.out.extend_from_slice(&[self.separator, b'"']);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.separator = b',';
    }
}

/// What is written here stands inside a JSON string. It is JSON, in which control characters are escaped already: only
/// quotes and backslashes are left to be.
struct InString<'a>(&'a mut Vec<u8>);

impl Write for InString<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'"' | b'\\')) {
            match piece {
                [plain @ .., last @ (b'"' | b'\\')] => {
                    self.0.extend_from_slice(plain);
                    self.0.extend_from_slice(&[b'\\', *last]);
                }
                plain => self.0.extend_from_slice(plain),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #[test]
        fn a_json_in_a_text_is_read_back_as_it_was(text in any::<String>(), name in any::<String>()) {
            let (mut written, inner) = (Vec::new(), json!({ name: [text.as_str()] }));
            let mut row = Row::begin(&mut written);
            row.put("Plain", &text);
            row.put_json("Json", &inner);
            row.end();
            let read: Value = serde_json::from_slice(&written).expect("JSON");
            prop_assert_eq!(&read, &json!({ "Plain": text, "Json": inner.to_string() }));
        }
    }

    #[test]
    fn times_in_a_text_are_read_back_as_they_were() {
        let (mut written, [first, second]) = (Vec::new(), [0, 1_795_317_845].map(|at| Timestamp::constant(at, 5)));
        let mut row = Row::begin(&mut written);
        row.put_times("Times", [("A", first), ("B", first), ("C", second)].into_iter());
        row.put_times("None", std::iter::empty());
        row.end();
        let read: Value = serde_json::from_slice(&written).expect("JSON");
        let times: Value = serde_json::from_str(read["Times"].as_str().expect("a text")).expect("JSON");
        assert_eq!(times, json!({ "A": first, "B": first, "C": second }));
        assert_eq!(read["None"], "{}");
    }

    #[test]
    fn a_row_without_columns_is_an_object_all_the_same() {
        let mut written = Vec::new();
        Row::begin(&mut written).end();
        assert_eq!(written, b"{}");
    }
}
