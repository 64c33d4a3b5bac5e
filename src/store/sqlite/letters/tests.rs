//! How SQLite goes about what is asked, and trouble with the disk, which only a connection of our own choosing has.

use jiff::Timestamp;
use rusqlite::Connection;

use super::search::{Conditions, count_sql, page_sql};
use super::*;
use crate::domain::dead_letter::{Cause, StateName};
use crate::domain::lead_key::{AddressKey, LeadKey};
use crate::domain::route::{DestinationName, OfferPattern};

fn file(folder: &tempfile::TempDir) -> StoreFile {
    StoreFile::new(folder.path().join("letters.db"), &LETTERS, "f".into())
}

/// Each filter that there is, alone.
fn filters() -> Vec<Filter> {
    let none = Filter { state: Some(StateName::Dead), ..Filter::default() };
    let pattern = |text| OfferPattern::parse(text).expect("a pattern");
    vec![
        none.clone(),
        Filter { cause: Some(Cause::Rejected), ..none.clone() },
        Filter { destination: Some(DestinationName::parse("contoso").expect("a name")), ..none.clone() },
        Filter { offer: Some(pattern("contoso.appliance")), ..none.clone() },
        Filter { offer: Some(pattern("contoso.*")), ..none.clone() },
        Filter { lead: Some(LeadKey::from_bytes([1; 16])), ..none.clone() },
        Filter { address: Some(AddressKey::from_bytes([1; 16])), ..none.clone() },
        Filter { since: Some(Timestamp::UNIX_EPOCH), ..none },
    ]
}

/// Both at once; of one kind, the second.
fn both(one: &Filter, other: &Filter) -> Filter {
    let Filter { state, cause, destination, offer, lead, address, since, before } = other.clone();
    let one = one.clone();
    Filter {
        state,
        cause: cause.or(one.cause),
        destination: destination.or(one.destination),
        offer: offer.or(one.offer),
        lead: lead.or(one.lead),
        address: address.or(one.address),
        since: since.or(one.since),
        before: before.or(one.before),
    }
}

fn explained(connection: &Connection, sql: &str, conditions: &Conditions<'_>) -> String {
    let mut select = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
    let rows = select.query_map(conditions.values(), |row| row.get::<_, String>(3)).expect("a plan");
    rows.collect::<Result<Vec<_>, _>>().expect("text").join("\n")
}

#[test]
fn no_list_and_no_count_reads_the_whole_table_or_sorts_what_an_index_has_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let connection = file(&folder).open_or_create().expect("the file opens");
    let place = Place { dead_at: Timestamp::UNIX_EPOCH, id: DeadId::from_bytes([7; 16]) };
    let mut plans = 0;
    for (one, other) in filters().iter().flat_map(|one| filters().into_iter().map(move |other| (one.clone(), other))) {
        let filter = both(&one, &other);
        for after in [None, Some(&place)] {
            let mut conditions = Conditions::of(&filter, filter.state).and_beyond(after);
            let sql = page_sql(&filter, &conditions);
            conditions.values.push(Box::new(50));
            let plan = explained(&connection, &sql, &conditions);
            assert!(plan.starts_with("SEARCH letters USING INDEX letters_by_"), "{filter:?}\n{plan}");
            assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{filter:?}\n{plan}");
            plans += 1;
        }
        let conditions = Conditions::of(&filter, filter.state);
        for by in [&[][..], &[Aspect::Cause, Aspect::Destination]] {
            let plan = explained(&connection, &count_sql(&filter, by, &conditions), &conditions);
            assert!(plan.starts_with("SEARCH letters USING") && !plan.contains("SCAN"), "{filter:?}\n{plan}");
        }
    }
    assert_eq!(plans, 128);
}

#[test]
fn nothing_else_that_is_asked_often_reads_a_whole_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let connection = file(&folder).open_or_create().expect("the file opens");
    for sql in [
        "SELECT id FROM letters WHERE id BETWEEN x'00' AND x'ff' ORDER BY id LIMIT 2",
        "SELECT body FROM contents WHERE letter = x'00'",
        "SELECT what FROM deeds WHERE letter = x'00' ORDER BY n",
        "SELECT letter FROM members WHERE plan = 1 AND state = 'waiting' ORDER BY n LIMIT 9",
        "SELECT plan FROM members WHERE letter = x'00' ORDER BY plan",
        "SELECT state, count(*) FROM members WHERE plan = 1 GROUP BY state",
        "DELETE FROM deeds WHERE what = 'removed' AND at < 9",
        "SELECT id FROM letters INDEXED BY letters_settled WHERE state IN ('replayed', 'discarded') AND changed_at < 9
            ORDER BY changed_at LIMIT 9",
    ] {
        let plan = explained(&connection, sql, &Conditions::default());
        assert!(plan.starts_with("SEARCH") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}

/// A store whose first connection has trouble.
fn store(trouble: &str) -> (tempfile::TempDir, SqliteLetters) {
    let folder = tempfile::tempdir().expect("a folder");
    let connection = file(&folder).open_or_create().expect("the file opens");
    connection.execute_batch(trouble).expect("trouble");
    let told = (events::Kept::Letters, Arc::new(Telemetry::new()));
    let writer = Writer::start(file(&folder), Some(connection), Opening::Create, Nothing, told).expect("a thread");
    (folder, SqliteLetters(writer))
}

#[tokio::test]
async fn a_probe_fails_while_there_is_no_room_for_a_batch_and_reading_goes_on() {
    let (_folder, store) = store("PRAGMA max_page_count = 30");
    assert!(matches!(store.probe().await, Err(LettersError::Unavailable(why)) if why.contains("disk is full")));
    assert!(store.list(Filter::default(), None, 10).await.is_ok());
    store.probe().await.expect("there is room on another connection");
}

#[tokio::test]
async fn where_no_worker_has_run_there_is_nothing_to_look_after_and_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, keyring) = (folder.path().join("letters.db"), Keyring::new(b"a secret"));
    let store = SqliteLetters::existing(&path, &keyring, Arc::new(Telemetry::new())).expect("a thread");
    let told = store.list(Filter::default(), None, 10).await;
    assert!(matches!(&told, Err(LettersError::Unusable(why)) if why.contains("no worker has run yet")), "{told:?}");
    assert!(!path.exists());
    let worker = SqliteLetters::create(&path, &keyring, Arc::new(Telemetry::new())).expect("a thread");
    worker.probe().await.expect("created");
    store.list(Filter::default(), None, 10).await.expect("it is there now");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o600, "for our eyes only");
}

#[tokio::test]
async fn a_store_kept_under_another_secret_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("letters.db");
    let open = |secret| SqliteLetters::create(&path, &Keyring::new(secret), Arc::new(Telemetry::new()));
    open(b"one secret").expect("a thread").probe().await.expect("created");
    let told = open(b"another secret").expect("a thread").probe().await;
    assert!(matches!(&told, Err(LettersError::Unusable(why)) if why.contains("office.url")), "{told:?}");
}
