//! Trouble with the disk, which only a connection of our own choosing has at will.

use jiff::Timestamp;
use rusqlite::Connection;

use super::*;
use crate::domain::lead_key::{LeadKey, PersonKey};
use crate::store::ledger::Withdrawal;

/// A ledger whose first connection has trouble, and its folder.
fn ledger(trouble: &str) -> (tempfile::TempDir, SqliteLedger) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = StoreFile::new(folder.path().join("ledger.db"), &LEDGER, "f".into());
    let connection = file.open_or_create().expect("the ledger opens");
    connection.execute_batch(trouble).expect("trouble");
    let ledger = SqliteLedger::start(file, connection, Arc::new(Telemetry::new())).expect("a thread");
    (folder, ledger)
}

fn withdrawals(count: u32) -> Vec<Withdrawal> {
    let person = |n: u32| PersonKey::from_bytes([n.to_be_bytes(); 4].concat().try_into().expect("4 × 4 bytes"));
    (0..count).map(|n| Withdrawal { person: person(n), at: Timestamp::UNIX_EPOCH }).collect()
}

fn committed(folder: &tempfile::TempDir) -> u64 {
    let reader = LedgerReader::open(&folder.path().join("ledger.db")).expect("the ledger opens");
    reader.summary().expect("a summary").withdrawals
}

fn is_unavailable<T: std::fmt::Debug>(result: Result<T, LedgerError>, says: &str) {
    match result {
        Err(LedgerError::Unavailable(text)) if text.contains(says) => {}
        other => panic!("not unavailable for {says:?}: {other:?}"),
    }
}

#[tokio::test]
async fn on_a_full_disk_nothing_of_a_batch_is_kept_and_it_goes_on_once_there_is_room() {
    let (folder, ledger) = ledger("PRAGMA max_page_count = 12");
    is_unavailable(ledger.withdraw(withdrawals(5_000)).await, "disk is full");
    assert_eq!(committed(&folder), 0);
    // The writer has opened the file again, and the new connection has no such limit.
    ledger.withdraw(withdrawals(5_000)).await.expect("there is room");
    assert_eq!(committed(&folder), 5_000);
}

/// Then the claim, which was told that nothing stands, knows no more: what was kept must not be kept again.
#[tokio::test]
async fn a_lead_whose_commit_seemed_to_fail_is_kept_once() {
    let (folder, ledger) = ledger("PRAGMA max_page_count = 12");
    ledger.take_over().await.expect("taken over");
    let (key, person, at) = (LeadKey::from_bytes([1; 16]), PersonKey::from_bytes([1; 16]), Timestamp::UNIX_EPOCH);
    let (destination, address) = (DestinationName::parse("contoso").expect("a name"), AddressKey::from_bytes([1; 16]));
    let ask = Ask { key, destination, person, address, granted_at: Some(at) };
    let Some(Claiming::Granted(claim)) = ledger.claim(vec![ask]).await.expect("an answer").pop() else {
        panic!("an empty ledger grants every claim")
    };
    is_unavailable(ledger.withdraw(withdrawals(5_000)).await, "disk is full");
    let (actions, fields) = Default::default();
    let (delivered_at, last_event_at, granted_at) = (at, at, at);
    let offer = "a.b".to_owned();
    let record = Record { offer, person, actions, fields, delivered_at, last_event_at, granted_at, marked_for: None };
    // As it is after a commit that was made, and whose answer was lost.
    let row = rusqlite::params![key.as_bytes(), person.as_bytes(), encoding::encode(&record)];
    let made = Connection::open(folder.path().join("ledger.db")).expect("the file opens");
    made.execute("INSERT INTO leads VALUES (1, ?1, 'contoso', ?2, ?3)", row).expect("made");
    ledger.record([Delivered { claim, record: record.clone() }].into()).await.expect("recorded");
    let found = ledger.look_up(key).await.expect("an answer");
    assert_eq!(found.into_iter().map(|(_, record)| record).collect::<Vec<_>>(), [record]);
}

#[tokio::test]
async fn a_probe_fails_while_there_is_no_room_for_a_batch() {
    let (_folder, ledger) = ledger("PRAGMA max_page_count = 12");
    is_unavailable(ledger.probe().await, "disk is full");
    ledger.probe().await.expect("there is room");
}

#[tokio::test]
async fn a_disk_that_turns_read_only_is_unavailable_until_it_is_writable() {
    let (_folder, ledger) = ledger("PRAGMA query_only = ON");
    is_unavailable(ledger.take_over().await, "read-only");
    ledger.take_over().await.expect("writable again");
}

#[tokio::test]
async fn a_lock_that_another_keeps_is_unavailable_until_it_goes() {
    let (folder, ledger) = ledger("PRAGMA busy_timeout = 0");
    let other = Connection::open(folder.path().join("ledger.db")).expect("the file opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    is_unavailable(ledger.withdraw(withdrawals(1)).await, "keeps it locked");
    assert!(ledger.wait_queues().await.is_ok(), "reading waits for no lock");
    other.execute_batch("COMMIT").expect("no lock");
    ledger.withdraw(withdrawals(1)).await.expect("committed");
}
