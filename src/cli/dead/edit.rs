//! `leadrelay dead edit`: one letter, mended by a person, and replayed.

use std::io::{IsTerminal, Write};

use clap::Args;
use serde_json::{Value, json};

use super::replay::work;
use super::replay_text::{Screen, is_yes};
use super::told;
use crate::app::replaying::{forecaster, replayer};
use crate::cli::{Exit, Misused, editor};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::dead_letter::StateName;
use crate::domain::event::mend::{self, Change, Unfit};
use crate::domain::replay::Terms;
use crate::office::desk::{Desk, DeskError};
use crate::office::edit::{self, Revised};
use crate::office::replay::forecast::{self, Forecast};
use crate::office::replay::terms;
use crate::office::{Edited, Kept, mask};

#[derive(Args)]
pub struct EditLetter {
    /// The dead-id, or as much of its beginning as tells it from the others
    #[arg(value_name = "DEAD-ID")]
    id: String,
    /// Put this text at a place, such as /CustomerInfo/Company=Contoso; without it, an editor is opened
    #[arg(long = "set", value_name = "POINTER=TEXT", value_parser = placed)]
    sets: Vec<(String, String)>,
    /// Why, for the history
    #[arg(long)]
    why: String,
    /// Show what would change and what would become of it, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Show what is personal in what changes; that you saw it is written down
    #[arg(long)]
    reveal: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print JSON lines for scripts
    #[arg(long)]
    json: bool,
}

fn placed(text: &str) -> Result<(String, String), String> {
    let placed = text.split_once('=').filter(|(pointer, _)| pointer.starts_with('/'));
    let (pointer, text) = placed.ok_or("write /CustomerInfo/Company=Contoso: a JSON pointer, =, and the text")?;
    Ok((pointer.to_owned(), text.to_owned()))
}

impl EditLetter {
    pub async fn run(&self, config: &Config, desk: &Desk) -> anyhow::Result<Exit> {
        let kept = match desk.read(&self.id).await {
            Ok(kept) => kept,
            Err(error @ (DeskError::NoSuchLetter(_) | DeskError::Ambiguous(_))) => return Ok(nothing(&error)),
            Err(error) => return Err(told(error)),
        };
        if kept.entry.state.name() != StateName::Dead {
            return Ok(nothing(&format!("{} is {}", kept.entry.id, kept.entry.state.name().as_str())));
        }
        let draft = match edit::draft(&kept) {
            Ok(draft) => draft,
            Err(closed) => return Ok(nothing(&format!("{closed}. Let its producer send it again"))),
        };
        let revised = match self.revise(desk, &kept, draft).await? {
            Ok(revised) if revised.mended.changes.is_empty() => return Ok(unchanged()),
            Ok(revised) => revised,
            Err(exit) => return Ok(exit),
        };
        let (setup, ledger) = forecaster(config)?;
        let forecast = forecast::of_this(&revised.letter, (&setup, &ledger), Clock::System.now())?;
        if self.reveal {
            desk.reveal(vec![kept.entry.id], &self.why).await.map_err(told)?;
        }
        self.show(&kept, &revised, &forecast)?;
        if self.dry_run {
            return Ok(Exit::Done);
        }
        self.keep_and_replay(config, desk, revised, forecast).await
    }

    /// Or how the command ends, which has been told.
    async fn revise(&self, desk: &Desk, kept: &Kept, draft: String) -> anyhow::Result<Result<Revised, Exit>> {
        if !self.sets.is_empty() {
            return Ok(edit::revise(kept, self.set(kept)?).map_err(|unfit| complain(&unfit)));
        }
        // Whoever has the letter in an editor sees all of it.
        desk.reveal(vec![kept.entry.id], &self.why).await.map_err(told)?;
        let mut text = editor::edit(draft.as_bytes()).await?;
        if text == draft.as_bytes() {
            return Ok(Err(unchanged()));
        }
        loop {
            let exit = match edit::revise(kept, text.trim_ascii_end().to_vec().into()) {
                Ok(revised) => return Ok(Ok(revised)),
                Err(unfit) => complain(&unfit),
            };
            if !std::io::stdin().is_terminal() || !asked("Open it again? [y/N] ")? {
                return Ok(Err(exit));
            }
            text = editor::edit(&text).await?;
        }
    }

