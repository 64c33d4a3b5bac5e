//! A lead's journey: what its customer did in the marketplace, and how far that has led.

use jiff::Timestamp;

/// The action that says: hold this lead, and leave the person alone.
const DO_NOT_CONTACT: &str = "DNC";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub source: String,
    pub action: String,
    /// The time of the action's first event.
    pub at: Timestamp,
}

/// How far the customer has come, so that a follow-up can be personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Interest,
    ContactMe,
    Trial,
    Active,
    /// Only actions that we do not know.
    Other,
    DoNotContact,
}

impl Stage {
    pub const ALL: [Self; 6] =
        [Self::Interest, Self::ContactMe, Self::Trial, Self::Active, Self::Other, Self::DoNotContact];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interest => "interest",
            Self::ContactMe => "contact-me",
            Self::Trial => "trial",
            Self::Active => "active",
            Self::Other => "other",
            Self::DoNotContact => "do-not-contact",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    /// Where a journey, in time order, has led.
    pub fn of(journey: &[Step], is_withdrawn: bool) -> Self {
        if is_withdrawn || contactable(journey).next().is_none() {
            return Self::DoNotContact;
        }
        contactable(journey).filter_map(|step| Self::of_action(&step.action)).next_back().unwrap_or(Self::Other)
    }

    fn of_action(action: &str) -> Option<Self> {
        match action {
            "INS" => Some(Self::Interest),
            "PLT" => Some(Self::ContactMe),
            "StartTestDrive" => Some(Self::Trial),
            "Create" => Some(Self::Active),
            _ => None,
        }
    }
}

/// The step that the lead is named after: the first that may be followed up, for a do-not-contact stands only while it
/// is the only action.
pub fn leading_step(journey: &[Step]) -> Option<&Step> {
    contactable(journey).next().or(journey.first())
}

fn contactable(journey: &[Step]) -> impl DoubleEndedIterator<Item = &Step> {
    journey.iter().filter(|step| step.action != DO_NOT_CONTACT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_read_as_it_is_written() {
        for stage in Stage::ALL {
            assert_eq!(Stage::parse(stage.as_str()), Some(stage));
        }
        assert_eq!(Stage::parse("Interest"), None);
    }
}
