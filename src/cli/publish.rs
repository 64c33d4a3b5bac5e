//! `leadrelay publish`.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::documents::{self, Document};
use super::screen::{self, Paint, count};
use super::{ConfigFile, Exit, Misused, wait_for};
use crate::app::{Producer, Unpublished};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::envelope::{Message, Properties};
use crate::domain::event::decode;

/// Confirms come back for so many messages together.
const WINDOW: usize = 500;
/// What was not confirmed may be there or not; it is published again, and the worker knows a repeat.
const ROUNDS: usize = 3;

#[derive(Args)]
#[command(after_help = "Examples:\n  leadrelay publish events.jsonl\n  leadrelay publish --no-check broken.json\n  \
                        my-producer | leadrelay publish -\n\n\
                        Nothing is published if any event is malformed, unless --no-check.")]
pub struct Arguments {
    /// Files of one JSON document or of JSON lines; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The messages' content type
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: String,
    /// Publish what the worker would refuse, too
    #[arg(long)]
    no_check: bool,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

struct Failure {
    place: String,
    why: String,
}

pub fn run(arguments: Arguments, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    let documents = documents::read(&arguments.files).map_err(|error| Misused(format!("{error:#}")))?;
    let now = Clock::System.now();
    let mut outgoing = Vec::with_capacity(documents.len());
    let mut failures = Vec::new();
    for document in documents {
        match arguments.message(&document, now) {
            Ok(message) => outgoing.push((document.place(), message)),
            Err(why) => failures.push(Failure { place: document.place(), why }),
        }
    }
    let mut published = 0;
    let refused = !failures.is_empty();
    if !refused {
        (published, failures) = wait_for(publish(&config, outgoing))?;
    }
    report(published, &failures, refused, arguments.json)
}

impl Arguments {
    fn message(&self, document: &Document, now: Timestamp) -> Result<Message, String> {
        let properties = Properties { content_type: Some(self.content_type.clone()), ..Properties::default() };
        let mut message = Message { body: document.body.clone(), properties };
        match decode(&message, now) {
            Ok(decoded) => message.properties.message_id = decoded.event.id.filter(|id| id.len() <= ID_MAX),
            Err(malformed) if !self.no_check => return Err(malformed.to_string()),
            Err(_) => {}
        }
        Ok(message)
    }
}

/// AMQP's short strings hold no more.
const ID_MAX: usize = 255;

async fn publish(config: &Config, mut outgoing: Vec<(String, Message)>) -> anyhow::Result<(usize, Vec<Failure>)> {
    let producer = Producer::connect(config).await?;
    let progress = screen::progress(outgoing.len() as u64, "{bar:40} {human_pos}/{human_len} {per_sec} {eta}");
    let (mut published, mut failures) = (0, Vec::new());
    for round in 1..=ROUNDS {
        let mut again = Vec::new();
        for window in outgoing.chunks(WINDOW) {
            let fates = producer.publish(window.iter().map(|(_, message)| message.clone()).collect()).await;
            for ((place, message), fate) in window.iter().zip(fates) {
                match fate {
                    Ok(()) => published += 1,
                    Err(Unpublished::Unconfirmed) if round < ROUNDS => again.push((place.clone(), message.clone())),
                    Err(why) => failures.push(Failure { place: place.clone(), why: told(&why) }),
                }
            }
            progress.set_position(published as u64);
        }
        outgoing = again;
    }
    progress.finish_and_clear();
    Ok((published, failures))
}

fn told(why: &Unpublished) -> String {
    let mend = match why {
        Unpublished::Returned => ": run `leadrelay topology apply`, or mend broker.prefix",
        Unpublished::Refused => ": leadrelay is behind, or stopped; publish it again later",
        Unpublished::Unconfirmed => ": it may be there all the same; publish it again, a repeat does no harm",
    };
    format!("{why}{mend}")
}

fn report(published: usize, failures: &[Failure], refused: bool, json: bool) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    if json {
        let failures: Vec<_> = failures.iter().map(|f| json!({ "event": f.place, "problem": f.why })).collect();
        writeln!(out, "{}", json!({ "published": published, "failed": failures }))?;
    } else {
        let paint = Paint::stdout();
        for Failure { place, why } in failures {
            writeln!(out, "{place}: {}: {why}", paint.bad(if refused { "malformed" } else { "not published" }))?;
        }
        match (refused, failures.len()) {
            (true, malformed) => writeln!(out, "nothing published: {malformed} malformed")?,
            (false, 0) => writeln!(out, "{} published and confirmed", count(published, "event"))?,
            (false, failed) => writeln!(out, "{} published and confirmed, {failed} not", count(published, "event"))?,
        }
    }
    Ok(if failures.is_empty() { Exit::Done } else { Exit::Failed })
}
