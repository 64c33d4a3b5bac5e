//! `leadrelay retry list|now`.

use std::io::Write;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;

use super::columns::table;
use super::destination::known;
use super::screen::{Paint, grouped, until};
use super::{ConfigFile, Exit, wait_for};
use crate::app::retries::{self, Due, Moved, MovingEnded, RetryQueue, Wanted};
use crate::app::stop_on_signal;
use crate::clock::Clock;
use crate::domain::retry::Tier;
use crate::domain::route::DestinationName;

#[derive(Subcommand)]
pub enum Command {
    /// List what is in the retry queues: by queue and destination, how many, and when the next comes back
    #[command(after_help = "The messages stay in their queues. On RabbitMQ 4 each look counts towards a \
                            limit of 20: what has been looked at more often is tried early.\n\n\
                            Examples:\n  leadrelay retry list\n  leadrelay retry list --limit 50000 --json")]
    List(List),
    /// Move messages from the retry queues back to the inbox, to be tried at once
    #[command(
        after_help = "Each is confirmed in the inbox before it leaves its retry queue; attempts and age are kept. \
                            Stopped at any moment (Ctrl-C), or killed, it may be begun again, also in two terminals at \
                            once. What is for other destinations stays in its queue.\n\n\
                            Examples:\n  leadrelay retry now --destination contoso-table\n  \
                            leadrelay retry now --queue 1h --queue 6h --rate 200"
    )]
    Now(Now),
}

#[derive(Args)]
pub struct List {
    /// Read so many from the head of each queue
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Print one JSON object a queue for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Now {
    /// Only what is for this destination now
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Only this queue; may be given several times
    #[arg(long, value_name = "QUEUE", value_enum)]
    queue: Vec<QueueName>,
    /// At most so many messages a second
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum QueueName {
    #[value(name = "5s")]
    S5,
    #[value(name = "30s")]
    S30,
    #[value(name = "2m")]
    M2,
    #[value(name = "10m")]
    M10,
    #[value(name = "1h")]
    H1,
    #[value(name = "6h")]
    H6,
}

impl QueueName {
    fn tier(self) -> Tier {
        match self {
            Self::S5 => Tier::S5,
            Self::S30 => Tier::S30,
            Self::M2 => Tier::M2,
            Self::M10 => Tier::M10,
            Self::H1 => Tier::H1,
            Self::H6 => Tier::H6,
        }
    }
}

pub fn run(command: Command, config: &ConfigFile) -> anyhow::Result<Exit> {
    match command {
        Command::List(list) => run_list(&list, config),
        Command::Now(now) => run_now(&now, config),
    }
}

fn run_list(list: &List, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    let queues = wait_for(retries::retries(&config, list.limit))?;
    let mut out = std::io::stdout().lock();
    if list.json {
        for queue in &queues {
            writeln!(out, "{}", queue_as_json(queue))?;
        }
    } else {
        out.write_all(as_text(&queues, Clock::System.now()).as_bytes())?;
    }
    Ok(Exit::Done)
}

fn name_of(destination: Option<&DestinationName>) -> &str {
    // As in `leads.dead`: to which it would go.
    destination.map_or("(unroutable)", DestinationName::as_str)
}

fn as_text(queues: &[RetryQueue], now: Timestamp) -> String {
    let (full, empty): (Vec<_>, Vec<_>) = queues.iter().partition(|queue| queue.depth > 0);
    if full.is_empty() {
        return "the retry queues are empty\n".to_owned();
    }
    let rows = full.iter().flat_map(|queue| {
        queue.destinations.iter().map(|(destination, due)| {
            let next = due.next.map_or_else(|| "?".to_owned(), |at| until(at, now));
            [queue.tier.name().to_owned(), grouped(due.count), next, name_of(destination.as_ref()).to_owned()]
        })
    });
    let mut text = table(["QUEUE", "MESSAGES", "NEXT DUE", "DESTINATION"], &rows.collect::<Vec<_>>());
    for queue in full.iter().filter(|queue| queue.read < queue.depth) {
        text += &format!(
            "{}: first {} of {} read; --limit reads more\n",
            queue.tier.name(),
            grouped(queue.read),
            grouped(queue.depth)
        );
    }
    let empty: Vec<&str> = empty.iter().map(|queue| queue.tier.name()).collect();
    if !empty.is_empty() {
        text += &format!("empty: {}\n", empty.join(", "));
    }
    text
}

fn queue_as_json(queue: &RetryQueue) -> serde_json::Value {
    let destination = |(name, due): (&Option<DestinationName>, &Due)| {
        json!({
            "destination": name.as_ref().map(DestinationName::as_str),
            "messages": due.count,
            "next_due": due.next,
        })
    };
    json!({
        "queue": queue.tier.name(),
        "delay_seconds": queue.tier.delay().as_secs(),
        "messages": queue.depth,
        "read": queue.read,
        "destinations": queue.destinations.iter().map(destination).collect::<Vec<_>>(),
    })
}

/// Exits 1 if it did not come to its end.
fn run_now(now: &Now, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    let destination = now.destination.as_deref().map(|name| known(name, &config)).transpose()?;
    let mut tiers: Vec<Tier> = now.queue.iter().map(|name| name.tier()).collect();
    if tiers.is_empty() {
        tiers.extend(Tier::ALL);
    }
    tiers.sort();
    tiers.dedup();
    let wanted = Wanted { destination, tiers, rate: now.rate };
    let bar = progress();
    let (queues, ended) = wait_for(async {
        let stop = stop_on_signal()?;
        retries::retry_now(&config, &wanted, &stop, |progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.looked_at);
            bar.set_message(grouped(progress.moved));
        })
        .await
    })?;
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    match now.json {
        true => writeln!(out, "{}", moved_as_json(&queues, &ended))?,
        false => out.write_all(moved_as_text(&queues, &ended, Paint::stdout()).as_bytes())?,
    }
    Ok(if ended == MovingEnded::Done { Exit::Done } else { Exit::Failed })
}

