//! `leadrelay dead list` and `dead stats`.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::filter::Typed;
use super::told;
use crate::cli::columns::table;
use crate::cli::screen::{age, count};
use crate::cli::{Exit, Misused};
use crate::clock::Clock;
use crate::domain::reply::Code;
use crate::office::desk::{self, Desk};
use crate::office::{Aspect, Entry, Filter, Group, Place, lines};

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    pub filter: Typed,
    /// Count them by these: reason, destination, offer, publisher, state
    #[arg(long, value_name = "ASPECTS", value_delimiter = ',', value_parser = aspect, conflicts_with = "after")]
    by: Vec<Aspect>,
    /// So many at most: 50; with --queue, so many from the head of the queue are read: 1000
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub limit: Option<u16>,
    /// The page beyond this place, as the page before it names it
    #[arg(long, value_name = "PLACE", value_parser = place)]
    after: Option<Place>,
    /// List what is in the dead queue, not yet in the office
    #[arg(long)]
    pub queue: bool,
    /// Print one JSON object a line for scripts
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Stats {
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

fn aspect(text: &str) -> Result<Aspect, String> {
    Ok(match text {
        "reason" => Aspect::Cause,
        "destination" => Aspect::Destination,
        "offer" => Aspect::Offer,
        "publisher" => Aspect::Publisher,
        "state" => Aspect::State,
        _ => return Err("letters are counted by: reason, destination, offer, publisher, state".into()),
    })
}

fn name(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Cause => "reason",
        Aspect::Destination => "destination",
        Aspect::Offer => "offer",
        Aspect::Publisher => "publisher",
        Aspect::State => "state",
    }
}

/// `2026-11-22T12:00:00Z/3f1c…`
fn place(text: &str) -> Result<Place, String> {
    let parts =
        text.split_once('/').and_then(|(at, id)| Some(Place { dead_at: at.parse().ok()?, id: id.parse().ok()? }));
    parts.ok_or_else(|| "a place is TIME/DEAD-ID, as the page before it names it".into())
}

fn place_text(Place { dead_at, id }: &Place) -> String {
    format!("{dead_at}/{id}")
}

/// A screenful.
const PAGE: u16 = 50;

impl List {
    pub async fn run(&self, desk: &Desk) -> anyhow::Result<Exit> {
        let filter = self.filter.meant(desk)?;
        if !self.by.is_empty() {
            return self.groups(desk, filter).await;
        }
        let limit = usize::from(self.limit.unwrap_or(PAGE));
        let entries = desk.list(filter, self.after, limit).await.map_err(told)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            for entry in &entries {
                let mut line = lines::entry(entry);
                line["place"] = json!(place_text(&entry.place()));
                writeln!(out, "{line}")?;
            }
            return Ok(Exit::Done);
        }
        if !entries.is_empty() {
            out.write_all(as_table(&entries, Clock::System.now()).as_bytes())?;
        }
        writeln!(out, "{}", count(entries.len(), "letter"))?;
        if let Some(last) = entries.last().filter(|_| entries.len() == limit) {
            writeln!(out, "the next page: --after {}", place_text(&last.place()))?;
        }
        Ok(Exit::Done)
    }

    async fn groups(&self, desk: &Desk, filter: Filter) -> anyhow::Result<Exit> {
        let by = self.by.clone();
        if by.iter().enumerate().any(|(n, aspect)| by[..n].contains(aspect)) {
            return Err(Misused("--by names an aspect twice".into()).into());
        }
        let mut groups = desk.count(filter, by.clone()).await.map_err(told)?;
        groups.truncate(self.limit.map_or(usize::MAX, usize::from));
        let mut out = std::io::stdout().lock();
        if self.json {
            for group in &groups {
                writeln!(out, "{}", group_as_json(&by, group))?;
            }
        } else {
            out.write_all(groups_as_table(&by, &groups, Clock::System.now()).as_bytes())?;
        }
        Ok(Exit::Done)
    }
}

fn as_table(entries: &[Entry], now: Timestamp) -> String {
    let row = |entry: &Entry| {
        let facts = &entry.facts;
        [
            entry.id.to_string()[..12].to_owned(),
            age(facts.dead_at, now),
            facts.cause.name().to_owned(),
            facts.destination.as_ref().map(ToString::to_string).unwrap_or_default(),
            facts.offer.clone().unwrap_or_default(),
            answer(entry),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    table(["DEAD-ID", "DEAD FOR", "REASON", "DESTINATION", "OFFER", "DETAIL"], &rows)
}

/// The destination's answer, or what else is known.
pub fn answer(entry: &Entry) -> String {
    let status = entry.facts.code.as_ref().and_then(Code::http_status).map(|status| status.to_string());
    let detail = entry.facts.detail.clone().unwrap_or_default();
    // `http_503` says it already.
    let status = status.filter(|status| !detail.contains(status.as_str()));
    status.map_or(detail.clone(), |status| format!("{status} {detail}"))
}

fn group_as_json(by: &[Aspect], group: &Group) -> Value {
    let mut line: Map<String, Value> =
        by.iter().zip(&group.values).map(|(aspect, value)| (name(*aspect).to_owned(), json!(value))).collect();
    line.insert("count".into(), json!(group.count));
    line.insert("oldest".into(), json!(group.oldest));
    line.insert("latest".into(), json!(group.latest));
    Value::Object(line)
}

fn groups_as_table(by: &[Aspect], groups: &[Group], now: Timestamp) -> String {
    let what = by.iter().map(|aspect| name(*aspect).to_uppercase()).collect::<Vec<_>>().join(", ");
    let row = |group: &Group| {
        let values = group.values.iter().map(|value| value.clone().unwrap_or_else(|| "-".into()));
        let values = values.collect::<Vec<_>>().join(", ");
        [group.count.to_string(), age(group.oldest, now), age(group.latest, now), values]
    };
    let rows: Vec<_> = groups.iter().map(row).collect();
    table(["LETTERS", "OLDEST", "LATEST", &what], &rows)
}

impl Stats {
    pub async fn run(&self, desk: &Desk) -> anyhow::Result<Exit> {
        let desk::Stats { states, dead, dead_within_an_hour, dead_within_a_day } = desk.stats().await.map_err(told)?;
        let (by_state, by) = ([Aspect::State], [Aspect::Cause, Aspect::Destination]);
        let mut out = std::io::stdout().lock();
        if self.json {
            let groups =
                |by: &[Aspect], groups: &[Group]| groups.iter().map(|group| group_as_json(by, group)).collect();
            let told = json!({
                "states": Value::Array(groups(&by_state, &states)),
                "dead": Value::Array(groups(&by, &dead)),
                "dead_within_an_hour": dead_within_an_hour,
                "dead_within_a_day": dead_within_a_day,
            });
            writeln!(out, "{told}")?;
            return Ok(Exit::Done);
        }
        let now = Clock::System.now();
        writeln!(out, "{}", groups_as_table(&by_state, &states, now))?;
        if !dead.is_empty() {
            writeln!(out, "{}", groups_as_table(&by, &dead, now))?;
        }
        writeln!(out, "died in the last hour: {dead_within_an_hour}, in the last day: {dead_within_a_day}")?;
        Ok(Exit::Done)
    }
}
