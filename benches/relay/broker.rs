//! A RabbitMQ of the harness's own, started by `scripts/rabbitmq`, or the one that the tests share.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::keeper::{self, Kept};
use crate::process;

pub struct Broker {
    pub url: String,
    /// `None`: it is somebody else's.
    own: Option<TempDir>,
    _kept: Vec<Kept>,
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/rabbitmq");

impl Broker {
    pub fn start() -> anyhow::Result<Self> {
        if let Ok(url) = std::env::var("LEADRELAY_TEST_AMQP_URL") {
            return Ok(Self { url, own: None, _kept: Vec::new() });
        }
        let folder = TempDir::with_prefix("leadrelay-bench.")?;
        let path = folder.path().to_str().context("a folder with a plain name")?;
        let kept = vec![keeper::keep(&["rm", "-rf", path]), keeper::keep(&[SCRIPT, "--dir", path, "stop"])];
        let mut broker = Self { url: String::new(), own: Some(folder), _kept: kept };
        broker.script(&["start"])?;
        broker.url = broker.script(&["url"])?;
        Ok(broker)
    }

    /// The processor time of the broker, if it is ours.
    pub fn cpu(&self) -> Option<Duration> {
        let pid = fs::read_to_string(self.own.as_ref()?.path().join("beam.pid")).ok()?;
        process::cpu(pid.trim().parse().ok()?).ok()
    }

    fn script(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let folder = self.own.as_ref().context("a broker of ours")?.path();
        let output = Command::new(SCRIPT).arg("--dir").arg(folder).args(arguments).output()?;
        anyhow::ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.own.is_some()
            && let Err(error) = self.script(&["stop"])
        {
            eprintln!("the broker does not stop: {error:#}");
        }
    }
}
