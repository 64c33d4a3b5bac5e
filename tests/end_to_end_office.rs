//! The real program and the real broker: dead letters leave their queue for the office once, whatever happens, and
//! operators find, understand and discard them there.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use leadrelay::clock::Clock;
use leadrelay::domain::dead_letter::Cause;
use leadrelay::domain::envelope::{Message, Properties};
use leadrelay::domain::lead_key::Keyring;
use leadrelay::office::letter;
use leadrelay::store::dead_letters::{Act, DeadLetters, Entry, Filter};
use leadrelay::store::sqlite::SqliteLetters;
use leadrelay::telemetry::Telemetry;
use rusqlite::Connection;
use serde_json::Value;
use support::amqp;
use support::process::{Rig, Worker, wait_until};

const MINUTE: Duration = Duration::from_secs(60);

fn event(email: &str, offer: &str) -> String {
    serde_json::json!({
        "Source": "AzureMarketplace", "Action": "INS", "Offer": offer, "Consent": { "Granted": true },
        "CustomerInfo": { "Email": email, "FirstName": "Dashan", "LastName": "Liang" }
    })
    .to_string()
}

fn inbox(rig: &Rig) -> String {
    format!("{}.consent", rig.prefix)
}

/// One letter of each kind that can be made without a fault of the destination.
fn make_six_kinds(rig: &Rig) {
    let (inbox, dead) = (inbox(rig), format!("{}.dead", rig.prefix));
    amqp::publish_raw(rig, &inbox, &event("canary-crashed@example.com", "contoso.appliance"), "crashed");
    amqp::crash_on_it(rig, &inbox);
    let brief = r#"{ "expiration": "1" }"#;
    amqp::publish_with(rig, &inbox, &event("canary-brief@example.com", "contoso.appliance"), "brief", brief);
    amqp::publish_raw(rig, &inbox, r#"{ "CustomerInfo": { "Email": "canary-malformed@example.com" } }"#, "malformed");
    amqp::publish_raw(rig, &inbox, &event("canary-lost@example.com", "nobody.knows"), "unroutable");
    let large = format!(r#"{{ "headers": {{ "a": "{}" }} }}"#, "x".repeat(66_000));
    amqp::publish_with(rig, &inbox, &event("canary-large@example.com", "contoso.appliance"), "large", &large);
    amqp::publish_raw(rig, &dead, &event("canary-foreign@example.com", "contoso.appliance"), "foreign");
}

fn start(rig: &Rig) -> Worker {
    let worker = rig.start(&[]);
    wait_until(MINUTE, "it works", || worker.is_ready());
    worker
}

fn reasons(rig: &Rig) -> BTreeMap<String, String> {
    let of = |letter: &Value| {
        let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
        (text("message_id"), text("reason"))
    };
    rig.letters().iter().map(of).collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn fails(rig: &Rig, arguments: &[&str]) -> Output {
    let ended = rig.command("leadrelay.toml").args(arguments).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    ended
}

#[test]
fn letters_of_six_kinds_come_into_the_office_and_operators_find_understand_and_discard_them() {
    let rig = Rig::new("office");
    make_six_kinds(&rig);
    let worker = start(&rig);
    wait_until(MINUTE, "all six are in the office", || rig.letters().len() == 6);
    wait_until(MINUTE, "and no more in the queue", || rig.messages_in("dead").is_empty());
    let expected = [
        ("brief", "expired_in_queue"),
        ("crashed", "crashed_worker"),
        ("foreign", "foreign"),
        ("large", "headers_too_large"),
        ("malformed", "malformed"),
        ("unroutable", "unroutable"),
    ];
    assert_eq!(reasons(&rig), expected.map(|(id, reason)| (id.to_owned(), reason.to_owned())).into());

    // While the worker runs: found by each filter, and by address without telling it.
    let one = |arguments: &[&str]| {
        let found = lines(&rig.run(&[&["dead", "list", "--json"], arguments].concat()));
        assert_eq!(found.len(), 1, "{arguments:?}: {found:?}");
        found[0].clone()
    };
    let unroutable = one(&["--reason", "unroutable"]);
    let id = unroutable["dead_id"].as_str().unwrap();
    assert_eq!(one(&["--offer", "nobody.*"])["dead_id"], id);
    assert_eq!(one(&["--lead-key", unroutable["lead_key"].as_str().unwrap(), "--since", "2h"])["dead_id"], id);
    assert_eq!(one(&["--email", " Canary-Lost@example.com"])["dead_id"], id);
    assert_eq!(one(&["--email", "canary-malformed@example.com"])["reason"], "malformed", "no offer is needed");
    let groups = lines(&rig.run(&["dead", "list", "--by", "reason", "--json"]));
    assert_eq!(groups.iter().map(|group| group["count"].as_u64().unwrap()).sum::<u64>(), 6);
    pages_hold_each_letter_once(&rig);

    let shown = rig.run(&["dead", "show", &id[..12]]);
    for told in ["no route covers its offer", "docs/operating.md#unroutable", "add a route", "nobody.knows", "c•@e•"]
    {
        assert!(shown.contains(told), "{told:?} is not in {shown}");
    }
    assert!(!shown.contains("canary"), "{shown}");
    let revealed = rig.run(&["dead", "show", id, "--reveal", "--why", "she asks"]);
    assert!(revealed.contains("canary-lost@example.com"), "{revealed}");

    rig.run(&["dead", "discard", &id[..8], "--why", "a test of the producer"]);
    assert!(rig.run(&["dead", "list", "--reason", "unroutable"]).starts_with("0 letters"));
    fails(&rig, &["dead", "discard", id, "--why", "twice"]);
    rig.run(&["dead", "undo", id]);
    fails(&rig, &["dead", "undo", id]);
    let history = serde_json::from_str::<Value>(&rig.run(&["dead", "show", id, "--json"])).unwrap()["history"].clone();
    let history: Vec<_> = history.as_array().unwrap().iter().map(|deed| (&deed["what"], &deed["who"])).collect();
    assert_eq!(
        history.iter().map(|(what, _)| what.as_str().unwrap()).collect::<Vec<_>>(),
        ["revealed", "discarded", "undone"]
    );
    let by_olga = |who: &Value| who.as_str().is_some_and(|who| who.starts_with("olga@"));
    assert!(history.iter().all(|(_, who)| by_olga(who)), "{history:?}");
    fails(&rig, &["dead", "show", "ffffffffffff"]);
    letters_are_carried_to_another_office(&rig);
    assert!(rig.run(&["dead", "stats"]).contains("died in the last hour: "));
    let metrics = worker.metrics();
    assert!(metrics.contains("leadrelay_office_taken_in_total{result=\"new\"} 6"), "{metrics}");
    assert_eq!(worker.stop().code(), Some(0));
    rig.assert_no_canary_sang(&metrics);
}

fn pages_hold_each_letter_once(rig: &Rig) {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let beyond = after.iter().flat_map(|place: &String| ["--after", place]);
        let page: Vec<&str> = ["dead", "list", "--json", "--limit", "4"].into_iter().chain(beyond).collect();
        let page = lines(&rig.run(&page));
        let Some(last) = page.last() else { break };
        after = last["place"].as_str().map(str::to_owned);
        seen.extend(page.iter().map(|letter| letter["dead_id"].as_str().unwrap().to_owned()));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6);
}

/// As they are, and once, however often they are brought.
fn letters_are_carried_to_another_office(rig: &Rig) {
    let exported = rig.run(&["dead", "export", "--why", "moving"]);
    std::fs::write(rig.path("letters.jsonl"), &exported).unwrap();
    let text = std::fs::read_to_string(rig.path("leadrelay.toml")).unwrap();
    std::fs::write(rig.path("other.toml"), text + "[office]\nurl = \"sqlite:other.db\"\n").unwrap();
    let other = |arguments: &[&str]| {
        let ended = rig.command("other.toml").args(arguments).output().unwrap();
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    };
    let file = rig.path("letters.jsonl");
    let import = ["dead", "import", file.to_str().unwrap()];
    assert!(other(&import).starts_with("6 letters taken in, 0 here already"));
    assert!(other(&import).starts_with("0 letters taken in, 6 here already"));
    let stable = |text: &str| {
        let mut letters = lines(text);
        letters.iter_mut().for_each(|letter| drop(letter.as_object_mut().unwrap().remove("changed_at")));
        letters
    };
    assert_eq!(stable(&other(&["dead", "export", "--why", "comparing"])), stable(&exported));
}

#[test]
fn an_ingester_killed_between_commit_and_acknowledgement_doubles_nothing() {
    let rig = Rig::new("twice");
    let dead = format!("{}.dead", rig.prefix);
    for n in 0..20 {
        amqp::publish_raw(
            &rig,
            &dead,
            &event(&format!("canary{n}@example.com"), "contoso.appliance"),
            &format!("m{n}"),
        );
    }
    for place in ["take_in.before", "take_in.after"] {
        let mut worker = rig.start(&[("LEADRELAY_CRASH_AT", place)]);
        assert!(worker.wait(MINUTE).is_some_and(|status| !status.success()), "it did not crash at {place}");
        assert_eq!(rig.messages_in("dead").len(), 20, "nothing is acknowledged before {place} is over");
    }
    assert!(!rig.letters().is_empty(), "it crashed after a commit");
    let worker = start(&rig);
    wait_until(MINUTE, "the queue is empty", || rig.messages_in("dead").is_empty());
    assert_eq!(rig.letters().len(), 20);
    assert_eq!(worker.stop().code(), Some(0));
}

/// An event whose phone is a number.
fn mendable() -> String {
    event("canary@example.com", "contoso.appliance").replace("\"Dashan\"", "\"Dashan\", \"Phone\": 4711")
}

/// A worker that runs, the one letter in its office, and an editor for it, `editor.sh`.
fn one_letter(rig: &Rig, editor: &str) -> (Worker, String) {
    let worker = start(rig);
    amqp::publish_raw(rig, &inbox(rig), &mendable(), "mendable");
    wait_until(MINUTE, "it is in the office", || rig.letters().len() == 1);
    std::fs::write(rig.path("editor.sh"), editor).unwrap();
    let id = lines(&rig.run(&["dead", "list", "--json"]))[0]["dead_id"].as_str().unwrap().to_owned();
    (worker, id)
}

/// An editor that looks at what it is opened on, then makes a text of the phone.
const MENDS: &str = r#"#!/bin/sh
stat -c '%a %n' "$(dirname "$1")" "$1" > opened
sed -i 's/"Phone": 4711/"Phone": "4711"/' "$1"
"#;

#[test]
fn a_letter_is_mended_in_an_editor_replayed_and_delivered_and_its_consent_is_nobodys_to_change() {
    let rig = Rig::new("mended");
    let (worker, id) = one_letter(&rig, MENDS);
    let body = mendable();
    let edit = |editor: &str, arguments: &[&str]| {
        let mut command = rig.command("leadrelay.toml");
        let command = command.args(["dead", "edit", &id, "--why", "a number"]).args(arguments);
        let command = command.current_dir(rig.folder.path()).env_remove("VISUAL").env("EDITOR", editor);
        let ended = command.env("LEADRELAY_OPERATOR", "olga").output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
        (ended.status.code().unwrap(), said)
    };
    let check = |editor: &str, arguments: &[&str], code: i32, told: &str| {
        let (ended, said) = edit(editor, arguments);
        assert!(ended == code && said.contains(told), "{editor} {arguments:?}: {ended} {said}");
        assert!(!said.contains("canary@") && !said.contains("4711"), "{said}");
    };
    check("true", &[], 0, "nothing is changed");
    check("false", &[], 1, "the editor (false) ended with exit status: 1; nothing was done");
    check("sh editor.sh", &[], 64, "add --yes");
    check("sh -c 'sh editor.sh \"$1\"; sed -i s/true/false/ \"$1\"' sh", &["--yes"], 1, "/Consent is the customer's");
    check("true", &["--set", "/CustomerInfo/Title=CTO", "--yes"], 1, "/CustomerInfo/Phone is a number");
    let other = "/CustomerInfo/Email=somebody@example.com";
    check(
        "true",
        &["--set", "/CustomerInfo/Phone=1", "--set", other, "--yes"],
        1,
        "/CustomerInfo/Email would be another",
    );
    check("sh editor.sh", &["--dry-run"], 0, "would be sent");
    let dead = serde_json::from_str::<Value>(&rig.run(&["dead", "show", &id, "--json"])).unwrap();
    assert!(dead["state"] == "dead" && dead["replays"] == 0, "nothing was done: {dead}");
    check("sh editor.sh", &["--yes", "--json"], 0, r#""pointer":"/CustomerInfo/Phone""#);

    wait_until(MINUTE, "it is delivered", || rig.rows().len() == 1);
    let opened = std::fs::read_to_string(rig.path("opened")).unwrap();
    let [(folder, _), (file, path)] = [0, 1].map(|nth| opened.lines().nth(nth).unwrap().split_once(' ').unwrap());
    assert_eq!((folder, file), ("700", "600"));
    assert!(!Path::new(path).parent().unwrap().exists(), "nothing is left of {path}");
    let shown = serde_json::from_str::<Value>(&rig.run(&["dead", "show", &id, "--json"])).unwrap();
    let deeds: Vec<_> =
        shown["history"].as_array().unwrap().iter().map(|deed| deed["what"].as_str().unwrap()).collect();
    assert_eq!(deeds[deeds.len() - 4..], ["edited", "taken", "published", "delivered"], "{shown}");
    let edited = &shown["history"][deeds.len() - 4];
    assert_eq!(edited["why"], "/CustomerInfo/Phone: a number");
    assert!(edited["who"].as_str().unwrap().starts_with("olga@"), "{edited}");
    let file = Connection::open(rig.path("ledger.letters.db")).unwrap();
    let original: Vec<u8> = file.query_row("SELECT original FROM contents", [], |row| row.get(0)).unwrap();
    assert_eq!(String::from_utf8(original).unwrap(), body, "as it came out of the queue");
    let first = rig.run(&["dead", "show", &id, "--original", "--reveal", "--why", "comparing"]);
    assert!(first.contains("\"Phone\": 4711\n"), "{first}");
    check("true", &[], 1, "is replayed; nothing was done");
    assert_eq!(worker.stop().code(), Some(0));
}

/// An editor that makes a fault the first time, and mends it the second.
const SECOND_TIME: &str = r#"#!/bin/sh
if grep -q '"Phone": 4711' "$1"; then
    sed -i 's/"Phone": 4711/"Phone": ["4711"]/' "$1"
else
    sed -i 's/"Phone": \["4711"\]/"Phone": "4711"/' "$1"
fi
"#;

#[test]
fn on_a_terminal_a_fault_is_told_and_the_editor_opened_again_with_what_was_written() {
    let rig = Rig::new("again");
    let (worker, id) = one_letter(&rig, SECOND_TIME);
    let steps = r#"[["again? [y/N]", "y\n"], ["the letter? [y/N]", "y\n"]]"#;
    let mut terminal = Command::new("python3");
    terminal.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/at_terminal.py")).arg(steps);
    terminal.arg(env!("CARGO_BIN_EXE_leadrelay")).args(["dead", "edit", &id, "--why", "a number"]);
    let terminal = terminal.current_dir(rig.folder.path()).env_remove("VISUAL").env("EDITOR", "sh editor.sh");
    let ended = terminal.output().unwrap();
    let shown = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && shown.contains("1 delivered"), "{shown}");
    assert!(shown.contains("/CustomerInfo/Phone is an array"), "{shown}");
    assert!(!shown.contains("canary@"), "{shown}");
    assert_eq!(rig.rows().len(), 1);
    assert_eq!(worker.stop().code(), Some(0));
}

#[test]
fn while_the_store_takes_nothing_letters_stay_in_the_queue_leads_are_delivered_and_reading_goes_on() {
    let rig = Rig::new("locked");
    let worker = start(&rig);
    let inbox = inbox(&rig);
    amqp::publish_raw(&rig, &inbox, "not json", "first");
    wait_until(MINUTE, "the first is in the office", || rig.letters().len() == 1);
    let other = Connection::open(rig.path("ledger.letters.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    amqp::publish_raw(&rig, &inbox, "not json either", "second");
    amqp::publish_raw(&rig, &inbox, &event("person@example.com", "contoso.appliance"), "lead");
    wait_until(MINUTE, "the office says so", || worker.metrics().contains("leadrelay_office_up 0"));
    wait_until(MINUTE, "the lead is delivered", || rig.rows().len() == 1);
    wait_until(MINUTE, "the letter is in the queue", || rig.messages_in("dead").len() == 1);
    assert!(worker.is_ready(), "everything else goes on");
    assert_eq!(lines(&rig.run(&["dead", "list", "--json"])).len(), 1, "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    wait_until(MINUTE, "it goes on by itself", || rig.letters().len() == 2 && rig.messages_in("dead").is_empty());
    wait_until(MINUTE, "and says so", || worker.metrics().contains("leadrelay_office_up 1"));
    assert_eq!(worker.stop().code(), Some(0));
}

#[test]
fn without_an_office_letters_stay_in_the_queue_and_are_listed_and_explained_there() {
    let rig = Rig::new("unmanned");
    let text = std::fs::read_to_string(rig.path("leadrelay.toml")).unwrap();
    std::fs::write(rig.path("leadrelay.toml"), text + "[office]\ningest = false\n").unwrap();
    let worker = start(&rig);
    amqp::publish_raw(&rig, &inbox(&rig), r#"{ "CustomerInfo": { "Email": "canary@example.com" } }"#, "malformed");
    wait_until(MINUTE, "it is dead", || rig.messages_in("dead").len() == 1);
    assert_eq!(worker.stop().code(), Some(0));
    assert!(!rig.path("ledger.letters.db").exists());
    let listed = lines(&rig.run(&["dead", "list", "--reason", "malformed", "--json"]));
    let [letter] = &listed[..] else { panic!("{listed:?}") };
    let shown = rig.run(&["dead", "show", &letter["dead_id"].as_str().unwrap()[..12]]);
    assert!(shown.contains("/Offer") && shown.contains("docs/operating.md#malformed"), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(rig.messages_in("dead").len(), 1, "it stays there");
    let wrong = rig.command("leadrelay.toml").args(["dead", "list", "--email", "a@b.c"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(64));
}

/// Each page of the guide with the commands in it.
fn pages(guide: &str) -> Vec<(String, Vec<String>)> {
    let mut pages = vec![("the guide".to_owned(), Vec::new())];
    let mut in_console = false;
    for line in guide.lines() {
        if let Some(reason) = line.strip_prefix("### ") {
            pages.push((reason.to_owned(), Vec::new()));
        }
        in_console = if in_console { line != "```" } else { line == "```console" };
        if let Some(command) = line.strip_prefix("$ ").filter(|_| in_console) {
            pages.last_mut().unwrap().1.push(command.to_owned());
        }
    }
    pages
}

/// One dead letter of each reason, as a worker or the broker makes it.
async fn fill(rig: &Rig) -> BTreeMap<&'static str, Entry> {
    let keyring = Keyring::new(b"a secret of the tests' own");
    let path = rig.path("ledger.letters.db");
    let store = SqliteLetters::create(&path, &keyring, Arc::new(Telemetry::new())).unwrap();
    let now = Clock::System.now();
    let letter = |cause: Cause| {
        let body = event(&format!("canary-{cause}@example.com"), "contoso.appliance");
        let mut letter = letter::of(Message { body: body.into(), properties: Properties::default() }, &keyring, now);
        letter.facts.cause = cause;
        letter
    };
    store.take_in(Cause::ALL.map(letter).into(), Act::of_the_worker(now)).await.unwrap();
    let entries = store.list(Filter::default(), None, 100).await.unwrap();
    entries.into_iter().map(|entry| (entry.facts.cause.name(), entry)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operations_guide_has_a_page_for_each_reason_and_its_commands_run() {
    let rig = Rig::new("guide");
    let letters = fill(&rig).await;
    // The lead of which it was unknown whether it had arrived: it had.
    let worker = start(&rig);
    amqp::publish_raw(&rig, &inbox(&rig), &event("canary-unknown@example.com", "contoso.appliance"), "unknown");
    wait_until(MINUTE, "it is delivered", || rig.rows().len() == 1);
    assert_eq!(worker.stop().code(), Some(0));
    std::fs::write(rig.path("event.json"), event("canary@example.com", "contoso.appliance")).unwrap();
    let pages = pages(include_str!("../docs/operating.md"));
    let reasons: Vec<_> = pages[1..].iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, Cause::ALL.map(Cause::name), "the pages");
    let text = include_str!("../docs/operating.md");
    for part in ["**Meaning.**", "**Impact.**", "**Diagnosis.**", "**Mending.**"] {
        assert_eq!(text.matches(part).count(), Cause::ALL.len(), "{part}");
    }
    let mut run = 0;
    for (page, commands) in &pages {
        let letter = letters.get(page.as_str()).unwrap_or(&letters["rejected"]);
        for command in commands {
            let command = command.replace("DEAD-ID", &letter.id.to_string()[..12]).replace("NAME", "contoso-table");
            let command = command.replace("LEADKEY", &letter.facts.lead.unwrap().to_string());
            let ended = in_shell(&rig, &command);
            let said = String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout);
            assert!(ended.status.success(), "{page}: {command}: {said}");
            run += 1;
        }
    }
    assert!(run > 30, "{run}");
}

fn in_shell(rig: &Rig, command: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_leadrelay")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(rig.folder.path()).env("PATH", path).output().unwrap()
}
