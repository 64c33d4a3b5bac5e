//! The real program, set up as people set it up at first: what is wrong is told, with its name and its mend.

mod support;

use std::fs;
use std::time::Duration;

use support::process::{Rig, service, split_endpoint, wait_until};

const MINUTE: Duration = Duration::from_secs(60);

/// A worker's log line that says so.
fn told(rig: &Rig, message: &str) -> serde_json::Value {
    let mut line = None;
    wait_until(MINUTE, message, || {
        let log = fs::read_to_string(rig.path("worker.log")).unwrap();
        line = log.lines().find(|line| line.contains(message)).map(|line| serde_json::from_str(line).unwrap());
        line.is_some()
    });
    line.unwrap()
}

#[test]
fn a_wrong_account_key_is_told_with_its_code_and_its_mend() {
    let rig = Rig::new("key");
    let azurite = service("LEADRELAY_TEST_AZURITE");
    let (before, key) = azurite.split_once("AccountKey=").unwrap();
    rig.configure("leadrelay.toml", &format!("{before}AccountKey=AAAA{}", &key[4..]));
    let worker = rig.start(&[]);
    rig.publish(1, 1);
    let line = told(&rig, "paused the destination");
    assert_eq!((&line["destination"], &line["state"]), (&"contoso-table".into(), &"credentials".into()));
    assert!(line["code"].as_str().unwrap().starts_with("Auth"), "{line}");
    assert!(line["mend"].as_str().unwrap().contains("`leadrelay destination test`"), "{line}");
    assert_eq!(worker.stop().code(), Some(0));
    rig.assert_no_canary_sang("");
}

/// One lead that fails by itself pauses nothing, and would be tried again for days before it is dead.
#[test]
fn a_destination_at_which_nobody_listens_is_told_at_the_first_lead() {
    let rig = Rig::new("nobody");
    let (_, through) = split_endpoint(&service("LEADRELAY_TEST_AZURITE"));
    rig.configure("leadrelay.toml", &through("127.0.0.1:1"));
    let worker = rig.start(&[]);
    rig.publish(1, 1);
    let line = told(&rig, "a lead was not accepted");
    assert_eq!((&line["destination"], &line["level"]), (&"contoso-table".into(), &"WARN".into()));
    assert_eq!((&line["class"], &line["code"]), (&"transient".into(), &"not_connected".into()));
    assert_eq!(worker.stop().code(), Some(0));
    rig.assert_no_canary_sang("");
}

#[test]
fn a_wrong_password_of_the_broker_ends_the_worker_and_a_broker_that_is_away_does_not() {
    let rig = Rig::new("password");
    let text = fs::read_to_string(rig.path("leadrelay.toml")).unwrap();
    fs::write(rig.path("wrong.toml"), text.replace("guest:guest@", "guest:hunter2@")).unwrap();
    let status = rig.start_with("wrong.toml", &[]).wait(MINUTE).expect("nobody mends a password by waiting");
    assert_eq!(status.code(), Some(1));
    let address = rig.amqp_url.split(['@', '/']).nth(3).unwrap();
    fs::write(rig.path("away.toml"), text.replace(address, "127.0.0.1:1")).unwrap();
    let worker = rig.start_with("away.toml", &[]);
    told(&rig, "127.0.0.1:1: Connection refused");
    assert_eq!(worker.stop().code(), Some(0));
    let log = fs::read_to_string(rig.path("worker.log")).unwrap();
    assert!(log.contains("password of broker.url") && !log.contains("hunter2"), "{log}");
}
