//! The samples in `contract/samples/`: accepted, or refused with the faults that `samples.json` names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use leadrelay::domain::envelope::{HeaderValue, Message, Properties};
use leadrelay::domain::event::decode::{ACTIONS, BODY_MAX, SOURCES};
use leadrelay::domain::event::{Decoded, Malformed, Wrong, decode, schema};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contract/samples")
}

struct Sample {
    name: String,
    body: Vec<u8>,
    row: Value,
}

impl Sample {
    fn all() -> Vec<Self> {
        let index = std::fs::read_to_string(folder().join("samples.json")).unwrap();
        let rows: Vec<Value> = serde_json::from_str(&index).unwrap();
        let of = |row: Value| {
            let name = row["file"].as_str().unwrap().to_owned();
            Self { body: std::fs::read(folder().join(&name)).unwrap(), name, row }
        };
        rows.into_iter().map(of).collect()
    }

    fn content_type(&self) -> &str {
        self.row["content_type"].as_str().unwrap_or("application/json")
    }

    fn is_refused(&self) -> bool {
        self.name.starts_with("refused/")
    }

    fn decode(&self) -> Result<Decoded, Malformed> {
        let text = |value: &Value| HeaderValue::Text(value.as_str().unwrap().to_owned());
        let headers = self.row["headers"].as_object().into_iter().flatten();
        let headers = headers.map(|(name, value)| (name.clone(), text(value))).collect();
        let content_type = Some(self.content_type().to_owned());
        let properties = Properties { content_type, headers, ..Properties::default() };
        let received = "2026-12-24T00:00:00Z".parse().unwrap();
        decode(&Message { body: self.body.clone().into(), properties }, received)
    }
}

fn told(malformed: &Malformed) -> Value {
    let problem = |problem: &leadrelay::domain::event::Problem| json!({ "pointer": problem.place.to_string(), "problem": problem.wrong.to_string() });
    malformed.problems.iter().map(problem).collect()
}

#[test]
fn every_sample_is_accepted_or_refused_for_the_faults_that_it_shows() {
    for sample in Sample::all() {
        match sample.decode() {
            Ok(_) => assert!(!sample.is_refused() && sample.row["problems"].is_null(), "{} is accepted", sample.name),
            Err(malformed) => assert_eq!(told(&malformed), sample.row["problems"], "{}", sample.name),
        }
    }
}

#[test]
fn the_list_of_samples_names_every_file_and_no_other() {
    let files = ["accepted", "refused"].into_iter().flat_map(|part| {
        let entries = std::fs::read_dir(folder().join(part)).unwrap();
        entries.map(move |entry| format!("{part}/{}", entry.unwrap().file_name().to_str().unwrap()))
    });
    let listed: Vec<String> = Sample::all().into_iter().map(|sample| sample.name).collect();
    assert_eq!(BTreeSet::from_iter(files), BTreeSet::from_iter(listed.clone()));
    assert_eq!(listed.len(), BTreeSet::from_iter(listed).len(), "each once");
}

#[test]
fn there_is_a_sample_of_every_source_every_action_a_withdrawal_and_every_fault() {
    let samples = Sample::all();
    let events: Vec<_> = samples.iter().filter_map(|sample| Some(sample.decode().ok()?.event)).collect();
    for source in SOURCES {
        assert!(events.iter().any(|event| event.source == source), "{source}");
    }
    for action in ACTIONS {
        assert!(events.iter().any(|event| event.action == action), "{action}");
    }
    assert!(events.iter().any(|event| !event.consent.granted));
    let faults: BTreeSet<&str> = samples
        .iter()
        .filter_map(|sample| sample.decode().err())
        .flat_map(|malformed| malformed.problems)
        .map(|problem| kind(problem.wrong))
        .collect();
    // All but the one that would be a file of 256 KiB.
    assert_eq!(faults.len(), KINDS - 1, "{faults:?}");
    let large = Message { body: vec![b' '; BODY_MAX + 1].into(), properties: Properties::default() };
    let refused = decode(&large, "2026-12-24T00:00:00Z".parse().unwrap()).unwrap_err();
    assert_eq!(told(&refused), json!([{ "pointer": "the body", "problem": "is over 256 KiB" }]));
}

const KINDS: usize = 20;

/// Names every fault, so that a new one does not go without a sample.
fn kind(wrong: Wrong) -> &'static str {
    match wrong {
        Wrong::TooLarge => "too large",
        Wrong::NoBody => "no body",
        Wrong::NotUtf8 => "not UTF-8",
        Wrong::NotJson { .. } => "not JSON",
        Wrong::Missing => "missing",
        Wrong::Empty => "empty",
        Wrong::Twice => "twice",
        Wrong::Type { .. } => "type",
        Wrong::Nul => "NUL",
        Wrong::ControlCharacter => "control character",
        Wrong::TooLong { .. } => "too long",
        Wrong::NotAnOffer => "not an offer",
        Wrong::NotALeadSource => "not a lead source",
        Wrong::Disagrees => "disagrees",
        Wrong::NotAnEmail => "not an email",
        Wrong::NotATime => "not a time",
        Wrong::NotBase64 => "not base64",
        Wrong::BothData => "both data",
        Wrong::CloudEventsFormat => "format of CloudEvents",
        Wrong::CloudEventsVersion => "version of CloudEvents",
    }
}

#[test]
fn the_schema_says_the_same_of_every_sample_that_it_can_judge() {
    let schema = schema::schema();
    let event = jsonschema::validator_for(&schema).unwrap();
    let mut judged = 0;
    for sample in Sample::all().iter().filter(|sample| sample.content_type() == "application/json") {
        let Ok(document) = serde_json::from_slice::<Value>(&sample.body) else { continue };
        // A member that is there twice is no longer; headers and comparisons are beyond a schema.
        let beyond = ["twice.json", "disagrees.json", "cloud_event_binary_time.json"];
        if !beyond.iter().any(|name| sample.name.ends_with(name)) {
            assert_eq!(event.is_valid(&document), !sample.is_refused(), "{}", sample.name);
            judged += 1;
        }
    }
    assert!(judged > 30, "{judged} judged");
}

#[test]
fn event_check_tells_of_the_samples_what_the_worker_would() {
    let plain = Sample::all().into_iter().filter(|sample| sample.row["headers"].is_null());
    let (cloud, plain): (Vec<_>, Vec<_>) = plain.partition(|sample| sample.content_type() != "application/json");
    for samples in [plain, cloud.into_iter().filter(|sample| !sample.content_type().contains("batch")).collect()] {
        let mut check = Command::new(env!("CARGO_BIN_EXE_leadrelay"));
        check.current_dir(folder()).args(["event", "check", "--json", "--content-type", samples[0].content_type()]);
        let checked = check.args(samples.iter().map(|sample| &sample.name)).output().unwrap();
        let lines: Vec<Value> =
            checked.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert_eq!(lines.len(), samples.len());
        for (sample, line) in samples.iter().zip(lines) {
            assert_eq!((&line["file"], &line["problems"]), (&json!(sample.name), &sample.row["problems"]));
        }
    }
}