    fn set(&self, kept: &Kept) -> anyhow::Result<bytes::Bytes> {
        let body = kept.message.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&kept.message.body);
        let mut body: Value = serde_json::from_slice(body)?;
        for (pointer, text) in &self.sets {
            let set = mend::with_text(body, pointer, text);
            body = set.ok_or_else(|| Misused(format!("--set: {pointer} is no place within an object")))?;
        }
        Ok(body.to_string().into())
    }

    fn show(&self, kept: &Kept, revised: &Revised, forecast: &Forecast) -> anyhow::Result<()> {
        let changes = &revised.mended.changes;
        let mut out = std::io::stdout().lock();
        if self.json {
            let changes: Vec<Value> = changes.iter().map(|change| self.as_json(change)).collect();
            writeln!(out, "{}", json!({ "event": "edit", "dead_id": kept.entry.id.to_string(), "changes": changes }))?;
        } else {
            for change in changes {
                out.write_all(self.as_text(change).as_bytes())?;
            }
        }
        drop(out);
        Ok(Screen { json: self.json }.forecast(forecast)?)
    }

    /// As `dead show` shows values, and the names on the way to them.
    fn shown(&self, change: &Change) -> (String, [Option<Value>; 2]) {
        let Change { pointer, before, after } = change;
        if self.reveal {
            return (pointer.clone(), [before.clone(), after.clone()]);
        }
        let masked = |value: &Option<Value>| value.as_ref().map(|value| mask::at(pointer, value));
        (mask::pointer(pointer), [masked(before), masked(after)])
    }

    fn as_json(&self, change: &Change) -> Value {
        let (pointer, [before, after]) = self.shown(change);
        json!({ "pointer": pointer, "before": before, "after": after })
    }

    fn as_text(&self, change: &Change) -> String {
        let (pointer, [before, after]) = self.shown(change);
        // JSON escapes whatever could speak to the terminal.
        let line =
            |sign: &str, value: Option<Value>| value.map_or_else(String::new, |value| format!("  {sign} {value}\n"));
        format!("{pointer}\n{}{}", line("-", before), line("+", after))
    }

    async fn keep_and_replay(
        &self,
        config: &Config,
        desk: &Desk,
        revised: Revised,
        forecast: Forecast,
    ) -> anyhow::Result<Exit> {
        // Before anything is kept: what cannot be replayed now is not edited either.
        let replayer = replayer(config, desk).await?;
        if !self.yes && !std::io::stdin().is_terminal() {
            return Err(Misused("nobody can be asked here: add --yes".into()).into());
        }
        if !self.yes && !asked("Keep this, and replay the letter? [y/N] ")? {
            return Ok(Exit::Failed);
        }
        let destinations = forecast.destinations.into_keys().collect();
        let kept = terms::Kept { terms: Terms::default(), destinations };
        let id = revised.letter.entry.id;
        match desk.edit(revised, &kept, &self.why).await.map_err(told)? {
            Edited::Done(plan) => work(&replayer, &plan, &kept, Screen { json: self.json }).await,
            Edited::Not(entry) => {
                let state = entry.state.name().as_str();
                Ok(nothing(&format!("{id} is {state}, or was changed by somebody else just now")))
            }
            Edited::Waits(plan) => {
                let plan = plan.0;
                Ok(nothing(&format!("plan {plan} runs, and replays {id} as it is: pause it, or see it through")))
            }
            Edited::Absent => Ok(nothing(&format!("{id} is gone"))),
        }
    }
}

fn nothing(why: &impl std::fmt::Display) -> Exit {
    eprintln!("leadrelay: {why}; nothing was done");
    Exit::Failed
}

fn unchanged() -> Exit {
    eprintln!("leadrelay: nothing is changed by that; nothing was done");
    Exit::Done
}

fn complain(unfit: &Unfit) -> Exit {
    match unfit {
        Unfit::Closed(closed) => eprintln!("leadrelay: {closed}"),
        Unfit::Malformed(malformed) => {
            malformed.problems.iter().for_each(|problem| eprintln!("leadrelay: {problem}"));
        }
        Unfit::Fixed(fixed) => {
            fixed.iter().for_each(|fixed| eprintln!("leadrelay: {} {}", fixed.pointer(), fixed.why()));
        }
    }
    eprintln!("leadrelay: nothing was done");
    Exit::Failed
}

fn asked(question: &str) -> anyhow::Result<bool> {
    eprint!("{question}");
    std::io::stderr().flush()?;
    is_yes(std::io::stdin().lock())
}
