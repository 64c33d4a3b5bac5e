//! `leadrelay event check|explain|schema`: what the worker would make of events, without a broker.

use std::io::Write;
use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::documents::{self, Document};
use super::screen::{self, Paint, count};
use super::{ConfigFile, Exit, Misused};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::envelope::{Message, Properties};
use crate::domain::event::{CustomerField, Decoded, Event, Malformed, Problem, decode, schema};
use crate::domain::fate;
use crate::domain::lead_key::Keyring;
use crate::office::mask;

#[derive(Subcommand)]
pub enum Command {
    /// Tell which events the worker would refuse, and why
    #[command(
        after_help = "Examples:\n  leadrelay event check event.json\n  leadrelay event check exports/*.jsonl\n  \
                            leadrelay event check --json events.jsonl | jq 'select(.ok | not)'\n  \
                            my-producer | leadrelay event check -\n\n\
                            A file is one document, or JSON lines. Exits 1 if any event is malformed."
    )]
    Check(Files),
    /// Tell what would become of each event: its lead key, its route, and what happens at its destination
    #[command(after_help = "Examples:\n  leadrelay event explain event.json\n  \
                            leadrelay event explain --config /etc/leadrelay.toml events.jsonl\n\n\
                            Without a configuration it tells all but the lead key and the route. \
                            Exits 1 if any is malformed.")]
    Explain(Files),
    /// Print the contract as JSON Schema (draft 7), for producers
    #[command(after_help = "Examples:\n  leadrelay event schema > consent-event.schema.json\n  \
                            leadrelay event schema fate\n\n\
                            CloudEvents in structured mode are under #/definitions/CloudEvent.")]
    Schema {
        #[arg(value_enum, default_value_t)]
        of: Contract,
    },
}

#[derive(Clone, Copy, Default, ValueEnum)]
pub enum Contract {
    /// What producers send
    #[default]
    ConsentEvent,
    /// What the exchange of fates says became of it
    Fate,
}

#[derive(Args)]
pub struct Files {
    /// Files of one JSON document or of JSON lines; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The content type that the messages would have, such as application/cloudevents+json
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Print one JSON object a line for scripts
    #[arg(long)]
    json: bool,
}

pub fn run(command: Command, config: &ConfigFile) -> anyhow::Result<Exit> {
    match command {
        Command::Check(files) => check(&files),
        Command::Explain(files) => explain(&files, config.load_if_there()?.as_ref()),
        Command::Schema { of } => {
            let text = match of {
                Contract::ConsentEvent => schema::file(),
                Contract::Fate => fate::schema_file(),
            };
            std::io::stdout().lock().write_all(text.as_bytes())?;
            Ok(Exit::Done)
        }
    }
}

impl ConfigFile {
    /// None if nobody wrote one, and nobody asked for one.
    fn load_if_there(&self) -> anyhow::Result<Option<Config>> {
        if self.0 == Path::new("leadrelay.toml") && !self.0.exists() {
            return Ok(None);
        }
        self.load().map(Some)
    }
}

impl Files {
    fn documents(&self) -> Result<Vec<Document>, Misused> {
        documents::read(&self.files).map_err(|error| Misused(format!("{error:#}")))
    }

    fn decode(&self, document: &Document) -> Result<Decoded, Malformed> {
        let properties = Properties { content_type: self.content_type.clone(), ..Properties::default() };
        decode(&Message { body: document.body.clone(), properties }, Clock::System.now())
    }

    /// A line for every fault and remark; for scripts, a line for every event.
    fn told(&self, document: &Document, decoded: &Result<Decoded, Malformed>) -> String {
        if self.json {
            return format!("{}\n", as_json(document, decoded));
        }
        let paint = Paint::stdout();
        let (word, texts) = match decoded {
            Err(malformed) => (paint.bad("malformed"), malformed.problems.iter().map(Problem::to_string).collect()),
            Ok(decoded) => (paint.doubtful("accepted"), remarks(decoded)),
        };
        let place = document.place();
        texts.iter().map(|text| format!("{place}: {word}: {text}\n")).collect()
    }
}

/// One file is held in memory at a time, so that a year's events can be checked.
fn check(files: &Files) -> anyhow::Result<Exit> {
    let progress = screen::progress(documents::size(&files.files), "{bar:40} {bytes}/{total_bytes} {eta}");
    let mut out = std::io::stdout().lock();
    let (mut events, mut malformed) = (0, 0);
    for file in &files.files {
        for document in documents::of(file).map_err(|error| Misused(format!("{error:#}")))? {
            let decoded = files.decode(&document);
            events += 1;
            malformed += usize::from(decoded.is_err());
            let told = files.told(&document, &decoded);
            if !told.is_empty() {
                progress.suspend(|| out.write_all(told.as_bytes()))?;
            }
            progress.inc(document.body.len() as u64 + 1);
        }
    }
    progress.finish_and_clear();
    if !files.json {
        writeln!(out, "{}, {malformed} malformed", count(events, "event"))?;
    }
    Ok(exit_of(malformed))
}