/// Hidden by indicatif itself where standard error is no terminal.
fn progress() -> ProgressBar {
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} looked at, {msg} moved, {per_sec}, {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn moved_as_text(queues: &[Moved], ended: &MovingEnded, paint: Paint) -> String {
    let sum = |count: fn(&Moved) -> u64| queues.iter().map(count).sum::<u64>();
    let of = |queue: &Moved| format!("{} {}", queue.tier.name(), grouped(queue.moved));
    let parts: Vec<String> = queues.iter().filter(|queue| queue.moved > 0).map(of).collect();
    let parts = if parts.len() > 1 { format!(" ({})", parts.join(", ")) } else { String::new() };
    let mut text = match sum(|queue| queue.moved) {
        1 => "1 message moved to the inbox\n".to_owned(),
        moved => format!("{} messages moved to the inbox{parts}\n", grouped(moved)),
    };
    let (kept, unseen) = (sum(|queue| queue.kept), sum(|queue| queue.unseen));
    if kept > 0 {
        text += &format!("{} of other destinations stay where they are\n", grouped(kept));
    }
    let again = format!("{} are left; the same command goes on", grouped(unseen));
    match ended {
        MovingEnded::Cancelled => text += &format!("{}: {again}\n", paint.doubtful("stopped")),
        MovingEnded::Refused(why) => text += &format!("{} ({why}): {again}\n", paint.bad("stopped by the broker")),
        MovingEnded::Done if unseen > 0 => {
            text += &format!("{} behind them were not looked at; without --destination they are\n", grouped(unseen));
        }
        MovingEnded::Done => {}
    }
    text
}

fn moved_as_json(queues: &[Moved], ended: &MovingEnded) -> serde_json::Value {
    let queue = |queue: &Moved| {
        let name = queue.tier.name();
        json!({ "queue": name, "moved": queue.moved, "kept": queue.kept, "left": queue.unseen })
    };
    let (ended, why) = match ended {
        MovingEnded::Done => ("done", None),
        MovingEnded::Cancelled => ("cancelled", None),
        MovingEnded::Refused(why) => ("refused", Some(why)),
    };
    json!({ "ended": ended, "why": why, "queues": queues.iter().map(queue).collect::<Vec<_>>() })
}
