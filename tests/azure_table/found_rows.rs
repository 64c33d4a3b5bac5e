//! A ledger that was lost: everything comes again, and few requests find out that it is there.

use leadrelay::destination::Outcome;
use leadrelay::destination::azure_table::Settings;
use std::sync::Arc;
use std::time::Duration;

use leadrelay::domain::repeat::{Additions, Write};
use leadrelay::domain::reply::{Code, Quick, Reply};
use tokio::sync::Notify;

use super::azure::*;
use super::fault_proxy::{Fault, Seen};

fn kind(seen: &Seen) -> &'static str {
    match (seen.method.as_str(), seen.target.contains("$batch"), seen.target.contains("$filter")) {
        ("POST", true, _) => "write",
        ("GET", _, true) => "walk",
        ("GET", ..) => "read",
        _ => "other",
    }
}

fn kinds(azurite: &Azurite) -> String {
    let mut kinds: Vec<_> = azurite.proxy.requests().iter().map(kind).collect();
    kinds.sort_unstable();
    let groups = kinds.chunk_by(|a, b| a == b);
    groups.map(|group| format!("{} {}", group.len(), group[0])).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn a_redelivered_backlog_costs_few_requests_and_touches_nothing() {
    let azurite = Azurite::new().await;
    let leads = leads(100);
    create(&azurite.destination(), &leads).await;
    let before = azurite.rows().await;
    azurite.proxy.requests();
    let destination = azurite.destination();
    assert_eq!(create(&destination, &leads).await, each(ALREADY, 100));
    assert_eq!(kinds(&azurite), "9 walk, 1 write", "one transaction fails, and nothing is written");
    assert_eq!(create(&destination, &leads).await, each(ALREADY, 100));
    assert_eq!(kinds(&azurite), "9 walk", "rows are expected now");
    assert_eq!(azurite.rows().await, before);
}

#[tokio::test]
async fn what_is_new_among_what_is_there_is_written_in_one_transaction() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    create(&destination, &leads(100)[..40]).await;
    azurite.proxy.requests();
    let mut again = leads(100);
    again[0] = lead(event("person0", "PLT", 5));
    let expected = (0..100).map(|index| match index {
        0 => UPDATED,
        1..40 => ALREADY,
        _ => CREATED,
    });
    assert_eq!(create(&destination, &again).await, Outcome::Each(expected.collect()));
    assert_eq!(kinds(&azurite), "9 walk, 2 write");
    assert_eq!(azurite.rows().await.len(), 100);
}

#[tokio::test]
async fn a_partition_without_found_rows_is_written_without_a_look() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    let leads = leads(30);
    create(&destination, &leads[..10]).await;
    create(&destination, &leads[..10]).await;
    azurite.proxy.requests();
    assert_eq!(create(&destination, &leads[10..20]).await, each(CREATED, 10));
    assert_eq!(kinds(&azurite), "1 walk, 1 write", "rows were found here of late");
    assert_eq!(create(&destination, &leads[20..]).await, each(CREATED, 10));
    assert_eq!(kinds(&azurite), "1 write");
}

#[tokio::test]
async fn a_walk_that_does_not_end_is_given_up_for_single_reads_for_good() {
    let azurite = Azurite::new().await;
    let settings = azurite.settings(&format!("AccountName={};AccountKey={}", azurite.account, azurite.key));
    let destination = azurite.open(Settings { send_timeout: Duration::from_secs(5), ..settings });
    let leads = leads(12);
    create(&destination, &leads).await;
    let pages = |seen: &Seen| match kind(seen) {
        "walk" if seen.target.contains("NextPartitionKey") => Fault::Hang,
        "walk" => Fault::json(200, "{\"value\":[]}".into())
            .with("x-ms-continuation-NextPartitionKey", "1!8!YQ--")
            .with("x-ms-continuation-NextRowKey", "1!8!YQ--"),
        _ => Fault::Pass,
    };
    azurite.proxy.set(pages);
    azurite.proxy.requests();
    assert_eq!(create(&destination, &leads).await, each(ALREADY, 12));
    let requests = azurite.proxy.requests();
    let second = requests.iter().filter(|seen| kind(seen) == "walk").nth(1).expect("a second page");
    assert!(second.target.ends_with("&NextPartitionKey=1%218%21YQ--&NextRowKey=1%218%21YQ--"), "{}", second.target);
    assert_eq!(requests.iter().filter(|seen| kind(seen) == "read").count(), 12);
    assert_eq!(create(&destination, &leads).await, each(ALREADY, 12));
    assert_eq!(kinds(&azurite), "12 read");
}

