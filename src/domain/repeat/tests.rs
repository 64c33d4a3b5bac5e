use proptest::prelude::*;

use super::*;
use crate::domain::event::{Consent, Customer, Event};
use crate::domain::lead_key::Keyring;
use crate::domain::route::{DestinationName, Offer};

const MERGE: RepeatPolicy = RepeatPolicy { on_repeat: OnRepeat::Merge, window: Window::Forever, updates: true };
const DROP: RepeatPolicy = RepeatPolicy { on_repeat: OnRepeat::Drop, ..MERGE };
const NO_UPDATES: RepeatPolicy = RepeatPolicy { updates: false, ..MERGE };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).expect("a time")
}

fn keyring() -> Keyring {
    Keyring::new(b"secret")
}

/// An event at this second, consented to then, with these fields beside the address.
fn lead(action: &str, second: i64, fields: &[(CustomerField, &str)]) -> Lead {
    let mut customer = Customer { email: "ldashan@example.com".into(), ..Customer::default() };
    for (field, value) in fields {
        customer.set(*field, (*value).to_owned());
    }
    let event = Event {
        id: None,
        occurred_at: at(second),
        source: "AzureMarketplace".into(),
        action: action.into(),
        offer: Offer::parse("arraynetworks.vapv").expect("an offer"),
        offer_display_name: String::new(),
        publisher_display_name: String::new(),
        description: String::new(),
        consent: Consent { granted: true, at: at(second), agreement: String::new() },
        customer,
    };
    let destination = DestinationName::parse("contoso").expect("a name");
    Lead::new(&keyring(), event, destination, Purpose::Deliver)
}

fn mark(second: i64) -> Lead {
    Lead { purpose: Purpose::Mark, ..lead("INS", second, &[]) }
}

/// The lane in small: what is written, and the record that follows.
fn take(record: &mut Option<Record>, lead: &Lead, policy: RepeatPolicy, now: Timestamp) -> Option<Write> {
    let digests = lead.digests(&keyring());
    let write = assess(record.as_ref(), lead, &digests, policy, now);
    let next = match &write {
        Some(write) => Some(recorded(record.as_ref(), lead, &digests, write, now)),
        None => record.as_ref().and_then(|record| confirmed(record, lead, &digests)),
    };
    *record = next.or(record.take());
    write
}

fn after(leads: &[Lead], policy: RepeatPolicy) -> Option<Record> {
    let mut record = None;
    for lead in leads {
        take(&mut record, lead, policy, at(0));
    }
    record
}

use CustomerField::{Company, Phone};

fn action() -> Option<Write> {
    Some(Write::Merge(Additions { action: true, ..Additions::default() }))
}

fn fields(fields: &[CustomerField]) -> Option<Write> {
    Some(Write::Merge(Additions { fields: fields.to_vec(), ..Additions::default() }))
}

fn lift() -> Option<Write> {
    Some(Write::Merge(Additions { lifts_mark: true, ..Additions::default() }))
}

