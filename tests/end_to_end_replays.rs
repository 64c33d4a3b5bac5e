//! The real program, the real broker and a real table: twenty thousand dead letters of six reasons are found, planned and
//! replayed by two operators, through kills of everything. Python, which shares no code with us, says that each was replayed
//! once, by one plan, and that its lead stands in the table once.

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use support::process::{Rig, json_lines, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
const LETTERS: u32 = 20_000;
/// Letters a second for each plan.
const RATE: u32 = 1_000;

/// What was buried, by the values of these members.
fn counted(buried: &[Value], by: &[&str]) -> BTreeMap<Vec<Option<String>>, u64> {
    let mut counts = BTreeMap::new();
    for line in buried {
        *counts.entry(values(line, by)).or_default() += 1;
    }
    counts
}

fn values(line: &Value, by: &[&str]) -> Vec<Option<String>> {
    by.iter().map(|name| line[name].as_str().map(str::to_owned)).collect()
}

/// What `dead list` counts.
fn listed(rig: &Rig, filter: &[&str], by: &[&str]) -> BTreeMap<Vec<Option<String>>, u64> {
    let by_text = by.join(",");
    let lines = json_lines(&rig.run(&[&["dead", "list", "--json", "--by", &by_text], filter].concat()));
    lines.iter().map(|line| (values(line, by), line["count"].as_u64().unwrap())).collect()
}

/// How many rows of the office's file fit.
fn in_office(rig: &Rig, condition: &str) -> u32 {
    let read = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let file = Connection::open_with_flags(rig.path("ledger.letters.db"), flags)?;
        file.query_row(&format!("SELECT count(*) FROM {condition}"), [], |row| row.get(0))
    };
    read().unwrap_or(0)
}

/// A terminal at which somebody replays.
struct Operator {
    child: Child,
    file: std::path::PathBuf,
}

