//! Faults as they are written, on the command line and over HTTP: `ON:WHAT[:NAME=VALUE]…`, such as
//! `collections:status=503:next=3`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::faults::{Fault, Kind, What, When};

const KINDS: [(&str, Kind); 5] = [
    ("any", Kind::Any),
    ("web-to-lead", Kind::WebToLead),
    ("token", Kind::Token),
    ("collections", Kind::Collections),
    ("rest", Kind::Rest),
];

/// The parts that qualify: `next=3`.
#[derive(Default)]
struct Parts {
    named: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    done: bool,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A body is the last part: it may hold whatever it likes.
        let (text, body) = match text.split_once(":body=") {
            Some((text, body)) => (text, Some(body.to_owned())),
            None => (text, None),
        };
        let mut parts = text.split(':');
        let (on, what) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let kind = KINDS.iter().find(|(name, _)| *name == on).map(|(_, kind)| *kind);
        let on =
            kind.ok_or_else(|| format!("{on:?} is no kind of request: {}", KINDS.map(|(name, _)| name).join(", ")))?;
        let mut parts = Parts::read(parts)?;
        let when = parts.when()?;
        let what = parts.what(what, body)?;
        match parts.named.keys().next() {
            None => Ok(Self { on, what, when }),
            Some(name) => Err(format!("{name} does not belong here")),
        }
    }
}

impl Parts {
    fn read<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut parts = Self::default();
        for text in texts {
            match text.split_once('=') {
                None if text == "done" => parts.done = true,
                None => return Err(format!("{text:?} is neither NAME=VALUE nor done")),
                Some(("header", header)) => {
                    let (name, value) = header.split_once('=').ok_or("a header is written header=NAME=VALUE")?;
                    parts.headers.insert(name.to_owned(), value.to_owned());
                }
                Some((name, value)) => drop(parts.named.insert(name.to_owned(), value.to_owned())),
            }
        }
        Ok(parts)
    }

    fn when(&mut self) -> Result<When, String> {
        match (self.named.remove("next"), self.named.remove("share")) {
            (None, None) => Ok(When::Always),
            (Some(next), None) => next.parse().map(When::Next).map_err(|_| format!("next={next} is no number")),
            (None, Some(share)) => match share.parse() {
                Ok(number) if (0.0..=1.0).contains(&number) => Ok(When::Share(number)),
                _ => Err(format!("share={share} is not between 0 and 1")),
            },
            (Some(_), Some(_)) => Err("next and share exclude each other".into()),
        }
    }

    fn what(&mut self, text: &str, body: Option<String>) -> Result<What, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name != "status" && (self.done || body.is_some() || !self.headers.is_empty()) {
            return Err("done, header and body belong to a status".into());
        }
        match name {
            "status" => {
                let status = value.parse().ok().filter(|status| (200..=599).contains(status));
                let status = status.ok_or_else(|| format!("{value:?} is no status, 200 to 599"))?;
                let (code, headers) = (self.named.remove("code"), std::mem::take(&mut self.headers));
                Ok(What::Status { status, body, code, headers, done: self.done })
            }
            "slow" => delay(value).map(What::Slow).ok_or_else(|| format!("{value:?} is no delay, such as 250ms or 2s")),
            "drop-before" => Ok(What::DropBefore),
            "drop-after" => Ok(What::DropAfter),
            "half-body" => Ok(What::HalfBody),
            "lock" => {
                let keys = self.named.remove("keys").unwrap_or_default();
                Ok(What::Lock { keys: keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect() })
            }
            other => {
                Err(format!("{other:?} is no fault: status=N, slow=TIME, drop-before, drop-after, half-body, lock"))
            }
        }
    }
}

fn delay(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number = number.parse().ok().filter(|number| *number <= 3_600_000)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = KINDS.iter().find(|(_, kind)| *kind == self.on).map(|(name, _)| *name).unwrap_or_default();
        write!(f, "{on}:")?;
        match &self.what {
            What::Status { status, .. } => write!(f, "status={status}")?,
            What::Slow(delay) => write!(f, "slow={}ms", delay.as_millis())?,
            What::DropBefore => f.write_str("drop-before")?,
            What::DropAfter => f.write_str("drop-after")?,
            What::HalfBody => f.write_str("half-body")?,
            What::Lock { keys } if keys.is_empty() => f.write_str("lock")?,
            What::Lock { keys } => write!(f, "lock:keys={}", keys.join(","))?,
        }
        match self.when {
            When::Always => {}
            When::Next(left) => write!(f, ":next={left}")?,
            When::Share(share) => write!(f, ":share={share}")?,
        }
        if let What::Status { body, code, headers, done, .. } = &self.what {
            if *done {
                f.write_str(":done")?;
            }
            if let Some(code) = code {
                write!(f, ":code={code}")?;
            }
            for (name, value) in headers {
                write!(f, ":header={name}={value}")?;
            }
            if let Some(body) = body {
                write!(f, ":body={body}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_as_it_is_written() {
        for text in [
            "any:slow=250ms",
            "web-to-lead:drop-after:next=1",
            "web-to-lead:drop-before",
            "token:status=400:code=invalid_grant",
            "collections:status=503:next=3:header=Retry-After=5",
            "collections:status=500:share=0.25:done",
            "rest:half-body:share=0.5",
            "collections:lock:keys=abc,def",
            "any:lock:share=0.1",
            "web-to-lead:status=200:body=<html>: <b>maintenance</b></html>",
        ] {
            let fault: Fault = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(fault.to_string(), text);
        }
        assert_eq!("any:slow=2s".parse::<Fault>().unwrap(), Fault::new(Kind::Any, What::Slow(Duration::from_secs(2))));
        let built = Fault::status(Kind::Collections, 503).next(3).header("Retry-After", "5");
        assert_eq!("collections:status=503:next=3:header=Retry-After=5".parse(), Ok(built));
    }

    #[test]
    fn what_is_no_fault_is_told() {
        let check = |text: &str, part: &str| {
            let error = text.parse::<Fault>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        };
        check("", "is no kind of request");
        check("all:drop-after", "\"all\" is no kind of request");
        check("any", "is no fault");
        check("any:explode", "\"explode\" is no fault");
        check("any:status=99", "is no status");
        check("any:status=503:next=x", "is no number");
        check("any:status=503:share=2", "is not between 0 and 1");
        check("any:status=503:next=1:share=0.5", "exclude each other");
        check("any:status=503:after=1", "after does not belong here");
        check("any:drop-after:done", "belong to a status");
        check("any:slow=5", "is no delay");
        check("any:drop-after:code=X", "code does not belong here");
    }
}