#[test]
fn what_a_repeat_brings() {
    let check = |before: &[Lead], policy: RepeatPolicy, then: Lead, expected: Option<Write>| {
        let mut record = after(before, policy);
        assert_eq!(take(&mut record, &then, policy, at(0)), expected, "{before:?} then {then:?}");
    };
    let first = [lead("INS", 5, &[(Phone, "1")])];
    let dnc = [lead("DNC", 5, &[])];
    let withdrawn = [lead("INS", 5, &[]), mark(7)];
    // First, and the same again.
    check(&[], MERGE, lead("INS", 5, &[]), Some(Write::Create));
    check(&[], DROP, lead("INS", 5, &[]), Some(Write::Create));
    check(&[], NO_UPDATES, lead("INS", 5, &[]), Some(Write::Create));
    check(&first, MERGE, first[0].clone(), None);
    check(&first, MERGE, lead("INS", 9, &[(Phone, "1")]), None);
    // A new action, a field that was empty, a field that changes; older or later.
    check(&first, MERGE, lead("PLT", 9, &[(Phone, "1")]), action());
    check(&first, MERGE, lead("PLT", 1, &[(Phone, "1")]), action());
    check(&first, MERGE, lead("INS", 9, &[(Company, "C")]), fields(&[Company]));
    check(&first, MERGE, lead("INS", 1, &[(Company, "C")]), fields(&[Company]));
    check(&first, MERGE, lead("INS", 9, &[(Phone, "2")]), fields(&[Phone]));
    check(&first, MERGE, lead("INS", 1, &[(Phone, "2")]), None);
    check(&first, MERGE, lead("INS", 9, &[]), None);
    // Where repeats are dropped, or cannot be written.
    check(&first, DROP, lead("PLT", 9, &[(Phone, "2"), (Company, "C")]), None);
    check(&first, NO_UPDATES, lead("PLT", 9, &[(Phone, "2"), (Company, "C")]), None);
    // Do-not-contact is an action like another, except that it must not suppress one where nothing can be updated.
    check(&first, MERGE, lead("DNC", 9, &[(Phone, "1")]), action());
    check(&dnc, MERGE, lead("INS", 9, &[]), action());
    check(&dnc, NO_UPDATES, lead("DNC", 9, &[]), None);
    check(&dnc, NO_UPDATES, lead("INS", 9, &[]), Some(Write::Create));
    check(&[dnc[0].clone(), lead("INS", 9, &[])], NO_UPDATES, lead("PLT", 9, &[]), None);
    check(&first, NO_UPDATES, lead("DNC", 9, &[]), None);
    // Marks, and the consent that lifts them.
    check(&[], MERGE, mark(7), None);
    check(&first, MERGE, mark(7), Some(Write::Mark { withdrawn_at: at(7) }));
    check(&first, DROP, mark(7), Some(Write::Mark { withdrawn_at: at(7) }));
    check(&first, NO_UPDATES, mark(7), None);
    check(&first, MERGE, mark(5), Some(Write::Mark { withdrawn_at: at(5) }));
    check(&first, MERGE, mark(4), None);
    check(&withdrawn, MERGE, mark(7), None);
    check(&withdrawn, MERGE, lead("INS", 8, &[]), lift());
    check(&withdrawn, DROP, lead("INS", 8, &[]), lift());
    check(&withdrawn, MERGE, lead("INS", 7, &[]), None);
    check(
        &[&withdrawn[..], &[lead("INS", 8, &[])]].concat(),
        MERGE,
        mark(9),
        Some(Write::Mark { withdrawn_at: at(9) }),
    );
}

#[test]
fn past_the_window_a_repeat_counts_as_new_and_the_window_starts_again() {
    let hour = RepeatPolicy { window: Window::For(Duration::from_secs(3_600)), ..MERGE };
    let repeat = lead("INS", 5, &[]);
    let mut record = None;
    assert_eq!(take(&mut record, &repeat, hour, at(0)), Some(Write::Create));
    assert_eq!(take(&mut record, &repeat, hour, at(3_600)), None);
    assert_eq!(take(&mut record, &repeat, hour, at(3_601)), Some(Write::Create));
    assert_eq!(take(&mut record, &repeat, hour, at(7_201)), None);
    // A clock that went back makes nothing new.
    assert_eq!(take(&mut record, &repeat, hour, at(-1_000_000)), None);
}

#[test]
fn past_the_window_a_mark_is_lifted_all_the_same_and_a_consent_is_not_forgotten() {
    let second = RepeatPolicy { window: Window::For(Duration::from_secs(1)), ..MERGE };
    let mut record = after(&[lead("INS", 5, &[]), mark(7)], second);
    assert_eq!(take(&mut record, &lead("INS", 9, &[]), second, at(100)), lift());
    assert_eq!(take(&mut record, &lead("INS", 6, &[]), second, at(200)), Some(Write::Create));
    assert_eq!(record.map(|record| record.granted_at), Some(at(9)));
}

#[test]
fn a_duplicate_that_is_later_is_remembered_and_one_that_is_not_costs_no_commit() {
    let first = lead("INS", 5, &[(Phone, "1")]);
    let record = after(std::slice::from_ref(&first), MERGE).expect("delivered");
    let confirm = |lead: &Lead| confirmed(&record, lead, &lead.digests(&keyring()));
    assert_eq!(confirm(&first), None);
    assert_eq!(confirm(&mark(9)), None);
    let later = confirm(&lead("INS", 9, &[(Phone, "1")])).expect("later");
    assert_eq!((later.granted_at, later.fields[&Phone].at), (at(9), at(9)));
    // What was not sent, because repeats are dropped, is not recorded as held.
    let dropped = confirm(&lead("PLT", 9, &[(Phone, "2"), (Company, "C")])).expect("later");
    assert_eq!(dropped.actions, record.actions);
    assert_eq!(dropped.fields[&Phone], record.fields[&Phone]);
    assert_eq!(dropped.fields.get(&Company), None);
    assert_eq!(dropped.granted_at, at(9));
}

