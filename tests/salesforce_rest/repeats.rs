//! Repeats: what they add, and what of a salesperson's they leave alone.

use leadrelay::destination::Outcome;
use leadrelay::domain::reply::{Code, Reply};
use leadrelay::sandbox::Options;
use leadrelay::sandbox::schema::ExternalId;
use serde_json::json;

use super::org::*;

#[tokio::test]
async fn a_backlog_that_is_redelivered_costs_one_call_and_touches_nothing() {
    let org = Org::new().await;
    let leads = leads(200);
    let outcome = Desk::new(org.destination()).await.deliver_and_crash(&leads).await;
    assert_eq!(outcome, each(CREATED, 200));
    let before = org.sandbox.leads();
    org.calls();
    assert_eq!(deliver(org.destination(), &leads).await, each(ALREADY, 200));
    assert_eq!(org.calls(), "1 look, 1 token");
    assert_eq!(org.sandbox.leads(), before);
}

#[tokio::test]
async fn a_repeat_sends_what_it_brings_and_undoes_no_edit() {
    for mapped in [false, true] {
        let org = Org::with_fields().await;
        let desk = Desk::new(org.open(if mapped { org.mapped() } else { org.settings() })).await;
        let first = lead(event("person", "INS", 0));
        desk.deliver(std::slice::from_ref(&first)).await;
        let edits = json!({
            "FirstName": "Edited", "LeadSource": "Referral", "Title": "Edited", "Status": "Working",
            "Channel__c": "Edited", "Description": "Called on Monday.", "DoNotCall": true,
        });
        org.edit(&first, edits).await;
        let mut second = event("person", "PLT", 9);
        second.customer.phone = "123".into();
        org.calls();
        assert_eq!(desk.deliver(&[lead(second)]).await, each(UPDATED, 1));
        let row = org.lead(&first).expect("a lead");
        for (field, value) in
            [("FirstName", "Edited"), ("LeadSource", "Referral"), ("Title", "Edited"), ("Phone", "123")]
        {
            assert_eq!(row[field], value, "{mapped}");
        }
        assert_eq!((&row["Status"], &row["Channel__c"]), (&"Working".into(), &"Edited".into()));
        assert_eq!(row["DoNotCall"], true, "it was a person who set it");
        let description = row["Description"].as_str().expect("a text");
        if mapped {
            let journey = "2026-11-22T03:00:00Z INS AzureMarketplace; 2026-11-22T03:00:09Z PLT";
            assert_eq!((&row["Journey__c"], &row["Stage__c"]), (&journey.into(), &"contact-me".into()));
            assert_eq!(description, "Called on Monday.");
        } else {
            let line = "leadrelay: 2026-11-22T03:00:09Z PLT AzureMarketplace (asked to be contacted)";
            assert_eq!(description, format!("Called on Monday.\n{line}"));
        }
        let written = org.proxy.requests().into_iter().find(|seen| kind(seen) == "write").expect("a write").text();
        assert!(!written.contains("LastName") && !written.contains("Company"), "{written}");
    }
}

#[tokio::test]
async fn a_value_that_changed_since_is_the_customers_and_replaces_what_stands() {
    let org = Org::new().await;
    let desk = Desk::new(org.destination()).await;
    let mut first = event("person", "INS", 0);
    first.customer.phone = "1".into();
    let first = lead(first);
    desk.deliver(std::slice::from_ref(&first)).await;
    let mut later = event("person", "INS", 9);
    later.customer.phone = "2".into();
    assert_eq!(desk.deliver(&[lead(later)]).await, each(UPDATED, 1));
    let mut earlier = event("person", "INS", 5);
    earlier.customer.phone = "3".into();
    assert_eq!(desk.deliver(&[lead(earlier)]).await, Outcome::Each(vec![]), "the ledger knows: nothing new");
    assert_eq!(org.lead(&first).expect("a lead")["Phone"], "2");
}

#[tokio::test]
async fn without_a_ledger_only_what_is_empty_is_filled_and_a_new_action_added() {
    let org = Org::new().await;
    let mut first = event("person", "INS", 0);
    (first.customer.last_name, first.customer.phone) = (String::new(), "1".into());
    let first = lead(first);
    deliver(org.destination(), std::slice::from_ref(&first)).await;
    let mut second = event("person", "PLT", 9);
    (second.customer.phone, second.customer.title) = ("2".into(), "CTO".into());
    assert_eq!(deliver(org.destination(), &[lead(second)]).await, each(UPDATED, 1));
    let row = org.lead(&first).expect("a lead");
    assert_eq!((&row["LastName"], &row["Phone"], &row["Title"]), (&"canary-last".into(), &"1".into(), &"CTO".into()));
    let lines = row["Description"].as_str().map(|text| text.matches("leadrelay:").count());
    assert_eq!(lines, Some(2));
}