#[tokio::test]
async fn pages_that_follow_are_followed() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    let leads = leads(12);
    create(&destination, &leads).await;
    azurite.proxy.set(|seen| match (kind(seen), seen.target.contains("NextPartitionKey")) {
        ("walk", false) => {
            Fault::json(200, "{\"value\":[]}".into()).with("x-ms-continuation-NextPartitionKey", "1!8!YQ--")
        }
        ("walk", true) => {
            let (target, _) = seen.target.split_once("&Next").expect("a continuation");
            Fault::Rewrite(Seen { target: target.to_owned(), ..seen.clone() })
        }
        _ => Fault::Pass,
    });
    azurite.proxy.requests();
    assert_eq!(create(&destination, &leads).await, each(ALREADY, 12));
    assert_eq!(kinds(&azurite), "2 walk, 1 write");
}

#[tokio::test]
async fn a_row_that_changes_between_reading_and_writing_is_read_again() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    let first = lead(event("person", "INS", 0));
    create(&destination, std::slice::from_ref(&first)).await;
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut hold = Some((Arc::clone(&arrived), Arc::clone(&go)));
    azurite.proxy.set(move |seen| match hold.take_if(|_| seen.text().contains("MERGE ")) {
        Some((arrived, go)) => {
            arrived.notify_one();
            Fault::pass_after(&go)
        }
        None => Fault::Pass,
    });
    let mut later = event("person", "PLT", 9);
    later.customer.title = "CTO".into();
    let later = [lead(later)];
    azurite.proxy.requests();
    let meanwhile = async {
        arrived.notified().await;
        let address =
            format!("{}(PartitionKey='arraynetworks.arrayloadbalancervapv',RowKey='{}')", azurite.table, first.key);
        let times = r#"{\"Phone\":\"2026-11-22T03:00:05Z\",\"Title\":\"2026-11-22T03:00:05Z\"}"#;
        let change = format!("{{\"Phone\":\"123\",\"Title\":\"CEO\",\"FieldTimes\":\"{times}\"}}");
        azurite.call("MERGE", &address, &change).await;
        go.notify_one();
    };
    let both = async { tokio::join!(create(&destination, &later), meanwhile) };
    let (outcome, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("both end");
    assert_eq!(outcome, each(UPDATED, 1));
    assert_eq!(kinds(&azurite), "2 read, 3 write", "an insert, a merge of what was read first, and one of what is");
    let row = azurite.row(&first).await.expect("a row");
    assert_eq!((row["Phone"].as_str(), row["Title"].as_str()), (Some("123"), Some("CTO")));
    assert!(row["CustomerInfo"].as_str().is_some_and(|info| info.contains("\"Phone\":\"123\"")));
}

#[tokio::test]
async fn a_row_that_changes_all_the_time_is_left_for_later() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    create(&destination, &leads(1)).await;
    let stale = "--changesetresponse_1\r\n\r\nHTTP/1.1 412 Precondition Failed\r\n\r\n\
        {\"odata.error\":{\"code\":\"UpdateConditionNotSatisfied\"}}\r\n--changesetresponse_1--\r\n";
    azurite.proxy.set(move |seen| match seen.text().contains("MERGE ") {
        true => Fault::json(202, stale.into()),
        false => Fault::Pass,
    });
    let later = [lead(event("person0", "PLT", 9))];
    let contended = Reply::Transient { code: Code::known("contended"), quick: Quick::Pointless };
    assert_eq!(create(&destination, &later).await, Outcome::Whole(contended));
}

#[tokio::test]
async fn a_lead_in_a_found_partition_may_be_marked_merged_and_created_in_one_batch() {
    let azurite = Azurite::new().await;
    let destination = azurite.destination();
    let leads = leads(4);
    create(&destination, &leads[..3]).await;
    azurite.proxy.requests();
    let additions = Additions { action: true, ..Additions::default() };
    let later = lead(event("person1", "Create", 9));
    let orders = [
        (&leads[0], Write::Mark { withdrawn_at: at(7) }),
        (&later, merge(additions)),
        (&leads[2], Write::Create),
        (&leads[3], Write::Create),
    ];
    assert_eq!(send(&destination, &orders).await, Outcome::Each(vec![UPDATED, UPDATED, ALREADY, CREATED]));
    let stages: Vec<_> =
        azurite.rows().await.iter().map(|row| row["Stage"].as_str().expect("a stage").to_owned()).collect();
    let mut sorted = stages.clone();
    sorted.sort();
    assert_eq!(sorted, ["active", "do-not-contact", "interest", "interest"]);
}
