//! `leadrelay lead list`.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;

use super::{Typed, json, read};
use crate::app::leads::Rest;
use crate::cli::Exit;
use crate::cli::columns::table_within;
use crate::cli::screen::{Paint, age, count, printable};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::found::FoundLead;

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    typed: Typed,
    /// So many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Print one JSON object a line for scripts
    #[arg(long)]
    json: bool,
}

impl List {
    pub fn run(&self, config: &Config) -> anyhow::Result<Exit> {
        let (name, wanted) = self.typed.meant(config)?;
        let mut found = Vec::new();
        let rest = read(config, &name, &wanted, Some(self.limit.into()), self.typed.reveal, |lead| {
            found.push(lead);
            Ok(())
        })?;
        let mut out = std::io::stdout().lock();
        if self.json {
            found.iter().try_for_each(|lead| writeln!(out, "{}", json::line(lead)))?;
            return Ok(Exit::Done);
        }
        let paint = Paint::stdout();
        if !found.is_empty() {
            out.write_all(as_table(&found, Clock::System.now(), paint).as_bytes())?;
        }
        writeln!(out, "{}", count(found.len(), "lead"))?;
        if rest == Rest::More {
            let hint = "there are more: narrow them by --offer, --stage or --since, raise --limit, or print all by \
                        leadrelay lead export";
            writeln!(out, "{}", paint.aside(&paint.wrapped(hint, 0)))?;
        }
        Ok(Exit::Done)
    }
}

/// So much of a lead key tells it from the others on a screen, and is enough for `lead show`.
const KEY_SHOWN: usize = 8;

fn as_table(found: &[FoundLead], now: Timestamp, paint: Paint) -> String {
    let row = |lead: &FoundLead| {
        let name = format!("{} {}", lead.customer.first_name, lead.customer.last_name);
        let cells = [
            &lead.key.chars().take(KEY_SHOWN).collect::<String>(),
            &lead.stage,
            &lead.changed_at.map(|at| age(at, now)).unwrap_or_default(),
            &lead.offer,
            name.trim(),
            &lead.customer.email,
        ];
        cells.map(|cell| printable(cell).replace('\n', " "))
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    table_within(paint.width(), 3, ["KEY", "STAGE", "CHANGED", "OFFER", "NAME", "EMAIL"], &rows)
}
