//! Backups of the store: taken beside a writer, checked, restored; by the real program on real files.

mod leads;
mod program;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use leadrelay::domain::lead_key::Keyring;
use leadrelay::store::ledger::{Ledger, LedgerError};
use leadrelay::store::sqlite::{LedgerReader, SqliteLedger};
use leadrelay::telemetry::Telemetry;
use leads::{EMAIL, deliver, lead};
use program::Program;

/// The secret of [`Program::configured`].
fn secret() -> Keyring {
    Keyring::new(b"0123456789abcdef")
}

fn configured() -> (Program, PathBuf) {
    let program = Program::configured();
    let toml = fs::read_to_string(program.folder.path().join("leadrelay.toml")).expect("a configuration");
    let url = toml.lines().find(|line| line.starts_with("url = \"sqlite:")).expect("a store").to_owned();
    program.write("leadrelay.toml", &toml.replace(&url, "url = \"sqlite:ledger.db\""));
    let ledger = program.folder.path().join("ledger.db");
    (program, ledger)
}

fn open(path: &std::path::Path) -> SqliteLedger {
    SqliteLedger::open(path, &secret(), Arc::new(Telemetry::new())).expect("the ledger opens")
}

async fn worker_with_leads(path: &std::path::Path, count: i64) -> SqliteLedger {
    let ledger = open(path);
    ledger.take_over().await.expect("taken over");
    for n in 0..count {
        deliver(&ledger, &lead(&format!("{n}@example.com"), 0)).await;
    }
    ledger
}

fn leads_in(path: &std::path::Path) -> u64 {
    let summary = LedgerReader::open(path).and_then(|reader| reader.summary()).expect("a summary");
    summary.leads.iter().map(|(_, count)| count).sum()
}

/// The one file that a restore has moved aside; its log stands beside it.
fn what_was_there(program: &Program) -> PathBuf {
    let entries = fs::read_dir(program.folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let moved = |path: &PathBuf| path.extension().is_some_and(|part| part.to_string_lossy().starts_with("before-"));
    let moved: Vec<PathBuf> = entries.filter(|path| moved(path) && path.to_string_lossy().ends_with('Z')).collect();
    let [file] = &moved[..] else { panic!("{moved:?}") };
    file.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_a_writer_is_whole_private_and_never_takes_the_place_of_another_unasked() {
    let (program, path) = configured();
    let ledger = Arc::new(worker_with_leads(&path, 50).await);
    let (stop, writing) = (tokio_util::sync::CancellationToken::new(), Arc::clone(&ledger));
    let stopped = stop.clone();
    let writer = tokio::spawn(async move {
        let mut written = 0;
        while !stopped.is_cancelled() {
            deliver(&*writing, &lead(&format!("during{written}@example.com"), 1)).await;
            written += 1;
        }
        written
    });
    let ended = program.run(&["store", "backup", "copy"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    stop.cancel();
    let written: u64 = writer.await.expect("it wrote on");
    assert!(written > 0 && (50..=50 + written).contains(&leads_in(&program.folder.path().join("copy/ledger.db"))));
    for name in ["ledger.db", "manifest.json"] {
        let mode = fs::metadata(program.folder.path().join("copy").join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(program.run(&["store", "verify", "copy"]).code, 0);
    let again = program.run(&["store", "backup", "copy"]);
    assert!(again.code == 1 && again.err.contains("is there already"), "{}", again.err);
    assert_eq!(program.run(&["store", "backup", "copy", "--replace"]).code, 0);
    assert_eq!(leads_in(&program.folder.path().join("copy/ledger.db")), 50 + written);
}

#[tokio::test]
async fn a_flipped_byte_and_another_secret_are_found_and_not_restored() {
    let (program, path) = configured();
    drop(worker_with_leads(&path, 50).await);
    assert_eq!(program.run(&["store", "backup", "copy"]).code, 0);
    let toml = fs::read_to_string(program.folder.path().join("leadrelay.toml")).expect("a configuration");
    program.write("other.toml", &toml.replace("0123456789abcdef", "another secret of 16"));
    let ended = program.run(&["store", "verify", "copy", "--config", "other.toml"]);
    assert!(ended.code == 1 && ended.err.contains("another identity.key_secret"), "{}", ended.err);

    let copy = program.folder.path().join("copy/ledger.db");
    let file = fs::OpenOptions::new().read(true).write(true).open(&copy).expect("a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 9_000).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], 9_000).expect("flipped");
    let ended = program.run(&["store", "verify", "copy", "--json"]);
    assert!(ended.code == 1 && ended.out.contains("checksum is another"), "{}", ended.out);
    fs::remove_file(&path).expect("lost");
    assert_eq!(program.run(&["store", "restore", "copy"]).code, 1);
    assert!(!path.exists(), "nothing was put in its place");
}

#[tokio::test]
async fn a_restore_waits_for_no_worker_keeps_what_was_there_and_supersedes_every_earlier_owner() {
    let (program, path) = configured();
    let worker = worker_with_leads(&path, 20).await;
    assert_eq!(program.run(&["store", "backup", "copy"]).code, 0);
    deliver(&worker, &lead(EMAIL, 5)).await;

    let ended = program.run(&["store", "restore", "copy", "--replace"]);
    assert!(ended.code == 1 && ended.err.contains("is in use: stop the worker"), "{}", ended.err);
    drop(worker);
    let ended = program.run(&["store", "restore", "copy"]);
    assert!(ended.code == 1 && ended.err.contains("--replace"), "{}", ended.err);
    assert_eq!(leads_in(&path), 21, "a refused restore changes nothing");

    let ended = program.run(&["store", "restore", "copy", "--replace"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(leads_in(&path), 20);
    assert_eq!(leads_in(&what_was_there(&program)), 21, "what was there is kept, whole");
    let epoch = LedgerReader::open(&path).and_then(|reader| reader.summary()).expect("a summary").epoch;
    assert!(epoch > 1_000_000_000, "{epoch} is ahead of every owner that there was");
}

#[tokio::test]
async fn what_a_killed_worker_left_in_its_log_is_kept_and_goes_into_no_other_ledger() {
    let (program, path) = configured();
    let worker = worker_with_leads(&path, 3).await;
    assert_eq!(program.run(&["store", "backup", "copy"]).code, 0);
    deliver(&worker, &lead(EMAIL, 5)).await;
    // As they stand on the disk in this moment, for all that a kill leaves of it.
    let files = ["", "-wal"].map(|suffix| format!("{}{suffix}", path.display()));
    let left = files.each_ref().map(|file| fs::read(file).expect("a file"));
    drop(worker);
    files.iter().zip(left).for_each(|(file, bytes)| fs::write(file, bytes).expect("put back"));
    assert_eq!(program.run(&["store", "restore", "copy", "--replace"]).code, 0);
    assert_eq!((leads_in(&path), leads_in(&what_was_there(&program))), (3, 4));
}

#[tokio::test]
async fn an_owner_whose_ledger_was_lost_and_restored_is_superseded() {
    let (program, path) = configured();
    let owner = worker_with_leads(&path, 3).await;
    assert_eq!(program.run(&["store", "backup", "copy"]).code, 0);
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{}{suffix}", path.display())).expect("lost");
    }
    assert_eq!(program.run(&["store", "restore", "copy"]).code, 0);
    let asked = owner.claim(vec![leads::ask(&lead(EMAIL, 9))]).await;
    assert!(matches!(asked, Err(LedgerError::Superseded)), "{asked:?}");
}
