//! The ledger's file: whose it is, what is wrong with it, and who may look into it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use leadrelay::domain::lead_key::Keyring;
use leadrelay::domain::order::Ordered;
use leadrelay::store::ledger::{Forgetting, Forgotten, Held, Intended, Ledger, LedgerError, Terms};
use leadrelay::store::sqlite::{LedgerReader, SqliteLedger};
use leadrelay::telemetry::Telemetry;
use rusqlite::Connection;

mod leads;

use leads::*;

fn open(path: &Path) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::open(path, &keyring(), Arc::new(Telemetry::new()))
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    (folder, path)
}

/// A ledger with leads in it, closed.
async fn kept(path: &Path) {
    let ledger = open(path).expect("the ledger opens");
    ledger.take_over().await.expect("taken over");
    for n in 0..200 {
        deliver(&ledger, &lead(&format!("{n}@example.com"), 0)).await;
    }
    drop(ledger);
    assert_eq!(files(path.parent().expect("a folder")).len(), 1, "no log is left");
}

/// Every file of the folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect()
}

/// Refused for good, with a message that says so; and nothing in the folder is another than before.
fn refused(path: &Path, says: &str) {
    let before = files(path.parent().expect("a folder"));
    let reading = LedgerReader::open(path).and_then(|reader| reader.summary()).map(|_| ());
    for result in [open(path).map(|_| ()), reading] {
        match result {
            Err(LedgerError::Unusable(text)) if text.contains(says) => {
                assert!(text.contains(path.to_str().expect("UTF-8")), "the file is not named: {text}");
            }
            other => panic!("not refused for {says:?}: {other:?}"),
        }
    }
    assert_eq!(files(path.parent().expect("a folder")), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    for text in ["hello", &"a text of another program\n".repeat(1_000)] {
        let (_folder, path) = folder();
        fs::write(&path, text).expect("written");
        refused(&path, "is not a leadrelay ledger");
    }
}

#[test]
fn the_database_of_another_program_is_refused_and_left_alone() {
    for pragmas in ["", "PRAGMA application_id = 7;", "PRAGMA journal_mode = WAL;", "PRAGMA user_version = 1;"] {
        let (_folder, path) = folder();
        let foreign = Connection::open(&path).expect("a database");
        foreign.execute_batch(&format!("{pragmas} CREATE TABLE leads (lead);")).expect("a foreign table");
        drop(foreign);
        refused(&path, "the database of another program");
    }
}

#[tokio::test]
async fn a_ledger_of_a_newer_leadrelay_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    kept(&path).await;
    let newer = Connection::open(&path).expect("the file opens");
    newer.execute_batch("PRAGMA user_version = 7").expect("a newer schema");
    drop(newer);
    refused(&path, "it was kept by a newer leadrelay");
}

