//! The real binary, run to its end.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder of its own to run in, with nothing inherited that would change the outcome.
pub struct Program {
    pub folder: TempDir,
}

pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Program {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// In a folder with a sound configuration. No broker listens there: port 1 belongs to nobody.
    pub fn configured() -> Self {
        let program = Self::new();
        let example = include_str!("../../leadrelay.example.toml")
            .replace("{ env = \"LEADRELAY_KEY_SECRET\" }", "\"0123456789abcdef\"")
            .replace("127.0.0.1:5672", "127.0.0.1:1");
        program.write("leadrelay.toml", &example);
        program
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, &[], "")
    }

    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &Path)], input: &str) -> Ended {
        let mut child = Command::new(env!("CARGO_BIN_EXE_leadrelay"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("LEADRELAY_CONFIG")
            .env_remove("LEADRELAY_KEY_SECRET")
            .env("COLUMNS", "80")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary");
        let written = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        // One that has ended before it read has closed the pipe.
        assert!(written.is_ok() || written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe));
        let output = child.wait_with_output().expect("its output");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ended { code: output.status.code().expect("no signal"), out: text(output.stdout), err: text(output.stderr) }
    }
}
