//! What a plan remembers of its maker's wishes, as the store keeps it: so that whoever resumes it goes on in the same way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::replay::{Percent, Terms};
use crate::domain::route::DestinationName;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub terms: Terms,
    /// Where the letters would go, when the plan was made: the lanes to watch.
    pub destinations: Vec<DestinationName>,
}

impl Kept {
    pub fn write(&self) -> String {
        let Terms { canary, canary_timeout, rate, max_failures } = self.terms;
        let destinations: Vec<&str> = self.destinations.iter().map(DestinationName::as_str).collect();
        json!({
            "canary": canary, "canary_timeout_ms": canary_timeout.as_millis() as u64, "rate": rate,
            "max_failures": max_failures.value(), "destinations": destinations,
        })
        .to_string()
    }

    /// What another version of us wrote otherwise is as if it were not written.
    pub fn read(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let number = |name: &str| value[name].as_u64();
        let small = |name: &str| number(name).and_then(|number| u32::try_from(number).ok());
        let default = Terms::default();
        let share = number("max_failures").and_then(|share| Percent::of(u8::try_from(share).ok()?).ok());
        let names = value["destinations"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Self {
            terms: Terms {
                canary: small("canary").unwrap_or(default.canary),
                canary_timeout: number("canary_timeout_ms").map_or(default.canary_timeout, Duration::from_millis),
                rate: small("rate").filter(|rate| *rate > 0).unwrap_or(default.rate),
                max_failures: share.unwrap_or(default.max_failures),
            },
            destinations: names.filter_map(|name| DestinationName::parse(name).ok()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_what_is_not_understood_is_the_default() {
        let kept = Kept {
            terms: Terms {
                canary: 7,
                canary_timeout: Duration::from_millis(1_500),
                rate: 3,
                max_failures: Percent::of(25).unwrap(),
            },
            destinations: vec![DestinationName::parse("contoso-table").unwrap()],
        };
        assert_eq!(Kept::read(&kept.write()), kept);
        for text in ["", "later", "{}", r#"{"rate": 0, "canary": -1, "max_failures": 101, "destinations": ["A B"]}"#] {
            assert_eq!(Kept::read(text), Kept::default(), "{text:?}");
        }
    }
}
