//! Which of our values goes into which field of a destination that has fields of its own choosing.

use super::event::CustomerField;

/// One field, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// As the destination calls it.
    pub field: String,
    pub value: MappedValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappedValue {
    Of(LeadValue),
    /// The same text for every lead.
    Constant(String),
}

/// What leadrelay knows of a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeadValue {
    LeadKey,
    /// `Source-Action|Offer`.
    LeadSource,
    Source,
    Action,
    Offer,
    OfferName,
    PublisherName,
    Description,
    /// Every action, with its time.
    Journey,
    /// How far the customer has come.
    Stage,
    LastAction,
    LastActionTime,
    ConsentTime,
    /// What goes into the destination's own field for it may go into another, too.
    Customer(CustomerField),
}

impl LeadValue {
    pub const ALL: [Self; 20] = [
        Self::LeadKey,
        Self::LeadSource,
        Self::Source,
        Self::Action,
        Self::Offer,
        Self::OfferName,
        Self::PublisherName,
        Self::Description,
        Self::Journey,
        Self::Stage,
        Self::LastAction,
        Self::LastActionTime,
        Self::ConsentTime,
        Self::Customer(CustomerField::FirstName),
        Self::Customer(CustomerField::LastName),
        Self::Customer(CustomerField::Email),
        Self::Customer(CustomerField::Phone),
        Self::Customer(CustomerField::Country),
        Self::Customer(CustomerField::Company),
        Self::Customer(CustomerField::Title),
    ];

    /// As the configuration calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeadKey => "lead_key",
            Self::LeadSource => "lead_source",
            Self::Source => "source",
            Self::Action => "action",
            Self::Offer => "offer",
            Self::OfferName => "offer_name",
            Self::PublisherName => "publisher_name",
            Self::Description => "description",
            Self::Journey => "journey",
            Self::Stage => "stage",
            Self::LastAction => "last_action",
            Self::LastActionTime => "last_action_time",
            Self::ConsentTime => "consent_time",
            Self::Customer(CustomerField::FirstName) => "first_name",
            Self::Customer(CustomerField::LastName) => "last_name",
            Self::Customer(CustomerField::Email) => "email",
            Self::Customer(CustomerField::Phone) => "phone",
            Self::Customer(CustomerField::Country) => "country",
            Self::Customer(CustomerField::Company) => "company",
            Self::Customer(CustomerField::Title) => "title",
        }
    }
}
