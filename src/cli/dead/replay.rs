//! `leadrelay dead replay`: a plan, not a button.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::filter::Typed;
use super::replay_text::{self as text, Screen};
use super::told;
use crate::app::replaying::{forecaster, interrupted, replayer};
use crate::cli::screen::count;
use crate::cli::{Exit, Misused};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::dead_letter::StateName;
use crate::domain::replay::{Percent, Terms};
use crate::office::Filter;
use crate::office::desk::{Desk, DeskError};
use crate::office::replay::forecast::{self, Forecast};
use crate::office::replay::plans::{Plan, PlanId, PlanState};
use crate::office::replay::{Ended, ReplayError, Replayer, ended_of, terms};

#[derive(Args)]
pub struct Replay {
    /// These letters: dead-ids, or as much of the beginning of each as tells it from the others
    #[arg(value_name = "DEAD-ID")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: Typed,
    /// Every dead letter, where nothing else narrows them
    #[arg(long)]
    all: bool,
    /// Tell what would become of them, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// So many go alone, first, and are waited for
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(..=1_000))]
    canary: Option<u32>,
    /// How long nothing need be heard of letters that are on their way, such as 2m
    #[arg(long, value_name = "TIME", value_parser = time)]
    canary_timeout: Option<Duration>,
    /// At most so many letters a second, after a ramp
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// Pause when a larger share of the latest letters dies again
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| Percent::parse(text))]
    max_failures: Option<Percent>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Why, for the history
    #[arg(long, default_value = "")]
    why: String,
    /// Print JSON lines for scripts
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    mode: Mode,
}

/// What is done with a plan that is there.
#[derive(Args)]
#[group(multiple = false, conflicts_with_all = ["ids", "all", "dry_run"])]
struct Mode {
    /// Go on with this plan; it begins with a canary again
    #[arg(long, value_name = "PLAN")]
    resume: Option<u64>,
    /// Pause this plan, whoever works on it
    #[arg(long, value_name = "PLAN")]
    pause: Option<u64>,
    /// End this plan; what it has not replayed stays dead
    #[arg(long, value_name = "PLAN")]
    cancel: Option<u64>,
    /// Show how far this plan is
    #[arg(long, value_name = "PLAN")]
    show: Option<u64>,
    /// List the latest plans
    #[arg(long)]
    list: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    parsed.filter(|time| !time.is_zero()).ok_or_else(|| "not a time: write 90s or 2m".into())
}

impl Replay {
    pub async fn run(&self, config: &Config, desk: &Desk) -> anyhow::Result<Exit> {
        let screen = Screen { json: self.json };
        match &self.mode {
            Mode { list: true, .. } => {
                screen.plans(&desk.letters.plans(20).await.map_err(unstored)?)?;
                Ok(Exit::Done)
            }
            Mode { show: Some(id), .. } => {
                screen.plan(&plan(desk, *id).await?)?;
                Ok(Exit::Done)
            }
            Mode { pause: Some(id), .. } => {
                let why = format!("paused by {}", desk.who);
                self.change(desk, *id, PlanState::Paused(why)).await
            }
            Mode { cancel: Some(id), .. } => self.change(desk, *id, PlanState::Cancelled).await,
            Mode { resume: Some(id), .. } => self.resume(config, desk, *id).await,
            Mode { .. } => self.begin(config, desk).await,
        }
    }

    async fn change(&self, desk: &Desk, id: u64, to: PlanState) -> anyhow::Result<Exit> {
        plan(desk, id).await?;
        let changed = desk.letters.change_plan(PlanId(id), to, desk.act(&self.why)).await.map_err(unstored)?;
        let screen = Screen { json: self.json };
        if let Some(plan) = changed {
            screen.plan(&plan)?;
            return Ok(Exit::Done);
        }
        Err(already(&plan(desk, id).await?))
    }

    async fn begin(&self, config: &Config, desk: &Desk) -> anyhow::Result<Exit> {
        let forecast = self.forecast(config, desk).await?;
        let screen = Screen { json: self.json };
        screen.forecast(&forecast)?;
        if self.dry_run || forecast.ids.is_empty() {
            return Ok(Exit::Done);
        }
        let terms = self.terms(Terms::default());
        let replayer = replayer(config, desk).await?;
        if !self.yes && !confirmed(&forecast, terms)? {
            return Ok(Exit::Failed);
        }
        let kept = terms::Kept { terms, destinations: forecast.destinations.into_keys().collect() };
        let plan = replayer.freeze(forecast.ids, &kept, &self.why).await.map_err(failed)?;
        work(&replayer, &plan, &kept, screen).await
    }

