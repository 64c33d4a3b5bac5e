//! What stands in the table after what was sent.

use leadrelay::domain::event::{CustomerField, Event};
use leadrelay::domain::repeat::{Additions, Write};
use leadrelay::domain::route::Offer;

use super::azure::*;

#[tokio::test]
async fn a_first_lead_makes_its_table_and_its_row() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    let mut event = event("person", "INS", 0);
    event.customer.last_name = "O'Brien \"梁\" é".into();
    let lead = lead(event);
    assert_eq!(create(&destination, std::slice::from_ref(&lead)).await, each(CREATED, 1));
    let row = azurite.row(&lead).await.expect("a row");
    let expected = [
        ("PartitionKey", "arraynetworks.arrayloadbalancervapv"),
        ("LeadSource", "AzureMarketplace-INS|arraynetworks.ArrayLoadBalancervAPV"),
        ("ActionCode", "INS"),
        ("ProductId", "arraynetworks.ArrayLoadBalancervAPV"),
        ("OfferDisplayName", "Array vAPV"),
        ("PublisherDisplayName", "Array Networks"),
        ("Description", "canary-description"),
        ("FirstName", "canary-first"),
        ("LastName", "O'Brien \"梁\" é"),
        ("Email", "person@canary.example"),
        ("Phone", ""),
        ("Stage", "interest"),
        ("FirstAction", "INS"),
        ("LastAction", "INS"),
        ("CreatedTime", "2026-11-22T03:00:00.0000000Z"),
        ("Journey", "[{\"source\":\"AzureMarketplace\",\"action\":\"INS\",\"at\":\"2026-11-22T03:00:00Z\"}]"),
    ];
    for (column, value) in expected {
        assert_eq!(row[column], value, "{column}");
    }
    let requests = azurite.proxy.requests();
    let lines: Vec<_> = requests.iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
    assert_eq!(
        lines,
        ["POST /devstoreaccount1/$batch", "POST /devstoreaccount1/Tables", "POST /devstoreaccount1/$batch"]
    );
}

#[tokio::test]
async fn a_lead_that_is_there_is_not_touched_by_its_repeat() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    let leads = leads(3);
    assert_eq!(create(&destination, &leads).await, each(CREATED, 3));
    let before = azurite.rows().await;
    assert_eq!(create(&destination, &leads).await, each(ALREADY, 3));
    let none = leads.iter().map(|lead| (lead, merge(Additions::default()))).collect::<Vec<_>>();
    assert_eq!(send(&destination, &none).await, each(ALREADY, 3));
    assert_eq!(azurite.rows().await, before, "with the same timestamps");
}

#[tokio::test]
async fn a_repeat_adds_its_action_and_its_fields_and_leaves_what_people_wrote() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    let first = lead(event("person", "INS", 10));
    create(&destination, std::slice::from_ref(&first)).await;
    let address =
        format!("{}(PartitionKey='arraynetworks.arrayloadbalancervapv',RowKey='{}')", azurite.table, first.key);
    azurite.call("MERGE", &address, "{\"Owner\":\"Li\",\"Company\":\"by hand\"}").await;
    let mut later = event("person", "PLT", 20);
    later.customer.phone = "123".into();
    let later = lead(later);
    let additions = Additions { action: true, fields: vec![CustomerField::Phone], lifts_mark: false };
    assert_eq!(send(&destination, &[(&later, merge(additions))]).await, each(UPDATED, 1));
    let row = azurite.row(&first).await.expect("a row");
    assert_eq!(row["Phone"], "123");
    assert_eq!((row["Stage"].as_str(), row["LastAction"].as_str()), (Some("contact-me"), Some("PLT")));
    assert_eq!((row["Owner"].as_str(), row["Company"].as_str()), (Some("Li"), Some("by hand")));
    assert!(row["CustomerInfo"].as_str().is_some_and(|info| info.contains("\"Phone\":\"123\"")));
}

#[tokio::test]
async fn an_older_event_fills_what_was_empty_and_overwrites_nothing() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    let event_with = |second, phone: &str, title: &str| {
        let mut event: Event = event("person", "INS", second);
        event.customer.phone = phone.into();
        event.customer.title = title.into();
        lead(event)
    };
    create(&destination, &[event_with(10, "new", "")]).await;
    let older = event_with(5, "old", "CTO");
    assert_eq!(create(&destination, std::slice::from_ref(&older)).await, each(UPDATED, 1));
    let row = azurite.row(&older).await.expect("a row");
    assert_eq!((row["Phone"].as_str(), row["Title"].as_str()), (Some("new"), Some("CTO")));
}

