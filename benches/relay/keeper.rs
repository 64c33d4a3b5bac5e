//! What the harness started ends with it, however it ends: a process that outlives it sees its pipe close, and cleans up.

use std::io::{BufRead, Write, stdin};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::process;

pub const ROLE: &str = "keeper";

/// How what is kept is ended: a command, its words apart by tabs.
pub struct Kept(String);

/// `None`: it could not be started, and what we start is ended by us alone.
static PIPE: LazyLock<Option<Mutex<ChildStdin>>> = LazyLock::new(|| {
    // In a group of its own: Ctrl-C is for the harness, and the keeper is what is left to clean up after it.
    let program = std::env::current_exe().ok()?;
    let keeper = Command::new(program)
        .args([process::ROLE, ROLE])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    Some(Mutex::new(keeper.ok()?.stdin?))
});

/// Until it is dropped, `command` is run when the harness ends.
pub fn keep(command: &[&str]) -> Kept {
    let command = command.join("\t");
    tell('+', &command);
    Kept(command)
}

impl Drop for Kept {
    fn drop(&mut self) {
        tell('-', &self.0);
    }
}

fn tell(sign: char, command: &str) {
    if let Some(pipe) = &*PIPE {
        let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
        // Fails only if somebody killed it.
        let _ = writeln!(pipe, "{sign}{command}");
    }
}

/// The other process.
pub fn play() -> anyhow::Result<()> {
    let mut kept: Vec<String> = Vec::new();
    for line in stdin().lock().lines() {
        let line = line?;
        match line.split_at_checked(1) {
            Some(("+", command)) => kept.push(command.to_owned()),
            Some(("-", command)) => kept.retain(|kept| kept != command),
            _ => anyhow::bail!("neither kept nor let go: {line}"),
        }
    }
    // The last first: a broker is stopped before its folder is removed.
    for command in kept.iter().rev() {
        let mut words = command.split('\t');
        if let Some(program) = words.next() {
            Command::new(program).args(words).status()?;
        }
    }
    Ok(())
}
