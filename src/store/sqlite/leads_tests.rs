//! The table and its tail together, against what one would expect of a map.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::store::sqlite::file::StoreFile;
use crate::store::sqlite::schema::LEDGER;
use jiff::Timestamp;

fn open(path: &Path) -> Connection {
    StoreFile::new(path.to_owned(), &LEDGER, "f".into()).open_or_create().expect("the ledger opens")
}

/// What an [`Identity`] says, kept.
type Whose = (PersonKey, LeadKey, DestinationName);

/// Four leads a person. Of those of persons that are told apart by the last byte alone, many share a place; and two leads of
/// a person have one key, each at a destination of its own.
fn whose(number: u8) -> Whose {
    let mut person = [(number / 16).wrapping_mul(89); 16];
    person[15] = number / 4;
    let mut lead = [(number / 2 % 2).wrapping_mul(157); 16];
    lead[15] = number / 2;
    let destination = DestinationName::parse(["contoso", "fabrikam"][usize::from(number % 2)]).expect("a name");
    (PersonKey::from_bytes(person), LeadKey::from_bytes(lead), destination)
}

fn identity((person, lead, destination): &Whose) -> Identity<'_> {
    Identity { person: *person, lead: *lead, destination }
}

fn record_at(person: PersonKey, second: i64) -> Record {
    let at = Timestamp::from_second(second).expect("a time");
    Record {
        offer: "a.b".into(),
        person,
        actions: BTreeMap::new(),
        fields: BTreeMap::new(),
        delivered_at: at,
        last_event_at: at,
        granted_at: at,
        marked_for: None,
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// A transaction that keeps these leads.
    Keep(Vec<u8>),
    /// One that fails at its end.
    Fail(Vec<u8>),
    /// The owner starts anew.
    Restart,
    /// Another owner keeps a lead, and goes.
    Another(u8),
    /// Somebody beside the owner removes all leads of a person.
    Removed(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let leads = || prop::collection::vec(any::<u8>(), 0..6);
    let act = prop_oneof![
        8 => leads().prop_map(Act::Keep),
        1 => leads().prop_map(Act::Fail),
        1 => Just(Act::Restart),
        1 => any::<u8>().prop_map(Act::Another),
        1 => any::<u8>().prop_map(Act::Removed),
    ];
    prop::collection::vec(act, 1..60)
}

/// So few are enough that every run indexes.
const ENOUGH: usize = 9;

type Model = BTreeMap<Whose, i64>;

fn transact(connection: &Connection, known: &mut Known, leads: &[u8], clock: &mut i64, commit: bool) -> Model {
    connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
    let mut kept = Model::new();
    let mut table = Leads::open(connection, known).expect("open");
    for number in leads {
        *clock += 1;
        let whose = whose(*number);
        let record = record_at(whose.0, *clock);
        match table.get(identity(&whose)).expect("read") {
            Some(standing) => table.replace(&standing, &record).expect("kept"),
            None => table.append(identity(&whose), &record).expect("kept"),
        }
        kept.insert(whose, *clock);
    }
    drop(table);
    known.before_commit(connection).expect("indexed");
    connection.execute_batch(if commit { "COMMIT" } else { "ROLLBACK" }).expect("ended");
    if commit {
        known.committed();
        return kept;
    }
    known.forget();
    Model::new()
}

fn agree(connection: &Connection, known: &Known, model: &Model) {
    let mut table = Leads::open(connection, known).expect("open");
    for number in 0..=u8::MAX {
        let whose = whose(number);
        let found = table.get(identity(&whose)).expect("read");
        let found = found.map(|standing| standing.record.last_event_at.as_second());
        assert_eq!(found, model.get(&whose).copied(), "lead {number}");
    }
    for number in (0..=u8::MAX).step_by(15) {
        let (person, lead, _) = whose(number);
        let of_lead_of = |person: Option<PersonKey>| {
            let those = model.iter().filter(|((whose, key, _), _)| *key == lead && person.is_none_or(|p| p == *whose));
            those.map(|((.., name), second)| (name.clone(), *second)).collect::<BTreeSet<_>>()
        };
        for person in [None, Some(person)] {
            let found = of_lead(connection, lead, person).expect("read").into_iter();
            let found: BTreeSet<_> = found.map(|(name, record)| (name, record.last_event_at.as_second())).collect();
            assert_eq!(found, of_lead_of(person), "lead {number}, by those who look");
        }
    }
    let counted: u64 = by_destination(connection).expect("counted").iter().map(|(_, count)| count).sum();
    assert_eq!(counted, model.len() as u64);
    for number in (0..=u8::MAX).step_by(4) {
        let (person, ..) = whose(number);
        let found = table.of_person(person).expect("read").into_iter();
        let found: Vec<_> = found.map(|(lead, name, record)| (lead, name, record.last_event_at.as_second())).collect();
        let of_person = model.iter().filter(|((whose, ..), _)| *whose == person);
        let expected = of_person.map(|((_, lead, name), second)| (*lead, name.clone(), *second));
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

/// Every id in the index.
fn indexed(connection: &Connection) -> BTreeSet<i64> {
    let ids = LeadPages::open(connection).expect("open").ids(Place::FIRST..=Place::LAST).expect("read");
    let (count, ids) = (ids.len(), BTreeSet::from_iter(ids));
    assert_eq!(ids.len(), count, "each once");
    ids
}

fn ids(connection: &Connection) -> BTreeSet<i64> {
    let mut select = connection.prepare("SELECT id FROM leads").expect("prepared");
    select.query_map([], |row| row.get(0)).expect("read").map(|id| id.expect("an id")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_lead_is_found_whatever_is_indexed_and_whoever_owned_the_file_before(acts in acts()) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.db");
        let (connection, mut known) = (open(&path), Known::nothing(ENOUGH));
        let (mut model, mut clock) = (Model::new(), 0);
        for act in acts {
            match act {
                Act::Keep(leads) => model.extend(transact(&connection, &mut known, &leads, &mut clock, true)),
                Act::Fail(leads) => drop(transact(&connection, &mut known, &leads, &mut clock, false)),
                Act::Restart => known = Known::nothing(ENOUGH),
                Act::Another(lead) => {
                    let mut theirs = Known::nothing(ENOUGH);
                    model.extend(transact(&open(&path), &mut theirs, &[lead], &mut clock, true));
                }
                Act::Removed(number) => {
                    let (beside, (person, ..)) = (open(&path), whose(number));
                    for theirs in model.keys().filter(|(whose, ..)| *whose == person) {
                        assert!(remove(&beside, identity(theirs)).expect("removed"));
                    }
                    model.retain(|(whose, ..), _| *whose != person);
                }
            }
            agree(&connection, &known, &model);
        }
        let rows: u32 = one(&connection, "SELECT count(*) FROM leads").expect("counted");
        prop_assert_eq!(rows as usize, model.len(), "each lead once");
        prop_assert!(indexed(&connection).is_subset(&ids(&connection)), "nothing is left of who was removed");
    }
}

#[test]
fn what_was_indexed_is_not_read_again_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, mut known) = (open(&folder.path().join("ledger.db")), Known::nothing(ENOUGH));
    for number in 0..100 {
        transact(&connection, &mut known, &[number], &mut 0, true);
    }
    let left = unindexed(&connection).expect("read").len();
    assert!(left < 2 * ENOUGH, "{left} leads are read at the start");
    assert!(indexed(&connection).len() > 80);
}

#[test]
fn what_the_owner_itself_removes_is_not_indexed_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, mut known) = (open(&folder.path().join("ledger.db")), Known::nothing(ENOUGH));
    let (mut model, mut clock) = (Model::new(), 0);
    for number in 0..=u8::MAX {
        model.extend(transact(&connection, &mut known, &[number], &mut clock, true));
        if number % 3 == 0 {
            connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
            known.forget();
            assert!(remove(&connection, identity(&whose(number))).expect("removed"));
            known.before_commit(&connection).expect("indexed");
            connection.execute_batch("COMMIT").expect("ended");
            known.committed();
            model.remove(&whose(number));
        }
    }
    agree(&connection, &known, &model);
}
