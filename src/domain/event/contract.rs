//! The event as the contract writes it: for messages that we write ourselves, and for [`super::schema`], which is
//! generated from these types and their comments.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{CustomerField, Event, schema};

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
            lead_source: None,
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

/// A customer's consent, given or withdrawn, to share contact details with the publisher of one offer.
///
/// Members that are not described here are allowed, and kept out of the lead. A missing member, null and an empty string
/// are the same. What JSON Schema cannot say, and what an event is refused for all the same: a body over 256 KiB, a member
/// that is there twice, and a LeadSource that disagrees with a Source, Action or Offer beside it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(title = "ConsentEvent", rename = "ConsentEvent", transform = schema::words_or_lead_source)]
pub(super) struct Contract<'a> {
    /// Names the event, for whoever asks later what became of it; no personal data. The message's `message_id` stands in
    /// for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "schema::Text")]
    event_id: Option<&'a str>,
    /// When it happened. The time of receipt stands in for it, and for a time that has not come yet.
    #[schemars(default, with = "schema::Time")]
    occurred_at: Timestamp,
    /// Where the customer was: AzureMarketplace, AzurePortal, TestDrive or SPZA. Others pass, and are counted.
    #[schemars(default, with = "schema::Word")]
    source: &'a str,
    /// What the customer did: INS, PLT, DNC, Create or StartTestDrive. Others pass, and are counted.
    #[schemars(default, with = "schema::Word")]
    action: &'a str,
    /// `publisher.offer`, split at the first dot, compared without case.
    #[schemars(default, with = "schema::OfferName")]
    offer: &'a str,
    /// All three in one, as the marketplace writes it: `Source-Action|publisher.offer`. Used for those that are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "schema::Text")]
    lead_source: Option<&'a str>,
    /// The offer, as people read it.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(default, with = "schema::Text")]
    offer_display_name: &'a str,
    /// The publisher, as people read it.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(default, with = "schema::Text")]
    publisher_display_name: &'a str,
    /// Anything that the publisher should know of the lead.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(default, with = "schema::Text")]
    description: &'a str,
    consent: ConsentContract<'a>,
    customer_info: CustomerContract<'a>,
}

/// What the customer agreed to, or no longer agrees to.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(rename = "Consent")]
struct ConsentContract<'a> {
    /// `false` withdraws: the lead is not delivered, and what was delivered to this publisher before is marked
    /// do-not-contact.
    granted: bool,
    /// When it was granted or withdrawn; the later of the two stands, in whatever order they arrive. `OccurredAt` stands in
    /// for it.
    #[schemars(default, with = "schema::Time")]
    at: Timestamp,
    /// The terms that the customer was shown.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(default, with = "schema::Text")]
    agreement: &'a str,
}

/// What the customer consented to share.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(rename = "CustomerInfo")]
struct CustomerContract<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(default, with = "schema::Text")]
    first_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(default, with = "schema::Text")]
    last_name: &'a str,
    /// Spaces around it and its case are no part of the lead's identity.
    #[schemars(with = "schema::Email")]
    email: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(default, with = "schema::Text")]
    phone: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(default, with = "schema::Text")]
    country: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(default, with = "schema::Text")]
    company: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(default, with = "schema::Text")]
    title: &'a str,
}

/// A CloudEvent 1.0 in structured mode: the event is its `data`. In binary mode the body is the event itself.
///
/// The base64 of `data_base64` is that of an event, which JSON Schema cannot look into.
#[derive(JsonSchema)]
#[schemars(rename = "CloudEvent", transform = schema::data_or_base64)]
pub(super) struct CloudEventContract<'a> {
    #[schemars(rename = "specversion", default, schema_with = "schema::cloud_events_version")]
    _version: &'a str,
    /// Stands in for a missing `EventId`.
    #[schemars(rename = "id", default, with = "schema::Text")]
    _id: &'a str,
    /// Stands in for a missing `OccurredAt`.
    #[schemars(rename = "time", default, with = "schema::Time")]
    _time: &'a str,
}
