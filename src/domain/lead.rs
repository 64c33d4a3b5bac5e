//! A lead: an event with its identity, bound for one destination.

use super::event::{CustomerField, Event};
use super::lead_key::{AddressKey, Digest, Keyring, LeadKey, PersonKey};
use super::route::DestinationName;

#[derive(Clone, Debug, PartialEq)]
pub struct Lead {
    pub key: LeadKey,
    pub person: PersonKey,
    pub address: AddressKey,
    pub destination: DestinationName,
    pub event: Event,
    pub purpose: Purpose,
}

/// What the lead asks of its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Hold this lead.
    Deliver,
    /// The person withdrew: mark the lead that is already there do-not-contact.
    Mark,
}

impl Lead {
    pub fn new(keyring: &Keyring, event: Event, destination: DestinationName, purpose: Purpose) -> Self {
        let (key, person, address) = keyring.identify(&event);
        Self { key, person, address, destination, event, purpose }
    }

    /// `Source-Action|Offer`, as the marketplace writes it.
    pub fn source_line(&self) -> String {
        format!("{}-{}|{}", self.event.source, self.event.action, self.event.offer.written())
    }

    /// The keyed digest of each field that the event gives, but for the address: it is the lead's identity, and the
    /// same address spelt otherwise is nothing new.
    pub fn digests(&self, keyring: &Keyring) -> Vec<(CustomerField, Digest)> {
        let given =
            |field: &CustomerField| *field != CustomerField::Email && !self.event.customer.get(*field).is_empty();
        let digest = |field| (field, keyring.field_digest(field, self.event.customer.get(field)));
        CustomerField::ALL.into_iter().filter(given).map(digest).collect()
    }
}
