//! `leadrelay destination test`, with the real program and a real table.

mod support;

use serde_json::Value;
use support::fault_proxy::FaultProxy;
use support::process::{Rig, service, split_endpoint};

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
