//! What every client does.

use leadrelay::sandbox::{Fate, Fault, Kind, Options, What};
use serde_json::json;

use super::client::{Client, record};

#[tokio::test]
async fn a_posted_form_becomes_a_lead() {
    let client = Client::default().await;
    let answer = client.web_to_lead(&[("first_name", "Dashan"), ("email", "ldashan@example.com")]).await.unwrap();
    assert_eq!((answer.status, answer.header("is-processed"), answer.text.as_str()), (200, Some("true"), ""));
    let leads = client.sandbox.leads();
    assert_eq!(leads.len(), 1);
    assert_eq!((&leads[0]["Name"], &leads[0]["Email"]), (&json!("Dashan Liang"), &json!("ldashan@example.com")));
    let posts = client.sandbox.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].form["first_name"], "Dashan");
    assert_eq!(posts[0].fate, Fate::Created(leads[0]["Id"].as_str().unwrap().into()));
}

#[tokio::test]
async fn an_upsert_makes_a_lead_and_then_changes_it() {
    let client = Client::default().await;
    let mut lead = record("abc");
    for (created, name) in [(true, "Liang"), (false, "Li")] {
        lead["LastName"] = name.into();
        let answer = client.upsert(&[lead.clone()]).await;
        assert_eq!(answer.status, 200);
        let item = &answer.json()[0];
        assert_eq!((&item["success"], &item["created"], &item["errors"]), (&json!(true), &json!(created), &json!([])));
        assert_eq!(answer.header("sforce-limit-info").unwrap(), format!("api-usage={}/100000", 2 - u8::from(created)));
    }
    let leads = client.sandbox.leads();
    assert_eq!(leads.len(), 1);
    assert_eq!((&leads[0]["LastName"], &leads[0]["Leadrelay_Key__c"]), (&json!("Li"), &json!("abc")));
}

#[tokio::test]
async fn it_serves_https_under_a_certificate_that_clients_can_trust() {
    let client = Client::new(Options { tls: true, ..Options::default() }).await;
    assert!(client.sandbox.url().starts_with("https://127.0.0.1:"));
    assert!(!client.token.is_empty());
}

#[tokio::test]
async fn a_connection_dropped_after_the_write_leaves_the_lead_and_no_answer() {
    let client = Client::default().await;
    client.sandbox.fault(Fault::new(Kind::WebToLead, What::DropAfter).next(1));
    assert!(client.web_to_lead(&[]).await.is_err());
    assert_eq!(client.sandbox.leads().len(), 1);
    assert!(client.web_to_lead(&[]).await.is_ok());
}

#[tokio::test]
async fn a_form_in_another_encoding_is_read_in_it_and_what_is_no_form_is_not_read() {
    let client = Client::default().await;
    let post = async |query: &str, kind: &str, body: &'static [u8]| {
        let url = format!("{}/servlet/servlet.WebToLead{query}", client.sandbox.url());
        let request = client.http.post(url).header("content-type", kind).body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers()["is-processed"].to_str().unwrap().len())
    };
    let form = "application/x-www-form-urlencoded";
    let body = b"oid=00D5g0000000001&last_name=Jos%E9&company=A+B";
    assert_eq!(post("?encoding=ISO-8859-1&orgId=00D5g0000000001", form, body).await, (200, 4));
    let utf8 = "oid=00D5g0000000001&last_name=Jos%C3%A9&company=A+B".as_bytes();
    assert_eq!(post("?encoding=UTF-8", &format!("{form}; charset=UTF-8"), utf8).await, (200, 4));
    assert_ne!(post("?encoding=UTF-8", "application/json", utf8).await, (200, 4), "rejected: it has no oid");
    let leads = client.sandbox.leads();
    assert_eq!(leads.len(), 2);
    assert!(leads.iter().all(|lead| lead["LastName"] == "José" && lead["Company"] == "A B"), "{leads:?}");
}

#[tokio::test]
async fn a_form_with_an_address_to_return_to_is_sent_there() {
    let client = Client::default().await;
    let answer = client.web_to_lead(&[("retURL", "https://example.com/?a=1&b=\"2\"")]).await.unwrap();
    assert!(answer.text.contains("URL=https://example.com/?a=1&amp;b=&quot;2&quot;"), "{}", answer.text);
}
