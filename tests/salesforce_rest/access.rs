//! Tokens: fetched once, shared, and fetched again when they are refused.

use std::process::Command;

use leadrelay::destination::Outcome;
use leadrelay::destination::salesforce::rest::Settings;
use leadrelay::destination::salesforce::rest::assertion::SigningKey;
use leadrelay::destination::salesforce::rest::auth::Credential;
use leadrelay::domain::reply::{Code, Reply};
use leadrelay::sandbox::Options;

use super::fault_proxy::Fault;
use super::org::*;

#[tokio::test]
async fn one_token_serves_all_and_a_refused_one_is_replaced_once() {
    let org = Org::new().await;
    let desk = Desk::new(org.destination()).await;
    let all = leads(8);
    let sends = all.chunks(2).map(|leads| desk.deliver(leads));
    assert_eq!(futures_util::future::join_all(sends).await, vec![each(CREATED, 2); 4]);
    assert_eq!(org.calls(), "4 look, 1 token, 4 write");
    org.sandbox.expire_tokens();
    let later: Vec<_> = (0..8).map(|person| lead(event(&format!("person{person}"), "PLT", 9))).collect();
    let sends = later.chunks(2).map(|leads| desk.deliver(leads));
    assert_eq!(futures_util::future::join_all(sends).await, vec![each(UPDATED, 2); 4]);
    let calls = org.calls();
    assert!(calls.contains(" 1 token"), "{calls}");
}

#[tokio::test]
async fn a_token_that_ends_between_looking_and_writing_costs_one_refresh() {
    let org = Org::new().await;
    let desk = Desk::new(org.destination()).await;
    desk.deliver(&leads(1)).await;
    org.calls();
    let mut once = true;
    org.proxy.set(move |seen| match kind(seen) {
        "write" if std::mem::take(&mut once) => {
            Fault::json(401, r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#.into())
        }
        _ => Fault::Pass,
    });
    assert_eq!(desk.deliver(&leads(3)).await, each(CREATED, 2));
    assert_eq!(org.calls(), "1 look, 1 token, 2 write");
}

#[tokio::test]
async fn a_session_that_is_refused_again_and_again_is_a_matter_of_credentials() {
    let org = Org::new().await;
    org.proxy.set(|seen| match kind(seen) {
        "look" => Fault::json(401, r#"[{"message":"canary","errorCode":"INVALID_SESSION_ID"}]"#.into()),
        _ => Fault::Pass,
    });
    let refused = Outcome::Whole(Reply::Credentials(Code::known("INVALID_SESSION_ID")));
    assert_eq!(deliver(org.destination(), &leads(1)).await, refused);
    assert_eq!(org.calls(), "2 look, 2 token");
}

#[tokio::test]
async fn wrong_credentials_are_told_by_their_code() {
    let org = Org::new().await;
    let credential =
        Credential::ClientCredentials { client_id: "sandbox-client".into(), client_secret: "canary".into() };
    let outcome = deliver(org.open(Settings { credential, ..org.settings() }), &leads(2)).await;
    assert_eq!(outcome, Outcome::Whole(Reply::Credentials(Code::known("invalid_client"))));
    assert_eq!(org.calls(), "1 token", "no lead left");
}

#[tokio::test]
async fn a_signed_assertion_gets_a_token() {
    let openssl = |arguments: &[&str], input: &[u8]| {
        use std::io::Write;
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("openssl");
        child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
        let output = child.wait_with_output().expect("its output");
        String::from_utf8(output.stdout).expect("PEM")
    };
    let pkcs8 = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], b"");
    let pkcs1 = openssl(&["rsa", "-traditional"], pkcs8.as_bytes());
    let public = openssl(&["pkey", "-pubout"], pkcs8.as_bytes());
    let elliptic = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], b"");
    assert!(SigningKey::from_pem(&elliptic).is_err() && SigningKey::from_pem(&public).is_err());
    let org = Org::with(Options { client_key: Some(public), ..Options::default() }).await;
    let check = async |pem: &str, username: &str, expected: Outcome| {
        let credential = Credential::JwtBearer {
            client_id: "sandbox-client".into(),
            username: username.into(),
            audience: "https://login.salesforce.com".into(),
            key: SigningKey::from_pem(pem).expect("a key"),
        };
        assert_eq!(deliver(org.open(Settings { credential, ..org.settings() }), &leads(1)).await, expected);
    };
    check(&pkcs8, "integration@sandbox.example", each(CREATED, 1)).await;
    check(&pkcs1, "integration@sandbox.example", each(ALREADY, 1)).await;
    let refused = Outcome::Whole(Reply::Credentials(Code::known("invalid_grant")));
    check(&pkcs8, "canary@sandbox.example", refused).await;
}