#[tokio::test]
async fn do_not_contact_stands_only_while_it_is_the_only_action() {
    for (mapped, lost) in [(false, false), (true, false), (false, true), (true, true)] {
        let org = Org::with_fields().await;
        let settings = || if mapped { org.mapped() } else { org.settings() };
        let mut desk = Desk::new(org.open(settings())).await;
        let first = lead(event("person", "DNC", 0));
        desk.deliver(std::slice::from_ref(&first)).await;
        let flags = || {
            let row = org.lead(&first).expect("a lead");
            (row["DoNotCall"] == true, row["HasOptedOutOfEmail"] == true)
        };
        assert_eq!(flags(), (true, true));
        if lost {
            desk = Desk::new(org.open(settings())).await;
        }
        assert_eq!(desk.deliver(&[lead(event("person", "PLT", 9))]).await, each(UPDATED, 1));
        assert_eq!(flags(), (false, false), "{mapped} {lost}");
        assert_eq!(
            org.lead(&first).expect("a lead")["LeadSource"],
            "AzureMarketplace-PLT|arraynetworks.ArrayLoadBalancervAPV"
        );
        // The other way round it changes nothing but the journey.
        let second = lead(event("other", "INS", 0));
        desk.deliver(std::slice::from_ref(&second)).await;
        desk.deliver(&[lead(event("other", "DNC", 9))]).await;
        assert_eq!(org.lead(&second).expect("a lead")["DoNotCall"], false);
    }
}

#[tokio::test]
async fn a_withdrawal_marks_and_a_later_consent_lifts_the_mark_also_without_a_ledger() {
    for mapped in [false, true] {
        let org = Org::with_fields().await;
        let settings = || if mapped { org.mapped() } else { org.settings() };
        let desk = Desk::new(org.open(settings())).await;
        let first = lead(event("person", "INS", 0));
        let marked = || org.lead(&first).expect("a lead")["HasOptedOutOfEmail"] == true;
        desk.deliver(std::slice::from_ref(&first)).await;
        assert_eq!(desk.deliver(&[mark("person", 20)]).await, each(UPDATED, 1));
        assert!(marked());
        assert_eq!(desk.deliver(&[lead(event("person", "PLT", 10))]).await, each(UPDATED, 1));
        assert!(marked(), "an earlier consent does not lift it");
        // The ledger is lost, and with it what it knew of the withdrawal.
        let desk = Desk::new(org.open(settings())).await;
        assert_eq!(desk.deliver(std::slice::from_ref(&first)).await, each(ALREADY, 1));
        assert_eq!(desk.deliver(&[lead(event("person", "Create", 15))]).await, each(UPDATED, 1));
        assert!(marked(), "{mapped}: what stands in the lead says so");
        assert_eq!(desk.deliver(&[lead(event("person", "StartTestDrive", 30))]).await, each(UPDATED, 1));
        assert!(!marked(), "{mapped}");
    }
}

#[tokio::test]
async fn a_lead_that_people_deleted_is_made_anew_with_all_that_is_known() {
    let org = Org::new().await;
    let desk = Desk::new(org.destination()).await;
    let first = lead(event("person", "INS", 0));
    desk.deliver(std::slice::from_ref(&first)).await;
    desk.destination.inspect().expect("it can").remove(&first).await.expect("removed");
    assert_eq!(desk.deliver(&[mark("person", 5)]).await, each(ALREADY, 1), "there is nobody to mark");
    assert_eq!(desk.deliver(&[lead(event("person", "PLT", 9))]).await, each(CREATED, 1));
    let description = org.lead(&first).expect("a lead")["Description"].to_string();
    assert!(description.contains("INS") && description.contains("PLT"), "{description}");
}

#[tokio::test]
async fn a_converted_lead_was_delivered_and_is_left_alone() {
    let org = Org::new().await;
    let desk = Desk::new(org.destination()).await;
    let first = lead(event("person", "INS", 0));
    desk.deliver(std::slice::from_ref(&first)).await;
    assert_eq!(org.sandbox.convert(&first.key.to_string()), 1);
    let before = org.sandbox.leads();
    assert_eq!(desk.deliver(&[lead(event("person", "PLT", 9))]).await, each(ALREADY, 1));
    assert_eq!(org.sandbox.leads(), before);
}

#[tokio::test]
async fn several_leads_of_one_key_are_a_matter_for_a_person() {
    let external_id = ExternalId { unique: false, case_sensitive: true };
    let org = Org::with(Options { external_id, ..Options::default() }).await;
    let leads = leads(3);
    let desk = Desk::new(org.destination()).await;
    desk.deliver_and_crash(&leads).await;
    let other = lead(event("double", "INS", 0));
    desk.deliver_and_crash(std::slice::from_ref(&other)).await;
    org.edit(&other, json!({ "Title": "x" })).await;
    // A salesperson has cloned the lead, its key included.
    org.clone_key(&other, &leads[1]).await;
    let mut expected = vec![ALREADY; 3];
    expected[1] = Reply::Rejected(Code::known("DUPLICATE_EXTERNAL_ID"));
    assert_eq!(deliver(org.destination(), &leads).await, Outcome::Each(expected));
}
