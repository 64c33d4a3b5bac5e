//! The event as the contract writes it, for messages that we write ourselves.

use jiff::Timestamp;
use serde::Serialize;

use super::{CustomerField, Event};

impl Event {
    /// The canonical JSON: what [`super::decode()`] reads back as the same event. Empty fields are left out.
    pub fn to_json(&self) -> Vec<u8> {
        let customer = |field| self.customer.get(field);
        let contract = Contract {
            event_id: self.id.as_deref(),
            occurred_at: self.occurred_at,
            source: &self.source,
            action: &self.action,
            offer: self.offer.written(),
            offer_display_name: &self.offer_display_name,
            publisher_display_name: &self.publisher_display_name,
            description: &self.description,
            consent: ConsentContract {
                granted: self.consent.granted,
                at: self.consent.at,
                agreement: &self.consent.agreement,
            },
            customer_info: CustomerContract {
                first_name: customer(CustomerField::FirstName),
                last_name: customer(CustomerField::LastName),
                email: customer(CustomerField::Email),
                phone: customer(CustomerField::Phone),
                country: customer(CustomerField::Country),
                company: customer(CustomerField::Company),
                title: customer(CustomerField::Title),
            },
        };
        serde_json::to_vec(&contract).expect("strings, booleans and times are JSON")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Contract<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    occurred_at: Timestamp,
    source: &'a str,
    action: &'a str,
    offer: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    offer_display_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    publisher_display_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    consent: ConsentContract<'a>,
    customer_info: CustomerContract<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConsentContract<'a> {
    granted: bool,
    at: Timestamp,
    #[serde(skip_serializing_if = "str::is_empty")]
    agreement: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CustomerContract<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    first_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_name: &'a str,
    email: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    phone: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    country: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    company: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    title: &'a str,
}