fn exit_of(malformed: usize) -> Exit {
    if malformed == 0 { Exit::Done } else { Exit::Failed }
}

fn remarks(decoded: &Decoded) -> Vec<String> {
    let mut remarks = Vec::new();
    if decoded.unknown_members > 0 {
        let members = count(decoded.unknown_members as usize, "member");
        remarks.push(format!("{members} not in the contract, and kept out of the lead"));
    }
    if !decoded.known_source {
        remarks.push("/Source is none that we know".to_owned());
    }
    if !decoded.known_action {
        remarks.push("/Action is none that we know".to_owned());
    }
    remarks
}

fn as_json(document: &Document, decoded: &Result<Decoded, Malformed>) -> serde_json::Value {
    let (place, file, line) = (document.place(), &*document.file, document.line);
    match decoded {
        Ok(decoded) => json!({ "event": place, "file": file, "line": line, "ok": true, "remarks": remarks(decoded) }),
        Err(malformed) => {
            let problem = |problem: &Problem| json!({ "pointer": problem.place.to_string(), "problem": problem.wrong.to_string() });
            let problems: Vec<_> = malformed.problems.iter().map(problem).collect();
            json!({ "event": place, "file": file, "line": line, "ok": false, "problems": problems })
        }
    }
}

fn explain(files: &Files, config: Option<&Config>) -> anyhow::Result<Exit> {
    let documents = files.documents()?;
    let mut out = std::io::stdout().lock();
    let mut malformed = 0;
    for document in &documents {
        let decoded = files.decode(document);
        malformed += usize::from(decoded.is_err());
        let lines = match &decoded {
            Ok(decoded) => explanation(decoded, config),
            Err(problems) => vec![("malformed", problems.to_string()), ("outcome", "dead-lettered".to_owned())],
        };
        if files.json {
            let lines = lines.into_iter().map(|(name, text)| (name.replace(' ', "_"), text.into()));
            let mut object: serde_json::Map<_, serde_json::Value> = lines.collect();
            object.insert("event".into(), document.place().into());
            writeln!(out, "{}", serde_json::Value::Object(object))?;
        } else {
            writeln!(out, "{}", document.place())?;
            for (name, text) in lines {
                writeln!(out, "  {name:<10} {text}")?;
            }
        }
    }
    Ok(exit_of(malformed))
}

fn explanation(decoded: &Decoded, config: Option<&Config>) -> Vec<(&'static str, String)> {
    let event = &decoded.event;
    let given = CustomerField::ALL.into_iter().filter(|field| !event.customer.get(*field).is_empty());
    let consent = if event.consent.granted { "granted" } else { "withdrawn" };
    let mut lines = vec![
        ("source", event.source.clone()),
        ("action", event.action.clone()),
        ("offer", event.offer.written().to_owned()),
        ("occurred", event.occurred_at.to_string()),
        ("consent", format!("{consent} at {}", event.consent.at)),
        ("email", mask::text(event.customer.email.trim())),
        ("fields", given.map(CustomerField::name).collect::<Vec<_>>().join(", ")),
    ];
    let remarks = remarks(decoded);
    if !remarks.is_empty() {
        lines.push(("remarks", remarks.join("; ")));
    }
    match config {
        Some(config) => lines.extend(under(config, event)),
        None => lines.push(("route", "unknown: there is no configuration here, name one with --config".to_owned())),
    }
    lines
}

fn under(config: &Config, event: &Event) -> Vec<(&'static str, String)> {
    let (lead, person, _) = Keyring::new(config.key_secret.expose().as_bytes()).identify(event);
    let route = config.routes.explain(&event.offer);
    let mut lines = vec![("lead key", lead.to_string()), ("person key", person.to_string())];
    lines.push(match &route {
        Some((pattern, destination)) => ("route", format!("{pattern} to {destination}")),
        None => ("route", "none covers this offer".to_owned()),
    });
    let outcome = match (event.consent.granted, route) {
        (false, _) => format!(
            "nothing is delivered; what this person's consents delivered for {} before is marked do-not-contact",
            event.offer.publisher()
        ),
        (true, None) => "dead-lettered as unroutable".to_owned(),
        (true, Some((_, destination))) => format!(
            "delivered to {destination}; if the ledger has this lead, only what is new is merged, or it is a duplicate; \
             if the person withdrew later than this consent, suppressed"
        ),
    };
    lines.push(("outcome", outcome));
    lines
}
