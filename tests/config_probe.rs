//! `config check --probe` reaches the real broker, the real table, the sandbox and the ledger, and changes nothing there.

mod support;

use std::fs;
use std::process::Output;

use serde_json::Value;
use support::org::Org;
use support::process::{Rig, service};

fn probe(rig: &Rig) -> (i32, Value) {
    let Output { status, stdout, stderr } =
        rig.command("leadrelay.toml").args(["config", "check", "--probe", "--json"]).output().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    assert!(!said.contains("canary"), "{said}");
    let told = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&stderr)));
    (status.code().unwrap(), told)
}

fn state<'v>(told: &'v Value, subject: &str) -> &'v Value {
    let looks = told["probe"].as_array().unwrap();
    &looks.iter().find(|look| look["subject"] == subject).unwrap_or_else(|| panic!("{subject}: {told:#}"))["state"]
}

fn edit(rig: &Rig, from: &str, to: &str) {
    let text = fs::read_to_string(rig.path("leadrelay.toml")).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(rig.path("leadrelay.toml"), text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_well_and_what_is_not_is_told_with_its_mend() {
    let (rig, org) = (tokio::task::block_in_place(|| Rig::new("probe")), Org::new().await);
    let address = org.proxy.address().to_owned();
    tokio::task::block_in_place(|| {
        let more = format!(
            r#"
            [destinations.org]
            kind = "salesforce"
            instance_url = "http://{address}"
            external_id_field = "Leadrelay_Key__c"
            auth = {{ kind = "client-credentials", client_id = "sandbox-client", client_secret = "sandbox-secret" }}
            [destinations.form]
            kind = "salesforce-web-to-lead"
            oid = "00D5g0000000001"
            endpoint = "http://{address}/servlet/servlet.WebToLead?encoding=UTF-8"
            [[routes]]
            offer = "org.*"
            destination = "org"
            [[routes]]
            offer = "form.*"
            destination = "form"
            [[routes]]"#
        );
        edit(&rig, "[[routes]]", &more);
        assert_eq!(state(&probe(&rig).1, "the broker"), "doubtful", "the new destinations have no queues yet");
        assert!(rig.command("leadrelay.toml").args(["topology", "apply"]).output().unwrap().status.success());
        let (code, told) = probe(&rig);
        for subject in ["the broker", "the ledger", "destination contoso-table", "destination org", "destination form"]
        {
            assert_eq!(state(&told, subject), "ok", "{told:#}");
        }
        assert_eq!(code, 0);
        assert!(!rig.path("ledger.db").exists(), "it looks, and makes nothing");
        assert!(org.calls().contains("describe") && org.count() == 0);

        edit(&rig, &format!("prefix = \"{}\"", rig.prefix), &format!("prefix = \"{}other\"", rig.prefix));
        let (code, told) = probe(&rig);
        assert_eq!((code, state(&told, "the broker")), (0, &"doubtful".into()), "{told:#}");

        edit(&rig, "sandbox-secret", "canary-secret");
        edit(&rig, "ledger.db", "no/such/folder/ledger.db");
        edit(&rig, "AccountKey=", "AccountKey=AAAA");
        let (code, told) = probe(&rig);
        for subject in ["the ledger", "destination contoso-table", "destination org"] {
            assert_eq!(state(&told, subject), "unfit", "{told:#}");
        }
        assert_eq!(code, 1);

        edit(&rig, &service("LEADRELAY_TEST_AMQP_URL"), "amqp://guest:canary@127.0.0.1:1/%2f");
        edit(&rig, &address, "127.0.0.1:1");
        let (code, told) = probe(&rig);
        for subject in ["the broker", "destination org", "destination form"] {
            assert_eq!(state(&told, subject), "unreachable", "{told:#}");
        }
        assert_eq!(code, 69);
    });
}

#[test]
fn a_ledger_that_another_secret_keeps_is_told() {
    let rig = Rig::new("probesecret");
    let worker = rig.start(&[]);
    support::process::wait_until(std::time::Duration::from_secs(60), "it works", || worker.is_ready());
    assert_eq!(state(&probe(&rig).1, "the ledger"), "ok", "also while a worker holds it");
    worker.stop();
    edit(&rig, "a secret of the tests' own", "another secret of this test");
    let (code, told) = probe(&rig);
    assert_eq!((code, state(&told, "the ledger")), (1, &"unfit".into()), "{told:#}");
}
