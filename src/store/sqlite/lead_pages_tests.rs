//! The index in the file, against a set.

use std::collections::BTreeSet;

use super::*;
use crate::store::sqlite::leads;

fn index() -> Connection {
    let connection = Connection::open_in_memory().expect("a database");
    connection.execute_batch(leads::SCHEMA).expect("leads");
    connection.execute_batch(SCHEMA).expect("pages");
    connection
}

/// As scattered as hashes are.
fn entry_of(number: i64) -> Entry {
    let [bytes @ .., _, _, _] = number.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    (Place::from_bytes(bytes), number)
}

/// All there are, row by row, and how long each row is.
fn rows(connection: &Connection) -> (BTreeSet<Entry>, Vec<usize>) {
    let mut select = connection.prepare("SELECT first, entries FROM lead_pages ORDER BY first").expect("prepared");
    let mut rows = select.query([]).expect("read");
    let (mut all, mut lengths): (Vec<Entry>, _) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next().expect("a row") {
        lengths.push(row.get_ref(1).expect("entries").as_blob().expect("bytes").len());
        all.extend(held(row).expect("entries").iter().map(|entry| (place(entry), id(entry))));
    }
    assert!(all.is_sorted_by(|one, next| one < next), "in order, and each once");
    (all.into_iter().collect(), lengths)
}

#[test]
fn what_is_added_in_slices_is_there_once_and_found_and_what_is_removed_is_gone() {
    let connection = index();
    build(&connection).expect("an empty index");
    let mut pages = LeadPages::open(&connection).expect("open");
    let mut expected = BTreeSet::new();
    for sweep in 0..5 {
        let entries = BTreeSet::from_iter((sweep * 4_000 + 1..=sweep * 4_000 + 5_000).map(entry_of));
        for slice in Vec::from_iter(entries).chunks(300 + 250 * sweep as usize) {
            pages.add(slice).expect("added");
            expected.extend(slice);
        }
        let (all, lengths) = rows(&connection);
        assert_eq!(all, expected, "sweep {sweep}");
        assert!(lengths.iter().all(|length| *length == FULL * ENTRY), "each fills its page");
        assert!(lengths.len() < expected.len() / 150, "{} rows for {}", lengths.len(), expected.len());
    }
    for number in (1..21_000).step_by(7) {
        let entry = entry_of(number);
        assert_eq!(pages.ids(entry.0.alone()).expect("read"), [number]);
        pages.remove(entry).expect("removed");
        assert_eq!(pages.ids(entry.0.alone()).expect("read"), [0; 0]);
        expected.remove(&entry);
    }
    assert_eq!(rows(&connection).0, expected);
}

#[test]
fn leads_of_one_place_stay_in_one_row_however_many() {
    let connection = index();
    build(&connection).expect("an empty index");
    let mut pages = LeadPages::open(&connection).expect("open");
    let (place, _) = entry_of(500);
    let same: Vec<_> = (10_000..11_500).map(|id| (place, id)).collect();
    for slice in [Vec::from_iter(BTreeSet::from_iter((1..1_000).map(entry_of))), same.clone()] {
        pages.add(&slice).expect("added");
    }
    pages.add(&same).expect("again changes nothing");
    assert_eq!(pages.ids(place.alone()).expect("read").len(), 1_501);
    assert_eq!(rows(&connection).0.len(), 999 + 1_500);
}

#[test]
fn the_index_of_leads_that_are_there_already_has_each_of_them() {
    let connection = index();
    let mut expected = BTreeSet::new();
    for number in 1..=3_000_i64 {
        // Every third shares its place with the one before.
        let [person @ .., d, e] = entry_of(number - number % 3 / 2).0.to_bytes();
        let (person, lead) = ([&person[..], &number.to_be_bytes(), &[0; 5]].concat(), [&[d, e][..], &[0; 14]].concat());
        let row = params![number, lead, person];
        connection.execute("INSERT INTO leads VALUES (?1, ?2, 'contoso', ?3, x'')", row).expect("a lead");
        expected.insert((entry_of(number - number % 3 / 2).0, number));
    }
    build(&connection).expect("built");
    let (all, lengths) = rows(&connection);
    assert_eq!(all, expected);
    assert_eq!(lengths.len(), 3_000_usize.div_ceil(FILLED));
    let mut pages = LeadPages::open(&connection).expect("open");
    assert_eq!(pages.ids(Place::FIRST..=Place::LAST).expect("read").len(), 3_000);
    assert_eq!(ids_of_lead(&connection, LeadKey::from_bytes([0x0b; 16])).expect("read").len(), {
        all.iter().filter(|(place, _)| place.may_be_of(LeadKey::from_bytes([0x0b; 16]))).count()
    });
}