/// Few times and few values, so that they collide.
fn any_lead() -> impl Strategy<Value = Lead> {
    let action = prop::sample::select(&["INS", "PLT", "DNC", "Create"][..]);
    let value = prop::option::of(prop::sample::select(&["1", "2", "3"][..]));
    (action, 0..4i64, 0..4i64, value.clone(), value).prop_map(|(action, second, consent, phone, company)| {
        let fields = [(Phone, phone), (Company, company)];
        let given: Vec<_> = fields.into_iter().filter_map(|(field, value)| Some((field, value?))).collect();
        let mut lead = lead(action, second, &given);
        lead.event.consent.at = at(consent);
        lead
    })
}

/// What the destination's row holds of each field, by the writes alone.
fn row_after(leads: &[Lead]) -> BTreeMap<CustomerField, String> {
    let (mut record, mut row) = (None, BTreeMap::new());
    for lead in leads {
        let value = |field| lead.event.customer.get(field).to_owned();
        match take(&mut record, lead, MERGE, at(0)) {
            Some(Write::Create) => row.extend(
                CustomerField::ALL.map(|field| (field, value(field))).into_iter().filter(|(_, v)| !v.is_empty()),
            ),
            Some(Write::Merge(additions)) => {
                row.extend(additions.fields.into_iter().map(|field| (field, value(field))))
            }
            Some(Write::Mark { .. }) | None => {}
        }
    }
    row
}

fn shuffled() -> impl Strategy<Value = (Vec<Lead>, Vec<Lead>)> {
    prop::collection::vec(any_lead(), 1..6).prop_flat_map(|leads| (Just(leads.clone()), Just(leads).prop_shuffle()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn merges_of_any_two_events_commute(first in any_lead(), second in any_lead()) {
        let (there, back) = ([first.clone(), second.clone()], [second, first]);
        prop_assert_eq!(after(&there, MERGE), after(&back, MERGE));
        prop_assert_eq!(row_after(&there), row_after(&back));
    }

    #[test]
    fn any_order_of_any_events_ends_in_the_same_row_and_record((leads, shuffled) in shuffled()) {
        prop_assert_eq!(after(&leads, MERGE), after(&shuffled, MERGE));
        prop_assert_eq!(row_after(&leads), row_after(&shuffled));
    }

    #[test]
    fn empty_never_overwrites_and_older_never_overwrites_newer((leads, _) in shuffled()) {
        let row = row_after(&leads);
        for field in [Phone, Company] {
            let given = |lead: &&Lead| !lead.event.customer.get(field).is_empty();
            let latest = leads.iter().filter(given).map(|lead| lead.event.occurred_at).max();
            let of_latest = |value: &String| leads.iter().any(|lead| {
                Some(lead.event.occurred_at) == latest && lead.event.customer.get(field) == value
            });
            prop_assert_eq!(row.contains_key(&field), latest.is_some());
            prop_assert!(row.get(&field).is_none_or(of_latest), "{:?} is not of the latest event", row.get(&field));
        }
    }

    #[test]
    fn a_repeat_of_what_was_delivered_brings_nothing((leads, shuffled) in shuffled()) {
        let mut record = after(&leads, MERGE);
        let before = record.clone();
        for lead in &shuffled {
            prop_assert_eq!(take(&mut record, lead, MERGE, at(0)), None);
        }
        prop_assert_eq!(record, before);
    }

    #[test]
    fn deliveries_that_did_not_know_of_each_other_join_in_any_order(
        base in any_lead(), one in any_lead(), two in any_lead(), marked in prop::option::of(0..4i64),
    ) {
        let base = after(&[base], MERGE);
        let deliver = |lead: &Lead| {
            let mut record = base.clone();
            take(&mut record, lead, MERGE, at(0));
            record.expect("delivered")
        };
        let two = marked.map_or(two, mark);
        let (one, two) = (deliver(&one), deliver(&two));
        let join = |standing: &Record, late: &Record| reconciled(base.as_ref(), Some(standing), late.clone());
        prop_assert_eq!(join(&one, &two), join(&two, &one));
        prop_assert_eq!(join(base.as_ref().expect("delivered"), &two), two);
    }
}
