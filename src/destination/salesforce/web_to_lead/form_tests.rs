use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::domain::event::{Consent, Customer, Event};
use crate::domain::lead::Purpose;
use crate::domain::lead_key::Keyring;
use crate::domain::repeat::{Write, recorded};
use crate::domain::route::{DestinationName, Offer};

fn lead(change: impl FnOnce(&mut Event)) -> Lead {
    let at: Timestamp = "2026-11-22T03:04:05Z".parse().unwrap();
    let mut event = Event {
        id: None,
        occurred_at: at,
        source: "AzureMarketplace".into(),
        action: "INS".into(),
        offer: Offer::parse("arraynetworks.ArrayLoadBalancervAPV").unwrap(),
        offer_display_name: "Array".into(),
        publisher_display_name: String::new(),
        description: String::new(),
        consent: Consent { granted: true, at, agreement: String::new() },
        customer: Customer {
            first_name: "大山".into(),
            last_name: "Müller & Søn".into(),
            email: "ldashan@example.com".into(),
            phone: "+86 138".into(),
            country: "CN".into(),
            company: "Contoso=100%".into(),
            title: "CTO".into(),
        },
    };
    change(&mut event);
    let keyring = Keyring::new(b"a secret of the deployment");
    Lead::new(&keyring, event, DestinationName::parse("contoso").unwrap(), Purpose::Deliver)
}

fn shape(mappings: &[(&str, MappedValue)]) -> Shape {
    let mapping = |(field, value): &(&str, MappedValue)| Mapping { field: (*field).into(), value: value.clone() };
    Shape { oid: "00D5g0000000001".into(), mappings: mappings.iter().map(mapping).collect() }
}

fn inputs(form: &Form) -> BTreeMap<String, String> {
    let inputs: BTreeMap<_, _> = form.inputs.iter().cloned().collect();
    assert_eq!(inputs.len(), form.inputs.len(), "an input is there twice");
    inputs
}

#[test]
fn the_inputs_are_the_marketplaces_own_and_no_other() {
    let form = shape(&[]).form(&lead(|_| {}), None);
    let names: BTreeSet<_> = form.inputs.iter().map(|(name, _)| name.as_str()).collect();
    // As the marketplace's own test lead has them.
    let theirs = "company country description email encoding first_name last_name lead_source oid phone title";
    assert_eq!(names, theirs.split(' ').collect());
    let inputs = inputs(&form);
    assert_eq!(inputs["lead_source"], "AzureMarketplace-INS|arraynetworks.ArrayLoadBalancervAPV");
    assert_eq!((&*inputs["oid"], &*inputs["encoding"]), ("00D5g0000000001", "UTF-8"));
    assert_eq!(
        inputs["description"],
        "leadrelay: stage: interest\nleadrelay: 2026-11-22T03:04:05Z INS AzureMarketplace (got the offer)"
    );
    assert!(form.cuts.is_empty());
}

#[test]
fn what_salesforce_requires_and_nobody_gave_is_said_not_to_be_provided() {
    let form = shape(&[]).form(&lead(|event| event.customer.last_name = "  ".into()), None);
    assert_eq!(inputs(&form)["last_name"], "[not provided]");
    let form = shape(&[]).form(&lead(|event| event.customer = Customer::default()), None);
    let inputs = inputs(&form);
    assert_eq!((&*inputs["last_name"], &*inputs["company"]), ("[not provided]", "[not provided]"));
    assert_eq!((&*inputs["first_name"], &*inputs["title"]), ("", ""));
}

#[test]
fn the_form_is_written_in_utf_8_and_read_back_as_it_was() {
    let form = shape(&[]).form(&lead(|_| {}), None);
    let encoded = form.encoded();
    assert!(encoded.is_ascii());
    assert!(encoded.contains("first_name=%E5%A4%A7%E5%B1%B1&last_name=M%C3%BCller+%26+S%C3%B8n&"), "{encoded}");
    assert!(encoded.contains("company=Contoso%3D100%25"), "{encoded}");
    let read: Vec<(String, String)> = form_urlencoded::parse(encoded.as_bytes()).into_owned().collect();
    assert_eq!(read, form.inputs);
}

