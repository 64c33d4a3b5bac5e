//! The command line: a thin face. From arguments to an exit code.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::app::Unreachable;
use crate::config::{Config, Problem};

mod run;
mod config;
mod health;
mod topology;
mod publish;
mod event;
mod destination;
mod lead;
mod dead;
mod ledger;
mod store;
mod forget;
mod retry;
mod status;
mod sandbox;
mod documents;
mod when;
mod screen;
mod columns;
mod editor;
mod whoami;

/// Delivers consented marketplace leads from RabbitMQ to the publishers' own tables and CRMs.
#[derive(Parser)]
#[command(name = "leadrelay", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 64 usage or configuration, 69 something needed is unreachable.")]
struct Cli {
    /// The configuration file
    #[arg(long, global = true, env = "LEADRELAY_CONFIG", default_value = "leadrelay.toml", value_name = "FILE")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the worker until SIGTERM or SIGINT; a second signal hands back at once what is still in hand
    #[command(
        after_help = "SIGHUP reads the configuration again: see docs/configuration.md.\n\nExamples:\n  leadrelay run\n  LEADRELAY_CONFIG=/etc/leadrelay/leadrelay.toml leadrelay run"
    )]
    Run,
    /// Ask the worker on this machine how it is
    Health(health::Arguments),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Declare, compare or tidy the broker's exchange and queues
    #[command(subcommand)]
    Topology(topology::Command),
    /// Publish events into the inbox, confirmed by the broker
    Publish(publish::Arguments),
    /// Check events without a broker
    #[command(subcommand)]
    Event(event::Command),
    /// Connect, list, try, pause and resume destinations
    #[command(subcommand)]
    Destination(destination::Command),
    /// Look at the leads that a destination holds
    #[command(subcommand)]
    Lead(lead::Command),
    /// Show everything at one glance: broker, worker, queues, destinations, orders
    Status(status::Arguments),
    /// Look at what is to be tried again, or try it at once
    #[command(subcommand)]
    Retry(retry::Command),
    /// Look at the dead letters
    #[command(subcommand)]
    Dead(dead::Command),
    /// Look into the ledger of what has been delivered
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Back up, check and restore the ledger and the dead letters
    #[command(subcommand)]
    Store(store::Command),
    /// Forget a person: remove what is held of them, and deliver nothing of them any more
    #[command(after_help = "Examples:\n  leadrelay forget --email - --why 'asked on 22 November' --dry-run\n  \
                            leadrelay forget --email - --why 'ticket 4711' --at-destinations --yes < address\n\n\
                            What is typed as an argument is seen in the list of processes. Run it again if \
                            something failed. Exits 1 if something could not be removed. See docs/operating.md.")]
    Forget(forget::Arguments),
    /// Rehearse with a destination that keeps everything in memory
    #[command(subcommand)]
    Sandbox(sandbox::Command),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  leadrelay completions bash > /etc/bash_completion.d/leadrelay")]
    Completions { shell: clap_complete::Shell },
}

/// How a command ends, as `sysexits.h` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Failed = 1,
    /// Usage or configuration (`EX_USAGE`).
    Usage = 64,
    /// `EX_UNAVAILABLE`.
    Unreachable = 69,
}

/// A command that cannot begin, because of what it was given. Everything has been said already.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misused(String);

/// The whole program.
pub fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => dispatch(cli).unwrap_or_else(|error| explain(&error)),
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nobody is left to be told that standard output is closed.
            let _ = error.print();
            exit
        }
    };
    ExitCode::from(exit as u8)
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let config = ConfigFile(cli.config);
    match cli.command {
        Command::Run => run::run(&config),
        Command::Config(command) => config::run(command, &config),
        Command::Health(arguments) => health::run(&arguments, &config),
        Command::Topology(command) => topology::run(command, &config),
        Command::Destination(command) => destination::run(command, &config),
        Command::Lead(command) => lead::run(command, &config),
        Command::Publish(arguments) => publish::run(arguments, &config),
        Command::Event(command) => event::run(command, &config),
        Command::Status(arguments) => status::run(&arguments, &config),
        Command::Retry(command) => retry::run(command, &config),
        Command::Dead(command) => dead::run(command, &config),
        Command::Ledger(command) => ledger::run(command, &config),
        Command::Store(command) => store::run(command, &config),
        Command::Forget(arguments) => forget::run(&arguments, &config),
        Command::Sandbox(command) => sandbox::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "leadrelay", &mut script);
            std::io::stdout().write_all(&script)?;
            Ok(Exit::Done)
        }
    }
}

/// Says what went wrong, once, and which exit code that is.
fn explain(error: &anyhow::Error) -> Exit {
    let closed = |error: &std::io::Error| error.kind() == ErrorKind::BrokenPipe;
    if error.chain().filter_map(|cause| cause.downcast_ref()).any(closed) {
        // `leadrelay dead list | head` has read enough.
        return Exit::Done;
    }
    let paint = screen::Paint::of(std::io::stderr().is_terminal());
    eprintln!("{}", paint.wrapped(&format!("leadrelay: {error:#}"), 4));
    if error.chain().any(|cause| cause.is::<Unreachable>()) {
        Exit::Unreachable
    } else if error.chain().any(|cause| cause.is::<Misused>()) {
        Exit::Usage
    } else {
        Exit::Failed
    }
}

/// Where the configuration is, for the commands that need it.
struct ConfigFile(PathBuf);

impl ConfigFile {
    /// The configuration, with warnings told; or every problem told, and an error that says how many.
    fn load(&self) -> anyhow::Result<Config> {
        match crate::app::configuration(&self.0) {
            Ok(config) => {
                tell(&config.warnings);
                Ok(config)
            }
            Err(problems) => {
                tell(&problems);
                let problems = screen::count(problems.len(), "problem");
                Err(Misused(format!("the configuration cannot be used: {problems}")).into())
            }
        }
    }
}

fn tell(problems: &[Problem]) {
    let paint = screen::Paint::of(std::io::stderr().is_terminal());
    for problem in problems {
        eprintln!("{}", screen::problem(problem, paint));
    }
}

/// Runs what waits, on this thread: commands other than `run` do one thing at a time.
fn wait_for<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn the_exit_code_tells_what_kind_of_failure_it_was_however_deep_it_lies() {
        let unreachable = || Err::<(), _>(Unreachable("amqp://127.0.0.1:1".into()));
        let deep = unreachable().context("failed to publish").context("failed").unwrap_err();
        assert_eq!(explain(&deep), Exit::Unreachable);
        assert_eq!(explain(&anyhow!("something else")), Exit::Failed);
        assert_eq!(explain(&Misused("wrong".into()).into()), Exit::Usage);
        let closed = Err::<(), _>(std::io::Error::from(ErrorKind::BrokenPipe)).context("failed to write").unwrap_err();
        assert_eq!(explain(&closed), Exit::Done);
        let disk = std::io::Error::from(ErrorKind::StorageFull);
        assert_eq!(explain(&disk.into()), Exit::Failed);
    }
}
