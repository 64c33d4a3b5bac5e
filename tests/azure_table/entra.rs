//! Tokens from a local endpoint. Azurite takes no bearer over plain HTTP: the proxy checks it, and puts a signature in
//! its place.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use leadrelay::destination::Outcome;
use leadrelay::destination::azure_table::entra::{Cloud, Identity};
use leadrelay::destination::azure_table::{Account, AzureTable, Settings, TableName};
use leadrelay::domain::reply::{Code, Quick, Reply};

use super::azure::*;
use super::fault_proxy::{Fault, FaultProxy};

/// Issues `token-1`, `token-2` … that last this long.
async fn issuer(lasts: &'static str) -> FaultProxy {
    let tokens = FaultProxy::start("127.0.0.1:1").await;
    let issued = AtomicU32::new(0);
    tokens.set(move |_| {
        let number = issued.fetch_add(1, Ordering::Relaxed) + 1;
        Fault::json(
            200,
            format!("{{\"access_token\":\"token-{number}\",\"expires_in\":{lasts},\"token_type\":\"Bearer\"}}"),
        )
    });
    tokens
}

/// Lets through what bears one of these tokens.
fn guard(azurite: &Azurite, good: &'static [&'static str]) {
    let sign = azurite.signer();
    azurite.proxy.set(move |seen| {
        let bearer = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        match bearer.is_some_and(|bearer| good.contains(&bearer)) {
            true => Fault::Rewrite(sign(seen)),
            false => Fault::status(401).with("x-ms-error-code", "InvalidAuthenticationInfo"),
        }
    });
}

async fn open(azurite: &Azurite, cloud: Cloud, identity: Identity) -> AzureTable {
    create(&azurite.destination(), &leads(1)).await;
    azurite.proxy.requests();
    let account = Account::Entra { table_endpoint: azurite.endpoint(), cloud, identity };
    let table = TableName::parse(&azurite.table).expect("a table's name");
    azurite.open(Settings { table, ..Settings::new(account) })
}

fn client_secret(tokens: &FaultProxy) -> Identity {
    Identity::ClientSecret {
        tenant: "contoso.onmicrosoft.com".into(),
        client_id: "client".into(),
        secret: "canary & secret".to_owned().into(),
        authority: Some(format!("http://{}", tokens.address())),
    }
}

fn managed(tokens: &FaultProxy, client_id: Option<&str>) -> Identity {
    let endpoint = Some(format!("http://{}", tokens.address()));
    Identity::Managed { client_id: client_id.map(str::to_owned), endpoint }
}

#[tokio::test]
async fn a_clients_secret_buys_one_token_for_many_sends() {
    let (azurite, tokens) = (Azurite::new().await, issuer("3600").await);
    let destination = open(&azurite, Cloud::Public, client_secret(&tokens)).await;
    assert!(!format!("{destination:?}").contains("canary"));
    guard(&azurite, &["token-1"]);
    let leads = leads(9);
    let sends = [&leads[..3], &leads[3..6], &leads[6..]].map(|leads| create(&destination, leads));
    for outcome in futures_util::future::join_all(sends).await {
        assert!(matches!(&outcome, Outcome::Each(replies) if replies.iter().all(Reply::is_accepted)), "{outcome:?}");
    }
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1, "three sends at once wait for one token");
    assert_eq!(asked[0].target, "/contoso.onmicrosoft.com/oauth2/v2.0/token");
    let expected = "grant_type=client_credentials&client_id=client&client_secret=canary%20%26%20secret\
        &scope=https%3A%2F%2Fstorage.azure.com%2F.default";
    assert_eq!(asked[0].text(), expected);
}

#[tokio::test]
async fn china_has_its_own_audience() {
    let (azurite, tokens) = (Azurite::new().await, issuer("3600").await);
    let destination = open(&azurite, Cloud::China, client_secret(&tokens)).await;
    guard(&azurite, &["token-1"]);
    assert_eq!(create(&destination, &leads(1)).await, each(ALREADY, 1));
    assert!(tokens.requests()[0].text().ends_with("&scope=https%3A%2F%2Fstorage.azure.cn%2F.default"));
    assert_eq!(Cloud::China.table_endpoint("leads1"), "https://leads1.table.core.chinacloudapi.cn");
}

#[tokio::test]
async fn a_machines_own_identity_buys_a_token() {
    // As the metadata service writes it: a number in quotes.
    let (azurite, tokens) = (Azurite::new().await, issuer("\"86399\"").await);
    let destination = open(&azurite, Cloud::Public, managed(&tokens, Some("user-assigned"))).await;
    guard(&azurite, &["token-1"]);
    assert_eq!(create(&destination, &leads(1)).await, each(ALREADY, 1));
    let asked = &tokens.requests()[0];
    let expected = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F\
        &client_id=user-assigned";
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", expected));
    assert_eq!(asked.header("metadata"), Some("true"));
}

#[tokio::test]
async fn a_token_that_the_service_refuses_is_renewed_once() {
    let (azurite, tokens) = (Azurite::new().await, issuer("3600").await);
    let destination = open(&azurite, Cloud::Public, client_secret(&tokens)).await;
    guard(&azurite, &["token-2"]);
    assert_eq!(create(&destination, &leads(2)).await, Outcome::Each(vec![ALREADY, CREATED]));
    assert_eq!(tokens.requests().len(), 2);
    guard(&azurite, &["none"]);
    let refused = Outcome::Whole(Reply::Credentials(Code::known("InvalidAuthenticationInfo")));
    assert_eq!(create(&destination, &leads(2)).await, refused);
    assert_eq!(tokens.requests().len(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let (azurite, tokens) = (Azurite::new().await, issuer("0").await);
    let destination = open(&azurite, Cloud::Public, client_secret(&tokens)).await;
    guard(&azurite, &["token-1", "token-2", "token-3", "token-4"]);
    assert_eq!(create(&destination, &leads(1)).await, each(ALREADY, 1));
    assert!(tokens.requests().len() > 1, "each request takes a fresh one");
}

#[tokio::test]
async fn what_the_issuer_answers_is_told_apart() {
    let (azurite, tokens) = (Azurite::new().await, issuer("3600").await);
    let secret = open(&azurite, Cloud::Public, client_secret(&tokens)).await;
    let machine = open(&azurite, Cloud::Public, managed(&tokens, None)).await;
    let transient = |code| Reply::Transient { code, quick: Quick::Pointless };
    let wrong = Fault::json(401, "{\"error\":\"invalid_client\",\"error_description\":\"canary\"}".into());
    let missing = Fault::json(400, "{\"error\":\"invalid_request\"}".into());
    let busy = Fault::status(429).with("Retry-After", "9");
    let throttled = Reply::Throttled { code: Code::status(429), retry_after: Some(Duration::from_secs(9)) };
    let cases = [
        (&secret, wrong, Reply::Credentials(Code::known("invalid_client"))),
        (&secret, Fault::status(500), transient(Code::status(500))),
        (&secret, busy, throttled),
        (&secret, Fault::json(200, "{}".into()), transient(Code::known("no_token"))),
        (&machine, missing, Reply::Credentials(Code::known("invalid_request"))),
        (&machine, Fault::status(410), transient(Code::status(410))),
    ];
    for (destination, fault, expected) in cases {
        tokens.set(move |_| fault.clone());
        assert_eq!(create(destination, &leads(1)).await, Outcome::Whole(expected));
    }
}