#[tokio::test]
async fn a_withdrawal_marks_the_row_and_a_later_consent_lifts_the_mark() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    let first = lead(event("person", "INS", 10));
    let mark = Write::Mark { withdrawn_at: at(20) };
    assert_eq!(send(&destination, &[(&first, mark.clone())]).await, each(ALREADY, 1), "there is no row, nor a table");
    create(&destination, std::slice::from_ref(&first)).await;
    assert_eq!(send(&destination, &[(&first, mark.clone())]).await, each(UPDATED, 1));
    assert_eq!(send(&destination, &[(&first, mark)]).await, each(ALREADY, 1));
    let row = azurite.row(&first).await.expect("a row");
    assert_eq!(row["Stage"], "do-not-contact");
    assert_eq!(row["ConsentWithdrawnAt"], "2026-11-22T03:00:20Z");
    let again = lead(event("person", "INS", 30));
    let lifts = merge(Additions { lifts_mark: true, ..Additions::default() });
    assert_eq!(send(&destination, &[(&again, lifts)]).await, each(UPDATED, 1));
    let row = azurite.row(&first).await.expect("a row");
    assert_eq!((row["Stage"].as_str(), row["ConsentWithdrawnAt"].as_str()), (Some("interest"), Some("")));
}

#[tokio::test]
async fn a_change_of_a_row_that_is_gone_makes_it_anew() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    let leads = leads(2);
    create(&destination, &leads[..1]).await;
    let additions = Additions { action: true, ..Additions::default() };
    let later = [lead(event("person0", "PLT", 9)), lead(event("person1", "PLT", 9))];
    let orders = later.iter().map(|lead| (lead, merge(additions.clone()))).collect::<Vec<_>>();
    let outcome = send(&destination, &orders).await;
    assert_eq!(outcome, leadrelay::destination::Outcome::Each(vec![UPDATED, CREATED]));
    assert_eq!(azurite.row(&later[1]).await.expect("a row")["Email"], "person1@canary.example");
}

#[tokio::test]
async fn offers_and_texts_of_any_kind_arrive_whole() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    for offer in ["contoso.a/b\\c#d?e%f", "o'brien.é梁", &format!("contoso.{}", "x".repeat(600)), "a.b c+d&e=f"] {
        let mut event = event("person", "INS", 0);
        event.offer = Offer::parse(offer).expect("an offer");
        event.customer.company = "--changeset_leadrelay--\r\n\u{0} 𝄞 '\"\\".into();
        let first = lead(event.clone());
        assert_eq!(create(&destination, std::slice::from_ref(&first)).await, each(CREATED, 1), "{offer}");
        event.action = "PLT".into();
        assert_eq!(create(&destination, &[lead(event)]).await, each(UPDATED, 1), "{offer}");
        let row = azurite.row(&first).await.expect("a row");
        assert_eq!(row["ProductId"], offer);
        assert_eq!(row["Company"], "--changeset_leadrelay--\r\n\u{0} 𝄞 '\"\\");
    }
}

#[tokio::test]
async fn texts_that_are_too_long_are_cut_and_their_repeat_adds_nothing() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    let mut event = event("person", "INS", 0);
    event.description = "é".repeat(40_000);
    event.customer.company = "梁".repeat(40_000);
    let lead = lead(event);
    assert_eq!(create(&destination, std::slice::from_ref(&lead)).await, each(CREATED, 1));
    assert_eq!(create(&destination, std::slice::from_ref(&lead)).await, each(ALREADY, 1));
    let row = azurite.row(&lead).await.expect("a row");
    assert_eq!(row["Description"], "é".repeat(32_768));
    assert_eq!(row["Company"], "梁".repeat(4_000));
}

#[tokio::test]
async fn more_than_four_mebibytes_go_out_in_several_transactions() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    create(&destination, &leads(1)).await;
    let fat = |person| {
        let mut event = event(&format!("fat{person}"), "INS", 0);
        event.description = "梁".repeat(32_768);
        lead(event)
    };
    let leads: Vec<_> = (0..100).map(fat).collect();
    azurite.proxy.requests();
    assert_eq!(create(&destination, &leads).await, each(CREATED, 100));
    let sizes: Vec<_> = azurite.proxy.requests().iter().map(|seen| seen.body.len()).collect();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 4 * 1024 * 1024), "{sizes:?}");
    assert_eq!(azurite.rows().await.len(), 101);
}

/// Azurite takes batches of two partitions and columns that the service refuses: the bytes are asserted here.
#[tokio::test]
async fn a_transaction_on_the_wire_keeps_the_rules_that_azurite_does_not() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    create(&destination, &leads(100)).await;
    let seen = azurite.proxy.requests().pop().expect("a request");
    assert_eq!(seen.header("content-type"), Some("multipart/mixed; boundary=batch_leadrelay"));
    assert!(seen.header("authorization").is_some_and(|value| value.starts_with("SharedKey devstoreaccount1:")));
    let text = seen.text();
    let rows: Vec<Row> = text
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(rows.len(), 100);
    assert_eq!(text.matches("\r\nPrefer: return-no-content\r\n").count(), 100);
    for row in &rows {
        assert_eq!(row["PartitionKey"], "arraynetworks.arrayloadbalancervapv");
        assert!(row["RowKey"].as_str().is_some_and(|key| key.len() == 32));
        let columns = row.keys().filter(|name| !name.ends_with("@odata.type"));
        let legal = |c: char| c.is_ascii_alphanumeric();
        assert!(columns.clone().count() <= 252 && columns.clone().all(|name| name.chars().all(legal)));
    }
    let mut other = event("person", "INS", 0);
    other.offer = Offer::parse("contoso.other").expect("an offer");
    use leadrelay::destination::Destination;
    assert_ne!(destination.group(&lead(other)), destination.group(&leads(1)[0]));
}
