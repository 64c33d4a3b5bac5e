//! The operations guide has a page for each reason of death, and each of its commands is run, by the shell, as a reader
//! would type it, beside a worker that works.

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use leadrelay::clock::Clock;
use leadrelay::domain::dead_letter::{Cause, StateName};
use leadrelay::domain::envelope::{Message, Properties};
use leadrelay::domain::lead_key::Keyring;
use leadrelay::domain::route::DestinationName;
use leadrelay::office::letter;
use leadrelay::store::dead_letters::{Act, DeadLetters, Entry, Filter, PlanId, Selection};
use leadrelay::store::sqlite::SqliteLetters;
use leadrelay::telemetry::Telemetry;
use support::amqp;
use support::process::{Rig, Worker, wait_until};

const GUIDE: &str = include_str!("../docs/operating.md");
const DESTINATION: &str = "contoso-table";
const MINUTE: Duration = Duration::from_secs(60);

/// Each page of the guide with the commands in it. The first is what stands before the reasons.
fn pages() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut pages = vec![("the guide", Vec::new())];
    let mut in_console = false;
    for line in GUIDE.lines() {
        if let Some(reason) = line.strip_prefix("### ") {
            pages.push((reason, Vec::new()));
        }
        in_console = if in_console { line != "```" } else { line == "```console" };
        if let Some(command) = line.strip_prefix("$ ").filter(|_| in_console) {
            pages.last_mut().unwrap().1.push(command);
        }
    }
    pages
}

#[test]
fn the_operations_guide_has_a_page_for_each_reason_in_four_parts() {
    let pages = pages();
    let reasons: Vec<_> = pages[1..].iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, Cause::ALL.map(Cause::name));
    for part in ["**Meaning.**", "**Impact.**", "**Diagnosis.**", "**Mending.**"] {
        assert_eq!(GUIDE.matches(part).count(), Cause::ALL.len(), "{part}");
    }
}

fn event(email: &str) -> String {
    serde_json::json!({
        "Source": "AzureMarketplace", "Action": "INS", "Offer": "contoso.appliance", "Consent": { "Granted": true },
        "CustomerInfo": { "Email": email, "FirstName": "Dashan", "LastName": "Liang" }
    })
    .to_string()
}

/// What there is to operate on: an office with letters of every reason, and a worker beside it.
struct Office {
    rig: Rig,
    store: SqliteLetters,
    keyring: Keyring,
    worker: Worker,
}

impl Office {
    async fn open() -> Self {
        let rig = Rig::new("guide");
        let worker = rig.start(&[]);
        wait_until(MINUTE, "it works", || worker.is_ready());
        // The lead of which it was unknown whether it had arrived: it had.
        amqp::publish_raw(&rig, &format!("{}.consent", rig.prefix), &event("canary-unknown@example.com"), "unknown");
        wait_until(MINUTE, "it is delivered", || rig.rows().len() == 1);
        let keyring = Keyring::new(b"a secret of the tests' own");
        let path = rig.path("ledger.letters.db");
        let store = SqliteLetters::create(&path, &keyring, Arc::new(Telemetry::new())).unwrap();
        std::fs::write(rig.path("event.json"), event("canary@example.com")).unwrap();
        let office = Self { rig, store, keyring, worker };
        for cause in Cause::ALL {
            office.take_in(cause).await;
        }
        office
    }

    /// Another letter of this reason, as the worker or the broker makes it.
    async fn take_in(&self, cause: Cause) {
        let (body, now) = (event(&format!("canary-{cause}@example.com")).into(), Clock::System.now());
        let properties = Properties { message_id: Some(now.to_string()), ..Properties::default() };
        let mut letter = letter::of(Message { body, properties }, &self.keyring, now);
        letter.facts.cause = cause;
        let was_sent = matches!(cause, Cause::Rejected | Cause::AttemptsExhausted | Cause::Expired | Cause::Unknown);
        letter.facts.destination = was_sent.then(|| DestinationName::parse(DESTINATION).unwrap());
        self.store.take_in(vec![letter], Act::of_the_worker(now)).await.unwrap();
    }

    /// A letter that the command is for: of its page's reason, and discarded if it is to be brought back, else dead.
    async fn letter(&self, cause: Cause, command: &str) -> Entry {
        let state = if command.contains("dead undo") { StateName::Discarded } else { StateName::Dead };
        let filter = Filter { state: Some(state), cause: Some(cause), ..Filter::default() };
        if let Some(entry) = self.store.list(filter.clone(), None, 1).await.unwrap().pop() {
            return entry;
        }
        self.take_in(cause).await;
        self.store.list(filter, None, 1).await.unwrap().pop().expect("a letter that was just taken in is dead")
    }

    /// A plan that nobody works on, with this letter in it.
    async fn plan(&self, letter: &Entry) -> PlanId {
        let act = Act::of_the_worker(Clock::System.now());
        self.store.freeze(Selection::Ids(vec![letter.id]), String::new(), act).await.unwrap().id
    }

    /// The command, with what is there in place of the guide's placeholders.
    async fn meant(&self, cause: Cause, command: &str) -> String {
        let letter = self.letter(cause, command).await;
        let lead = letter.facts.lead.expect("an event of somebody's").to_string();
        let command = command.replace("DEAD-ID", &letter.id.to_string()[..12]).replace("LEADKEY", &lead);
        let command = match command.strip_suffix(" 7") {
            Some(without) => format!("{without} {}", self.plan(&letter).await.0),
            None => command,
        };
        command.replace("NAME", DESTINATION)
    }

    fn run(&self, command: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_leadrelay")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.rig.folder.path()).env("PATH", path).output().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_operations_guide_works_beside_a_running_worker() {
    let office = Office::open().await;
    let (mut run, mut replayed) = (0, 0);
    for (page, commands) in pages() {
        for command in commands {
            let meant = office.meant(Cause::parse(page).unwrap_or(Cause::Rejected), command).await;
            let ended = office.run(&meant);
            let said = String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout);
            assert!(ended.status.success(), "{page}: {command}: {said}");
            // A filter of the guide's that fits nothing would succeed, and show nothing.
            let replays = command.contains("dead replay") && command.ends_with("--yes");
            assert!(!replays || said.contains(": done"), "{page}: {command}: {said}");
            run += 1;
            replayed += u32::from(replays);
        }
    }
    assert!(run > 45 && replayed > 10, "{run} commands, {replayed} replays");
    assert_eq!(office.worker.stop().code(), Some(0));
}