/// The tables of schema 1, by their SQL.
const SCHEMA_1: &str = "
    CREATE TABLE meta (only INTEGER PRIMARY KEY CHECK (only = 1), fingerprint TEXT NOT NULL, epoch INTEGER NOT NULL)
        STRICT;
    CREATE TABLE leads (id INTEGER PRIMARY KEY, lead BLOB NOT NULL, destination TEXT NOT NULL, person BLOB NOT NULL,
        record BLOB NOT NULL) STRICT;
    CREATE UNIQUE INDEX leads_by_lead ON leads (lead, destination);
    CREATE INDEX leads_by_person ON leads (person);
    CREATE TABLE withdrawals (person BLOB NOT NULL PRIMARY KEY, at_second INTEGER NOT NULL,
        at_nanosecond INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE wait_queues (destination TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE ballast (only INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
    PRAGMA application_id = 0x4c524c59;
    PRAGMA user_version = 1;
    PRAGMA journal_mode = WAL;
";

/// A ledger as schema 1 kept it: with one record, one withdrawal, one wait queue, in its fourth epoch.
fn kept_by_schema_1(path: &Path) -> leadrelay::domain::lead::Lead {
    let lead = lead(EMAIL, 0);
    // Taken from a file of schema 1: the bytes of a record never change.
    let record = hex::decode("01d00f00040a010001060003612e620103494e530000010309090909090909090000").expect("hex");
    let old = Connection::open(path).expect("a file");
    old.execute_batch(SCHEMA_1).expect("schema 1");
    old.execute("INSERT INTO meta VALUES (1, ?1, 4)", [keyring().fingerprint()]).expect("meta");
    let row = rusqlite::params![lead.key.as_bytes(), lead.person.as_bytes(), record];
    old.execute("INSERT INTO leads VALUES (1, ?1, 'contoso', ?2, ?3)", row).expect("a record");
    old.execute("INSERT INTO withdrawals VALUES (?1, 7, 0)", [[7_u8; 16]]).expect("a withdrawal");
    old.execute("INSERT INTO wait_queues VALUES ('contoso')", []).expect("a wait queue");
    lead
}

#[tokio::test]
async fn a_ledger_of_schema_1_is_brought_up_and_keeps_all_that_was_in_it() {
    let (_folder, path) = folder();
    let lead = kept_by_schema_1(&path);
    let reader = LedgerReader::open(&path).expect("it may be looked into before");
    assert_eq!((reader.summary().expect("a summary").intents, reader.intents(lead.key).expect("none")), (0, vec![]));
    drop(reader);
    let ledger = open(&path).expect("the ledger opens");
    ledger.take_over().await.expect("taken over");
    let claim = granted(&ledger, &lead).await;
    assert_eq!(claim.record().map(|record| record.offer.as_str()), Some("a.b"));
    let intended = ledger.intend(vec![claim.intention(3, at(1))], Terms::default()).await.expect("an answer");
    assert_eq!(intended, [Intended::Done]);
    let summary = LedgerReader::open(&path).and_then(|reader| reader.summary()).expect("a summary");
    // Who still runs an earlier leadrelay on it is superseded by that, and then we took over.
    assert_eq!((summary.epoch, summary.withdrawals, summary.intents), (6, 1, 1));
    assert_eq!((summary.wait_queues, summary.leads), (vec![destination("contoso")], vec![(destination("contoso"), 1)]));
    drop((claim, ledger));
    let again = open(&path).expect("the ledger opens again");
    assert_eq!(again.wait_queues().await.expect("an answer"), [destination("contoso")]);
    let [(_, intent)] = &LedgerReader::open(&path).and_then(|reader| reader.intents(lead.key)).expect("found")[..]
    else {
        panic!("no intent")
    };
    assert_eq!((intent.generation, intent.at), (3, at(1)));
}

/// A ledger as schema 2 kept it: with an intent and a post, too.
fn kept_by_schema_2(path: &Path) -> leadrelay::domain::lead::Lead {
    let lead = kept_by_schema_1(path);
    let old = Connection::open(path).expect("a file");
    old.execute_batch(SCHEMA_2).expect("schema 2");
    old.execute("INSERT INTO intents VALUES (?1, 'contoso', 3, NULL, 7, 4, 9, 0)", [lead.key.as_bytes()]).expect("one");
    old.execute("INSERT INTO posts VALUES ('contoso', 1, 5)", []).expect("a post");
    lead
}

/// What schema 2 added.
const SCHEMA_2: &str = "
    CREATE TABLE intents (lead BLOB NOT NULL, destination TEXT NOT NULL, generation INTEGER NOT NULL, before INTEGER,
        token INTEGER NOT NULL, epoch INTEGER NOT NULL, at_second INTEGER NOT NULL, at_nanosecond INTEGER NOT NULL,
        PRIMARY KEY (lead, destination)) STRICT, WITHOUT ROWID;
    CREATE TABLE posts (destination TEXT NOT NULL, hour INTEGER NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (destination, hour)) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 2;
";

#[tokio::test]
async fn a_ledger_of_schema_2_is_brought_up_keeps_all_that_was_in_it_and_takes_orders() {
    let (_folder, path) = folder();
    let lead = kept_by_schema_2(&path);
    let reader = LedgerReader::open(&path).expect("it may be looked into before");
    assert_eq!(reader.orders().expect("none"), []);
    assert_eq!(reader.intents(lead.key).expect("found").len(), 1);
    drop(reader);
    let ledger = open(&path).expect("the ledger opens");
    ledger.take_over().await.expect("taken over");
    let ordered = order("contoso", Ordered::Pause, 1);
    ledger.give_order(ordered.clone()).await.expect("kept");
    drop(ledger);
    let reader = LedgerReader::open(&path).expect("the ledger opens");
    let summary = reader.summary().expect("a summary");
    assert_eq!((summary.epoch, summary.withdrawals, summary.intents), (6, 1, 1));
    assert_eq!(summary.leads, [(destination("contoso"), 1)]);
    let [kept] = &reader.orders().expect("found")[..] else { panic!("no order") };
    assert_eq!(kept.order, ordered);
}

/// What schema 3 added.
const SCHEMA_3: &str = "
    CREATE TABLE orders (number INTEGER PRIMARY KEY AUTOINCREMENT, destination TEXT NOT NULL, what TEXT NOT NULL,
        code TEXT, reason TEXT NOT NULL, ordered_by TEXT NOT NULL, at_second INTEGER NOT NULL,
        at_nanosecond INTEGER NOT NULL, done INTEGER NOT NULL) STRICT;
    CREATE INDEX orders_by_destination ON orders (destination, number);
    INSERT INTO orders VALUES (1, 'contoso', 'pause', NULL, '', 'olga@desk', 9, 0, 0);
    PRAGMA user_version = 3;
";

#[tokio::test]
async fn a_ledger_of_schema_3_is_brought_up_keeps_all_that_was_in_it_and_can_forget() {
    let (_folder, path) = folder();
    let kept = kept_by_schema_2(&path);
    Connection::open(&path).expect("a file").execute_batch(SCHEMA_3).expect("schema 3");
    let reader = LedgerReader::open(&path).expect("it may be looked into before");
    assert!(!reader.is_suppressed(kept.address).expect("nobody is"));
    assert_eq!(reader.forgettings().expect("none"), 0);
    drop(reader);
    let ledger = open(&path).expect("the ledger opens");
    ledger.take_over().await.expect("taken over");
    assert_eq!(ledger.orders().await.expect("found").len(), 1);
    ledger.suppress(kept.address, at(1)).await.expect("committed");
    let leads = vec![Held { person: kept.person, lead: kept.key, destination: kept.destination.clone() }];
    let (by, why) = ("olga@desk".into(), "asked".into());
    let forgetting = Forgetting { leads, at: at(1), by, why, letters: 0, at_destinations: 0 };
    assert_eq!(ledger.forget(forgetting).await.expect("committed"), Forgotten { records: 1, intents: 1 });
    drop(ledger);
    let reader = LedgerReader::open(&path).expect("the ledger opens");
    assert!(reader.is_suppressed(kept.address).expect("committed"));
    assert_eq!((reader.forgettings().expect("one"), reader.offers().expect("none").len()), (1, 0));
    assert_eq!(reader.summary().expect("a summary").withdrawals, 1, "a withdrawal stays");
}

/// What schema 5 changed.
const SCHEMA_5: &str = "
    CREATE TABLE suppressions (address BLOB NOT NULL PRIMARY KEY, at_second INTEGER NOT NULL,
        at_nanosecond INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE forgettings (number INTEGER PRIMARY KEY AUTOINCREMENT, at_second INTEGER NOT NULL,
        at_nanosecond INTEGER NOT NULL, ordered_by TEXT NOT NULL, reason TEXT NOT NULL, records INTEGER NOT NULL,
        intents INTEGER NOT NULL, letters INTEGER NOT NULL, at_destinations INTEGER NOT NULL) STRICT;
    DROP INDEX leads_by_lead;
    DROP INDEX leads_by_person;
    CREATE TABLE lead_index (person BLOB NOT NULL, lead BLOB NOT NULL, destination TEXT NOT NULL, id INTEGER NOT NULL,
        PRIMARY KEY (person, lead, destination)) STRICT, WITHOUT ROWID;
    CREATE TABLE indexed (only INTEGER PRIMARY KEY CHECK (only = 1), up_to INTEGER NOT NULL) STRICT;
    CREATE TRIGGER a_lead_leaves_the_index_too AFTER DELETE ON leads BEGIN
        DELETE FROM lead_index WHERE (person, lead, destination) = (old.person, old.lead, old.destination);
    END;
    INSERT INTO lead_index SELECT person, lead, destination, id FROM leads;
    INSERT INTO indexed SELECT 1, max(id) FROM leads;
    PRAGMA user_version = 5;
";

/// With one lead that is in the index, and then a thousand, of which every other is.
fn kept_by_schema_5(path: &Path) -> Vec<leadrelay::domain::lead::Lead> {
    let mut leads = vec![kept_by_schema_2(path)];
    let old = Connection::open(path).expect("a file");
    old.execute_batch(SCHEMA_3).expect("schema 3");
    old.execute_batch(SCHEMA_5).expect("schema 5");
    for number in 0..1_000 {
        let lead = lead(&format!("{number}@example.com"), 0);
        let insert = "INSERT INTO leads (lead, destination, person, record)
            SELECT ?1, 'contoso', ?2, record FROM leads WHERE id = 1";
        let keys = rusqlite::params![lead.key.as_bytes(), lead.person.as_bytes()];
        old.execute(insert, keys).expect("a record");
        if number % 2 == 0 {
            let index = "INSERT INTO lead_index VALUES (?2, ?1, 'contoso', last_insert_rowid())";
            old.execute(index, keys).expect("indexed");
        }
        leads.push(lead);
    }
    leads
}

#[tokio::test]
async fn a_ledger_of_schema_5_is_brought_up_with_the_leads_that_it_had_indexed_and_those_that_it_had_not() {
    let (_folder, path) = folder();
    let leads = kept_by_schema_5(&path);
    let reader = LedgerReader::open(&path).expect("it may be looked into before");
    let looked_up = |reader: &LedgerReader, lead: &leadrelay::domain::lead::Lead| {
        let found = [reader.look_up(lead.key), reader.look_up_of(lead.key, lead.person)];
        found.map(|found| found.expect("read").len())
    };
    assert_eq!(reader.summary().expect("a summary").leads, [(destination("contoso"), 1_001)]);
    assert!(leads.iter().all(|lead| looked_up(&reader, lead) == [1, 1]));
    drop(reader);
    let ledger = open(&path).expect("the ledger opens");
    ledger.take_over().await.expect("taken over");
    for lead in &leads {
        let claim = granted(&ledger, lead).await;
        assert!(claim.record().is_some(), "it was delivered");
        ledger.release(vec![claim]).await;
    }
    let (gone, stay) = leads.split_at(10);
    let held = |lead: &leadrelay::domain::lead::Lead| {
        let (person, lead, destination) = (lead.person, lead.key, lead.destination.clone());
        Held { person, lead, destination }
    };
    let (leads, by, why) = (gone.iter().map(held).collect(), "olga@desk".into(), "asked".into());
    let forgetting = Forgetting { leads, at: at(1), by, why, letters: 0, at_destinations: 0 };
    assert_eq!(ledger.forget(forgetting).await.expect("committed").records, 10);
    let reader = LedgerReader::open(&path).expect("the ledger opens");
    let summary = reader.summary().expect("a summary");
    assert_eq!((summary.epoch, summary.leads), (6, vec![(destination("contoso"), 991)]));
    assert!(gone.iter().all(|lead| looked_up(&reader, lead) == [0, 0]));
    assert!(stay.iter().all(|lead| looked_up(&reader, lead) == [1, 1]));
}

#[tokio::test]
async fn an_order_is_given_beside_a_running_worker_and_never_to_a_ledger_that_is_not_there_or_older() {
    let (folder, path) = folder();
    let beside = || SqliteLedger::open_beside(&path, &keyring(), Arc::new(Telemetry::new()));
    let refused = |says: &str| match beside().map(|_| ()) {
        Err(LedgerError::Unusable(text)) => assert!(text.contains(says), "{text}"),
        other => panic!("{other:?}"),
    };
    refused("no worker has run yet");
    assert_eq!(files(folder.path()).len(), 0, "nothing is created");
    kept_by_schema_2(&path);
    let before = fs::read(&path).expect("read");
    refused("start this leadrelay's worker first");
    assert_eq!(fs::read(&path).expect("read"), before, "nothing is brought up under an older worker");
    let worker = open(&path).expect("the ledger opens");
    worker.take_over().await.expect("taken over");
    let operator = beside().expect("the ledger opens");
    let ordered = order("contoso", Ordered::Pause, 1);
    // Both write at once, and neither loses the ledger to the other.
    for second in 0..50 {
        let lead = lead(&format!("{second}@example.com"), second);
        let claim = granted(&worker, &lead).await;
        let (recorded, given) =
            tokio::join!(record(&worker, claim, first_record(&lead)), operator.give_order(ordered.clone()));
        recorded.expect("the worker still owns it");
        given.expect("the order is kept");
    }
    drop(operator);
    assert_eq!(worker.orders().await.expect("an answer").len(), 1);
    let other = SqliteLedger::open_beside(&path, &Keyring::new(b"another secret"), Arc::new(Telemetry::new()));
    assert!(matches!(other.map(|_| ()), Err(LedgerError::Unusable(_))));
}

#[tokio::test]
async fn a_ledger_of_schema_1_under_another_secret_is_left_as_it_is() {
    let (folder, path) = folder();
    kept_by_schema_1(&path);
    let before = files(folder.path());
    let other = SqliteLedger::open(&path, &Keyring::new(b"another secret"), Arc::new(Telemetry::new())).map(|_| ());
    assert!(matches!(other, Err(LedgerError::Unusable(_))), "{other:?}");
    assert_eq!(files(folder.path()), before);
}

#[test]
fn workers_that_start_at_once_on_a_ledger_of_schema_1_all_open_it() {
    for _ in 0..20 {
        let (_folder, path) = folder();
        kept_by_schema_1(&path);
        std::thread::scope(|scope| {
            let openers: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&path).map(|_| ()))).collect();
            for opener in openers {
                opener.join().expect("no panic").expect("the ledger opens");
            }
        });
    }
}

#[tokio::test]
async fn a_damaged_ledger_is_refused_and_the_mend_is_told() {
    let (_folder, path) = folder();
    kept(&path).await;
    let whole = fs::read(&path).expect("read");
    fs::write(&path, &whole[..80]).expect("cut");
    refused(&path, "is damaged");
    fs::write(&path, &whole[..4_096]).expect("cut");
    refused(&path, "is damaged");
    // All but the first page, and all but the first two, which a look at the secret's fingerprint does not need.
    for sound in [4_096, 8_192] {
        let junk: Vec<u8> = whole[sound..].iter().map(|byte| !byte).collect();
        fs::write(&path, [&whole[..sound], &junk].concat()).expect("overwritten");
        refused(&path, "Restore a backup");
    }
}

#[tokio::test]
async fn damage_that_shows_only_in_use_is_told_then_and_to_the_caller_it_concerns() {
    let (_folder, path) = folder();
    kept(&path).await;
    let ledger = open(&path).expect("the ledger opens");
    ledger.take_over().await.expect("taken over");
    let damaged = lead("7@example.com", 0);
    let other = Connection::open(&path).expect("the file opens");
    other.execute("UPDATE leads SET record = x'0102' WHERE lead = ?1", [damaged.key.as_bytes()]).expect("damaged");
    match ledger.claim(vec![ask(&damaged)]).await {
        Err(LedgerError::Unusable(text)) => assert!(text.contains("is damaged"), "{text}"),
        other => panic!("{other:?}"),
    }
    let claim = granted(&ledger, &lead("8@example.com", 0)).await;
    ledger.release(vec![claim]).await;
}

#[tokio::test]
async fn a_ledger_kept_under_another_secret_is_refused_and_left_alone() {
    let (folder, path) = folder();
    kept(&path).await;
    let before = files(folder.path());
    match SqliteLedger::open(&path, &Keyring::new(b"another secret"), Arc::new(Telemetry::new())).map(|_| ()) {
        Err(LedgerError::Unusable(text)) => assert!(text.contains("identity.key_secret"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(files(folder.path()), before);
    open(&path).expect("under its own it opens");
}

#[test]
fn a_folder_that_is_missing_is_named_and_not_created() {
    let (folder, _) = folder();
    refused_at(&folder.path().join("missing/ledger.db"), "there is no folder");
    assert!(!folder.path().join("missing").exists());
}

#[test]
fn a_folder_in_place_of_the_file_is_refused() {
    let (_folder, path) = folder();
    fs::create_dir(&path).expect("a folder");
    refused_at(&path, "it is not a file");
}

#[test]
fn a_place_where_nobody_may_write_is_refused() {
    refused_at(Path::new("/sys/ledger.db"), "must be readable and writable");
}

fn refused_at(path: &Path, says: &str) {
    match open(path).map(|_| ()) {
        Err(LedgerError::Unusable(text)) => assert!(text.contains(says), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// The folder for which a test of permissions runs again as a child, as somebody who is not root.
const UNPRIVILEGED: &str = "LEDGER_TEST_UNPRIVILEGED";

#[tokio::test]
async fn a_ledger_that_we_may_only_read_or_not_even_that_is_refused() {
    if let Some(folder) = std::env::var_os(UNPRIVILEGED) {
        let folder = PathBuf::from(folder);
        refused_at(&folder.join("readable.db"), "must be readable and writable");
        // Here SQLite would open it, and fail at the first write.
        refused_at(&folder.join("open/readable.db"), "read-only");
        refused_at(&folder.join("closed.db"), "must be readable and writable");
        refused_at(&folder.join("new.db"), "must be readable and writable");
        return;
    }
    let (folder, path) = folder();
    kept(&path).await;
    fs::create_dir(folder.path().join("open")).expect("a folder");
    fs::set_permissions(folder.path().join("open"), fs::Permissions::from_mode(0o777)).expect("set");
    for (name, mode) in [("readable.db", 0o444), ("closed.db", 0o000), ("open/readable.db", 0o444)] {
        fs::copy(&path, folder.path().join(name)).expect("copied");
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).expect("set");
    }
    // The test may lie where only root may read: a copy of it runs.
    let copy = folder.path().join("test");
    fs::copy(std::env::current_exe().expect("a path"), &copy).expect("copied");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).expect("set");
    let mut child = Command::new(copy);
    child.args(["--exact", "a_ledger_that_we_may_only_read_or_not_even_that_is_refused"]);
    child.env(UNPRIVILEGED, folder.path());
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        child.uid(65_534).gid(65_534);
    }
    let output = child.output().expect("the child runs");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn the_file_and_its_logs_are_for_our_eyes_only() {
    let (folder, path) = folder();
    let ledger = open(&path).expect("the ledger opens");
    ledger.take_over().await.expect("taken over");
    let modes = fs::read_dir(folder.path()).expect("a folder").map(|entry| {
        let entry = entry.expect("an entry");
        (entry.file_name(), entry.metadata().expect("a file").permissions().mode() & 0o777)
    });
    let modes: Vec<_> = modes.collect();
    assert_eq!(modes.len(), 3, "{modes:?}");
    assert!(modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
}

#[test]
fn workers_that_start_at_once_on_a_new_ledger_all_open_it() {
    for _ in 0..100 {
        let (_folder, path) = folder();
        std::thread::scope(|scope| {
            let openers: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&path).map(|_| ()))).collect();
            for opener in openers {
                opener.join().expect("no panic").expect("the ledger opens");
            }
        });
    }
}

#[tokio::test]
async fn a_ledger_that_was_moved_away_takes_nothing_until_it_is_back() {
    let (folder, path) = folder();
    let ledger = open(&path).expect("the ledger opens");
    ledger.take_over().await.expect("taken over");
    let away = folder.path().join("away.db");
    fs::rename(&path, &away).expect("moved");
    match ledger.probe().await {
        Err(LedgerError::Unavailable(text)) => assert!(text.contains("the file is gone"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(!path.exists(), "an empty ledger must not take its place");
    fs::write(&path, "").expect("written");
    assert!(matches!(ledger.probe().await, Err(LedgerError::Unavailable(_))));
    assert_eq!(fs::read(&path).expect("read"), b"", "nor is an empty file made into one");
    fs::write(&path, "something else").expect("written");
    assert!(matches!(ledger.probe().await, Err(LedgerError::Unusable(_))));
    fs::rename(&away, &path).expect("moved back");
    assert_eq!(deliver(&ledger, &lead(EMAIL, 0)).await, leadrelay::store::ledger::Recorded::Done);
}

#[tokio::test]
async fn no_personal_data_and_no_secret_is_in_the_file_or_its_logs() {
    let (folder, path) = folder();
    let ledger = open(&path).expect("the ledger opens");
    ledger.take_over().await.expect("taken over");
    let lead = lead(EMAIL, 0);
    deliver(&ledger, &lead).await;
    ledger.withdraw(vec![withdrawal(lead.person, 9)]).await.expect("committed");
    let files = files(folder.path());
    let contain = |text: &[u8]| files.values().any(|bytes| bytes.windows(text.len()).any(|found| found == text));
    assert!(contain(lead.key.as_bytes()), "the lead is there");
    for canary in ["canary", "Canary", "ldashan", "example.com", "Liang", "8613800", "a secret of the deployment"] {
        assert!(!contain(canary.as_bytes()), "{canary} is in the ledger");
    }
}

#[tokio::test]
async fn a_reader_sees_what_a_running_worker_has_committed() {
    let (_folder, path) = folder();
    let ledger = open(&path).expect("the ledger opens");
    ledger.take_over().await.expect("taken over");
    let reader = LedgerReader::open(&path).expect("the ledger opens");
    assert_eq!(reader.summary().expect("a summary").leads, []);
    let (one, other) = (lead(EMAIL, 0), lead("other@example.com", 0));
    for lead in [&one, &other] {
        deliver(&ledger, lead).await;
    }
    ledger.withdraw(vec![withdrawal(one.person, 9)]).await.expect("committed");
    ledger.remember_wait_queue(&destination("fabrikam")).await.expect("committed");
    assert_eq!(reader.look_up(one.key).expect("found"), [(destination("contoso"), first_record(&one))]);
    assert_eq!(reader.withdrawn_at(one.person).expect("found"), Some(at(9)));
    assert_eq!(reader.withdrawn_at(other.person).expect("found"), None);
    let summary = reader.summary().expect("a summary");
    assert_eq!((summary.leads, summary.withdrawals), (vec![(destination("contoso"), 2)], 1));
    assert_eq!((summary.wait_queues, summary.epoch), (vec![destination("fabrikam")], 1));
    assert!(keyring().fingerprint().starts_with(&summary.fingerprint) && summary.fingerprint.len() == 8);
    assert!(summary.bytes > 10_000);
}

#[test]
fn a_reader_creates_nothing() {
    let (_folder, path) = folder();
    match LedgerReader::open(&path).map(|_| ()) {
        Err(LedgerError::Unusable(text)) => assert!(text.contains("there is no ledger at"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(!path.exists());
}

#[test]
fn an_empty_file_becomes_a_ledger() {
    let (_folder, path) = folder();
    fs::File::create(&path).expect("created").write_all_at(b"", 0).expect("written");
    open(&path).expect("the ledger opens");
}
