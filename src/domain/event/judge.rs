//! The rules of the contract: from what was written to what is meant, with everything that is wrong.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use super::address::is_address;
use super::cloud_events::StandIn;
use super::decode::{ACTIONS, Decoded, SOURCES};
use super::json::{Leaf, Part, RawConsent, RawCustomer, RawEvent};
use super::malformed::{Malformed, Place, Problem, Type, Wrong};
use super::time;
use super::{Consent, Customer, Event};
use crate::domain::route::Offer;

/// RFC 5321: what fits a path of 256 with its angle brackets.
pub const EMAIL_MAX: usize = 254;
/// Source, action and offer go into the ledger and the log: they are bounded.
pub const WORD_MAX: usize = 256;
/// Clocks that are kept by NTP differ by less.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Turns what was written into what is meant, and collects what is wrong. A wrong part becomes an empty one, so that
/// judging goes on; the event is only handed out if nothing was wrong.
pub struct Judge {
    /// Where the event begins in the body.
    event_at: &'static str,
    received: Timestamp,
    problems: Vec<Problem>,
}

/// What a member holds that should be a string.
enum Given<'a> {
    Text(Cow<'a, str>),
    /// Nothing, in one of the ways to write that. No fault of a member that may be missing.
    Nothing(Wrong),
    /// Something wrong, which has been noted.
    Noted,
}

impl Judge {
    pub fn new(received: Timestamp) -> Self {
        Self { event_at: "", received, problems: Vec::new() }
    }

    pub fn within(self, event_at: &'static str) -> Self {
        Self { event_at, ..self }
    }

    pub fn note(&mut self, member: &'static str, wrong: Wrong) {
        self.problems.push(Problem { place: Place { event: self.event_at, member }, wrong });
    }

    pub fn verdict(self) -> Malformed {
        Malformed { problems: self.problems }
    }

    pub fn event(mut self, raw: Part<RawEvent<'_>>, stand_in: StandIn<'_>) -> Result<Decoded, Malformed> {
        let Some(raw) = self.object("", raw) else { return Err(self.verdict()) };
        let id = self.text("/EventId", raw.id).or(stand_in.id).map(Cow::into_owned);
        let [source, action, offer] = self.words([raw.source, raw.action, raw.offer], raw.lead_source);
        let offer = self.offer(&offer);
        let occurred_at = self.occurred_at(raw.occurred_at, stand_in.time.as_deref(), stand_in.time_at);
        let (consent, unknown_in_consent) = self.consent(raw.consent, occurred_at);
        let (customer, unknown_in_customer) = self.customer(raw.customer);
        let offer_display_name = self.optional("/OfferDisplayName", raw.offer_display_name);
        let publisher_display_name = self.optional("/PublisherDisplayName", raw.publisher_display_name);
        let description = self.optional("/Description", raw.description);
        let Some(offer) = offer.filter(|_| self.problems.is_empty()) else { return Err(self.verdict()) };
        Ok(Decoded {
            unknown_members: raw.unknown_members + unknown_in_consent + unknown_in_customer,
            known_source: SOURCES.contains(&source.as_str()),
            known_action: ACTIONS.contains(&action.as_str()),
            event: Event {
                id,
                occurred_at,
                source,
                action,
                offer,
                offer_display_name,
                publisher_display_name,
                description,
                consent,
                customer,
            },
        })
    }

