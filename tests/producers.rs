//! The producers in `examples/producers/`, each in its language, on the real broker: what they publish is delivered, what
//! no queue takes and what a full queue refuses they notice.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::process::{Rig, service};

fn folder(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/producers").join(part)
}

/// Each as its own documentation starts it, compiled where it must be.
fn producer(language: &str, rig: &Rig) -> Command {
    let folder = folder(language);
    match language {
        "python" => {
            let mut python = Command::new(service("LEADRELAY_TEST_PYTHON"));
            python.arg(folder.join("publish.py"));
            python
        }
        "node" => {
            let mut node = Command::new("node");
            node.arg(folder.join("publish.mjs")).env("NODE_PATH", service("LEADRELAY_TEST_NODE_MODULES"));
            node
        }
        "go" => {
            let program = rig.path("producer");
            let mut go = Command::new("go");
            succeeds(go.current_dir(folder).args(["build", "-mod=readonly", "-o"]).arg(&program));
            Command::new(program)
        }
        "java" => {
            let libraries = format!("{}/*", service("LEADRELAY_TEST_JAVA_LIBRARIES"));
            let mut javac = Command::new("javac");
            javac.args(["-Xlint:all", "-Werror", "-d"]).arg(rig.folder.path()).args(["-cp", &libraries]);
            succeeds(javac.arg(folder.join("src/main/java/Publish.java")));
            let mut java = Command::new("java");
            java.args(["-cp", &format!("{libraries}:{}", rig.folder.path().display()), "Publish"]);
            java
        }
        other => panic!("there is no producer in {other}"),
    }
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run scripts/install"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Declares an exchange of each kind of trouble: one that nobody is bound to, and one whose queue is always full.
const TROUBLE: &str = "
import sys, pika
url, prefix = sys.argv[1:3]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.exchange_declare(f'{prefix}.nowhere', 'topic')
channel.exchange_declare(f'{prefix}.full', 'topic')
channel.queue_declare(f'{prefix}.full', arguments={'x-max-length': 0, 'x-overflow': 'reject-publish'})
channel.queue_bind(f'{prefix}.full', f'{prefix}.full', '#')
connection.close()
";

/// What the producer says, and its exit code, for an exchange.
fn run(language: &str, rig: &Rig, exchange: &str) -> (String, Option<i32>) {
    let mut command = producer(language, rig);
    command.arg(folder("events.jsonl")).env("AMQP_URL", &rig.amqp_url).env("EXCHANGE", exchange);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout) + &text(&output.stderr), output.status.code())
}

fn a_producer_loses_nothing(language: &str) {
    let rig = Rig::new("producer");
    let (said, code) = run(language, &rig, &rig.prefix);
    assert_eq!((said.as_str(), code), ("3 confirmed, 0 not\n", Some(0)), "{language}");
    for (message, number) in rig.messages_in("consent").iter().zip(1..) {
        let offer = if number == 3 { "Contoso.Example" } else { "contoso.example" };
        assert_eq!(message["message_id"], format!("producer-{number}"), "{message}");
        assert_eq!(message["routing_key"], offer, "{message}");
        assert_eq!((&message["delivery_mode"], &message["content_type"]), (&2.into(), &"application/json".into()));
    }
    let worker = rig.start(&[]);
    rig.wait_until_drained(Duration::from_secs(60));
    assert_eq!(worker.stop().code(), Some(0));
    let rows = rig.rows();
    let mut emails: Vec<_> = rows.iter().map(|row| row["Email"].as_str().unwrap()).collect();
    emails.sort_unstable();
    assert_eq!(emails, ["dashan@example.com", "ldashan@example.com"], "three events, two leads");
    assert!(rows.iter().any(|row| row["FirstName"] == "大山"), "{rows:?}");
    assert_eq!(rig.dead(), Vec::<serde_json::Value>::new());

    let mut python = Command::new(service("LEADRELAY_TEST_PYTHON"));
    succeeds(python.args(["-c", TROUBLE, &rig.amqp_url, &rig.prefix]));
    for (exchange, trouble) in
        [("nowhere", "returned: no queue is bound to the exchange"), ("full", "refused: the queue is full")]
    {
        let (said, code) = run(language, &rig, &format!("{}.{exchange}", rig.prefix));
        let expected: String = (1..=3).map(|number| format!("producer-{number}: {trouble}\n")).collect();
        assert_eq!((said, code), (expected + "0 confirmed, 3 not\n", Some(1)), "{language}");
    }
}

#[test]
fn a_producer_in_python_loses_nothing() {
    a_producer_loses_nothing("python");
}

#[test]
fn a_producer_in_javascript_loses_nothing() {
    a_producer_loses_nothing("node");
}

#[test]
fn a_producer_in_go_loses_nothing() {
    a_producer_loses_nothing("go");
}

#[test]
fn a_producer_in_java_loses_nothing() {
    a_producer_loses_nothing("java");
}
