//! The control API and the page.

use leadrelay::sandbox::Options;
use serde_json::{Value, json};

use super::client::{Answer, Client, read, record};

async fn order(client: &Client, method: &str, path: &str, body: Value) -> Answer {
    let url = format!("{}/_sandbox/{path}", client.sandbox.url());
    let request = client.http.request(method.parse().unwrap(), url).header("content-type", "application/json");
    read(request.body(body.to_string()).send().await.unwrap()).await.unwrap()
}

async fn page(client: &Client) -> Answer {
    read(client.http.get(client.sandbox.url()).send().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn faults_are_set_and_cleared_while_it_runs() {
    let client = Client::default().await;
    let set = order(&client, "POST", "faults", json!({ "fault": "rest:status=503:next=2" })).await;
    assert_eq!((set.status, &set.json()["faults"]), (200, &json!(["rest:status=503:next=2"])));
    assert_eq!(client.get("/limits").await.status, 503);
    assert_eq!(order(&client, "GET", "state", Value::Null).await.json()["faults"], json!(["rest:status=503:next=1"]));
    assert_eq!(order(&client, "DELETE", "faults", Value::Null).await.json()["faults"], json!([]));
    assert_eq!(client.get("/limits").await.status, 200);
    let wrong = order(&client, "POST", "faults", json!({ "fault": "rest:explode" })).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.json()["problem"].as_str().unwrap().contains("is no fault"));
}

#[tokio::test]
async fn settings_are_changed_while_it_runs_and_wrong_ones_are_not() {
    let client = Client::default().await;
    let changes = json!({ "oid": "00D5g0000000009", "required": ["Phone"], "web_to_lead": { "daily": 1 } });
    let answer = order(&client, "PATCH", "settings", changes).await;
    let settings = &answer.json()["settings"];
    assert_eq!((&settings["web_to_lead"]["daily"], &settings["web_to_lead"]["pending"]), (&json!(1), &json!(50_000)));
    let refused = client.web_to_lead(&[]).await.unwrap();
    assert_eq!(refused.header("is-processed"), Some("true Exception:common.exception.SalesforceGenericException"));
    let accepted = client.web_to_lead(&[("oid", "00D5g0000000009"), ("phone", "1")]).await.unwrap();
    assert_eq!(accepted.header("is-processed"), Some("true"));
    assert_eq!(client.upsert(&[record("a")]).await.json()[0]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING");
    for wrong in [json!({ "oid": "x" }), json!({ "required": ["Nonsense"] }), json!({ "nonsense": 1 }), json!([1])] {
        assert_eq!(order(&client, "PATCH", "settings", wrong.clone()).await.status, 400, "{wrong}");
    }
    assert_eq!(order(&client, "GET", "state", Value::Null).await.json()["settings"]["oid"], "00D5g0000000009");
}

#[tokio::test]
async fn time_passes_on_order_and_what_was_pending_becomes_a_lead() {
    let client = Client::default().await;
    order(&client, "POST", "usage", json!({ "web_to_lead": 500, "api": 100_000 })).await;
    client.web_to_lead(&[]).await.unwrap();
    assert_eq!(client.get("/limits").await.error(), (403, "REQUEST_LIMIT_EXCEEDED".into()));
    let state = order(&client, "GET", "state", Value::Null).await.json();
    assert_eq!((&state["leads"], &state["web_to_lead"]["pending"]), (&json!(0), &json!(1)));
    let state = order(&client, "POST", "advance", json!({ "by": "24h" })).await.json();
    assert_eq!(
        (&state["leads"], &state["web_to_lead"]["pending"], &state["api"]["used"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert_eq!(order(&client, "POST", "advance", json!({ "by": "soon" })).await.status, 400);
}

#[tokio::test]
async fn leads_are_converted_tokens_expired_and_all_is_reset_on_order() {
    let client = Client::default().await;
    client.upsert(&[record("a"), record("b")]).await;
    let id = client.sandbox.leads()[1]["Id"].clone();
    for lead in [json!("a"), id] {
        assert_eq!(order(&client, "POST", "convert", json!({ "lead": lead })).await.status, 200, "{lead}");
    }
    assert_eq!(order(&client, "POST", "convert", json!({ "lead": "nobody" })).await.status, 400);
    assert!(client.sandbox.leads().iter().all(|lead| lead["IsConverted"] == true));
    order(&client, "POST", "expire-tokens", json!({})).await;
    assert_eq!(client.get("/limits").await.status, 401);
    client.web_to_lead(&[]).await.unwrap();
    let state = order(&client, "POST", "reset", json!({})).await.json();
    assert_eq!((&state["leads"], &state["web_to_lead"]["received"]), (&json!(0), &json!(0)));
    assert_eq!(order(&client, "GET", "posts", Value::Null).await.json(), json!([]));
    assert_eq!(order(&client, "GET", "nonsense", Value::Null).await.status, 404);
}

#[tokio::test]
async fn leads_and_posts_are_shown_as_json_and_on_a_page_that_escapes_them() {
    let client = Client::default().await;
    let script = "<script>alert('x')</script>";
    client.web_to_lead(&[("last_name", script), ("company", "A & \"B\""), ("email", "<b>@x")]).await.unwrap();
    client.web_to_lead(&[("oid", script), ("last_name", script)]).await.unwrap();
    order(&client, "POST", "faults", json!({ "fault": format!("token:status=400:body={script}") })).await;
    let leads = order(&client, "GET", "leads", Value::Null).await.json();
    assert_eq!((&leads[0]["LastName"], &leads[0]["Company"]), (&json!(script), &json!("A & \"B\"")));
    let posts = order(&client, "GET", "posts", Value::Null).await.json();
    assert_eq!(
        (&posts[0]["form"]["last_name"], &posts[1]["fate"]),
        (&json!(script), &json!({ "rejected": "Lead Capture Page: Not available" }))
    );
    let page = page(&client).await;
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(!page.text.contains("<script") && !page.text.contains("<b>@x"), "{}", page.text);
    assert_eq!(page.text.matches("&lt;script&gt;alert(&#39;x&#39;)").count(), 4, "{}", page.text);
    assert!(page.text.contains("A &amp; &quot;B&quot;"));
}

#[tokio::test]
async fn another_sites_page_cannot_order_anything() {
    let client = Client::default().await;
    let url = format!("{}/_sandbox/reset", client.sandbox.url());
    client.web_to_lead(&[]).await.unwrap();
    let simple = client.http.post(url).header("content-type", "text/plain").body("{}");
    assert_eq!(read(simple.send().await.unwrap()).await.unwrap().status, 415);
    assert_eq!(client.sandbox.leads().len(), 1);
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_at_the_start() {
    let mut options = Options::default();
    options.settings.oid = "nonsense".into();
    let error = leadrelay::sandbox::Sandbox::start(options).await.err().unwrap();
    assert!(error.to_string().contains("oid is not"), "{error}");
    let options = Options { client_key: Some("nonsense".into()), ..Options::default() };
    assert!(leadrelay::sandbox::Sandbox::start(options).await.is_err());
}
