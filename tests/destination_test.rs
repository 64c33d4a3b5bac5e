//! `leadrelay destination test`, with the real program, a real table, and the program that rehearses Salesforce.

mod support;

use serde_json::{Value, json};
use support::fault_proxy::FaultProxy;
use support::process::{Rig, service, split_endpoint};
use support::sandbox_program::{FORM, Sandbox};

/// The exit code, and what was printed.
fn tested(rig: &Rig, config: &str, arguments: &[&str]) -> (i32, String, String) {
    let output = rig.command(config).args(["destination", "test"]).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_written_read_back_and_removed_and_the_ledger_knows_nothing_of_it() {
    let rig = Rig::new("trial");
    let azurite = service("LEADRELAY_TEST_AZURITE");
    let (upstream, through) = split_endpoint(&azurite);
    let proxy = FaultProxy::start(&upstream).await;
    rig.configure("watched.toml", &through(proxy.address()));
    tokio::task::block_in_place(|| {
        let (code, out, err) = tested(&rig, "watched.toml", &["contoso-table", "--json"]);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&told["ok"], &told["read_back"], &told["removed"]), (&true.into(), &true.into(), &true.into()));
        let marker = told["marker"].as_str().unwrap();
        assert!(marker.starts_with("LEADRELAY_TEST_"));
        let requests = proxy.requests();
        assert!(requests.iter().any(|seen| seen.text().contains(marker)), "it was written");
        assert!(requests.iter().all(|seen| !seen.target.contains("LEADRELAY_TEST")), "nothing personal in a URL");
        let last: Vec<_> = requests.iter().rev().take(2).map(|seen| seen.method.as_str()).collect();
        assert_eq!(last, ["DELETE", "GET"]);
        assert_eq!(rig.rows(), Vec::<Value>::new(), "nothing is left behind");
        assert!(!rig.path("ledger.db").exists());
    });
}

#[test]
fn what_a_destination_refuses_is_told_with_its_code_and_exits_1() {
    let rig = Rig::new("refused");
    let azurite = service("LEADRELAY_TEST_AZURITE");
    let key = azurite.split("AccountKey=").nth(1).unwrap().split(';').next().unwrap();
    rig.configure("wrong.toml", &azurite.replace(key, "Y2FuYXJ5"));
    let (code, out, err) = tested(&rig, "wrong.toml", &["contoso-table"]);
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    assert!(out.contains("AuthorizationFailure") && out.contains("credentials"), "{out}");
    assert!(!out.contains("Y2FuYXJ5"), "{out}");
}

#[test]
fn nobody_there_exits_69_and_a_name_that_is_not_configured_64() {
    let rig = Rig::new("absent");
    let azurite = service("LEADRELAY_TEST_AZURITE");
    let (upstream, through) = split_endpoint(&azurite);
    assert_ne!(upstream, "127.0.0.1:1");
    rig.configure("absent.toml", &through("127.0.0.1:1"));
    let (code, out, _) = tested(&rig, "absent.toml", &["contoso-table"]);
    assert_eq!(code, 69, "{out}");
    let (code, out, err) = tested(&rig, "absent.toml", &["contoso-tabel"]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("configured are: contoso-table"), "{err}");
}

