//! `leadrelay destination pause|resume`.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::known;
use crate::app::orders::{Rejecting, give_order, rejecting};
use crate::cli::screen::Paint;
use crate::cli::whoami::whoami;
use crate::cli::{ConfigFile, Exit, Misused, wait_for};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::order::{Order, Ordered, Reason};
use crate::domain::reply::Code;
use crate::domain::route::DestinationName;

#[derive(Args)]
#[command(after_help = "Every worker obeys within 5 s, also after a restart, until `destination resume`. \
                        Nothing is sent, not even a probe; leads wait, and nothing is charged to them. \
                        Who ordered, when and why is kept, logged, and shown by `status`: \
                        write no personal data into the reason.\n\n\
                        Example:\n  leadrelay destination pause contoso-table --reason 'its key is being rotated'")]
pub struct Pause {
    /// As it is called in the configuration: [destinations.NAME]
    #[arg(value_name = "NAME")]
    name: String,
    /// Why, in a line, for whoever finds it paused
    #[arg(long)]
    reason: String,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "Ends a pause. A destination in trouble is probed at once, with one lead.\n\n\
                        With --accept-rejections, of a lane that is `rejecting`: the rejections are right. \
                        What waits is sent, and what is rejected of it is dead-lettered; \
                        when nothing waits any more, the order has come to its end.\n\n\
                        Examples:\n  leadrelay destination resume contoso-table\n  \
                        leadrelay destination resume contoso-table --accept-rejections")]
pub struct Resume {
    /// As it is called in the configuration: [destinations.NAME]
    #[arg(value_name = "NAME")]
    name: String,
    /// The leads that the destination rejects are to blame themselves: dead-letter them
    #[arg(long)]
    accept_rejections: bool,
    /// Why, in a line
    #[arg(long)]
    reason: Option<String>,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

pub fn pause(pause: &Pause, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    let name = known(&pause.name, &config)?;
    let order = order(&name, Ordered::Pause, reason(&pause.reason)?);
    let told = format!("its leads wait in {}.wait.{name}, uncharged", config.broker.prefix);
    give(&config, order, &told, pause.json)
}

/// Exits 1 if the rejections of a lane are to be accepted that is not rejecting.
pub fn resume(resume: &Resume, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    let name = known(&resume.name, &config)?;
    let reason = resume.reason.as_deref().map_or(Ok(Reason::default()), reason)?;
    if !resume.accept_rejections {
        return give(&config, order(&name, Ordered::Resume, reason), "it drinks what waits", resume.json);
    }
    let (code, told) = match wait_for(async { Ok(rejecting(&config, &name).await) })? {
        Rejecting::With(code) => {
            let told = format!("what it rejects with {code} of what waits is dead-lettered");
            (Some(code), told)
        }
        Rejecting::No(state) => {
            eprintln!("leadrelay: {name} is {state}, not rejecting: there are no rejections to accept");
            return Ok(Exit::Failed);
        }
        Rejecting::Unknown(why) => {
            (None, format!("{why}: a worker that starts accepts rejections with the code that comes first"))
        }
    };
    give(&config, order(&name, Ordered::AcceptRejections { code }, reason), &told, resume.json)
}

fn reason(text: &str) -> Result<Reason, Misused> {
    Reason::parse(text).map_err(|error| Misused(format!("--reason: {error}")))
}

fn order(name: &DestinationName, what: Ordered, reason: Reason) -> Order {
    Order { destination: name.clone(), what, reason, by: whoami(), at: Clock::System.now() }
}

fn give(config: &Config, order: Order, told: &str, json: bool) -> anyhow::Result<Exit> {
    let number = wait_for(give_order(config, order.clone()))?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", as_json(&order, number))?;
    } else {
        let (name, what) = (&order.destination, done(&order.what));
        writeln!(out, "{name}: {}, as {} orders; {told}", Paint::stdout().good(what), order.by)?;
        writeln!(out, "a worker that runs obeys within 5 s")?;
    }
    Ok(Exit::Done)
}

fn done(what: &Ordered) -> &'static str {
    match what {
        Ordered::Pause => "paused",
        Ordered::Resume => "resumed",
        Ordered::AcceptRejections { .. } => "resumed, its rejections accepted",
    }
}

fn as_json(order: &Order, number: u64) -> serde_json::Value {
    let (what, code) = words(&order.what);
    json!({
        "destination": order.destination.as_str(),
        "order": what,
        "code": code.map(Code::as_str),
        "number": number,
        "by": order.by,
        "at": order.at,
        "reason": order.reason.as_str(),
    })
}

/// As scripts read it, here and in `status`.
pub fn words(what: &Ordered) -> (&'static str, Option<&Code>) {
    match what {
        Ordered::Pause => ("pause", None),
        Ordered::Resume => ("resume", None),
        Ordered::AcceptRejections { code } => ("accept_rejections", code.as_ref()),
    }
}
