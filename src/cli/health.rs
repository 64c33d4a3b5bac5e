//! `leadrelay health`.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::screen::Paint;
use super::{ConfigFile, Exit, wait_for};
use crate::app;

#[derive(Args)]
#[command(after_help = "Examples:\n  leadrelay health\n  leadrelay health --ready --json\n\n\
                        Exits 0 if it is well, 1 if it says that it is not, 69 if nobody answers at http.listen.")]
pub struct Arguments {
    /// Ask whether it can bring events to their end now, not only whether it is alive
    #[arg(long)]
    ready: bool,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, config: &ConfigFile) -> anyhow::Result<Exit> {
    let health = wait_for(app::health(&config.load()?, arguments.ready))?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", json!({ "ok": health.good, "said": health.said }))?;
    } else {
        let paint = Paint::stdout();
        writeln!(out, "{}", if health.good { paint.good(&health.said) } else { paint.bad(&health.said) })?;
    }
    Ok(if health.good { Exit::Done } else { Exit::Failed })
}
