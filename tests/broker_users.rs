//! The three users that `deploy/rabbitmq/render` makes, on a real broker: what each may do, and that it is enough.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::process::{Rig, service, wait_until};

fn rabbitmqctl(arguments: &[&str]) -> String {
    let output = Command::new(service("LEADRELAY_TEST_RABBITMQ")).arg("ctl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A virtual host with the users in it; both are gone when it is dropped.
struct Users {
    folder: tempfile::TempDir,
    vhost: String,
}

impl Users {
    fn import() -> Self {
        let vhost = format!("users{}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let url = service("LEADRELAY_TEST_AMQP_URL");
        let host = url.split('@').nth(1).unwrap().split('/').next().unwrap();
        let mut render = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rabbitmq/render"));
        render.arg("--out").arg(folder.path()).args(["--vhost", &vhost, "--users", &format!("{vhost}-")]);
        assert!(render.args(["--host", host]).status().unwrap().success());
        rabbitmqctl(&["import_definitions", folder.path().join("definitions.json").to_str().unwrap()]);
        Self { folder, vhost }
    }

    fn url(&self, user: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{user}.url"))).unwrap().trim().to_owned()
    }

    /// What the user may do, of all that a client can try.
    fn tries(&self, user: &str) -> BTreeMap<String, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/permissions.py");
        let mut python = Command::new(service("LEADRELAY_TEST_PYTHON"));
        let output = python.arg(script).args([&self.url(user), "leads"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        rabbitmqctl(&["delete_vhost", &self.vhost]);
        for user in ["producer", "worker", "operator"] {
            rabbitmqctl(&["delete_user", &format!("{}-{user}", self.vhost)]);
        }
    }
}

#[test]
fn a_producer_may_publish_and_nothing_else_and_the_worker_and_the_operator_may_do_their_work() {
    let users = Users::import();
    // The rig's own URL and prefix, exchanged for the worker's: it has a table and a folder.
    let rig = Rig::new("users");
    let text = std::fs::read_to_string(rig.path("leadrelay.toml")).unwrap();
    for user in ["producer", "worker", "operator"] {
        let theirs = text.replacen(&rig.amqp_url, &users.url(user), 1).replacen(&rig.prefix, "leads", 1);
        std::fs::write(rig.path(&format!("{user}.toml")), theirs.replacen("[broker]", "[broker]\nfates = true", 1))
            .unwrap();
    }
    let run = |user: &str, arguments: &[&str]| {
        let output = rig.command(&format!("{user}.toml")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let asked = run("worker", &["health"]);
    assert_eq!(asked.0, Some(69), "nobody listens yet");
    let worker = rig.start_with("worker.toml", &[]);
    wait_until(Duration::from_secs(60), "the worker works", || worker.is_ready());
    assert_eq!(run("worker", &["health"]), (Some(0), "ok\n".to_owned()));
    assert_eq!(run("worker", &["health", "--ready", "--json"]).1, "{\"ok\":true,\"said\":\"ready\"}\n");

    let producer = users.tries("producer");
    let may: Vec<_> = producer.iter().filter(|(_, answer)| *answer != "may not").collect();
    assert_eq!(may, [(&"publish to the exchange".to_owned(), &"may".to_owned())]);

    // The operator looks, publishes and declares; what it published, and the `{}` of the producer, come to their ends.
    let event = rig.path("event.json");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("contract/samples/accepted/minimal.json"), &event)
        .unwrap();
    let unroutable = run("operator", &["publish", event.to_str().unwrap()]);
    assert_eq!(unroutable, (Some(0), "1 event published and confirmed\n".to_owned()));
    assert_eq!(run("operator", &["topology", "check"]).0, Some(0));
    assert_eq!(run("operator", &["topology", "apply"]).0, Some(0));
    let letters = || run("operator", &["dead", "list", "--json"]).1.lines().count();
    wait_until(Duration::from_secs(60), "both are dead letters", || letters() >= 2);
    assert_ne!(run("producer", &["topology", "check"]).0, Some(0));
    assert_eq!(worker.stop().code(), Some(0));

    let foreign = ["publish to a foreign exchange", "declare a foreign queue"];
    for user in ["worker", "operator"] {
        // The one before has deleted some of it.
        assert_eq!(run("operator", &["topology", "apply"]).0, Some(0));
        for (attempt, answer) in users.tries(user) {
            let expected = if foreign.contains(&attempt.as_str()) { "may not" } else { "may" };
            assert_eq!(answer, expected, "{user}: {attempt}");
        }
    }
    let policies = rabbitmqctl(&["list_policies", "--vhost", &users.vhost]);
    assert!(policies.contains("leads-inbox") && policies.contains("max-length-bytes"), "{policies}");
    let queues = rabbitmqctl(&["list_queues", "--vhost", &users.vhost, "name", "policy"]);
    assert!(queues.lines().any(|line| line == "leads.consent\tleads-inbox"), "{queues}");
    assert!(queues.lines().any(|line| line == "leads.dead\t"), "{queues}");
}
