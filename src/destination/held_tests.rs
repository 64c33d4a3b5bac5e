use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::domain::event::{Consent, Customer};
use crate::domain::lead_key::Keyring;
use crate::domain::repeat::Additions;
use crate::domain::route::{DestinationName, Offer};

fn at(second: i64) -> Timestamp {
    "2026-11-22T03:00:00Z".parse::<Timestamp>().expect("a time") + SignedDuration::from_secs(second)
}

fn lead(action: &str, second: i64, phone: &str) -> Lead {
    let event = Event {
        id: None,
        occurred_at: at(second),
        source: "AzureMarketplace".into(),
        action: action.into(),
        offer: Offer::parse("contoso.balancer").expect("an offer"),
        offer_display_name: String::new(),
        publisher_display_name: String::new(),
        description: String::new(),
        consent: Consent { granted: true, at: at(second), agreement: String::new() },
        customer: Customer { email: "canary@example.com".into(), phone: phone.into(), ..Customer::default() },
    };
    let destination = DestinationName::parse("table").expect("a name");
    Lead::new(&Keyring::new(b"secret"), event, destination, Purpose::Deliver)
}

fn mark(second: i64) -> Write {
    Write::Mark { withdrawn_at: at(second) }
}

#[test]
fn what_adds_nothing_touches_nothing() {
    let first = lead("INS", 10, "1");
    let mut held = Held::new(&first);
    let before = held.clone();
    for same in [lead("INS", 10, "1"), lead("INS", 99, "1"), lead("INS", 5, "2"), lead("INS", 99, "")] {
        assert_eq!(held.absorb(&same, &Write::Create), Absorbed::Nothing);
    }
    let none = Write::Merge(Additions::default());
    assert_eq!(held.absorb(&lead("INS", 99, "2"), &none), Absorbed::Nothing, "the ledger names the fields");
    assert_eq!(held, before);
}

#[test]
fn a_repeat_adds_its_action_and_its_later_fields_and_fills_what_was_empty() {
    let mut held = Held::new(&lead("INS", 10, ""));
    assert_eq!(held.absorb(&lead("PLT", 5, "1"), &Write::Create), Absorbed::Something);
    assert_eq!(held.value(CustomerField::Phone), "1");
    assert_eq!(held.journey.iter().map(|step| step.action.as_str()).collect::<Vec<_>>(), ["PLT", "INS"]);
    assert_eq!(held.absorb(&lead("INS", 20, "2"), &Write::Create), Absorbed::Something);
    assert_eq!(held.value(CustomerField::Phone), "2");
    assert_eq!(held.absorb(&lead("INS", 15, "3"), &Write::Create), Absorbed::Nothing);
    assert_eq!(held.value(CustomerField::Phone), "2");
}

#[test]
fn a_value_that_was_confirmed_is_not_undone_by_an_event_between() {
    let mut held = Held::new(&lead("INS", 10, "1"));
    assert_eq!(held.absorb(&lead("PLT", 30, "1"), &Write::Create), Absorbed::Something);
    assert_eq!(held.absorb(&lead("Create", 20, "2"), &Write::Create), Absorbed::Something);
    assert_eq!(held.value(CustomerField::Phone), "1");
}

#[test]
fn do_not_contact_stands_only_while_it_is_the_only_action() {
    let check = |actions: &[&str], stage: &str, named_after: &str| {
        let mut held = Held::new(&lead(actions[0], 0, ""));
        for (second, action) in (1..).zip(&actions[1..]) {
            let _ = held.absorb(&lead(action, second, ""), &Write::Create);
        }
        assert_eq!(held.stage().as_str(), stage, "{actions:?}");
        assert_eq!(held.leading_step().expect("a step").action, named_after, "{actions:?}");
    };
    check(&["DNC"], "do-not-contact", "DNC");
    check(&["DNC", "PLT"], "contact-me", "PLT");
    check(&["INS", "DNC"], "interest", "INS");
    check(&["INS", "StartTestDrive"], "trial", "INS");
    check(&["INS", "StartTestDrive", "Create", "DNC"], "active", "INS");
    check(&["INS", "Brochure"], "interest", "INS");
    check(&["Brochure"], "other", "Brochure");
    check(&["DNC", "Brochure"], "other", "Brochure");
}

