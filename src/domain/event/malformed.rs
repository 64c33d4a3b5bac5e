//! What is wrong with an event: JSON pointers and fixed words. A value never gets in here, so that it cannot get into a
//! log, a header or a dead letter's reason.

use std::fmt;

/// Everything that is wrong with one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Never empty.
    pub problems: Vec<Problem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    pub wrong: Wrong,
}

/// A JSON pointer, in two halves that are both ours: where the event begins in the body (`/data` of a CloudEvent), and
/// where in the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub event: &'static str,
    pub member: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    TooLarge,
    NoBody,
    NotUtf8,
    /// Where the JSON stops making sense. Lines and columns count from 1.
    NotJson {
        line: usize,
        column: usize,
    },
    Missing,
    Empty,
    /// Two members of one name: readers differ in which they take, and one may say yes where the other says no.
    Twice,
    Type {
        found: Type,
        expected: Type,
    },
    Nul,
    ControlCharacter,
    TooLong {
        max: usize,
    },
    NotAnOffer,
    NotALeadSource,
    /// `LeadSource` and one of its three parts say different things.
    Disagrees,
    NotAnEmail,
    NotATime,
    NotBase64,
    BothData,
    /// A batch, or a format other than JSON.
    CloudEventsFormat,
    CloudEventsVersion,
}

/// The JSON types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.event, self.member) {
            // The pointer of the whole document is the empty string, which no reader would see.
            ("", "") => f.write_str("the body"),
            (event, member) => write!(f, "{event}{member}"),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("is over 256 KiB"),
            Self::NoBody => f.write_str("is empty"),
            Self::NotUtf8 => f.write_str("is not UTF-8"),
            Self::NotJson { line, column } => write!(f, "is not JSON from line {line} column {column} on"),
            Self::Missing => f.write_str("missing"),
            Self::Empty => f.write_str("is empty"),
            Self::Twice => f.write_str("is there twice"),
            Self::Type { found, expected } => write!(f, "is {found}, expected {expected}"),
            Self::Nul => f.write_str("holds a NUL character"),
            Self::ControlCharacter => f.write_str("holds a control character"),
            Self::TooLong { max } => write!(f, "is longer than {max} characters"),
            Self::NotAnOffer => f.write_str("is not of the form publisher.offer"),
            Self::NotALeadSource => f.write_str("is not of the form Source-Action|publisher.offer"),
            Self::Disagrees => f.write_str("disagrees with /LeadSource"),
            Self::NotAnEmail => f.write_str("is not an email address"),
            Self::NotATime => f.write_str("is not a time as RFC 3339 writes it"),
            Self::NotBase64 => f.write_str("is not base64"),
            Self::BothData => f.write_str("is there beside /data"),
            Self::CloudEventsFormat => f.write_str("is a CloudEvents batch or not in CloudEvents' JSON format"),
            Self::CloudEventsVersion => f.write_str("is not a version of CloudEvents that we know, which is 1.0"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.wrong)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            let separator = if nth == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Malformed {}
