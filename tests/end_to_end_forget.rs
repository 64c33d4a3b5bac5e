//! The real program forgets a person, beside a worker that runs: nothing of the address is left in any file of the stores,
//! nothing is delivered later, and destinations that can be asked remove what they hold.

mod support;

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};
use std::time::Duration;

use leadrelay::sandbox::{Options, Sandbox};
use rusqlite::Connection;
use serde_json::{Value, json};
use support::amqp;
use support::process::{Rig, Worker, json_lines, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
const ADDRESS: &str = "Canary.Person@example.com";

fn event(email: &str, offer: &str, at: &str) -> String {
    json!({
        "Source": "AzureMarketplace", "Action": "INS", "Offer": offer, "Consent": { "Granted": true, "At": at },
        "CustomerInfo": { "Email": email, "FirstName": "Dashan", "LastName": "Liang", "Company": "Contoso" }
    })
    .to_string()
}

const EARLIER: &str = "2026-11-01T00:00:00Z";

fn start(rig: &Rig) -> Worker {
    let worker = rig.start(&[]);
    wait_until(MINUTE, "it works", || worker.is_ready());
    worker
}

fn publish(rig: &Rig, body: &str, id: &str) {
    amqp::publish_raw(rig, &format!("{}.consent", rig.prefix), body, id);
}

/// The address goes in by standard input, as it should.
fn forget(rig: &Rig, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = rig.command("leadrelay.toml");
    command.args(["forget", "--email", "-", "--why", "ticket 4711", "--json"]).args(arguments);
    command.env("LEADRELAY_OPERATOR", "olga").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{ADDRESS}").unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    for said in [&out, &err] {
        assert!(!said.to_lowercase().contains("canary"), "{said}");
    }
    (status.code(), json_lines(&out).pop().unwrap_or_else(|| panic!("{err}")))
}

/// The files of both stores, with their logs.
fn files_with_the_address(rig: &Rig) -> Vec<String> {
    let files = fs::read_dir(rig.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let stores = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("ledger."));
    let holds = |path: &std::path::PathBuf| {
        let text = String::from_utf8_lossy(&fs::read(path).unwrap()).to_lowercase();
        text.contains("canary.person")
    };
    let mut found: Vec<_> = stores.filter(holds).map(|path| path.display().to_string()).collect();
    found.sort();
    found
}