/// What `--json` tells. The exit code must agree: 0 where it says `ok`, 69 where no whole answer came, else 1.
fn told(rig: &Rig) -> Value {
    let (code, out, err) = tested(rig, "leadrelay.toml", &["contoso-table", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    let expected = match (&told["ok"], told["code"].as_str()) {
        (Value::Bool(true), _) => 0,
        (_, Some("connection_lost")) => 69,
        _ => 1,
    };
    assert_eq!((code, err.as_str()), (expected, ""), "{out}");
    told
}

fn rest(sandbox: &Sandbox) -> Rig {
    let rig = Rig::new("restorg");
    rig.configure_salesforce(&sandbox.url);
    rig
}

fn form(sandbox: &Sandbox) -> Rig {
    let rig = Rig::new("formorg");
    rig.configure_web_to_lead(&sandbox.web_to_lead_url(), "dead-letter");
    rig
}

fn org() -> Sandbox {
    Sandbox::start(&["--field", "Offer__c", "--field", "Journey__c"])
}

#[test]
fn by_rest_a_lead_is_written_read_back_and_removed() {
    let sandbox = org();
    let rig = rest(&sandbox);
    let (code, out, err) = tested(&rig, "leadrelay.toml", &["contoso-table"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let marker = out.split_whitespace().find(|word| word.starts_with("LEADRELAY_TEST_")).unwrap();
    let expected =
        format!("contoso-table: sending a lead marked {marker}\n  taken (created)\n  read back, and taken out again\n");
    assert_eq!(out, expected);
    let told = told(&rig);
    assert_eq!((&told["read_back"], &told["removed"], &told["detail"]), (&json!(true), &json!(true), &Value::Null));
    assert_eq!(sandbox.order("GET", "leads", &Value::Null), json!([]), "nothing is left behind");
    assert!(!rig.path("ledger.db").exists());
}

#[test]
fn a_form_cannot_be_read_back_and_that_is_said_with_the_marker_to_look_for() {
    let sandbox = org();
    let rig = form(&sandbox);
    let (code, out, err) = tested(&rig, "leadrelay.toml", &["contoso-table"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let lead = sandbox.order("GET", "leads", &Value::Null)[0].clone();
    let marker = lead["LastName"].as_str().unwrap();
    assert!(marker.starts_with("LEADRELAY_TEST_"), "{lead}");
    assert!(out.contains("not read back: a form only takes leads") && out.contains("taken (created)"), "{out}");
    assert!(out.contains(&format!("look for {marker} there, and remove it by hand")), "{out}");
    let told = told(&rig);
    assert_eq!((&told["ok"], &told["read_back"], &told["removed"]), (&json!(true), &Value::Null, &Value::Null));
    assert!(told["detail"].as_str().unwrap().starts_with("a form only takes leads"), "{told}");
    assert!(!rig.path("ledger.db").exists());
}

fn fault(sandbox: &Sandbox, text: &str) {
    sandbox.order("POST", "faults", &json!({ "fault": text }));
}

/// The reply after this order, its code, and how many leads the org holds then. Afterwards all is as it was.
fn rehearsed(sandbox: &Sandbox, rig: &Rig, order: &dyn Fn()) -> (String, String, usize) {
    order();
    let told = told(rig);
    let leads = sandbox.order("GET", "leads", &Value::Null).as_array().unwrap().len();
    sandbox.order("POST", "reset", &json!({}));
    sandbox.order("PATCH", "settings", &json!({ "required": [], "oid": "00D5g0000000001" }));
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    (text("reply"), text("code"), leads)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a real process has no paused clock")]
fn by_rest_each_fault_of_the_sandbox_strikes_as_it_was_ordered() {
    let sandbox = org();
    let rig = rest(&sandbox);
    let check = |order: &dyn Fn(), reply: &str, code: &str, leads: usize| {
        assert_eq!(rehearsed(&sandbox, &rig, order), (reply.into(), code.into(), leads));
    };
    let limit = "REQUEST_LIMIT_EXCEEDED";
    check(&|| fault(&sandbox, "collections:status=500"), "transient", "http_500", 0);
    check(&|| fault(&sandbox, &format!("collections:status=403:code={limit}")), "throttled", limit, 0);
    check(&|| fault(&sandbox, "token:status=503"), "transient", "http_503", 0);
    check(&|| fault(&sandbox, "collections:drop-before"), "transient", "connection_lost", 0);
    check(&|| fault(&sandbox, "collections:drop-after"), "transient", "connection_lost", 1);
    check(&|| fault(&sandbox, "collections:half-body"), "transient", "connection_lost", 1);
    check(&|| fault(&sandbox, "collections:lock"), "transient", "UNABLE_TO_LOCK_ROW", 0);
    let require = || drop(sandbox.order("PATCH", "settings", &json!({ "required": ["Website"] })));
    check(&require, "rejected", "REQUIRED_FIELD_MISSING", 0);
    check(&|| drop(sandbox.order("POST", "usage", &json!({ "api": 100_000 }))), "throttled", limit, 0);
    let begun = tokio::time::Instant::now();
    check(&|| fault(&sandbox, "collections:slow=400ms"), "accepted", "", 0);
    assert!(begun.elapsed() >= std::time::Duration::from_millis(400));
}

#[test]
fn a_form_meets_each_fault_of_the_sandbox_as_it_was_ordered() {
    let sandbox = org();
    let rig = form(&sandbox);
    let check = |order: &dyn Fn(), reply: &str, code: &str, leads: usize| {
        assert_eq!(rehearsed(&sandbox, &rig, order), (reply.into(), code.into(), leads));
    };
    let exception = "common.exception.SalesforceGenericException";
    check(&|| fault(&sandbox, "web-to-lead:status=503"), "transient", "http_503", 0);
    check(&|| fault(&sandbox, "web-to-lead:status=200:body=<html>"), "unknown", "page_without_is_processed", 0);
    check(&|| fault(&sandbox, "web-to-lead:drop-before"), "unknown", "connection_lost", 0);
    check(&|| fault(&sandbox, "web-to-lead:drop-after"), "unknown", "connection_lost", 1);
    // Its headers told.
    check(&|| fault(&sandbox, "web-to-lead:half-body"), "accepted", "", 1);
    let change = |settings: Value| drop(sandbox.order("PATCH", "settings", &settings));
    check(&|| change(json!({ "oid": "00D5g0000000009" })), "rejected", exception, 0);
    check(&|| change(json!({ "required": ["Website"] })), "rejected", exception, 0);
    // Accepted, and not yet a lead.
    check(&|| drop(sandbox.order("POST", "usage", &json!({ "web_to_lead": 500 }))), "accepted", "", 0);
}

#[test]
fn faults_that_are_flags_strike_one_after_another_and_sessions_end_on_order() {
    #[rustfmt::skip]
    let sandbox = Sandbox::start(&[
        "--field", "Offer__c", "--field", "Journey__c", "--fault", "collections:status=500:next=1",
        "--fault", "collections:drop-after:next=1", "--fault", "collections:status=503:code=SERVER_UNAVAILABLE:next=1",
    ]);
    let rig = rest(&sandbox);
    let codes = ["http_500", "connection_lost", "SERVER_UNAVAILABLE"];
    assert_eq!(codes.map(|_| told(&rig)["code"].as_str().unwrap().to_owned()), codes);
    assert_eq!(told(&rig)["ok"], true);
    let form = "grant_type=client_credentials&client_id=sandbox-client&client_secret=sandbox-secret";
    let (_, token) = sandbox.ask("POST", "/services/oauth2/token", &[FORM], form);
    let token: Value = serde_json::from_str(&token).unwrap();
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let limits = || sandbox.ask("GET", "/services/data/v68.0/limits", &[("Authorization", bearer.as_str())], "");
    assert_eq!(limits().0, 200);
    sandbox.order("POST", "expire-tokens", &json!({}));
    let (status, body) = limits();
    assert!(status == 401 && body.contains("INVALID_SESSION_ID"), "{status} {body}");
}
