use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::domain::event::{Consent, Customer, Event};
use crate::domain::lead::Purpose;
use crate::domain::lead_key::Keyring;
use crate::domain::repeat::Write;
use crate::domain::route::DestinationName;

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn lead(action: &str, occurred_at: Timestamp, customer: Customer) -> Lead {
    let event = Event {
        id: None,
        occurred_at,
        source: "AzureMarketplace".into(),
        action: action.into(),
        offer: Offer::parse("arraynetworks.ArrayLoadBalancervAPV").expect("an offer"),
        offer_display_name: "Array vAPV".into(),
        publisher_display_name: "Array Networks".into(),
        description: "a lead".into(),
        consent: Consent { granted: true, at: occurred_at, agreement: String::new() },
        customer,
    };
    let destination = DestinationName::parse("table").expect("a name");
    Lead::new(&Keyring::new(b"secret"), event, destination, Purpose::Deliver)
}

fn dashan() -> Customer {
    Customer {
        first_name: "Dashan".into(),
        last_name: "O'\"梁".into(),
        email: "ldashan@example.com".into(),
        phone: "1234567890".into(),
        country: "CN".into(),
        company: String::new(),
        title: "CTO".into(),
    }
}

#[test]
fn a_row_has_the_columns_that_the_marketplace_writes_and_ours() {
    let columns = columns(&Held::new(&lead("INS", time("2026-11-22T03:04:05.123456789Z"), dashan())));
    let expected = serde_json::json!({
        "LeadSource": "AzureMarketplace-INS|arraynetworks.ArrayLoadBalancervAPV",
        "ActionCode": "INS",
        "ProductId": "arraynetworks.ArrayLoadBalancervAPV",
        "PublisherDisplayName": "Array Networks",
        "OfferDisplayName": "Array vAPV",
        "CreatedTime": "2026-11-22T03:04:05.1234567Z",
        "CreatedTime@odata.type": "Edm.DateTime",
        "Description": "a lead",
        "CustomerInfo": "{\"FirstName\":\"Dashan\",\"LastName\":\"O'\\\"梁\",\"Email\":\"ldashan@example.com\",\
            \"Phone\":\"1234567890\",\"Country\":\"CN\",\"Company\":\"\",\"Title\":\"CTO\"}",
        "FirstName": "Dashan",
        "LastName": "O'\"梁",
        "Email": "ldashan@example.com",
        "Phone": "1234567890",
        "Country": "CN",
        "Company": "",
        "Title": "CTO",
        "FieldTimes": columns["FieldTimes"],
        "Journey": "[{\"source\":\"AzureMarketplace\",\"action\":\"INS\",\"at\":\"2026-11-22T03:04:05.123456789Z\"}]",
        "FirstAction": "INS",
        "LastAction": "INS",
        "LastActionTime": "2026-11-22T03:04:05.1234567Z",
        "LastActionTime@odata.type": "Edm.DateTime",
        "Stage": "interest",
        "ConsentGrantedAt": "2026-11-22T03:04:05.123456789Z",
        "ConsentWithdrawnAt": "",
    });
    assert_eq!(Value::Object(columns), expected);
}

#[test]
fn a_row_is_written_with_its_keys_and_all_its_columns() {
    let lead = lead("INS", time("2026-11-22T03:04:05.123456789Z"), dashan());
    let mut written = Vec::new();
    write_row(&mut written, &lead, Place { table: "t", partition: "o'brien.é", row: "00ff" });
    // A new lead's row is that of the lead as it is held from then on.
    let mut expected = columns(&Held::new(&lead));
    expected.insert("PartitionKey".into(), "o'brien.é".into());
    expected.insert("RowKey".into(), "00ff".into());
    assert_eq!(serde_json::from_slice::<Columns>(&written).expect("JSON"), expected);
}

#[test]
fn a_merge_writes_only_what_changed() {
    let before = Held::new(&lead("INS", time("2026-11-22T03:00:00Z"), dashan()));
    let mut after = before.clone();
    let later = lead("PLT", time("2026-11-22T04:00:00Z"), Customer { company: "Contoso".into(), ..dashan() });
    let _ = after.absorb(&later, &Write::Create);
    let changes = changes(&before, &after);
    let names: Vec<_> = changes.keys().map(String::as_str).collect();
    let expected = "Company ConsentGrantedAt CustomerInfo FieldTimes Journey LastAction LastActionTime \
        LastActionTime@odata.type Stage";
    assert_eq!(names.join(" "), expected);
}

