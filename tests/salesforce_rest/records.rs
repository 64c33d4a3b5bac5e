//! What stands in a lead that was delivered.

use leadrelay::destination::Outcome;
use leadrelay::domain::reply::{Code, Reply};
use leadrelay::sandbox::DuplicateRule;

use super::org::*;

fn rejected(code: &'static str) -> Reply {
    Reply::Rejected(Code::known(code))
}

#[tokio::test]
async fn a_lead_stands_there_in_unicode_with_its_source_and_its_journey() {
    let org = Org::new().await;
    let mut event = event("person", "INS", 5);
    event.customer.first_name = "大山".into();
    event.customer.last_name = "Østergård 😀".into();
    event.customer.country = "CN".into();
    let lead = lead(event);
    assert_eq!(deliver(org.destination(), std::slice::from_ref(&lead)).await, each(CREATED, 1));
    let row = org.lead(&lead).expect("a lead");
    assert_eq!((row["FirstName"].as_str(), row["LastName"].as_str()), (Some("大山"), Some("Østergård 😀")));
    assert_eq!(row["LeadSource"], "AzureMarketplace-INS|arraynetworks.ArrayLoadBalancervAPV");
    let journey = "canary-description\nleadrelay: 2026-11-22T03:00:05Z INS AzureMarketplace (got the offer)";
    assert_eq!(row["Description"], journey);
    assert_eq!((&row["DoNotCall"], &row["HasOptedOutOfEmail"]), (&false.into(), &false.into()));
}

#[tokio::test]
async fn mapped_fields_take_journey_stage_and_constants_and_the_description_stays_the_producers() {
    let org = Org::with_fields().await;
    let lead = lead(event("person", "StartTestDrive", 5));
    assert_eq!(deliver(org.open(org.mapped()), std::slice::from_ref(&lead)).await, each(CREATED, 1));
    let row = org.lead(&lead).expect("a lead");
    assert_eq!(row["Journey__c"], "2026-11-22T03:00:05Z StartTestDrive AzureMarketplace");
    assert_eq!((&row["Stage__c"], &row["Channel__c"]), (&"trial".into(), &"Marketplace".into()));
    assert_eq!(row["Last_Action_Time__c"], "2026-11-22T03:00:05Z");
    assert_eq!(row["Description"], "canary-description");
}

