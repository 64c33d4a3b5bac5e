//! Plans of replay as people and scripts read them.

use std::io::{BufRead, Write};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::cli::columns::table;
use crate::cli::screen::{age, count};
use crate::clock::Clock;
use crate::office::replay::forecast::{Forecast, Prospect};
use crate::office::replay::plans::{Members, Plan, PlanState};
use crate::office::replay::{Ended, News, ended_of};

#[derive(Clone, Copy)]
pub struct Screen {
    pub json: bool,
}

pub fn is_yes(mut from: impl BufRead) -> anyhow::Result<bool> {
    let mut answer = String::new();
    from.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

impl Screen {
    fn say(self, as_json: Value, as_text: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json { writeln!(out, "{as_json}") } else { out.write_all(as_text.as_bytes()) }
    }

    pub fn forecast(self, forecast: &Forecast) -> std::io::Result<()> {
        self.say(forecast_as_json(forecast), &forecast_as_text(forecast))
    }

    pub fn plans(self, plans: &[Plan]) -> std::io::Result<()> {
        if self.json {
            return plans.iter().try_for_each(|plan| self.plan(plan));
        }
        let now = Clock::System.now();
        let row = |plan: &Plan| {
            let Plan { id, state, made, members, .. } = plan;
            [
                id.0.to_string(),
                state.name().to_owned(),
                age(made.at, now),
                made.who.clone(),
                total(members).to_string(),
                members.waiting.to_string(),
                members.dead.to_string(),
            ]
        };
        let rows: Vec<_> = plans.iter().map(row).collect();
        let heads = ["PLAN", "STATE", "AGE", "BY", "LETTERS", "WAITING", "DEAD AGAIN"];
        std::io::stdout().lock().write_all(table(heads, &rows).as_bytes())
    }

    pub fn plan(self, plan: &Plan) -> std::io::Result<()> {
        self.say(plan_as_json(plan), &plan_as_text(plan, Clock::System.now()))
    }

    pub fn ended(self, ended: &Ended) -> std::io::Result<()> {
        let (Ended::Done(plan) | Ended::Paused(plan, _) | Ended::Halted(plan)) = ended;
        self.plan(plan)
    }

    pub fn progress(self, plan: &Plan) -> std::io::Result<Progress> {
        let total = total(&plan.members);
        if self.json {
            writeln!(std::io::stdout().lock(), "{}", plan_as_json(plan))?;
        } else {
            eprintln!("plan {} of {}", plan.id.0, count(total as usize, "letter"));
        }
        let bar = ProgressBar::new(total);
        let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {msg}");
        let bar = style.map_or_else(|_| ProgressBar::hidden(), |style| bar.with_style(style));
        Ok(Progress { screen: self, bar })
    }
}

/// What is told while a plan goes on. The bar is hidden by indicatif itself where standard error is no terminal.
pub struct Progress {
    screen: Screen,
    bar: ProgressBar,
}

impl Progress {
    pub fn tell(&mut self, news: &News) {
        let (as_json, as_text) = match news {
            News::WaitsForLease { owner, until } => (
                json!({ "event": "waits_for_lease", "owner": owner, "until": until }),
                format!("{owner} works on it, or was killed: waiting for its lease to end at {until}"),
            ),
            News::Canary { published } => (
                json!({ "event": "canary", "published": published }),
                format!("the canary is on its way: {published} published"),
            ),
            News::CanaryPassed => (json!({ "event": "canary_passed" }), "the canary has passed".to_owned()),
            News::LanesUnseen(why) => (
                json!({ "event": "lanes_unseen", "why": why }),
                format!("{why}: whether lanes are open is not seen, failures and silence are"),
            ),
            News::Progress(members) => {
                self.bar.set_position(total(members) - members.waiting - members.taken);
                self.bar.set_message(format!("{} ended, {} dead again", ended_of(members), members.dead));
                (json!({ "event": "progress", "letters": members_as_json(members) }), String::new())
            }
        };
        if self.screen.json {
            // Nobody is left to be told that standard output is closed; the plan goes on.
            let _ = writeln!(std::io::stdout().lock(), "{as_json}");
        } else if !as_text.is_empty() {
            self.bar.suspend(|| eprintln!("{as_text}"));
        }
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn total(members: &Members) -> u64 {
    members.waiting + members.taken + members.published + members.passed_over + ended_of(members)
}

const PROSPECTS: [(Prospect, &str); 7] = [
    (Prospect::Send, "would be sent"),
    (Prospect::Merge, "would add to a lead that was delivered before"),
    (Prospect::Delivered, "would be dropped: delivered already"),
    (Prospect::Withdrawn, "would be dropped: the person has withdrawn since"),
    (Prospect::Withdrawal, "are withdrawals, and would be taken to heart"),
    (Prospect::Unroutable, "would die again: no route covers their offer now"),
    (Prospect::Malformed, "would die again: they cannot be read"),
];

fn forecast_as_text(forecast: &Forecast) -> String {
    if forecast.ids.is_empty() {
        return "no dead letter fits\n".to_owned();
    }
    let row = |((cause, destination), number): (&(_, Option<_>), &u64)| {
        let destination = destination.as_ref().map_or_else(String::new, ToString::to_string);
        [number.to_string(), format!("{cause}"), destination]
    };
    let rows: Vec<_> = forecast.letters.iter().map(row).collect();
    let mut text = table(["LETTERS", "REASON", "DESTINATION"], &rows);
    text += &format!("of {}, now:\n", count(forecast.ids.len(), "letter"));
    for (prospect, means) in PROSPECTS {
        if let number @ 1.. = forecast.count(prospect) {
            text += &format!("{number:>9} {means}\n");
        }
    }
    text
}

fn forecast_as_json(forecast: &Forecast) -> Value {
    let of = |((cause, destination), number): (&(crate::domain::dead_letter::Cause, Option<_>), &u64)| json!({ "reason": cause.name(), "destination": destination.as_ref().map(ToString::to_string), "letters": number });
    let letters: Vec<Value> = forecast.letters.iter().map(of).collect();
    let prospects = Prospect::ALL.map(|prospect| (prospect.name().to_owned(), forecast.count(prospect).into()));
    let destinations = forecast.destinations.iter().map(|(name, number)| (name.to_string(), (*number).into()));
    json!({
        "event": "forecast", "letters": forecast.ids.len(), "by": letters,
        "now": Map::from_iter(prospects), "to": Map::from_iter(destinations),
    })
}

fn members_as_json(members: &Members) -> Value {
    let Members { waiting, taken, published, passed_over, delivered, duplicate, suppressed, unmarked, dead } = members;
    json!({
        "waiting": waiting, "taken": taken, "published": published, "passed_over": passed_over, "delivered": delivered,
        "duplicate": duplicate, "suppressed": suppressed, "unmarked": unmarked, "dead": dead,
    })
}

fn plan_as_json(plan: &Plan) -> Value {
    let why = match &plan.state {
        PlanState::Paused(why) => Some(why),
        PlanState::Running | PlanState::Done | PlanState::Cancelled => None,
    };
    json!({
        "event": "plan", "plan": plan.id.0, "state": plan.state.name(), "why": why, "made_at": plan.made.at,
        "made_by": plan.made.who, "changed_at": plan.changed.at, "changed_by": plan.changed.who,
        "owner": plan.owner.as_ref().map(|(owner, _)| owner), "letters": members_as_json(&plan.members),
    })
}

fn plan_as_text(plan: &Plan, now: Timestamp) -> String {
    let Plan { id, state, made, changed, members, owner, .. } = plan;
    let id = id.0;
    let mut text = format!("plan {id}: {}", state.name());
    if let PlanState::Paused(why) = state {
        text += &format!(": {why}");
    }
    text += &format!("\n  made {} ago by {}", age(made.at, now), made.who);
    if changed.at != made.at {
        text += &format!(", {} {} ago by {}", state.name(), age(changed.at, now), changed.who);
    }
    if let Some((owner, until)) = owner.as_ref().filter(|(_, until)| *until > now) {
        text += &format!("\n  {owner} works on it, until {until} and longer");
    }
    text += "\n";
    for (number, means) in [
        (members.waiting, "wait to be replayed"),
        (members.taken, "are being published"),
        (members.published, "are on their way"),
        (members.delivered, "delivered"),
        (members.duplicate, "had been delivered already"),
        (members.suppressed, "suppressed: the person has withdrawn"),
        (members.unmarked, "withdrawn, and could not be marked"),
        (members.dead, "died again"),
        (members.passed_over, "passed over: dead no more when their turn came"),
    ] {
        if number > 0 {
            text += &format!("{number:>9} {means}\n");
        }
    }
    if members.dead > 0 {
        text += &format!("  those are letters of their own now: leadrelay dead list --since {}\n", made.at);
    }
    if matches!(state, PlanState::Running | PlanState::Paused(_)) {
        text += &format!("  leadrelay dead replay --resume {id} goes on, --cancel {id} ends it\n");
    }
    text
}