#[test]
fn a_person_is_forgotten_in_every_file_and_at_the_table_and_nothing_is_delivered_later() {
    let rig = Rig::new("forgotten");
    let toml = fs::read_to_string(rig.path("leadrelay.toml")).unwrap();
    let routes = "[[routes]]\noffer = \"neverseen.*\"\ndestination = \"contoso-table\"\n";
    fs::write(rig.path("leadrelay.toml"), toml + routes).unwrap();
    let worker = start(&rig);
    for (n, (email, offer)) in
        [(ADDRESS, "contoso.one"), (ADDRESS, "contoso.two"), ("other@example.com", "contoso.one")].iter().enumerate()
    {
        publish(&rig, &event(email, offer, EARLIER), &format!("lead{n}"));
    }
    // Of a route that is missing; malformed, with an address and without; long, so that it takes pages of its own.
    publish(&rig, &event(ADDRESS, "nobody.knows", EARLIER), "unroutable");
    publish(
        &rig,
        &json!({ "CustomerInfo": { "Email": ADDRESS }, "Description": "x".repeat(30_000) }).to_string(),
        "key",
    );
    publish(&rig, &format!("no JSON of <{ADDRESS}>"), "keyless");
    publish(&rig, &event("third@example.com", "nobody.knows", EARLIER).replace("Dashan", ADDRESS), "mention");
    wait_until(MINUTE, "all is where it belongs", || rig.letters().len() == 4 && rig.rows().len() == 3);
    assert!(!files_with_the_address(&rig).is_empty(), "there is something to be forgotten");

    let (code, found) = forget(&rig, &["--dry-run"]);
    assert_eq!(
        (code, &found["leads"], &found["letters"]),
        (Some(0), &json!({ "contoso-table": 2 }), &json!(3)),
        "{found}"
    );
    assert_eq!(found["mentioned_in"].as_array().unwrap().len(), 1);
    assert_eq!((rig.letters().len(), rig.rows().len()), (4, 3), "nothing was done");

    let (code, done) = forget(&rig, &["--yes", "--at-destinations"]);
    assert_eq!((code, &done["records"], &done["letters"]), (Some(0), &json!(2), &json!(3)), "{done}");
    assert_eq!(done["destinations"]["contoso-table"]["removed"], 2);
    assert_eq!((rig.letters().len(), rig.rows().len()), (1, 1), "what is about others stays");
    let (code, done) = forget(&rig, &["--yes", "--mentions"]);
    assert_eq!((code, &done["records"], &done["letters"]), (Some(0), &json!(0), &json!(1)), "{done}");
    assert_eq!(files_with_the_address(&rig), Vec::<String>::new(), "while the worker runs");

    // A consent that is later than anything, to a publisher that was known and to one that nobody had heard of.
    let later = "2026-12-31T00:00:00Z";
    publish(&rig, &event(ADDRESS, "contoso.one", later), "later");
    publish(&rig, &event(&ADDRESS.to_lowercase(), "neverseen.offer", later), "elsewhere");
    publish(&rig, &event("fourth@example.com", "neverseen.offer", later), "somebody");
    wait_until(MINUTE, "the others go on", || rig.rows().len() == 2);
    wait_until(MINUTE, "theirs are suppressed", || suppressed(&worker) == 2);
    assert_eq!(worker.stop().code(), Some(0));
    assert_eq!(rig.rows().len(), 2);

    let (code, again) = forget(&rig, &["--yes", "--at-destinations"]);
    assert_eq!((code, &again["records"], &again["letters"]), (Some(0), &json!(0), &json!(0)), "{again}");
    assert_eq!(files_with_the_address(&rig), Vec::<String>::new());
    let ledger = Connection::open(rig.path("ledger.db")).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let select = "SELECT ordered_by, reason, records, at_destinations FROM forgettings ORDER BY number LIMIT 1";
    let (who, why, records, removed): (String, String, i64, i64) = ledger.query_row(select, [], row).unwrap();
    assert!(who.starts_with("olga@"), "{who}");
    assert_eq!((why.as_str(), records, removed), ("ticket 4711", 2, 2));
    let log = fs::read_to_string(rig.path("worker.log")).unwrap().to_lowercase();
    assert!(!log.contains("canary"), "{log}");
}

fn suppressed(worker: &Worker) -> u64 {
    let metrics = worker.metrics();
    let lines =
        metrics.lines().filter(|line| line.starts_with("leadrelay_settled_total") && line.contains("suppressed"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_salesforce_would_not_remove_is_found_again_by_the_next_run() {
    let custom_fields = ["Offer__c", "Journey__c"].map(|field| field.parse().unwrap()).into();
    let sandbox = Sandbox::start(Options { custom_fields, ..Options::default() }).await.unwrap();
    tokio::task::block_in_place(|| fail_and_run_again(&sandbox));
}

fn fail_and_run_again(sandbox: &Sandbox) {
    let rig = Rig::new("orgforgets");
    rig.configure_salesforce(&sandbox.url());
    let worker = start(&rig);
    publish(&rig, &event(ADDRESS, "contoso.one", EARLIER), "lead");
    wait_until(MINUTE, "it is delivered", || sandbox.leads().len() == 1);
    assert_eq!(worker.stop().code(), Some(0));
    sandbox.fault("any:status=503".parse().unwrap());
    let (code, done) = forget(&rig, &["--yes", "--at-destinations"]);
    let there = &done["destinations"]["contoso-table"];
    assert_eq!((code, &there["failed"], &done["records"]), (Some(1), &json!(1), &json!(0)), "{done}");
    sandbox.clear_faults();
    let (code, done) = forget(&rig, &["--yes", "--at-destinations"]);
    assert_eq!((code, &done["destinations"]["contoso-table"]["removed"]), (Some(0), &json!(1)), "{done}");
    assert_eq!((done["records"].as_u64(), sandbox.leads().len()), (Some(1), 0));
}
