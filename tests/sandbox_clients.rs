//! Real clients of Salesforce, and what they make of the sandbox: the program itself, in a process of its own.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::sandbox_program::{Process, Sandbox};
use tempfile::TempDir;

/// What it prints to be pasted, in a file of its own, is a configuration.
fn assert_pasteable(said: &str) {
    const REST: &str = "[broker]\nurl = \"amqp://127.0.0.1\"\nprefix = \"leads\"\n[store]\nurl = \"sqlite:ledger.db\"\n\
                        [identity]\nkey_secret = \"a secret of the tests' own\"\n[http]\nlisten = \"127.0.0.1:9464\"\n";
    let pasted = said.lines().filter(|line| line.starts_with('[') || line.contains(" = \"")).collect::<Vec<_>>();
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("leadrelay.toml"), format!("{REST}{}\n", pasted.join("\n"))).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_leadrelay"));
    let checked = check.args(["config", "check"]).current_dir(folder.path()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(checked.status.success(), "{}{}\n{pasted:#?}", text(&checked.stdout), text(&checked.stderr));
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// What `scripts/with-services` says is where.
fn installed(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which installs the clients"))
}

/// Runs a client to its end, which must be that it found all as with Salesforce.
fn passes(command: &mut Command) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    assert!(out.contains(" steps\n"), "it says how many steps it did: {out:?}");
}

#[test]
fn the_program_says_what_it_serves_and_ends_when_it_is_asked_to() {
    let process = Command::new(env!("CARGO_BIN_EXE_leadrelay"))
        .args(["sandbox", "salesforce", "--listen", "127.0.0.1:0", "--seed", "7", "--fault", "token:status=503:next=3"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut process = Process(process);
    let mut said = String::new();
    let mut out = BufReader::new(process.0.stdout.take().unwrap());
    while !said.contains("Ctrl-C") && out.read_line(&mut said).unwrap() > 0 {}
    let url = said.split_whitespace().find(|word| word.starts_with("http://")).unwrap().trim_end_matches('/');
    for line in [
        &format!("endpoint = \"{url}/servlet/servlet.WebToLead\"\noid = \"00D5g0000000001\"\n"),
        &format!("instance_url = \"{url}\"\nexternal_id_field = \"Leadrelay_Key__c\"\n"),
        "client_id = \"sandbox-client\"\nclient_secret = \"sandbox-secret\"\n",
        "seed 7\n",
        "fault token:status=503:next=3\n",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert_pasteable(&said);
    let taken = Command::new(env!("CARGO_BIN_EXE_leadrelay"))
        .args(["sandbox", "salesforce", "--listen", url.trim_start_matches("http://")])
        .output()
        .unwrap();
    assert_eq!(taken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("failed to listen on 127.0.0.1:"), "{taken:?}");
    let asked = Command::new("kill").arg(process.0.id().to_string()).status().unwrap();
    assert!(asked.success() && process.0.wait().unwrap().success());
}

#[test]
fn every_flag_is_a_setting_of_the_org_that_it_serves() {
    #[rustfmt::skip]
    let sandbox = Sandbox::start(&[
        "--oid", "00D5g0000000009", "--client-id", "other-client", "--client-secret", "other-secret",
        "--username", "other@sandbox.example", "--session", "60", "--api-quota", "70", "--storage", "80",
        "--field", "Region__c:40", "--require", "Phone", "--require", "Region__c", "--duplicate-rule", "block",
        "--web-to-lead-limit", "20", "--pending-limit", "30", "--too-long", "cut", "--captcha",
        "--fault", "web-to-lead:drop-after:share=0.5", "--fault", "collections:status=503:next=3", "--seed", "7",
    ]);
    let state = sandbox.order("GET", "state", &Value::Null);
    assert_eq!(state["faults"], json!(["web-to-lead:drop-after:share=0.5", "collections:status=503:next=3"]));
    let web_to_lead = json!({ "enabled": true, "daily": 20, "pending": 30, "too_long": "cut", "says_processed": true, "captcha": true });
    let settings = json!({
        "oid": "00D5g0000000009", "client_id": "other-client", "client_secret": "other-secret",
        "username": "other@sandbox.example", "session_seconds": 60, "api_daily": 70, "storage": 80,
        "required": ["Phone", "Region__c"], "duplicate_rule": "block", "web_to_lead": web_to_lead,
    });
    assert_eq!(state["settings"], settings);
}

#[test]
fn jsforce_finds_in_the_sandbox_what_it_finds_in_salesforce() {
    let sandbox = Sandbox::start(&["--not-unique"]);
    let mut node = Command::new("node");
    node.arg(clients().join("jsforce_client.cjs"));
    passes(node.env("NODE_PATH", installed("LEADRELAY_TEST_NODE_MODULES")).env("SANDBOX_URL", &sandbox.url));
}

#[test]
fn simple_salesforce_finds_in_the_sandbox_what_it_finds_in_salesforce() {
    let keys = TempDir::new().unwrap();
    let mut maker = python("make_key.py");
    assert!(maker.arg(keys.path()).status().unwrap().success());
    let (key, certificate) = (keys.path().join("client.key"), keys.path().join("client.crt"));
    let sandbox = Sandbox::start(&["--not-unique", "--tls", "--client-key", certificate.to_str().unwrap()]);
    let mut python = python("simple_salesforce_client.py");
    python.env("SANDBOX_URL", &sandbox.url).env("REQUESTS_CA_BUNDLE", sandbox.certificate.as_deref().unwrap());
    passes(python.env("CLIENT_KEY", key));
}

fn python(script: &str) -> Command {
    let mut python = Command::new(installed("LEADRELAY_TEST_PYTHON"));
    python.arg(clients().join(script));
    python
}