    /// Source, action and offer: as themselves, or where one is missing as their part of `LeadSource`.
    fn words(&mut self, given: [Leaf<'_>; 3], lead_source: Leaf<'_>) -> [String; 3] {
        const AT: [&str; 3] = ["/Source", "/Action", "/Offer"];
        let lead_source = self.given("/LeadSource", lead_source);
        let parts = match &lead_source {
            Given::Text(text) => split_lead_source(text),
            Given::Nothing(_) | Given::Noted => None,
        };
        let mut split_in_vain = false;
        let mut words = [const { String::new() }; 3];
        for (nth, leaf) in given.into_iter().enumerate() {
            let part = parts.map(|parts| parts[nth]);
            match (self.word(AT[nth], leaf), part) {
                (Given::Noted, _) => {}
                (Given::Text(word), part) => {
                    if part.is_some_and(|part| part.to_lowercase() != word.to_lowercase()) {
                        self.note(AT[nth], Wrong::Disagrees);
                    }
                    words[nth] = word.into_owned();
                }
                (Given::Nothing(_), Some(part)) => words[nth] = part.to_owned(),
                (Given::Nothing(wrong), None) => match &lead_source {
                    Given::Nothing(_) => self.note(AT[nth], wrong),
                    Given::Text(_) => split_in_vain = true,
                    Given::Noted => {}
                },
            }
        }
        if split_in_vain {
            self.note("/LeadSource", Wrong::NotALeadSource);
        }
        words
    }

    fn word<'a>(&mut self, at: &'static str, leaf: Leaf<'a>) -> Given<'a> {
        let word = match self.given(at, leaf) {
            Given::Text(text) => text.trim().to_owned(),
            nothing @ (Given::Nothing(_) | Given::Noted) => return nothing,
        };
        if word.is_empty() {
            return Given::Nothing(Wrong::Empty);
        }
        match wrong_with_word(&word) {
            None => Given::Text(Cow::Owned(word)),
            Some(wrong) => {
                self.note(at, wrong);
                Given::Noted
            }
        }
    }

    fn offer(&mut self, text: &str) -> Option<Offer> {
        let offer = Offer::parse(text).ok();
        if offer.is_none() && !text.is_empty() {
            self.note("/Offer", Wrong::NotAnOffer);
        }
        offer
    }

    fn occurred_at(&mut self, leaf: Leaf<'_>, stand_in: Option<&str>, stand_in_at: &'static str) -> Timestamp {
        let own = self.time("/OccurredAt", leaf);
        let theirs = stand_in.and_then(|text| {
            let time = time::parse(text);
            if time.is_none() {
                let place = Place { event: "", member: stand_in_at };
                self.problems.push(Problem { place, wrong: Wrong::NotATime });
            }
            self.plausible(time?)
        });
        own.or(theirs).unwrap_or(self.received)
    }

    fn consent(&mut self, raw: Part<RawConsent<'_>>, occurred_at: Timestamp) -> (Consent, u32) {
        let Some(raw) = self.object("/Consent", raw) else {
            return (Consent { granted: false, at: occurred_at, agreement: String::new() }, 0);
        };
        let consent = Consent {
            granted: self.boolean("/Consent/Granted", raw.granted),
            at: self.time("/Consent/At", raw.at).unwrap_or(occurred_at),
            agreement: self.optional("/Consent/Agreement", raw.agreement),
        };
        (consent, raw.unknown_members)
    }

    fn customer(&mut self, raw: Part<RawCustomer<'_>>) -> (Customer, u32) {
        let Some(raw) = self.object("/CustomerInfo", raw) else { return (Customer::default(), 0) };
        let customer = Customer {
            first_name: self.optional("/CustomerInfo/FirstName", raw.first_name),
            last_name: self.optional("/CustomerInfo/LastName", raw.last_name),
            email: self.email("/CustomerInfo/Email", raw.email),
            phone: self.optional("/CustomerInfo/Phone", raw.phone),
            country: self.optional("/CustomerInfo/Country", raw.country),
            company: self.optional("/CustomerInfo/Company", raw.company),
            title: self.optional("/CustomerInfo/Title", raw.title),
        };
        (customer, raw.unknown_members)
    }

    /// As typed: spaces around an address are no reason to lose a lead, and are no part of its key.
    fn email(&mut self, at: &'static str, leaf: Leaf<'_>) -> String {
        let text = match self.given(at, leaf) {
            Given::Text(text) => text,
            Given::Nothing(wrong) => {
                self.note(at, wrong);
                return String::new();
            }
            Given::Noted => return String::new(),
        };
        let address = text.trim();
        if address.is_empty() {
            self.note(at, Wrong::Empty);
        } else if address.chars().count() > EMAIL_MAX {
            self.note(at, Wrong::TooLong { max: EMAIL_MAX });
        } else if !is_address(address) {
            self.note(at, Wrong::NotAnEmail);
        }
        text.into_owned()
    }

    pub fn object<T>(&mut self, at: &'static str, part: Part<T>) -> Option<T> {
        let wrong = match part {
            Part::Object(object) => return Some(object),
            Part::Absent => Wrong::Missing,
            Part::Other(found) => Wrong::Type { found, expected: Type::Object },
            Part::Twice => Wrong::Twice,
        };
        self.note(at, wrong);
        None
    }

    fn boolean(&mut self, at: &'static str, leaf: Leaf<'_>) -> bool {
        let expected = Type::Boolean;
        let wrong = match leaf {
            Leaf::Boolean(value) => return value,
            Leaf::Absent => Wrong::Missing,
            Leaf::Text(_) => Wrong::Type { found: Type::String, expected },
            Leaf::Other(found) => Wrong::Type { found, expected },
            Leaf::Twice => Wrong::Twice,
        };
        self.note(at, wrong);
        false
    }

    fn given<'a>(&mut self, at: &'static str, leaf: Leaf<'a>) -> Given<'a> {
        let expected = Type::String;
        let wrong = match leaf {
            Leaf::Absent => return Given::Nothing(Wrong::Missing),
            Leaf::Other(Type::Null) => return Given::Nothing(Wrong::Type { found: Type::Null, expected }),
            Leaf::Text(text) if text.is_empty() => return Given::Nothing(Wrong::Empty),
            Leaf::Text(text) if !text.contains('\0') => return Given::Text(text),
            // Databases and CRMs end a text there, or refuse it with an error that says nothing.
            Leaf::Text(_) => Wrong::Nul,
            Leaf::Boolean(_) => Wrong::Type { found: Type::Boolean, expected },
            Leaf::Other(found) => Wrong::Type { found, expected },
            Leaf::Twice => Wrong::Twice,
        };
        self.note(at, wrong);
        Given::Noted
    }

    pub fn text<'a>(&mut self, at: &'static str, leaf: Leaf<'a>) -> Option<Cow<'a, str>> {
        match self.given(at, leaf) {
            Given::Text(text) => Some(text),
            Given::Nothing(_) | Given::Noted => None,
        }
    }

    fn optional(&mut self, at: &'static str, leaf: Leaf<'_>) -> String {
        self.text(at, leaf).map_or_else(String::new, Cow::into_owned)
    }

    fn time(&mut self, at: &'static str, leaf: Leaf<'_>) -> Option<Timestamp> {
        let text = self.text(at, leaf)?;
        let time = time::parse(&text);
        if time.is_none() {
            self.note(at, Wrong::NotATime);
        }
        self.plausible(time?)
    }

    /// The latest event wins every merge, and the latest of grant and withdrawal stands: one producer whose clock is a
    /// year ahead would win against everybody for a year. So a time that has not come yet is the time of receipt. And
    /// what is before 1970 was never set (.NET writes the year 1): that is as good as missing.
    fn plausible(&self, time: Timestamp) -> Option<Timestamp> {
        if time < Timestamp::UNIX_EPOCH {
            None
        } else if time.duration_since(self.received) > CLOCK_SKEW {
            Some(self.received)
        } else {
            Some(time)
        }
    }
}

fn wrong_with_word(word: &str) -> Option<Wrong> {
    if word.chars().any(char::is_control) {
        Some(Wrong::ControlCharacter)
    } else if word.chars().count() > WORD_MAX {
        Some(Wrong::TooLong { max: WORD_MAX })
    } else {
        None
    }
}

/// `Source-Action|publisher.offer`. Offers hold dashes and, in theory, bars; sources hold spaces and brackets, and might
/// hold dashes; actions hold none of these. So: the first bar, and the last dash before it.
fn split_lead_source(text: &str) -> Option<[&str; 3]> {
    let (left, offer) = text.split_once('|')?;
    let (source, action) = left.rsplit_once('-')?;
    let parts = [source.trim(), action.trim(), offer.trim()];
    let sound = parts.iter().all(|part| !part.is_empty() && wrong_with_word(part).is_none());
    (sound && Offer::parse(offer).is_ok()).then_some(parts)
}
