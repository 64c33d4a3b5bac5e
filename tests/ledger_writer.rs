//! The SQLite ledger's writer: group commit, and what a kill leaves behind.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures_util::future::join_all;
use leadrelay::domain::lead_key::LeadKey;
use leadrelay::store::ledger::{Claiming, Delivered, Ledger, LedgerError};
use leadrelay::store::sqlite::{LedgerReader, SqliteLedger};
use leadrelay::telemetry::Telemetry;
use rusqlite::Connection;

mod leads;

use leads::*;

async fn owner(path: &Path, telemetry: &Arc<Telemetry>) -> SqliteLedger {
    let ledger = SqliteLedger::open(path, &keyring(), Arc::clone(telemetry)).expect("the ledger opens");
    ledger.take_over().await.expect("taken over");
    ledger
}

fn commits(telemetry: &Telemetry) -> u64 {
    telemetry.metrics.ledger_commit_duration.get_sample_count()
}

/// Holds the write lock, so that the writer waits with its first call while others queue behind it.
fn hold(path: &Path) -> Connection {
    let other = Connection::open(path).expect("the file opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    other
}

#[tokio::test]
async fn calls_that_wait_together_share_one_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, telemetry) = (folder.path().join("ledger.db"), Arc::new(Telemetry::new()));
    let ledger = owner(&path, &telemetry).await;
    let before = commits(&telemetry);
    let lock = hold(&path);
    let leads: Vec<_> = (0..50).map(|n| lead(&format!("{n}@example.com"), 0)).collect();
    let withdraw = |n: usize| ledger.withdraw(vec![withdrawal(leads[n].person, 0)]);
    let mut calls = Box::pin(join_all((0..50).map(withdraw)));
    // Asked once, all fifty are with the writer.
    assert!(futures_util::poll!(&mut calls).is_pending());
    lock.execute_batch("COMMIT").expect("no lock");
    for answer in calls.await {
        answer.expect("committed");
    }
    let grouped = commits(&telemetry) - before;
    assert!(grouped <= 2, "50 calls took {grouped} commits");
    ledger.withdraw(vec![withdrawal(leads[0].person, 1)]).await.expect("committed");
    assert_eq!(commits(&telemetry) - before, grouped + 1, "alone, a call lingers for nobody");
    ledger.wait_queues().await.expect("an answer");
    assert_eq!(commits(&telemetry) - before, grouped + 1, "looking commits nothing");
}

#[tokio::test]
async fn one_failing_call_of_a_group_fails_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, telemetry) = (folder.path().join("ledger.db"), Arc::new(Telemetry::new()));
    let ledger = owner(&path, &telemetry).await;
    let leads: Vec<_> = (0..4).map(|n| lead(&format!("{n}@example.com"), 0)).collect();
    deliver(&ledger, &leads[0]).await;
    let (one, void) = (granted(&ledger, &leads[1]).await, granted(&ledger, &leads[2]).await);
    let other = Connection::open(&path).expect("the file opens");
    other.execute("UPDATE leads SET record = x'09'", []).expect("damaged");
    let lock = hold(&path);
    let mut first = Box::pin(ledger.withdraw(vec![]));
    assert!(futures_util::poll!(&mut first).is_pending());
    let mut group = Box::pin(async {
        tokio::join!(
            ledger.claim(vec![ask(&leads[3]), ask(&leads[0])]),
            record(&ledger, one, first_record(&leads[1])),
            ledger.renew(vec![void]),
        )
    });
    assert!(futures_util::poll!(&mut group).is_pending());
    lock.execute_batch("COMMIT").expect("no lock");
    first.await.expect("committed");
    let (claimed, recorded, renewed) = group.await;
    assert!(matches!(claimed, Err(LedgerError::Unusable(_))), "{claimed:?}");
    recorded.expect("committed");
    assert!(renewed.expect("an answer")[0].is_some());
    assert_eq!(ledger.look_up(leads[1].key).await.expect("an answer").len(), 1);
    let claim = granted(&ledger, &leads[3]).await;
    ledger.release(vec![claim]).await;
}

/// Where the child keeps its ledger.
const CHILD: &str = "LEDGER_TEST_CHILD";

/// Of the parent: this is the child's part, and without the variable it is nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_delivers_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let ledger = owner(&path, &Arc::new(Telemetry::new())).await;
    let ledger = &ledger;
    let lane = |lane: u32| async move {
        for batch in 0.. {
            let email = |n| format!("{}.{lane}.{batch}.{n}@example.com", std::process::id());
            let leads: Vec<_> = (0..10).map(|n| lead(&email(n), 0)).collect();
            let claims = ledger.claim(leads.iter().map(ask).collect()).await.expect("an answer");
            let mut deliveries = Vec::new();
            for (claiming, lead) in claims.into_iter().zip(&leads) {
                if let Claiming::Granted(claim) = claiming {
                    deliveries.push(Delivered { claim, record: first_record(lead) });
                }
            }
            ledger.record(deliveries.into()).await.expect("committed");
            let keys: Vec<_> = leads.iter().map(|lead| lead.key.to_string()).collect();
            println!("committed {}", keys.join(" "));
        }
    };
    join_all((0..4).map(lane)).await;
}

#[tokio::test]
async fn a_kill_in_the_middle_of_commits_loses_nothing_that_was_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    let mut told = BTreeSet::new();
    for lines in [1, 3, 10, 40, 150] {
        told.extend(killed_after(lines, &path));
        let reader = LedgerReader::open(&path).expect("the ledger opens");
        for key in &told {
            assert_eq!(reader.look_up(*key).expect("an answer").len(), 1, "{key} was committed, and is lost");
        }
    }
    let ledger = owner(&path, &Arc::new(Telemetry::new())).await;
    assert_eq!(LedgerReader::open(&path).expect("opens").summary().expect("a summary").epoch, 6);
    ledger.probe().await.expect("the ledger goes on");
}

/// Lets a child deliver until it told so many commits; answers all that it told.
fn killed_after(lines: usize, path: &Path) -> Vec<LeadKey> {
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "a_child_delivers_until_it_is_killed", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child runs");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut commits = 0;
    let mut keys = Vec::new();
    for line in output.lines() {
        let line = line.expect("UTF-8");
        let Some((_, told)) = line.split_once("committed ") else { continue };
        // The last line may be cut off.
        keys.extend(told.split(' ').filter_map(|key| key.parse::<LeadKey>().ok()));
        commits += 1;
        if commits == lines {
            // SIGKILL; what the child has written to the pipe by then is still read.
            child.kill().expect("killed");
        }
    }
    child.wait().expect("it is dead");
    assert!(commits >= lines, "the child told only {commits} commits");
    keys
}