impl Operator {
    fn begin(rig: &Rig, (name, terminal): (&str, u32), arguments: &[&str], crash_at: &str) -> Self {
        let file = rig.path(&format!("{name}-{terminal}.jsonl"));
        let out = File::create(&file).unwrap();
        let mut command = rig.command("leadrelay.toml");
        command.args(["dead", "replay", "--yes", "--json", "--canary", "200"]).args(arguments);
        command.env("LEADRELAY_OPERATOR", name).env("LEADRELAY_CRASH_AT", crash_at);
        let child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        Self { child, file }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    /// What it told as JSON, as far as the lines are whole.
    fn told(&self) -> Vec<Value> {
        self.said().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn plan(&self) -> String {
        let told = self.told();
        let plan = told.iter().find(|line| line["event"] == "plan").expect("a plan was made");
        plan["plan"].as_u64().unwrap().to_string()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until(3 * MINUTE, "the plan ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.expect("waited for")
    }
}

#[test]
fn twenty_thousand_letters_are_each_replayed_once_by_two_operators_through_kills_of_everything() {
    let rig = Rig::new("plans");
    let buried = rig.bury(LETTERS);
    // Killed between a commit and its acknowledgement: the same letters come again.
    let mut worker = rig.start(&[("LEADRELAY_CRASH_AT", "take_in.after:3")]);
    assert!(worker.wait(MINUTE).is_some_and(|status| !status.success()), "it did not crash");
    let before = in_office(&rig, "letters");
    assert!((1..LETTERS).contains(&before), "{before}");
    let worker = rig.start(&[]);
    wait_until(2 * MINUTE, "all are in the office", || in_office(&rig, "letters") >= LETTERS);
    operators_find_them(&rig, &buried);

    let rate = RATE.to_string();
    // Dies with a batch in hand that is taken and not published: nobody else tells what became of it.
    let mut olga = Operator::begin(&rig, ("olga", 1), &["--all", "--rate", &rate], "publish.before:15");
    let mut boris = Operator::begin(&rig, ("boris", 1), &["--all", "--rate", &rate], "");
    assert!(!olga.end().success(), "{}", olga.said());
    let mut told: Vec<_> = olga.told().iter().map(|line| line["event"].clone()).collect();
    told.retain(|event| event != "progress");
    assert_eq!(told[..4], ["forecast", "plan", "canary", "canary_passed"], "{}", olga.said());
    let in_hand = || in_office(&rig, "letters WHERE generation > 0");
    let passed = |operator: &Operator| operator.told().iter().any(|line| line["event"] == "canary_passed");
    wait_until(MINUTE, "both are in the midst of it", || passed(&boris) && in_hand() >= 500);
    let plans = [olga.plan(), boris.plan()];
    assert!(boris.child.try_wait().unwrap().is_none(), "too late to kill it: {}", boris.said());
    boris.kill();
    worker.kill();
    assert!(in_hand() < LETTERS - 5_000, "{} were in hand already", in_hand());
    let worker = rig.start(&[]);

    // Both want to go on with what was killed first: one does, the other is told. The other plan goes on, too.
    let resume = |who, terminal, plan: &str| Operator::begin(&rig, (who, terminal), &["--resume", plan], "");
    let mut hands = [resume("olga", 2, &plans[0]), resume("boris", 2, &plans[0])];
    let mut other = resume("boris", 3, &plans[1]);
    let mut ends: Vec<_> = hands.iter_mut().map(|hand| (hand.end().code(), hand.said())).collect();
    ends.sort();
    assert_eq!((ends[0].0, ends[1].0), (Some(0), Some(1)), "{ends:#?}");
    assert!(ends[1].1.contains(&format!("works on plan {} now", plans[0])), "{}", ends[1].1);
    assert_eq!(other.end().code(), Some(0), "{}", other.said());
    rig.wait_until_drained(MINUTE);
    wait_until(MINUTE, "each has ended", || in_office(&rig, "letters WHERE ending IS NOT NULL") == LETTERS);
    assert_eq!(worker.stop().code(), Some(0));
    let log = fs::read_to_string(rig.path("worker.log")).unwrap();
    assert!(log.contains("a plan of replay is running"), "the worker's log tells of plans");

    let replays = rig.check_replays(RATE);
    println!("{replays}");
    assert!(replays["again"].as_u64().unwrap() > 0, "nothing was in hand when they were killed");
    let verdict = rig.check();
    println!("{verdict}");
    let malformed = counted(&buried, &["reason"])[&vec![Some("malformed".to_owned())]];
    let expected = json!({ "delivered": u64::from(LETTERS) - malformed, "dead": malformed });
    assert_eq!((&verdict["fates"], &verdict["unconfirmed"]), (&expected, &json!(0)));
}

/// Listed, grouped and filtered they are as many as were buried; and what a plan would do is told, and nothing done.
fn operators_find_them(rig: &Rig, buried: &[Value]) {
    assert_eq!(listed(rig, &[], &["reason"]), counted(buried, &["reason"]));
    let by = ["reason", "destination"];
    assert_eq!(listed(rig, &["--offer", "contoso.*", "--since", "12h"], &by), counted(buried, &by));
    let all = counted(buried, &by);
    let of_table = all.iter().filter(|(values, _)| values[1].is_some()).map(|(key, count)| (key.clone(), *count));
    assert_eq!(listed(rig, &["--destination", "contoso-table"], &by), of_table.collect());
    let of_reason = |reason: &str| counted(buried, &["reason"])[&vec![Some(reason.to_owned())]];
    let page = json_lines(&rig.run(&["dead", "list", "--json", "--reason", "malformed", "--limit", "1000"]));
    assert_eq!(page.len() as u64, of_reason("malformed"));

    let one = page[0]["dead_id"].as_str().unwrap();
    rig.run(&["dead", "discard", one, "--why", "by mistake"]);
    assert_eq!(listed(rig, &["--reason", "malformed"], &["state"]).values().sum::<u64>(), of_reason("malformed") - 1);
    rig.run(&["dead", "undo", one]);
    assert_eq!(listed(rig, &[], &["reason"]), counted(buried, &["reason"]), "it came back");

    let dry = &json_lines(&rig.run(&["dead", "replay", "--all", "--dry-run", "--json"]))[0];
    assert_eq!(dry["letters"], LETTERS);
    assert_eq!(dry["now"]["malformed"], of_reason("malformed"), "{dry}");
    assert_eq!(dry["now"]["send"], u64::from(LETTERS) - of_reason("malformed"), "{dry}");
    assert_eq!(in_office(rig, "plans"), 0, "nothing was done");
}
