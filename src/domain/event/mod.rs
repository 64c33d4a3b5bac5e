//! A consent event. An `Event` that exists is valid.
//!
//! From bytes to an event: [`cloud_events`] finds the event in the message, [`json`] reads it in one pass that
//! remembers what is wrong instead of stopping there, [`judge`] holds the rules, [`malformed`] names what is wrong by
//! JSON pointer and never by value, [`decode()`] goes all the way. [`contract`] writes it again, [`mend`] says what a
//! person may change in it.

use jiff::Timestamp;

use super::route::Offer;

pub mod decode;
pub mod malformed;
mod cloud_events;
mod json;
mod judge;
mod contract;
mod address;
mod time;
pub mod schema;
pub mod mend;
#[cfg(test)]
mod tests;

pub use decode::{Decoded, decode};
pub use malformed::{Malformed, Problem, Wrong};

/// A customer's consent, given or withdrawn, to share contact details for one offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: Option<String>,
    /// `OccurredAt`, or the time of receipt where it is missing.
    pub occurred_at: Timestamp,
    /// As written: `AzureMarketplace`, `AzurePortal`, `TestDrive`, `SPZA`, or one that we do not know.
    pub source: String,
    /// As written: `INS`, `PLT`, `DNC`, `Create`, `StartTestDrive`, or one that we do not know.
    pub action: String,
    pub offer: Offer,
    pub offer_display_name: String,
    pub publisher_display_name: String,
    pub description: String,
    pub consent: Consent,
    pub customer: Customer,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Consent {
    pub granted: bool,
    /// `Consent.At`, else `OccurredAt`, else first received. Grants and withdrawals are ordered by it.
    pub at: Timestamp,
    pub agreement: String,
}

/// What the customer consented to share. An empty string is a field that was not given.
#[derive(Clone, Default, PartialEq)]
pub struct Customer {
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub phone: String,
    pub country: String,
    pub company: String,
    pub title: String,
}

/// Personal data does not print.
impl std::fmt::Debug for Customer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Customer(…)")
    }
}

/// The seven fields, in the marketplace's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CustomerField {
    FirstName,
    LastName,
    Email,
    Phone,
    Country,
    Company,
    Title,
}

impl CustomerField {
    pub const ALL: [Self; 7] =
        [Self::FirstName, Self::LastName, Self::Email, Self::Phone, Self::Country, Self::Company, Self::Title];

    /// As the marketplace writes it, and as the table's column is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstName => "FirstName",
            Self::LastName => "LastName",
            Self::Email => "Email",
            Self::Phone => "Phone",
            Self::Country => "Country",
            Self::Company => "Company",
            Self::Title => "Title",
        }
    }
}

impl Customer {
    pub fn get(&self, field: CustomerField) -> &str {
        match field {
            CustomerField::FirstName => &self.first_name,
            CustomerField::LastName => &self.last_name,
            CustomerField::Email => &self.email,
            CustomerField::Phone => &self.phone,
            CustomerField::Country => &self.country,
            CustomerField::Company => &self.company,
            CustomerField::Title => &self.title,
        }
    }

    pub fn set(&mut self, field: CustomerField, value: String) {
        *match field {
            CustomerField::FirstName => &mut self.first_name,
            CustomerField::LastName => &mut self.last_name,
            CustomerField::Email => &mut self.email,
            CustomerField::Phone => &mut self.phone,
            CustomerField::Country => &mut self.country,
            CustomerField::Company => &mut self.company,
            CustomerField::Title => &mut self.title,
        } = value;
    }
}
