//! REST: each form of answer.

use leadrelay::sandbox::schema::ExternalId;
use leadrelay::sandbox::{DuplicateRule, Fault, Options};
use serde_json::{Value, json};

use super::client::{Client, read, record};

const UPSERT: &str = "/sobjects/Lead/Leadrelay_Key__c/abc";

fn lead() -> Value {
    json!({ "LastName": "Liang", "Company": "Contoso" })
}

async fn not_unique() -> Client {
    let external_id = ExternalId { unique: false, case_sensitive: false };
    Client::new(Options { external_id, ..Options::default() }).await
}

#[tokio::test]
async fn the_token_endpoint_answers_in_oauths_words() {
    let client = Client::default().await;
    let good = client.ask_token(&[]).await.unwrap();
    assert_eq!((good.status, good.header("cache-control")), (200, Some("no-cache, no-store")));
    assert_eq!(good.json()["instance_url"], client.sandbox.url());
    let error = |answer: super::client::Answer| (answer.status, answer.json()["error"].as_str().unwrap().to_owned());
    let wrong = client.ask_token(&[("client_secret", "wrong")]).await.unwrap();
    assert_eq!(error(wrong), (400, "invalid_client".into()));
    let unknown = client.ask_token(&[("client_id", "wrong")]).await.unwrap();
    assert_eq!(error(unknown), (400, "invalid_client_id".into()));
    let unsigned = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", "x")];
    assert_eq!(error(client.ask_token(&unsigned).await.unwrap()), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_call_needs_a_session_and_an_expired_one_is_told_so() {
    let mut client = Client::default().await;
    assert_eq!(client.get("/limits").await.status, 200);
    client.sandbox.expire_tokens();
    assert_eq!(client.get("/limits").await.error(), (401, "INVALID_SESSION_ID".into()));
    client.token = client.new_token().await;
    client.sandbox.advance(jiff::SignedDuration::from_secs(7_200));
    assert_eq!(client.get("/limits").await.error(), (401, "INVALID_SESSION_ID".into()));
    let url = format!("{}/services/data/v68.0/limits", client.sandbox.url());
    let bare = read(client.http.get(url).send().await.unwrap()).await.unwrap();
    assert_eq!(bare.error(), (401, "INVALID_AUTH_HEADER".into()));
}

#[tokio::test]
async fn versions_are_listed_without_a_session_and_others_are_not_served() {
    let client = Client::default().await;
    let ask = async |path: &str| {
        let url = format!("{}/services/data{path}", client.sandbox.url());
        read(client.http.get(url).bearer_auth(&client.token).send().await.unwrap()).await.unwrap()
    };
    for path in ["", "/"] {
        let newest = ask(path).await.json().as_array().unwrap().last().cloned().unwrap();
        assert_eq!(newest, json!({ "label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0" }));
    }
    assert_eq!(ask("/v68.0/").await.json()["sobjects"], "/services/data/v68.0/sobjects");
    for path in ["/v30.0/limits", "/v69.0/limits", "/68.0/limits", "/v68/limits", "/v68.0/nonsense"] {
        assert_eq!(ask(path).await.error(), (404, "NOT_FOUND".into()), "{path}");
    }
}

#[tokio::test]
async fn an_upsert_by_external_id_answers_201_then_200_or_204_in_old_versions() {
    let client = Client::default().await;
    let made = client.call("PATCH", UPSERT, lead()).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((made.status, &made.json()["created"]), (201, &json!(true)));
    assert_eq!(made.header("location").unwrap(), format!("/services/data/v68.0/sobjects/Lead/{id}"));
    let changed = client.call("PATCH", UPSERT, json!({ "Title": "CTO" })).await;
    assert_eq!(
        (changed.status, changed.json()),
        (200, json!({ "id": id, "success": true, "errors": [], "created": false }))
    );
    let url = format!("{}/services/data/v45.0{UPSERT}", client.sandbox.url());
    let old = client.http.patch(url).bearer_auth(&client.token).header("content-type", "application/json");
    let old = read(old.body(lead().to_string()).send().await.unwrap()).await.unwrap();
    assert_eq!((old.status, old.text.as_str()), (204, ""));
    let found = client.get(UPSERT).await;
    assert_eq!((found.status, &found.json()["Title"], &found.json()["Id"]), (200, &json!("CTO"), &json!(id)));
    assert_eq!(client.call("DELETE", UPSERT, Value::Null).await.status, 204);
    assert_eq!(client.get(UPSERT).await.error(), (404, "NOT_FOUND".into()));
}

#[tokio::test]
async fn an_update_only_upsert_makes_no_lead() {
    let client = Client::default().await;
    let update_only = format!("{UPSERT}?updateOnly=true");
    assert_eq!(client.call("PATCH", &update_only, lead()).await.error(), (404, "NOT_FOUND".into()));
    assert!(client.sandbox.leads().is_empty());
    client.call("PATCH", UPSERT, lead()).await;
    assert_eq!(client.call("PATCH", &update_only, lead()).await.status, 200);
}

#[tokio::test]
async fn several_matches_are_300_with_their_urls_and_nothing_is_written() {
    let client = not_unique().await;
    for _ in 0..2 {
        assert_eq!(client.call("POST", "/sobjects/Lead", record("abc")).await.status, 201);
    }
    let answer = client.call("PATCH", UPSERT, json!({ "Title": "CTO" })).await;
    assert_eq!(answer.status, 300);
    let ids: Vec<Value> = client.sandbox.leads().iter().map(|lead| lead["Id"].clone()).collect();
    let url = |id: &Value| json!(format!("/services/data/v68.0/sobjects/Lead/{}", id.as_str().unwrap()));
    assert_eq!(answer.json(), ids.iter().map(url).collect::<Value>());
    assert!(client.sandbox.leads().iter().all(|lead| lead["Title"].is_null()));
    let item = &client.upsert(&[record("abc")]).await.json()[0];
    assert_eq!((&item["success"], &item["errors"][0]["statusCode"]), (&json!(false), &json!("DUPLICATE_EXTERNAL_ID")));
}

#[tokio::test]
async fn a_call_on_one_lead_is_refused_with_status_code_and_fields() {
    let client = Client::default().await;
    client.call("PATCH", "/sobjects/Lead/Leadrelay_Key__c/taken", lead()).await;
    let check = async |method: &str, path: &str, body: Value, expected: (u16, &str)| {
        let answer = client.call(method, path, body.clone()).await;
        assert_eq!(answer.error(), (expected.0, expected.1.to_owned()), "{method} {path} {body}");
    };
    let with = |name: &str, value: Value| {
        let mut lead = lead();
        lead[name] = value;
        lead
    };
    let (post, leads) = ("POST", "/sobjects/Lead");
    check(post, leads, with("Email", "nobody".into()), (400, "INVALID_EMAIL_ADDRESS")).await;
    check(post, leads, with("FirstName", "x".repeat(41).into()), (400, "STRING_TOO_LONG")).await;
    check(post, leads, with("LastName", Value::Null), (400, "REQUIRED_FIELD_MISSING")).await;
    check(post, leads, with("Nonsense", 1.into()), (400, "INVALID_FIELD")).await;
    check(post, leads, with("DoNotCall", "maybe".into()), (400, "JSON_PARSER_ERROR")).await;
    check(post, leads, with("leadrelay_key__c", "taken".into()), (400, "DUPLICATE_VALUE")).await;
    check(post, leads, json!([1]), (400, "JSON_PARSER_ERROR")).await;
    check(post, "/sobjects/Account", lead(), (404, "NOT_FOUND")).await;
    check("PATCH", UPSERT, with("LEADRELAY_KEY__C", "abc".into()), (400, "INVALID_FIELD")).await;
    check("PATCH", UPSERT, with("Id", "00Q5g00000000011".into()), (400, "INVALID_FIELD")).await;
    check("PATCH", "/sobjects/Lead/Email/a@b.example", lead(), (404, "NOT_FOUND")).await;
    check("PATCH", "/sobjects/Lead/123", lead(), (400, "MALFORMED_ID")).await;
    check("PATCH", "/sobjects/Lead/00Q5g0000000099", lead(), (404, "NOT_FOUND")).await;
    check("PUT", leads, lead(), (405, "METHOD_NOT_ALLOWED")).await;
    let broken = client.http.post(format!("{}/services/data/v68.0/sobjects/Lead", client.sandbox.url()));
    let broken = broken.bearer_auth(&client.token).header("content-type", "application/json").body("{");
    let broken = read(broken.send().await.unwrap()).await.unwrap();
    assert_eq!(broken.error(), (400, "JSON_PARSER_ERROR".into()));
}

#[tokio::test]
async fn a_refusal_repeats_what_was_sent() {
    let client = Client::default().await;
    let mut canary = record("abc");
    canary["Email"] = "canary-email".into();
    let item = &client.upsert(&[canary]).await.json()[0];
    let error = &item["errors"][0];
    assert_eq!(error["message"], "Email: invalid email address: canary-email");
    assert_eq!(error["fields"], json!(["Email"]));
}

#[tokio::test]
async fn a_collection_has_an_outcome_for_each_record_in_their_order() {
    let client = Client::default().await;
    client.upsert(&[record("old"), record("converted")]).await;
    assert_eq!(client.sandbox.convert("converted"), 1);
    client.sandbox.fault(Fault::lock(&["locked"]));
    let mut wrong = record("wrong");
    wrong["Email"] = "nobody".into();
    let mut keyless = record("x");
    keyless.as_object_mut().unwrap().remove("Leadrelay_Key__c");
    let records = [record("new"), wrong, record("old"), record("converted"), record("locked"), keyless, record("NEW")];
    let answer = client.upsert(&records).await;
    assert_eq!(answer.status, 200);
    let outcome = |item: &Value| match &item["errors"][0]["statusCode"] {
        Value::String(code) => code.clone(),
        _ => format!("created {}", item["created"]),
    };
    let outcomes: Vec<String> = answer.json().as_array().unwrap().iter().map(outcome).collect();
    assert_eq!(
        outcomes,
        [
            "created true",
            "INVALID_EMAIL_ADDRESS",
            "created false",
            "CANNOT_UPDATE_CONVERTED_LEAD",
            "UNABLE_TO_LOCK_ROW",
            "MISSING_ARGUMENT",
            "DUPLICATE_VALUE"
        ]
    );
    assert_eq!(client.sandbox.leads().len(), 3);
    assert_eq!(client.sandbox.counters().records, 9);
}

#[tokio::test]
async fn all_or_none_writes_all_or_nothing() {
    let client = Client::default().await;
    client.upsert(&[record("old")]).await;
    let before = client.sandbox.leads();
    let mut changed = record("old");
    changed["Title"] = "CTO".into();
    let mut wrong = record("wrong");
    wrong["Email"] = "nobody".into();
    let body = |records: &[&Value]| json!({ "allOrNone": true, "records": records });
    let path = "/composite/sobjects/Lead/Leadrelay_Key__c";
    let answer = client.call("PATCH", path, body(&[&changed, &record("new"), &wrong])).await;
    let codes: Vec<Value> =
        answer.json().as_array().unwrap().iter().map(|item| item["errors"][0]["statusCode"].clone()).collect();
    let rolled_back = "ALL_OR_NONE_OPERATION_ROLLED_BACK";
    assert_eq!(
        (answer.status, codes),
        (200, vec![rolled_back.into(), rolled_back.into(), "INVALID_EMAIL_ADDRESS".into()])
    );
    assert_eq!(client.sandbox.leads(), before);
    let answer = client.call("PATCH", path, body(&[&changed, &record("new")])).await;
    assert!(answer.json().as_array().unwrap().iter().all(|item| item["success"] == true));
    assert_eq!(client.sandbox.leads().len(), 2);
}

#[tokio::test]
async fn a_malformed_collection_is_refused_as_a_whole() {
    let client = Client::default().await;
    let check = async |records: Value, code: &str| {
        let path = "/composite/sobjects/Lead/Leadrelay_Key__c";
        let answer = client.call("PATCH", path, json!({ "records": records })).await;
        assert_eq!(answer.error(), (400, code.to_owned()), "{records}");
    };
    let many: Vec<Value> = (0..201).map(|number| record(&number.to_string())).collect();
    let mut unknown = record("b");
    unknown["Nonsense"] = 1.into();
    check(many.clone().into(), "EXCEEDED_ID_LIMIT").await;
    check(Value::Null, "REQUIRED_FIELD_MISSING").await;
    check(json!([record("a"), unknown]), "INVALID_FIELD").await;
    check(json!([{ "Leadrelay_Key__c": "a" }]), "INVALID_INPUT").await;
    check(json!([{ "attributes": { "type": "Account" } }]), "INVALID_TYPE").await;
    assert!(client.sandbox.leads().is_empty());
    assert_eq!(client.upsert(&many[..200]).await.json().as_array().unwrap().len(), 200);
    let other = client.call("PATCH", "/composite/sobjects/Lead/Email", json!({ "records": [] })).await;
    assert_eq!(other.error(), (404, "NOT_FOUND".into()));
}

#[tokio::test]
async fn a_quota_that_is_used_up_refuses_until_tomorrow() {
    let client = Client::default().await;
    client.sandbox.use_quota(99_999);
    let last = client.get("/limits").await;
    assert_eq!((last.status, last.header("sforce-limit-info")), (200, Some("api-usage=100000/100000")));
    assert_eq!(last.json()["DailyApiRequests"], json!({ "Max": 100_000, "Remaining": 0 }));
    let over = client.get("/limits").await;
    assert_eq!(over.error(), (403, "REQUEST_LIMIT_EXCEEDED".into()));
    assert_eq!(over.header("sforce-limit-info"), Some("api-usage=100000/100000"));
    client.sandbox.advance(jiff::SignedDuration::from_hours(24));
    let client = Client { token: client.new_token().await, ..client };
    assert_eq!(client.get("/limits").await.status, 200);
}

#[tokio::test]
async fn an_alerting_duplicate_rule_lets_pass_who_insists_and_a_blocking_one_does_not() {
    let client = Client::default().await;
    let insist_in = async |version: &str, header: &str, key: &str| {
        let mut lead = record(key);
        lead["Email"] = "a@b.example".into();
        let path = format!("{version}/composite/sobjects/Lead/Leadrelay_Key__c");
        let url = format!("{}/services/data/{path}", client.sandbox.url());
        let request = client.http.patch(url).bearer_auth(&client.token).header("content-type", "application/json");
        let request = request.header("sforce-duplicate-rule-header", header);
        let answer = read(request.body(json!({ "records": [lead] }).to_string()).send().await.unwrap()).await.unwrap();
        answer.json()[0]["errors"][0]["statusCode"].as_str().unwrap_or("written").to_owned()
    };
    let insist = async |header: &str, key: &str| insist_in("v68.0", header, key).await;
    assert_eq!(insist("", "first").await, "written");
    client.sandbox.set(|settings| settings.duplicate_rule = DuplicateRule::Alert);
    assert_eq!(insist("", "second").await, "DUPLICATES_DETECTED");
    assert_eq!(insist("includeRecordDetails=true", "second").await, "DUPLICATES_DETECTED");
    assert_eq!(insist_in("v51.0", "allowSave=true", "second").await, "DUPLICATES_DETECTED", "older than the header");
    assert_eq!(insist("includeRecordDetails=true; allowSave=true", "second").await, "written");
    client.sandbox.set(|settings| settings.duplicate_rule = DuplicateRule::Block);
    assert_eq!(insist("allowSave=true", "third").await, "DUPLICATES_DETECTED");
}

#[tokio::test]
async fn a_query_finds_what_it_asks_for_in_the_order_that_it_asks_for() {
    let client = Client::default().await;
    for (key, title) in [("a", json!("CTO")), ("b", Value::Null), ("c", json!("CEO"))] {
        let mut lead = record(key);
        lead["Title"] = title;
        client.upsert(&[lead]).await;
    }
    let ask = async |query: &str| {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        client.get(&format!("/query?q={query}")).await
    };
    let keys = async |rest: &str| {
        let answer = ask(&format!("SELECT Leadrelay_Key__c FROM Lead {rest}")).await.json();
        let records = answer["records"].as_array().unwrap().iter();
        records.map(|lead| lead["Leadrelay_Key__c"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys("").await, ["a", "b", "c"]);
    assert_eq!(keys("WHERE title = 'cto'").await, ["a"]);
    assert_eq!(keys("WHERE Title != 'CTO' AND Company = 'Contoso'").await, ["b", "c"]);
    assert_eq!(keys("WHERE Title = null").await, ["b"]);
    assert_eq!(keys("WHERE Leadrelay_Key__c IN ('c', 'A') AND DoNotCall = false").await, ["a", "c"]);
    assert_eq!(keys("WHERE Title LIKE 'c%'").await, ["a", "c"], "without case, and null is like nothing");
    assert_eq!(keys("WHERE Title LIKE '_t%o'").await, ["a"]);
    assert_eq!(keys("WHERE Title LIKE 'c\\_o'").await, [""; 0], "escaped, it is a letter like any");
    assert_eq!(keys("WHERE Title > 'CEO'").await, ["a"]);
    assert_eq!(keys("WHERE CreatedDate >= 2000-01-01T00:00:00Z").await, ["a", "b", "c"]);
    assert_eq!(keys("WHERE CreatedDate < 2000-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(keys("ORDER BY Title").await, ["b", "c", "a"]);
    assert_eq!(keys("ORDER BY Title DESC LIMIT 2").await, ["a", "c"]);
    assert_eq!(keys("ORDER BY Title ASC NULLS LAST OFFSET 1").await, ["a", "b"]);
    let count = ask("SELECT COUNT() FROM Lead WHERE Title != null").await.json();
    assert_eq!(count, json!({ "totalSize": 2, "done": true, "records": [] }));
    let id = client.sandbox.leads()[1]["Id"].as_str().unwrap().to_owned();
    assert_eq!(keys(&format!("WHERE Id = '{}'", &id[..15])).await, ["b"]);
    for (query, code) in [
        ("SELECT Id FROM Lead WHERE Name LIKE x", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE CreatedDate LIKE '2%'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE CreatedDate > '2026-11-22T03:04:05Z'", "INVALID_FIELD"),
        ("SELECT Nonsense FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE DoNotCall = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Account", "INVALID_TYPE"),
    ] {
        assert_eq!(ask(query).await.error(), (400, code.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn versions_older_than_a_resource_do_not_have_it() {
    let client = Client::default().await;
    let status = async |version: &str, path: &str, method: &str| {
        let url = format!("{}/services/data/{version}/composite/sobjects{path}", client.sandbox.url());
        let request = client.http.request(method.parse().unwrap(), url).bearer_auth(&client.token);
        let request = request.header("content-type", "application/json").body(json!({ "records": [] }).to_string());
        request.send().await.unwrap().status().as_u16()
    };
    let upsert = "/Lead/Leadrelay_Key__c";
    assert_eq!((status("v45.0", upsert, "PATCH").await, status("v46.0", upsert, "PATCH").await), (404, 200));
    assert_eq!((status("v41.0", "", "POST").await, status("v42.0", "", "POST").await), (404, 200));
}
