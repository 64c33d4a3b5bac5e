//! `leadrelay destination list`.

use std::io::Write;

use clap::Args;
use serde_json::json;

use crate::app::{self, Listed};
use crate::cli::columns::table_within;
use crate::cli::screen::Paint;
use crate::cli::{ConfigFile, Exit};

#[derive(Args)]
#[command(after_help = "Examples:\n  leadrelay destination list\n  leadrelay destination list --json")]
pub struct List {
    /// Print one JSON object a line for scripts
    #[arg(long)]
    json: bool,
}

pub fn list(list: &List, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    let listed = app::destinations(&config);
    let mut out = std::io::stdout().lock();
    if list.json {
        for destination in &listed {
            writeln!(out, "{}", as_json(destination))?;
        }
    } else {
        out.write_all(as_text(&listed, Paint::stdout()).as_bytes())?;
    }
    Ok(Exit::Done)
}

fn as_text(listed: &[Listed], paint: Paint) -> String {
    let row = |listed: &Listed| {
        let offers = match listed.offers.as_slice() {
            [] => "none: no lead goes there".to_owned(),
            offers => offers.join(" "),
        };
        [listed.name.clone(), listed.kind.to_owned(), listed.at.clone(), offers]
    };
    table_within(paint.width(), 1, ["NAME", "KIND", "AT", "OFFERS"], &listed.iter().map(row).collect::<Vec<_>>())
}

fn as_json(listed: &Listed) -> serde_json::Value {
    json!({
        "destination": listed.name,
        "kind": listed.kind,
        "at": listed.at,
        "offers": listed.offers,
        "batch_max": listed.batch_max,
        "in_flight_max": listed.in_flight_max,
    })
}
