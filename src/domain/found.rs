//! A lead as its destination holds it, read back; and which of them are asked for.

use jiff::Timestamp;

use super::event::Customer;
use super::journey::{Stage, Step};
use super::route::{Offer, OfferPattern};

/// What stands there. People edit it: every text may be anything, and what is not there is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundLead {
    /// The lead key.
    pub key: String,
    /// As the destination itself calls it, where that is another name than the lead key.
    pub record: Option<String>,
    pub offer: String,
    pub offer_name: String,
    pub publisher_name: String,
    pub stage: String,
    pub customer: Customer,
    pub description: Description,
    /// In time order.
    pub journey: Vec<Step>,
    pub withdrawn_at: Option<Timestamp>,
    pub created_at: Option<Timestamp>,
    /// By whomever.
    pub changed_at: Option<Timestamp>,
}

/// A text that people wrote. It does not print.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Description(pub String);

impl std::fmt::Debug for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Description(…)")
    }
}

/// All conditions must hold; those that are not set always do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The beginning of the lead key.
    pub key: Option<KeyPrefix>,
    pub offer: Option<OfferPattern>,
    pub stage: Option<Stage>,
    /// Changed at the destination at this time, or later.
    pub since: Option<Timestamp>,
}

/// Some of a lead key's first characters, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a lead key is 32 of 0-9 and a-f; give all of them, or the first four or more")]
pub struct NotAKeyPrefix;

impl KeyPrefix {
    pub fn parse(text: &str) -> Result<Self, NotAKeyPrefix> {
        let text = text.trim().to_ascii_lowercase();
        let legal = (4..=32).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
        if legal { Ok(Self(text)) } else { Err(NotAKeyPrefix) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for KeyPrefix {
    type Err = NotAKeyPrefix;

    fn from_str(text: &str) -> Result<Self, NotAKeyPrefix> {
        Self::parse(text)
    }
}

impl Selection {
    /// Whether a lead is among those. Services filter as far as they can, and some can less than others.
    pub fn takes(&self, lead: &FoundLead) -> bool {
        let of_the_offer = |pattern: &OfferPattern| match Offer::parse(&lead.offer) {
            Ok(offer) => pattern.covers(&offer),
            Err(_) => *pattern == OfferPattern::Any,
        };
        self.key.as_ref().is_none_or(|key| lead.key.starts_with(key.as_str()))
            && self.offer.as_ref().is_none_or(of_the_offer)
            && self.stage.is_none_or(|stage| lead.stage == stage.as_str())
            && self.since.is_none_or(|since| lead.changed_at.is_none_or(|at| at >= since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead() -> FoundLead {
        FoundLead {
            key: "0123abcd".into(),
            record: None,
            offer: "Contoso.Balancer".into(),
            offer_name: String::new(),
            publisher_name: String::new(),
            stage: "interest".into(),
            customer: Customer::default(),
            description: Description::default(),
            journey: Vec::new(),
            withdrawn_at: None,
            created_at: None,
            changed_at: Timestamp::from_second(100).ok(),
        }
    }

    #[test]
    fn a_lead_is_taken_when_every_condition_holds() {
        let check = |expected: bool, set: &dyn Fn(&mut Selection)| {
            let mut selection = Selection::default();
            set(&mut selection);
            assert_eq!(selection.takes(&lead()), expected, "{selection:?}");
        };
        let pattern = |text: &str| OfferPattern::parse(text).ok();
        check(true, &|_| {});
        check(true, &|wanted| wanted.key = KeyPrefix::parse("0123").ok());
        check(false, &|wanted| wanted.key = KeyPrefix::parse("abcd").ok());
        check(true, &|wanted| wanted.offer = pattern("contoso.balancer"));
        check(true, &|wanted| wanted.offer = pattern("contoso.*"));
        check(true, &|wanted| wanted.offer = pattern("*"));
        check(false, &|wanted| wanted.offer = pattern("contoso.balance"));
        check(true, &|wanted| wanted.stage = Some(Stage::Interest));
        check(false, &|wanted| wanted.stage = Some(Stage::Trial));
        check(true, &|wanted| wanted.since = Timestamp::from_second(100).ok());
        check(false, &|wanted| wanted.since = Timestamp::from_second(101).ok());
        for wrong in ["", "abc", "0123x", &"0".repeat(33)] {
            assert_eq!(KeyPrefix::parse(wrong), Err(NotAKeyPrefix), "{wrong}");
        }
        assert_eq!(KeyPrefix::parse("ABCD").map(|key| key.0), Ok("abcd".to_owned()));
    }
}