#[test]
fn a_withdrawal_marks_until_a_later_consent_lifts_it() {
    let mut held = Held::new(&lead("INS", 10, ""));
    assert_eq!(held.absorb(&lead("INS", 5, ""), &mark(5)), Absorbed::Nothing, "the consent is later");
    assert_eq!(held.absorb(&lead("INS", 20, ""), &mark(20)), Absorbed::Something);
    assert_eq!(held.stage(), Stage::DoNotContact);
    assert_eq!(held.absorb(&lead("INS", 20, ""), &mark(20)), Absorbed::Nothing, "marked already");
    assert_eq!(held.absorb(&lead("PLT", 15, ""), &Write::Create), Absorbed::Something);
    assert_eq!(held.stage(), Stage::DoNotContact, "an earlier consent does not lift it");
    let lifts = Write::Merge(Additions { lifts_mark: true, ..Additions::default() });
    assert_eq!(held.absorb(&lead("INS", 30, ""), &lifts), Absorbed::Something);
    assert_eq!((held.withdrawn_at, held.stage()), (None, Stage::ContactMe));
}

#[test]
fn nothing_of_a_customer_prints() {
    let mut held = Held::new(&lead("INS", 0, "canary"));
    held.description = Text("canary".into());
    assert!(!format!("{held:?}").contains("canary"));
}

#[derive(Clone, Debug)]
enum Deed {
    Event { second: i64, phone: &'static str },
    Withdrawal { second: i64 },
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let event = (0..6i64, prop_oneof![Just(""), Just("1"), Just("2"), Just("3")]);
    let deed = prop_oneof![
        3 => event.prop_map(|(second, phone)| Deed::Event { second, phone }),
        1 => (0..6i64).prop_map(|second| Deed::Withdrawal { second }),
    ];
    prop::collection::vec(deed, 1..6)
}

/// Each event brings an action of its own, so that none is a mere confirmation, which only the ledger remembers.
fn play(deeds: &[(usize, Deed)]) -> Option<Held> {
    let lead_of = |(index, deed): &(usize, Deed)| match deed {
        Deed::Event { second, phone } => Some(lead(&format!("a{index}"), *second, phone)),
        Deed::Withdrawal { .. } => None,
    };
    let first = deeds.iter().position(|deed| lead_of(deed).is_some())?;
    let mut held = Held::new(&lead_of(&deeds[first])?);
    for (index, deed) in deeds.iter().enumerate().filter(|(index, _)| *index != first) {
        let _ = match (&deed.1, lead_of(deed)) {
            (Deed::Withdrawal { second }, _) => held.absorb(&lead("", *second, ""), &mark(*second)),
            (_, Some(lead)) => held.absorb(&lead, &Write::Create),
            (_, None) => unreachable!("deed {index} is an event"),
        };
    }
    Some(held)
}

proptest! {
    #[test]
    fn in_whatever_order_events_and_withdrawals_come_the_lead_ends_the_same(
        (deeds, shuffled) in deeds().prop_map(|deeds| deeds.into_iter().enumerate().collect::<Vec<_>>())
            .prop_flat_map(|deeds| (Just(deeds.clone()), Just(deeds).prop_shuffle())),
    ) {
        let held = play(&deeds);
        prop_assert_eq!(&held, &play(&shuffled));
        let Some(held) = held else { return Ok(()) };
        let latest = |pick: fn(&Deed) -> Option<i64>| deeds.iter().filter_map(|(_, deed)| pick(deed)).max();
        let grant = latest(|deed| match deed { Deed::Event { second, .. } => Some(*second), Deed::Withdrawal { .. } => None });
        let withdrawal = latest(|deed| match deed { Deed::Withdrawal { second } => Some(*second), Deed::Event { .. } => None });
        let stands = withdrawal.filter(|second| Some(*second) >= grant).map(at);
        prop_assert_eq!(held.withdrawn_at, stands, "the latest of grants and withdrawals decides");
    }
}
