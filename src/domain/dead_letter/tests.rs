use proptest::prelude::*;

use super::*;
use crate::domain::retry::Tier;
use crate::domain::verdict::Reason;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

const NOW: i64 = 1_000;

fn every_state() -> [State; 5] {
    let replaying = |until| State::Replaying { until: at(until) };
    [State::Dead, replaying(NOW), replaying(NOW + 1), State::Replayed, State::Discarded]
}

#[test]
fn every_change_of_every_state_is_as_this_table_says() {
    let taken = Change::Take { until: at(2_000) };
    let changes = [taken, Change::Publish, Change::GiveBack, Change::Discard, Change::Undo, Change::Arrive];
    let name = |standing: Option<Standing>| match standing {
        None => "-".to_owned(),
        Some(Standing { state, generation }) => format!("{} {generation}", state.name().as_str()),
    };
    let row = |state: State| {
        let after = |change| name(Standing { state, generation: 3 }.after(change, at(NOW)));
        changes.map(after).join(" | ")
    };
    assert_eq!(
        every_state().map(row),
        [
            "replaying 4 | - | - | discarded 3 | - | dead 3",
            "replaying 3 | replayed 3 | dead 2 | - | dead 3 | replaying 3",
            "- | replayed 3 | dead 2 | - | - | replaying 3",
            "- | replayed 3 | - | - | - | dead 3",
            "- | - | - | - | dead 3 | dead 3",
        ]
    );
}

#[test]
fn a_letter_that_is_taken_by_one_cannot_be_taken_by_another_before_the_lease_is_over() {
    let dead = Standing { state: State::Dead, generation: 0 };
    let taken = dead.after(Change::Take { until: at(60) }, at(0)).expect("taken");
    assert_eq!(taken.after(Change::Take { until: at(119) }, at(59)), None);
    let again = taken.after(Change::Take { until: at(120) }, at(60)).expect("taken over");
    assert_eq!(again, Standing { state: State::Replaying { until: at(120) }, generation: 1 });
}

#[test]
fn only_what_ends_a_message_ends_a_replay() {
    let check = |verdict: &Verdict, expected: Option<&str>| {
        assert_eq!(Ending::of(verdict).map(Ending::as_str), expected, "{verdict:?}");
    };
    for fate in [Fate::Delivered, Fate::Duplicate, Fate::Suppressed, Fate::Unmarked] {
        let verdict = Verdict::Ack(fate);
        check(&verdict, Some(verdict.fate()));
    }
    check(&Verdict::DeadLetter(Reason::Unroutable), Some("dead"));
    check(&Verdict::Retry { tier: Tier::S5, charged: true }, None);
    check(&Verdict::Wait, None);
    check(&Verdict::Release, None);
}

#[test]
fn every_name_is_read_back_and_no_other() {
    for cause in Cause::ALL {
        assert_eq!(Cause::parse(cause.name()), Some(cause));
    }
    for state in StateName::ALL {
        assert_eq!(StateName::parse(state.as_str()), Some(state));
    }
    for ending in Ending::ALL {
        assert_eq!(Ending::parse(ending.as_str()), Some(ending));
    }
    assert_eq!((Cause::parse("canary"), StateName::parse(""), Ending::parse("Dead")), (None, None, None));
}

#[test]
fn attempts_are_written_as_a_person_reads_them() {
    let attempts = [
        Attempt { at: at(0), class: Class::Transient, code: Some(Code::status(503)) },
        Attempt { at: at(5), class: Class::Rejected, code: Some(Code::known("PropertyValueTooLarge").answered(400)) },
        Attempt { at: at(6), class: Class::Unknown, code: Some(Code::known("timeout")) },
    ];
    let text = write_attempts(&attempts);
    assert_eq!(
        text,
        "1970-01-01T00:00:00Z transient http_503 503; 1970-01-01T00:00:05Z rejected PropertyValueTooLarge 400; \
         1970-01-01T00:00:06Z unknown timeout"
    );
    assert_eq!(read_attempts(&text), attempts);
    assert_eq!(read_attempts(&text)[1].code.as_ref().and_then(Code::http_status), Some(400));
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let code = ("[A-Za-z0-9_.-]{1,64}", prop::option::of(100..600_u16));
    let code = code.prop_map(|(text, status)| Code::foreign(&text).answered(status));
    (0..4_000_000_000_i64, prop::sample::select(&Class::ALL[..]), prop::option::of(code))
        .prop_map(|(second, class, code)| Attempt { at: at(second), class, code })
}

proptest! {
    #[test]
    fn the_latest_attempts_are_read_back_from_a_header_of_bounded_size(
        attempts in prop::collection::vec(attempt(), 0..40),
    ) {
        let text = write_attempts(&attempts);
        prop_assert!(text.len() <= ATTEMPTS_KEPT * 110);
        prop_assert_eq!(read_attempts(&text), &attempts[attempts.len().saturating_sub(ATTEMPTS_KEPT)..]);
    }

    #[test]
    fn no_header_makes_reading_attempts_panic(text in "\\PC{0,200}") {
        prop_assert!(read_attempts(&text).len() <= ATTEMPTS_KEPT);
    }
}
