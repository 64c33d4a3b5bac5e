//! From an offer to the one destination that its publisher configured.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

/// `publisher.offer`, as written, split at the first dot, compared without case.
#[derive(Clone, Debug)]
pub struct Offer {
    written: String,
    normalised: String,
    dot: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not publisher.offer")]
pub struct NotAnOffer;

impl Offer {
    pub fn parse(text: &str) -> Result<Self, NotAnOffer> {
        let written = text.trim().to_owned();
        let normalised = written.to_lowercase();
        let dot = normalised.find('.').ok_or(NotAnOffer)?;
        if dot == 0 || dot + 1 == normalised.len() {
            return Err(NotAnOffer);
        }
        Ok(Self { written, normalised, dot })
    }

    pub fn written(&self) -> &str {
        &self.written
    }

    pub fn normalised(&self) -> &str {
        &self.normalised
    }

    /// The part before the first dot, in lower case.
    pub fn publisher(&self) -> &str {
        &self.normalised[..self.dot]
    }
}

impl PartialEq for Offer {
    fn eq(&self, other: &Self) -> bool {
        self.normalised == other.normalised
    }
}

/// The name of a configured destination: a metric label, part of a queue's name, never a message's choice.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DestinationName(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a destination's name is 1 to 64 of a-z, 0-9, - and _, and begins with a letter or a digit")]
pub struct NotADestinationName;

impl DestinationName {
    pub fn parse(text: &str) -> Result<Self, NotADestinationName> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if text.len() <= 64 && first && text.chars().all(legal) {
            Ok(Self(text.into()))
        } else {
            Err(NotADestinationName)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DestinationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `publisher.offer`, `publisher.*` or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OfferPattern {
    Exact(String),
    Publisher(String),
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an offer pattern: write publisher.offer, publisher.* or *")]
pub struct NotAPattern;

impl OfferPattern {
    pub fn parse(text: &str) -> Result<Self, NotAPattern> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let offer = Offer::parse(text).map_err(|_| NotAPattern)?;
        match (offer.publisher(), &offer.normalised[offer.dot + 1..]) {
            (publisher, _) if publisher.contains('*') => Err(NotAPattern),
            (publisher, "*") => Ok(Self::Publisher(publisher.to_owned())),
            (_, rest) if rest.contains('*') => Err(NotAPattern),
            _ => Ok(Self::Exact(offer.normalised)),
        }
    }
}

impl OfferPattern {
    pub fn covers(&self, offer: &Offer) -> bool {
        match self {
            Self::Exact(exact) => exact == offer.normalised(),
            Self::Publisher(publisher) => publisher == offer.publisher(),
            Self::Any => true,
        }
    }
}

impl fmt::Display for OfferPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(offer) => f.write_str(offer),
            Self::Publisher(publisher) => write!(f, "{publisher}.*"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// All routes. The most specific pattern wins; a look-up costs the same for ten routes as for ten thousand, and
/// allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    exact: HashMap<String, DestinationName>,
    publishers: HashMap<String, DestinationName>,
    any: Option<DestinationName>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a second route for the same offer pattern")]
pub struct RouteTwice;

impl Routes {
    /// On `Err` the first route stands.
    pub fn add(&mut self, pattern: OfferPattern, destination: DestinationName) -> Result<(), RouteTwice> {
        let vacant = match pattern {
            OfferPattern::Exact(offer) => add_to(&mut self.exact, offer, destination),
            OfferPattern::Publisher(publisher) => add_to(&mut self.publishers, publisher, destination),
            OfferPattern::Any if self.any.is_none() => {
                self.any = Some(destination);
                true
            }
            OfferPattern::Any => false,
        };
        if vacant { Ok(()) } else { Err(RouteTwice) }
    }

    pub fn find(&self, offer: &Offer) -> Option<&DestinationName> {
        self.exact.get(offer.normalised()).or_else(|| self.publishers.get(offer.publisher())).or(self.any.as_ref())
    }

    /// The patterns that lead to a destination, the most specific first.
    pub fn to(&self, destination: &DestinationName) -> Vec<OfferPattern> {
        let to = |(pattern, name): (&String, &DestinationName)| (name == destination).then(|| pattern.clone());
        let mut exact: Vec<String> = self.exact.iter().filter_map(to).collect();
        let mut publishers: Vec<String> = self.publishers.iter().filter_map(to).collect();
        exact.sort_unstable();
        publishers.sort_unstable();
        let any = self.any.iter().filter(|name| *name == destination).map(|_| OfferPattern::Any);
        let exact = exact.into_iter().map(OfferPattern::Exact);
        exact.chain(publishers.into_iter().map(OfferPattern::Publisher)).chain(any).collect()
    }

    /// The offers that have a route of their own.
    pub fn exact_offers(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().map(String::as_str)
    }

    /// The route that [`Self::find`] takes, with its pattern, for people.
    pub fn explain(&self, offer: &Offer) -> Option<(OfferPattern, &DestinationName)> {
        let exact = self.exact.get(offer.normalised()).map(|to| (OfferPattern::Exact(offer.normalised.clone()), to));
        let publisher = || {
            let to = self.publishers.get(offer.publisher())?;
            Some((OfferPattern::Publisher(offer.publisher().to_owned()), to))
        };
        exact.or_else(publisher).or_else(|| self.any.as_ref().map(|to| (OfferPattern::Any, to)))
    }
}

fn add_to(routes: &mut HashMap<String, DestinationName>, key: String, destination: DestinationName) -> bool {
    match routes.entry(key) {
        Entry::Occupied(_) => false,
        Entry::Vacant(entry) => {
            entry.insert(destination);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DestinationName {
        DestinationName::parse(text).unwrap()
    }

    fn routes(entries: &[(&str, &str)]) -> Routes {
        let mut routes = Routes::default();
        for (pattern, destination) in entries {
            routes.add(OfferPattern::parse(pattern).unwrap(), name(destination)).unwrap();
        }
        routes
    }

    #[test]
    fn what_leads_to_a_destination_is_listed_the_most_specific_first() {
        let routes = routes(&[("*", "a"), ("pub.*", "a"), ("pub.y", "a"), ("pub.x", "a"), ("other.*", "b")]);
        let listed =
            |name_: &str| routes.to(&name(name_)).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(
            (listed("a"), listed("b"), listed("c")),
            ("pub.x pub.y pub.* *".into(), "other.*".into(), String::new())
        );
    }

    #[test]
    fn the_most_specific_pattern_wins_whatever_the_order_and_the_case() {
        let forwards = [("pub.Offer", "exact"), ("PUB.*", "publisher"), ("*", "any")];
        let mut backwards = forwards;
        backwards.reverse();
        let check = |offer: &str, expected: &str| {
            let offer = Offer::parse(offer).unwrap();
            for entries in [forwards, backwards] {
                let routes = routes(&entries);
                assert_eq!(routes.find(&offer), Some(&name(expected)), "{offer:?}");
                assert_eq!(routes.explain(&offer).map(|(_, to)| to), routes.find(&offer), "{offer:?}");
            }
        };
        check("pub.offer", "exact");
        check(" Pub.OFFER ", "exact");
        check("pub.offer2", "publisher");
        check("pub.offer.more", "publisher");
        check("publisher.offer", "any");
    }

    #[test]
    fn an_offer_that_no_pattern_covers_has_no_route() {
        let routes = routes(&[("pub.offer", "exact"), ("other.*", "publisher")]);
        for offer in ["pub.offer2", "pub2.offer", "oth.er", "other2.x"] {
            let offer = Offer::parse(offer).unwrap();
            assert_eq!(routes.find(&offer), None, "{offer:?}");
            assert_eq!(routes.explain(&offer), None, "{offer:?}");
        }
    }

    #[test]
    fn a_message_cannot_name_a_pattern_in_place_of_an_offer() {
        let routes = routes(&[("pub.*", "publisher"), ("pub.x", "exact")]);
        assert_eq!(routes.find(&Offer::parse("pub.*").unwrap()), Some(&name("publisher")));
        assert_eq!(routes.find(&Offer::parse("*.x").unwrap()), None);
        assert_eq!(routes.find(&Offer::parse("*.*").unwrap()), None);
    }

    #[test]
    fn a_second_route_for_a_pattern_is_refused_and_the_first_stands() {
        for (first, second) in [("a.b", "A.B"), ("a.*", "A.*"), ("*", "*")] {
            let mut routes = routes(&[(first, "one")]);
            assert_eq!(routes.add(OfferPattern::parse(second).unwrap(), name("two")), Err(RouteTwice));
            assert_eq!(routes.find(&Offer::parse("a.b").unwrap()), Some(&name("one")), "{first}");
        }
    }

    #[test]
    fn patterns_are_an_offer_a_publisher_or_everything() {
        for (text, printed) in [("a.b", "a.b"), ("A.B.c", "a.b.c"), ("A.*", "a.*"), ("*", "*")] {
            assert_eq!(OfferPattern::parse(text).map(|pattern| pattern.to_string()), Ok(printed.into()));
        }
        for bad in ["", "a", "a.", ".b", "*.b", "a*.b", "a.b*", "a.b.*", "**", "*.*", "a.**"] {
            assert_eq!(OfferPattern::parse(bad), Err(NotAPattern), "{bad}");
        }
    }

    #[test]
    fn offers_split_at_the_first_dot_and_compare_without_case() {
        let offer = Offer::parse(" DocuSign.3701C77E-1cfa.v2 ").unwrap();
        assert_eq!((offer.written(), offer.publisher()), ("DocuSign.3701C77E-1cfa.v2", "docusign"));
        assert_eq!(offer, Offer::parse("docusign.3701c77e-1cfa.V2").unwrap());
        for bad in ["", " ", "x", ".x", "x.", " . ", "."] {
            assert_eq!(Offer::parse(bad), Err(NotAnOffer), "{bad}");
        }
    }

    #[test]
    fn destinations_have_names_that_queues_and_metrics_can_hold() {
        for good in ["a", "contoso-table", "0_x", &"a".repeat(64)] {
            assert!(DestinationName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a b", "a.b", "-a", "_a", "ä", "a/b", &"a".repeat(65)] {
            assert!(DestinationName::parse(bad).is_err(), "{bad}");
        }
    }
}