    async fn forecast(&self, config: &Config, desk: &Desk) -> anyhow::Result<Forecast> {
        let filter = self.filter.meant(desk)?;
        let anything = Filter { state: Some(StateName::Dead), ..Filter::default() };
        if filter.state != Some(StateName::Dead) {
            return Err(Misused("only dead letters are replayed: leave --state out".into()).into());
        }
        if filter == anything && self.ids.is_empty() && !self.all {
            let mend = "say which letters, by a filter or by their ids; or --all";
            return Err(Misused(mend.into()).into());
        }
        if !self.ids.is_empty() && (filter != anything || self.all) {
            return Err(Misused("give ids, or a filter, or --all, not several of them".into()).into());
        }
        let (setup, ledger) = forecaster(config)?;
        let now = Clock::System.now();
        let forecast = if self.ids.is_empty() {
            forecast::of(&*desk.letters, &filter, (&setup, &ledger), now).await
        } else {
            let mut ids = Vec::with_capacity(self.ids.len());
            for beginning in &self.ids {
                ids.push(desk.find(beginning).await.map_err(told)?);
            }
            forecast::of_these(&*desk.letters, ids, (&setup, &ledger), now).await
        };
        forecast.map_err(|error| match error {
            forecast::ForecastError::Letters(error) => unstored(error),
            forecast::ForecastError::Ledger(error) => error.into(),
        })
    }

    fn terms(&self, before: Terms) -> Terms {
        Terms {
            canary: self.canary.unwrap_or(before.canary),
            canary_timeout: self.canary_timeout.unwrap_or(before.canary_timeout),
            rate: self.rate.unwrap_or(before.rate),
            max_failures: self.max_failures.unwrap_or(before.max_failures),
        }
    }

    async fn resume(&self, config: &Config, desk: &Desk, id: u64) -> anyhow::Result<Exit> {
        let found = plan(desk, id).await?;
        let replayer = replayer(config, desk).await?;
        let running = match found.state {
            PlanState::Running => found,
            PlanState::Paused(_) => {
                let act = desk.act(&self.why);
                let resumed = desk.letters.change_plan(PlanId(id), PlanState::Running, act).await.map_err(unstored)?;
                resumed.ok_or_else(|| anyhow::anyhow!("plan {id} was ended by somebody just now"))?
            }
            PlanState::Done | PlanState::Cancelled => return Err(already(&found)),
        };
        let mut kept = terms::Kept::read(&running.terms);
        kept.terms = self.terms(kept.terms);
        work(&replayer, &running, &kept, Screen { json: self.json }).await
    }
}

async fn plan(desk: &Desk, id: u64) -> anyhow::Result<Plan> {
    let plan = desk.letters.plan(PlanId(id)).await.map_err(unstored)?;
    plan.ok_or_else(|| failed(ReplayError::NoSuchPlan(PlanId(id))))
}

fn already(plan: &Plan) -> anyhow::Error {
    anyhow::anyhow!("plan {} is {} since {}, and stays so", plan.id.0, plan.state.name(), plan.changed.at)
}

pub async fn work(replayer: &Replayer, plan: &Plan, kept: &terms::Kept, screen: Screen) -> anyhow::Result<Exit> {
    let stop: CancellationToken = interrupted()?;
    let mut progress = screen.progress(plan)?;
    let ended = replayer.run(plan.id, kept, &stop, &mut |news| progress.tell(&news)).await;
    progress.finish();
    let ended = ended.map_err(failed)?;
    screen.ended(&ended)?;
    Ok(exit_of(&ended, kept.terms))
}

/// Done, and not more of it dead again than was allowed.
fn exit_of(ended: &Ended, terms: Terms) -> Exit {
    match ended {
        Ended::Done(plan) if !terms.max_failures.is_passed_by(plan.members.dead, ended_of(&plan.members)) => Exit::Done,
        Ended::Done(_) | Ended::Paused(..) | Ended::Halted(_) => Exit::Failed,
    }
}

fn confirmed(forecast: &Forecast, terms: Terms) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Misused("nobody can be asked here: add --yes".into()).into());
    }
    let letters = count(forecast.ids.len(), "letter");
    eprint!("Replay {letters}: a canary of {}, then up to {} a second? [y/N] ", terms.canary, terms.rate);
    std::io::stderr().flush()?;
    text::is_yes(std::io::stdin().lock())
}

pub fn unstored(error: crate::office::LettersError) -> anyhow::Error {
    told(DeskError::Store(error))
}

fn failed(error: ReplayError) -> anyhow::Error {
    match error {
        ReplayError::Store(error) => unstored(error),
        other => other.into(),
    }
}
