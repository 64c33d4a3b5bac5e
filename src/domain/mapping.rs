//! Which of our values goes into which field of a destination that has fields of its own choosing.

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

/// What leadrelay knows of a lead, beside the customer's own fields.
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
}

impl LeadValue {
    pub const ALL: [Self; 13] = [
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
        }
    }
}