#[test]
fn mapped_fields_take_our_values_or_constants_and_then_the_description_is_left_alone() {
    use LeadValue::{Customer, Journey, LeadKey, Stage};
    let of = MappedValue::Of;
    let constant = |text: &str| MappedValue::Constant(text.into());
    let shape = shape(&[
        ("00N5g000001aaaa", of(Journey)),
        ("00N5g000001bbbb", of(Stage)),
        ("00N5g000001cccc", of(LeadKey)),
        ("00N5g000001dddd", of(Customer(CustomerField::Company))),
        ("Campaign_ID", constant("7015g000000abcd")),
        ("lead_source", constant("Azure Marketplace")),
    ]);
    let lead = lead(|event| event.description = " as it came ".into());
    let inputs = inputs(&shape.form(&lead, None));
    assert_eq!(inputs["00N5g000001aaaa"], "2026-11-22T03:04:05Z INS AzureMarketplace");
    assert_eq!(inputs["00N5g000001bbbb"], "interest");
    assert_eq!(inputs["00N5g000001cccc"], lead.key.to_string());
    assert_eq!(inputs["00N5g000001dddd"], "Contoso=100%");
    assert_eq!((&*inputs["Campaign_ID"], &*inputs["lead_source"]), ("7015g000000abcd", "Azure Marketplace"));
    assert_eq!(inputs["description"], "as it came");
}

#[test]
fn a_do_not_contact_opts_out_until_another_action_is_heard_and_that_one_tells_both() {
    let silent = lead(|event| event.action = "DNC".into());
    let form = inputs(&shape(&[]).form(&silent, None));
    assert_eq!((&*form["doNotCall"], &*form["emailOptOut"]), ("1", "1"));
    assert!(form["description"].starts_with("leadrelay: stage: do-not-contact\n"), "{}", form["description"]);
    let record = recorded(None, &silent, &[], &Write::Create, silent.event.occurred_at);
    let heard = lead(|event| {
        event.action = "PLT".into();
        event.occurred_at = "2026-11-23T00:00:00Z".parse().unwrap();
    });
    let form = inputs(&shape(&[]).form(&heard, Some(&record)));
    assert!(!form.contains_key("doNotCall") && !form.contains_key("emailOptOut"));
    assert!(form["description"].starts_with("leadrelay: stage: contact-me\n"), "{}", form["description"]);
    assert!(form["description"].contains(" DNC") && form["description"].contains(" PLT"), "{}", form["description"]);
    assert_eq!(form["lead_source"], "AzureMarketplace-PLT|arraynetworks.ArrayLoadBalancervAPV");
}

#[test]
fn half_an_address_is_never_sent_and_the_whole_one_is_told_in_words() {
    let address = format!("{}@example.com", "x".repeat(80));
    let form = shape(&[]).form(&lead(|event| event.customer.email.clone_from(&address)), None);
    assert_eq!(form.cuts, ["Email"]);
    let inputs = inputs(&form);
    assert_eq!(inputs["email"], "");
    assert!(inputs["description"].contains(&address));
}

#[test]
fn a_description_that_is_too_long_makes_room_for_the_journey() {
    let form = shape(&[]).form(&lead(|event| event.description = "😀".repeat(32_000)), None);
    assert_eq!(form.cuts, ["Description"]);
    let description = &inputs(&form)["description"];
    let length = description.encode_utf16().count();
    assert!((31_998..=32_000).contains(&length), "{length}");
    assert!(description.ends_with("(got the offer)"), "the end is missing");
}

proptest! {
    #[test]
    fn no_input_is_longer_than_its_field_and_every_cut_is_told(
        texts in prop::collection::vec("\\PC{0,300}", 7),
        emoji in 0..300_usize,
    ) {
        let lead = lead(|event| {
            for (field, text) in CustomerField::ALL.into_iter().zip(&texts) {
                event.customer.set(field, format!("{}{text}", "😀".repeat(emoji)));
            }
        });
        let form = shape(&[("00N5g000001dddd", MappedValue::Of(LeadValue::Customer(CustomerField::Title)))]).form(&lead, None);
        for (name, value) in &form.inputs {
            prop_assert!(value.encode_utf16().count() <= length(name), "{}", name);
        }
        for field in CustomerField::ALL {
            let (input, given) = (input_of(field), lead.event.customer.get(field).trim());
            let sent = &form.inputs.iter().find(|(name, _)| name == input).unwrap().1;
            let whole = sent == given || given.is_empty();
            prop_assert_eq!(form.cuts.contains(&field.name()), !whole, "{}", input);
            prop_assert!(whole || given.starts_with(sent.as_str()));
        }
    }
}
