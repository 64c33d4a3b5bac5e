//! Real clients of Salesforce, and what they make of the sandbox: the program itself, in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The sandbox, until it is dropped.
struct Sandbox {
    process: Child,
    url: String,
    certificate: Option<String>,
    _folder: TempDir,
}

impl Sandbox {
    fn start(arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_leadrelay"))
            .args(["sandbox", "salesforce", "--listen", "127.0.0.1:0", "--json"])
            .args(arguments)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let text = |name: &str| ready[name].as_str().map(str::to_owned);
        Self { process, url: text("url").unwrap(), certificate: text("certificate"), _folder: folder }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Fails only if it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
