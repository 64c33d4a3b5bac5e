//! A RabbitMQ of one test's own, to be killed and alarmed.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

/// Stopped when it is dropped.
pub struct Node {
    folder: TempDir,
    pub url: String,
    _turn: MutexGuard<'static, ()>,
}

/// One at a time: each is a virtual machine that takes a core to start.
static TURN: Mutex<()> = Mutex::new(());

impl Node {
    pub fn start() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut node = Self { folder: TempDir::new().unwrap(), url: String::new(), _turn: turn };
        node.script(&["start"]);
        node.url = node.script(&["url"]);
        node
    }

    /// In order, and up again: what was declared is on the disk. RabbitMQ 3.10 keeps the term of a quorum queue for some
    /// seconds in memory; killed before that, a queue that was just declared has no leader for ever (measured: a
    /// `basic.get` of it is answered by 541 after 65 s).
    pub fn restart(&self) {
        self.script(&["restart"]);
    }

    /// As a power cut would, as far as the broker can tell; and up again, on the same ports.
    pub fn kill_and_start(&self) {
        self.script(&["kill"]);
        self.script(&["start"]);
    }

    /// An alarm, as if memory were short: no publish is taken until it ends.
    pub fn alarm(&self, alarmed: bool) {
        let mark: &[&str] = if alarmed { &["absolute", "1"] } else { &["0.4"] };
        self.script(&[&["ctl", "set_vm_memory_high_watermark"], mark].concat());
    }

    /// The messages in a queue, those that somebody holds included.
    pub fn messages(&self, queue: &str) -> u64 {
        let queues = self.script(&["ctl", "list_queues", "name", "messages"]);
        let count = |line: &str| line.strip_prefix(queue).and_then(|rest| rest.trim().parse().ok());
        queues.lines().find_map(count).unwrap_or(0)
    }

    fn script(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/rabbitmq"));
        command.arg("--dir").arg(self.folder.path()).args(arguments);
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that has failed already must not fail twice.
        let _ = self.command(&["stop"]).status();
    }
}
