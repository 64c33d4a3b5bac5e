//! Other processes: started, spoken to, and what the kernel says that they have cost.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::keeper::{self, Kept};

/// Another life of this program, under a name that no scenario has.
pub const ROLE: &str = "--role";

/// A process of ours. Dropped, it is killed.
pub struct Process {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    /// Killed too if we end without a drop.
    _kept: Kept,
}

impl Process {
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("{command:?}"))?;
        let out = BufReader::new(child.stdout.take().context("its output is piped")?);
        let kept = keeper::keep(&["kill", "-KILL", &child.id().to_string()]);
        Ok(Self { child, out, _kept: kept })
    }

    /// This program in another role.
    pub fn role(name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start(Command::new(std::env::current_exe()?).args([ROLE, name]).args(arguments))
    }

    pub fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "a process ended without an answer");
        Ok(line.trim().to_owned())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time of all its threads. The kernel counts it in hundredths of a second.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has gone")?;
    // The name, in brackets, may hold anything: the fields are counted from behind it.
    let (_, fields) = stat.rsplit_once(')').context("/proc/…/stat is not as it was")?;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(Duration::from_millis(10 * ticks.iter().sum::<u64>()))
}

/// The most memory that it ever had resident, in MiB.
pub fn peak_memory(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}
