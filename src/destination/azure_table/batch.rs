//! Entity group transactions: what goes out, and what comes back.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions>: one table, one
//! partition, each row once, at most 100 operations and 4 MiB; all are applied or none.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use super::classify;
use super::entity::{self, Columns};
use crate::domain::lead::Lead;

/// A JSON body is one line that begins with a brace, so that no boundary can stand at the start of one.
pub const CONTENT_TYPE: &str = "multipart/mixed; boundary=batch_leadrelay";
const HEAD: &str = "--batch_leadrelay\r\nContent-Type: multipart/mixed; boundary=changeset_leadrelay\r\n\r\n";
const TAIL: &str = "--changeset_leadrelay--\r\n--batch_leadrelay--\r\n";

/// "Its total payload may be no more than 4 MiB in size", with room for the tail.
const SIZE_MAX: usize = 4 * 1024 * 1024 - 4 * 1024;

pub const OPERATIONS_MAX: usize = 100;

/// Not `Debug`: it is a person's data.
pub enum Operation<'a> {
    /// The whole row.
    Insert(&'a Lead),
    /// Only these columns, and only if the row has not changed since it was read.
    Merge { changes: Columns, etag: String },
}

/// Where a row lives.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table's own address.
    pub table: &'a str,
    pub partition: &'a str,
    pub row: &'a str,
}

impl Place<'_> {
    /// The row's own address.
    pub fn address(&self) -> String {
        let Self { table, partition, row } = self;
        format!("{table}(PartitionKey='{}',RowKey='{}')", in_quotes(partition), in_quotes(row))
    }
}

/// A string inside single quotes, in a URL: quotes are doubled, and all but the plainest is percent-encoded.
pub fn in_quotes(text: &str) -> String {
    percent_encoded(&text.replace('\'', "''"))
}

pub fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// A transaction that is being written.
pub struct Transaction {
    body: Vec<u8>,
    operations: usize,
}

/// Most operations are shorter: room is made once.
const USUAL_SIZE: usize = 2_048;

impl Transaction {
    /// With room for so many operations of the usual size.
    pub fn begin(operations: usize) -> Self {
        let operations = operations.min(OPERATIONS_MAX);
        let mut body = Vec::with_capacity(HEAD.len() + operations * USUAL_SIZE + TAIL.len());
        body.extend_from_slice(HEAD.as_bytes());
        Self { body, operations: 0 }
    }

    /// Writes one operation more. With what does not fit any more the next transaction begins, and is answered: one fits
    /// always, whatever its size.
    pub fn push(&mut self, place: Place<'_>, operation: &Operation<'_>) -> Option<Self> {
        let start = self.body.len();
        part(&mut self.body, place, operation);
        if self.operations > 0 && (self.operations == OPERATIONS_MAX || self.body.len() > SIZE_MAX) {
            let mut next = Self::begin(1);
            next.body.extend_from_slice(&self.body[start..]);
            next.operations = 1;
            self.body.truncate(start);
            return Some(next);
        }
        self.operations += 1;
        None
    }

    pub fn operations(&self) -> usize {
        self.operations
    }

    pub fn into_body(mut self) -> Vec<u8> {
        self.body.extend_from_slice(TAIL.as_bytes());
        self.body
    }
}

/// Writes one operation, as a part of a transaction.
fn part(out: &mut Vec<u8>, place: Place<'_>, operation: &Operation<'_>) {
    match operation {
        Operation::Insert(lead) => {
            head(out, format_args!("POST {}", place.table), None);
            entity::write_row(out, lead, place);
        }
        Operation::Merge { changes, etag } => {
            head(out, format_args!("MERGE {}", place.address()), Some(etag));
            serde_json::to_writer(&mut *out, changes).expect("columns are JSON, and writing to memory does not fail");
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn head(out: &mut Vec<u8>, line: fmt::Arguments<'_>, etag: Option<&str>) {
    out.extend_from_slice(
        b"--changeset_leadrelay\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n",
    );
    write!(out, "{line} HTTP/1.1\r\n").expect(IN_MEMORY);
    out.extend_from_slice(
        b"Content-Type: application/json\r\nAccept: application/json;odata=nometadata\r\n\
          Prefer: return-no-content\r\nDataServiceVersion: 3.0;\r\n",
    );
    if let Some(etag) = etag {
        write!(out, "If-Match: {etag}\r\n").expect(IN_MEMORY);
    }
    out.extend_from_slice(b"\r\n");
}

const IN_MEMORY: &str = "writing to memory does not fail";

/// What the service made of a transaction that it understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    Applied,
    /// Nothing was applied.
    Failed {
        status: u16,
        code: Option<String>,
    },
    /// Not the answer to this transaction: it may have been applied.
    Unreadable,
}

/// Reads the parts by their status lines alone: Azurite leaves stray boundaries behind (measured), and a status line
/// cannot stand at the start of a line of JSON.
pub fn read(body: &[u8], operations: usize) -> Answered {
    // Mostly it is plain text, which the strict reading tells much sooner.
    let text = str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let mut parts = text.split("\nHTTP/1.1 ").skip(1);
    let mut applied = 0;
    for part in &mut parts {
        match part.get(..3).and_then(|status| status.parse::<u16>().ok()) {
            Some(200..300) => applied += 1,
            Some(status) => {
                let stated = part.lines().find_map(header_code);
                let code = stated.or_else(|| classify::code_in(part.as_bytes()));
                return Answered::Failed { status, code };
            }
            None => return Answered::Unreadable,
        }
    }
    if applied == operations { Answered::Applied } else { Answered::Unreadable }
}

fn header_code(line: &str) -> Option<String> {
    let (name, value) = line.split_once(':')?;
    name.eq_ignore_ascii_case("x-ms-error-code").then(|| value.trim().to_owned())
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