#[test]
fn a_row_that_people_edited_is_still_read() {
    let row = serde_json::json!({ "Journey": "by hand", "FieldTimes": 7, "Phone": "1", "CreatedTime": "yesterday" });
    let Value::Object(row) = row else { unreachable!("an object") };
    let mut held = read(&row);
    assert_eq!(held.value(CustomerField::Phone), "1");
    let _ = held.absorb(&lead("INS", time("2026-11-22T03:00:00Z"), dashan()), &Write::Create);
    assert_eq!(held.value(CustomerField::Phone), "1234567890", "of an unknown time is older than any event");
    assert_eq!(columns(&held)["Stage"], "interest");
}

#[test]
fn times_before_the_services_first_are_its_first() {
    let columns = columns(&Held::new(&lead("INS", time("0001-01-01T00:00:00Z"), dashan())));
    assert_eq!(columns["CreatedTime"], "1601-01-01T00:00:00.0000000Z");
}

#[test]
fn texts_are_cut_to_what_a_row_holds_and_never_inside_a_character() {
    let mut long = lead("INS", time("2026-11-22T03:00:00Z"), Customer { title: "𝄞".repeat(2_001), ..dashan() });
    long.event.description = "é".repeat(TEXT_MAX + 1);
    let (fitted, cuts) = fitted(&long);
    assert_eq!(cuts, ["Title", "Description"]);
    assert_eq!(fitted.event.customer.title, "𝄞".repeat(2_000));
    assert_eq!(fitted.event.description.encode_utf16().count(), TEXT_MAX);
    let exact = lead("INS", time("2026-11-22T03:00:00Z"), Customer { title: "é".repeat(FIELD_MAX), ..dashan() });
    assert!(matches!(super::fitted(&exact), (Fitted { cut: None, .. }, cuts) if cuts.is_empty()));
}

#[test]
fn an_offer_with_characters_that_keys_cannot_hold_has_a_partition_of_its_own() {
    let key = |offer: &str| partition_key(&Offer::parse(offer).expect("an offer"));
    assert_eq!(key("Contoso.Balancer-1_x"), "contoso.balancer-1_x");
    assert_eq!(key("contoso.a/b\\c#d?e%f~g\u{85}h"), "contoso.a~2fb~5cc~23d~3fe~25f~7eg~c2~85h");
    assert_eq!(key("o'brien.é"), "o'brien.é");
    let long = |end: &str| key(&format!("contoso.{}{end}", "x".repeat(600)));
    assert_eq!(long("1").len(), KEY_MAX);
    assert_ne!(long("1"), long("2"));
}

fn offers() -> impl Strategy<Value = Offer> {
    let part = "[a-z/\\\\#?%~\u{1}\u{85}\u{7f}é梁 '+2f]{1,12}";
    (part, part).prop_filter_map("an offer", |(publisher, name)| Offer::parse(&format!("{publisher}.{name}")).ok())
}

proptest! {
    #[test]
    fn no_two_offers_share_a_partition_and_every_partition_is_a_legal_key(a in offers(), b in offers()) {
        let key = partition_key(&a);
        prop_assert!(!key.contains(['/', '\\', '#', '?', '%']) && !key.chars().any(char::is_control), "{key:?}");
        prop_assert_eq!(key == partition_key(&b), a.normalised() == b.normalised());
    }

    #[test]
    fn what_is_written_is_what_is_read(
        values in prop::collection::vec(".{0,8}", 7),
        seconds in prop::collection::vec((-100_000_000_000i64..100_000_000_000, 0..1_000_000_000i32), 1..4),
        withdrawn in any::<bool>(),
    ) {
        let mut customer = Customer::default();
        for (field, value) in CustomerField::ALL.into_iter().zip(values) {
            customer.set(field, value);
        }
        let at = |(second, nano): (i64, i32)| Timestamp::new(second, nano.abs() * second.signum() as i32).expect("a time");
        let mut held = Held::new(&lead("a0", at(seconds[0]), customer.clone()));
        for (index, when) in seconds.iter().enumerate().skip(1) {
            let _ = held.absorb(&lead(&format!("a{index}"), at(*when), customer.clone()), &Write::Create);
        }
        if withdrawn {
            held.withdrawn_at = Some(held.granted_at + SignedDuration::from_nanos(1));
        }
        prop_assert_eq!(read(&columns(&held)), held);
    }
}
