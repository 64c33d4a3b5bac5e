//! `leadrelay run`.

use std::io::IsTerminal;

use tracing::Level;

use super::{ConfigFile, Exit};
use crate::app::{self, Stopped};
use crate::config::{Log, LogFormat, LogLevel};
use crate::telemetry::logs::{self, Form};

pub fn run(file: &ConfigFile) -> anyhow::Result<Exit> {
    let config = file.load()?;
    start_logging(config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads()).enable_all().build()?;
    match runtime.block_on(app::run(config, file.0.clone()))? {
        Stopped::Clean => Ok(Exit::Done),
        Stopped::Abandoned(left) => {
            eprintln!("leadrelay: {left} messages were left unsettled; the broker hands them out again");
            Ok(Exit::Failed)
        }
    }
}

/// Half as many as there are processors: the ledger and each connection to the broker have threads of their own, and every
/// thread more is messages that go from one processor's cache to another's.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}

fn start_logging(log: Log) {
    let terminal = std::io::stderr().is_terminal();
    let form = match log.format {
        LogFormat::Json => Form::Json,
        LogFormat::Auto if !terminal => Form::Json,
        LogFormat::Auto | LogFormat::Pretty => Form::Pretty { colours: terminal },
    };
    let level = match log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    logs::init(form, level);
}
