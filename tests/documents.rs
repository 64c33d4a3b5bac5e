//! The documents: every link leads somewhere, and every command in them is one that the program understands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What people read, by path and text.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["", "docs", "docs/zh", "contract", "examples/producers"] {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

#[test]
fn every_link_leads_to_a_file_of_the_project() {
    for (path, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") || link.starts_with('#') {
                continue;
            }
            let file = link.split('#').next().unwrap();
            assert!(path.parent().unwrap().join(file).exists(), "{}: {link}", path.display());
        }
    }
}

/// By the shell, as a reader would type it; with `--help` at its end it does nothing, but for a mistake in what is before.
#[test]
fn every_command_in_the_documents_is_understood() {
    let mut count = 0;
    for (path, text) in documents() {
        let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("$ "));
        for line in lines.filter(|line| line.starts_with("leadrelay ")) {
            let folder = tempfile::tempdir().unwrap();
            let script = format!("leadrelay() {{ \"$PROGRAM\" \"$@\" --help; }}\n{line}");
            let mut shell = Command::new("sh");
            shell.current_dir(&folder).env("PROGRAM", env!("CARGO_BIN_EXE_leadrelay")).args(["-c", &script]);
            let output = shell.output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {line}\n{told}", path.display());
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}
