//! `leadrelay status`: everything at one glance, once or again and again.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;

use super::screen::{Paint, terminal_height, terminal_width};
use super::{ConfigFile, Exit, wait_for};
use crate::app::status::{Observer, Status};
use crate::app::stop_on_signal;
use crate::config::Config;
use text::Scene;

mod json;
mod text;

#[derive(Args)]
#[command(
    after_help = "Each part that is down is told as what could not be learned; the rest is shown. What the worker knows \
                  (lanes, fates) is asked at http.listen, what was ordered is read from the store, queues are asked of \
                  the broker.\n\nExits 69 if one of the three does not answer.\n\n\
                  Examples:\n  leadrelay status\n  leadrelay status --watch\n  leadrelay status --json | jq .destinations"
)]
pub struct Arguments {
    /// Look again every two seconds, and tell what happens a second, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Print one JSON object for scripts; with --watch one a line
    #[arg(long)]
    json: bool,
}

const EVERY: Duration = Duration::from_secs(2);

pub fn run(arguments: &Arguments, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    wait_for(look(arguments, &config))
}

async fn look(arguments: &Arguments, config: &Config) -> anyhow::Result<Exit> {
    let observer = Observer::new(config.clone())?;
    let mut status = observer.look().await;
    arguments.print(config, None, &status)?;
    if arguments.watch {
        let stop = stop_on_signal()?;
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            let Some(next) = stop.run_until_cancelled(observer.look()).await else { break };
            arguments.print(config, Some(&status), &next)?;
            status = next;
        }
    }
    observer.close().await;
    let complete = status.broker.is_ok() && status.worker.is_ok() && status.store.is_ok();
    Ok(if complete { Exit::Done } else { Exit::Unreachable })
}

impl Arguments {
    fn print(&self, config: &Config, before: Option<&Status>, status: &Status) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json::of(status, config))?;
            return Ok(());
        }
        let scene = Scene { config, before, status, paint: Paint::stdout(), width: terminal_width() };
        let text = scene.text();
        match (self.watch, out.is_terminal()) {
            // Over what was there, line by line: nothing flickers.
            (true, true) => {
                let begin = if before.is_none() { "\x1b[2J\x1b[H" } else { "\x1b[H" };
                let text = fitted(&text, terminal_height());
                write!(out, "{begin}{}\x1b[J", text.replace('\n', "\x1b[K\n"))?;
            }
            (true, false) => writeln!(out, "{text}")?,
            (false, _) => out.write_all(text.as_bytes())?,
        }
        Ok(out.flush()?)
    }
}

/// What is taller than the terminal would scroll, and its beginning with it: first blank lines go, then the end.
fn fitted(text: &str, height: usize) -> String {
    // The cursor stands below the last line.
    let room = height.saturating_sub(1);
    let mut lines: Vec<&str> = text.lines().collect();
    while lines.len() > room {
        let Some(blank) = lines.iter().rposition(|line| line.is_empty()) else { break };
        lines.remove(blank);
    }
    let beyond = lines.len().saturating_sub(room);
    if beyond == 0 {
        return lines.join("\n") + "\n";
    }
    let shown = room.saturating_sub(1);
    format!("{}\n… {} lines more: a taller terminal shows them\n", lines[..shown].join("\n"), lines.len() - shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_that_is_too_tall_loses_its_blank_lines_and_then_its_end() {
        assert_eq!(fitted("a\n\nb\n", 4), "a\n\nb\n");
        assert_eq!(fitted("a\n\nb\n\nc\n", 5), "a\n\nb\nc\n");
        assert_eq!(fitted("a\nb\nc\nd\n", 4), "a\nb\n… 2 lines more: a taller terminal shows them\n");
    }
}