#[tokio::test]
async fn what_is_missing_is_said_to_be_and_what_is_too_long_is_cut_and_counted() {
    let org = Org::new().await;
    let mut event = event("person", "INS", 0);
    event.customer.last_name = "  ".into();
    event.customer.company = String::new();
    event.customer.first_name = "😀".repeat(30);
    event.customer.title = "t".repeat(200);
    event.customer.phone = "1".repeat(41);
    event.customer.email = format!("canary{}@example.com", "x".repeat(70));
    event.description = "ä".repeat(40_000);
    let lead = lead(event);
    assert_eq!(deliver(org.destination(), std::slice::from_ref(&lead)).await, each(CREATED, 1));
    let row = org.lead(&lead).expect("a lead");
    assert_eq!((&row["LastName"], &row["Company"]), (&"[not provided]".into(), &"[not provided]".into()));
    assert_eq!(row["FirstName"], "😀".repeat(20));
    assert_eq!((row["Title"].as_str().map(str::len), row["Phone"].as_str().map(str::len)), (Some(128), Some(40)));
    assert!(row["Email"].is_null(), "half an address is somebody else's: {}", row["Email"]);
    assert!(row["Description"].as_str().is_some_and(|text| text.ends_with("INS AzureMarketplace (got the offer)")));
    let metrics = org.telemetry.metrics.render();
    for field in ["FirstName", "Title", "Phone", "Email", "Description"] {
        let line = format!("leadrelay_texts_cut_total{{destination=\"org\",field=\"{field}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test]
async fn one_bad_lead_among_two_hundred_costs_the_others_nothing() {
    let org = Org::new().await;
    let mut leads = leads(200);
    leads[77].event.customer.email = "nobody".into();
    let mut expected = vec![CREATED; 200];
    expected[77] = rejected("INVALID_EMAIL_ADDRESS");
    assert_eq!(deliver(org.destination(), &leads).await, Outcome::Each(expected));
    assert_eq!(org.count(), 199);
    assert_eq!(org.calls(), "1 look, 1 token, 1 write");
}

#[tokio::test]
async fn no_request_has_a_persons_data_anywhere_but_in_its_body() {
    let org = Org::new().await;
    let desk = Desk::new(org.destination()).await;
    desk.deliver(&leads(20)).await;
    desk.deliver(&[lead(event("person3", "PLT", 9))]).await;
    for seen in org.proxy.requests() {
        let head = format!("{} {:?}", seen.target, seen.headers);
        assert!(!head.contains("canary") && !head.contains("%40"), "{head}");
        assert!(!seen.target.contains("sandbox-secret") && !seen.target.contains("AQ00"), "{head}");
    }
}

#[tokio::test]
async fn a_duplicate_rule_rejects_unless_duplicates_are_allowed() {
    let org = Org::new().await;
    org.sandbox.set(|settings| settings.duplicate_rule = DuplicateRule::Alert);
    let first = lead(event("person", "INS", 0));
    let mut other = event("person", "INS", 0);
    other.offer = leadrelay::domain::route::Offer::parse("contoso.other").expect("an offer");
    let other = [lead(other)];
    assert_eq!(deliver(org.destination(), &[first]).await, each(CREATED, 1));
    assert_eq!(deliver(org.destination(), &other).await, each(rejected("DUPLICATES_DETECTED"), 1));
    let allowing =
        || org.open(leadrelay::destination::salesforce::rest::Settings { allow_duplicates: true, ..org.settings() });
    assert_eq!(deliver(allowing(), &other).await, each(CREATED, 1));
    org.sandbox.set(|settings| settings.duplicate_rule = DuplicateRule::Block);
    let third = [lead(leadrelay::domain::event::Event {
        offer: leadrelay::domain::route::Offer::parse("contoso.third").expect("an offer"),
        ..event("person", "INS", 0)
    })];
    assert_eq!(deliver(allowing(), &third).await, each(rejected("DUPLICATES_DETECTED"), 1));
}

#[tokio::test]
async fn new_leads_are_assigned_as_configured_and_changed_ones_keep_their_owner() {
    use leadrelay::destination::salesforce::rest::Settings;
    let check = async |assign: Option<bool>, expected: Option<&str>| {
        let org = Org::new().await;
        let desk = Desk::new(org.open(Settings { assign, ..org.settings() })).await;
        desk.deliver(&leads(1)).await;
        desk.deliver(&[lead(event("person0", "PLT", 9))]).await;
        let writes: Vec<_> = org.proxy.requests().into_iter().filter(|seen| kind(seen) == "write").collect();
        assert_eq!(writes[0].header("Sforce-Auto-Assign"), expected);
        assert_eq!(writes[1].header("Sforce-Auto-Assign"), Some("FALSE"));
    };
    check(None, None).await;
    check(Some(true), Some("TRUE")).await;
    check(Some(false), Some("FALSE")).await;
}

#[tokio::test]
async fn a_test_lead_is_read_back_and_removed() {
    use leadrelay::destination::Destination;
    let org = Org::new().await;
    let destination = org.destination();
    let lead = lead(event("person", "INS", 0));
    assert_eq!(deliver(org.destination(), std::slice::from_ref(&lead)).await, each(CREATED, 1));
    let inspect = destination.inspect().expect("it can be inspected");
    assert_eq!(inspect.holds(&lead).await, Ok(true));
    assert_eq!(inspect.remove(&lead).await, Ok(()));
    assert_eq!(inspect.holds(&lead).await, Ok(false));
    assert_eq!(inspect.remove(&lead).await, Ok(()), "one that is not there is out already");
}
