//! Keys, signatures and tables that may or may not be made.

use std::sync::Arc;

use leadrelay::destination::Outcome;
use leadrelay::destination::azure_table::connection_string::ConnectionString;
use leadrelay::destination::azure_table::{Account, AzureTable, Settings, TableName};
use leadrelay::domain::reply::{Code, Reply};
use leadrelay::telemetry::Telemetry;

use super::azure::*;

#[tokio::test]
async fn a_wrong_account_key_is_the_credentials_fault() {
    let azurite = Azurite::new().await;
    let settings = azurite.settings(&format!("AccountName={};AccountKey=Y2FuYXJ5", azurite.account));
    assert!(!format!("{settings:?}").contains("Y2FuYXJ5"), "{settings:?}");
    let destination = azurite.open(settings);
    let outcome = create(&destination, &leads(2)).await;
    // Azurite's own name for it; the service says AuthenticationFailed.
    assert_eq!(outcome, Outcome::Whole(Reply::Credentials(Code::known("AuthorizationFailure"))));
}

#[tokio::test]
async fn a_table_signature_writes_but_makes_no_table() {
    let azurite = Azurite::new().await;
    let sas = azurite.table_sas("rau");
    let settings = azurite.settings(&format!("SharedAccessSignature={sas}"));
    assert!(!format!("{settings:?}").contains("sig="), "{settings:?}");
    azurite.mend_sas("rau");
    let destination = azurite.open(settings);
    let outcome = create(&destination, &leads(2)).await;
    assert!(matches!(outcome, Outcome::Whole(Reply::Credentials(_))), "{outcome:?}");
    assert!(azurite.proxy.requests().last().is_some_and(|seen| seen.target.contains("/Tables")), "it tried to make it");
    let made = azurite.call("POST", "Tables", &format!("{{\"TableName\":\"{}\"}}", azurite.table)).await;
    assert!(made.contains(&azurite.table), "{made}");
    assert_eq!(create(&destination, &leads(2)).await, each(CREATED, 2));
    let later = [lead(event("person0", "PLT", 9)), lead(event("person1", "INS", 0))];
    assert_eq!(create(&destination, &later).await, Outcome::Each(vec![UPDATED, ALREADY]));
    let targets: Vec<_> = azurite.proxy.requests().into_iter().map(|seen| (seen.target.clone(), seen)).collect();
    assert!(targets.iter().all(|(target, seen)| target.contains("sig=") && seen.header("authorization").is_none()));
}

#[tokio::test]
async fn two_that_make_the_table_at_once_both_deliver() {
    let azurite = Azurite::new().await;
    let (one, other) = (azurite.destination(), azurite.destination());
    let leads = leads(4);
    let (first, second) = tokio::join!(create(&one, &leads[..2]), create(&other, &leads[2..]));
    assert_eq!((first, second), (each(CREATED, 2), each(CREATED, 2)));
}

#[tokio::test]
async fn two_that_deliver_the_same_leads_at_once_make_one_row_each() {
    let azurite = Azurite::new().await;
    let (one, other) = (azurite.destination(), azurite.destination());
    create(&one, &leads(1)).await;
    let leads = leads(50);
    let (first, second) = tokio::join!(create(&one, &leads), create(&other, &leads));
    for outcome in [first, second] {
        assert!(matches!(&outcome, Outcome::Each(replies) if replies.iter().all(Reply::is_accepted)), "{outcome:?}");
    }
    assert_eq!(azurite.rows().await.len(), 50);
}

#[test]
fn an_endpoint_in_plain_text_is_refused_off_this_machine() {
    let text = "DefaultEndpointsProtocol=http;AccountName=leads1;AccountKey=Y2FuYXJ5";
    let account = Account::ConnectionString(ConnectionString::parse(text).expect("a connection string"));
    let error = AzureTable::new(Settings::new(account), Arc::new(Telemetry::new())).expect_err("plain text");
    assert!(error.to_string().contains("https://") && !error.to_string().contains("leads1"), "{error}");
}

#[test]
fn a_tables_name_is_checked() {
    let check = |text: &str, good: bool| assert_eq!(TableName::parse(text).is_ok(), good, "{text}");
    for good in ["MarketplaceLeads", "abc", "a12", &"a".repeat(63)] {
        check(good, true);
    }
    for bad in ["", "ab", "1ab", "tables", "Tables", "leads-1", "leäds", "a b", &"a".repeat(64)] {
        check(bad, false);
    }
    assert_eq!(TableName::default().as_str(), "MarketplaceLeads");
}
