//! The fate table: every finding at every attempt and age, in every state of the lane.

use super::*;
use crate::domain::reply::Quick;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const LANES: [Lane; 3] = [Lane::Closed, Lane::Paused, Lane::Probed];

fn code() -> Code {
    Code::known("code")
}

/// Every finding, by the name it has in the table.
fn findings() -> Vec<(&'static str, Finding)> {
    let replied = |reply| Finding::Replied(reply);
    vec![
        ("poison", Finding::Poison),
        ("headers too large", Finding::HeadersTooLarge),
        ("malformed", Finding::Malformed("/Offer missing".into())),
        ("panicked", Finding::Panicked),
        ("unroutable", Finding::Unroutable),
        ("withdrawal", Finding::Withdrawal),
        ("withdrawn", Finding::Withdrawn),
        ("duplicate", Finding::Duplicate),
        ("withdrawn, and cannot be marked", Finding::Unmarkable),
        ("sent before, unanswered", Finding::SentBefore),
        ("day is full", Finding::DayIsFull { frees_in: DAY }),
        ("claimed elsewhere", Finding::ClaimedElsewhere),
        ("unreadable in the ledger", Finding::Unreadable),
        ("lane shut", Finding::LaneShut),
        ("interrupted", Finding::Interrupted),
        ("accepted: created", replied(Reply::Accepted(Accepted::Created))),
        ("accepted: updated", replied(Reply::Accepted(Accepted::Updated))),
        ("accepted: already", replied(Reply::Accepted(Accepted::Already))),
        ("rejected", replied(Reply::Rejected(code()))),
        ("transient", replied(Reply::Transient { code: code(), quick: Quick::Pointless })),
        ("throttled", replied(Reply::Throttled { code: code(), retry_after: None })),
        ("credentials", replied(Reply::Credentials(code()))),
        ("unknown", replied(Reply::Unknown(code()))),
    ]
}

/// As a cell of the table.
pub(crate) fn show(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Ack(Fate::Delivered) => "ack delivered".into(),
        Verdict::Ack(Fate::Duplicate) => "ack duplicate".into(),
        Verdict::Ack(Fate::Suppressed) => "ack suppressed".into(),
        Verdict::Ack(Fate::Unmarked) => "ack unmarked".into(),
        Verdict::Retry { tier, charged: true } => format!("retry {}, charged", tier.name()),
        Verdict::Retry { tier, charged: false } => format!("retry {}, free", tier.name()),
        Verdict::Wait => "wait".into(),
        Verdict::DeadLetter(reason) => format!("dead {}", reason.name()),
        Verdict::Release => "release".into(),
    }
}

/// Attempts × age, joined where they agree, as one cell.
fn cell(finding: &Finding, lane: Lane) -> String {
    let limits = Limits::default();
    let at = |attempts: u32, age| show(&decide(finding, attempts, age, lane, limits));
    let young: Vec<String> = (0..limits.attempts).map(|attempts| at(attempts, Duration::ZERO)).collect();
    let old: Vec<String> = (0..limits.attempts).map(|attempts| at(attempts, limits.age)).collect();
    let mut parts: Vec<String> = Vec::new();
    let mut from = 0;
    for to in 1..=young.len() {
        if to == young.len() || young[to] != young[from] || old[to] != old[from] {
            let range = if to - from == young.len() {
                String::new()
            } else if to - from == 1 {
                format!("attempt {}: ", from + 1)
            } else {
                format!("attempts {}–{}: ", from + 1, to)
            };
            let aged =
                if young[from] == old[from] { String::new() } else { format!(" (from 7 days on: {})", old[from]) };
            parts.push(format!("{range}{}{aged}", young[from]));
            from = to;
        }
    }
    parts.join("; ")
}

fn fate_table() -> String {
    let mut table = String::from("| finding | lane closed | lane paused | was the probe |\n|---|---|---|---|\n");
    for (name, finding) in findings() {
        let cells: Vec<String> = LANES.iter().map(|&lane| cell(&finding, lane)).collect();
        table += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    table
}

const BEGIN: &str = "<!-- fate table: written by a test, `UPDATE=1 cargo test fate_table` -->\n";
const END: &str = "<!-- end of the fate table -->";

#[test]
fn the_fate_table_in_the_architecture_is_the_one_that_decides() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).expect("ARCHITECTURE.md is there");
    let (before, rest) = text.split_once(BEGIN).expect("it has the mark where the fate table begins");
    let (written, after) = rest.split_once(END).expect("it has the mark where the fate table ends");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", fate_table())).expect("it can be written");
    } else {
        assert_eq!(written, fate_table(), "run UPDATE=1 cargo test fate_table");
    }
}

#[test]
fn a_lane_that_is_not_closed_charges_nobody_and_dead_letters_nothing_that_a_destination_refused() {
    for (name, finding) in findings() {
        let Finding::Replied(reply) = &finding else { continue };
        for lane in [Lane::Paused, Lane::Probed] {
            for attempts in [0, 1, 16, 17, 18, 400] {
                for age in [Duration::ZERO, 6 * DAY, 7 * DAY, 365 * DAY] {
                    let verdict = decide(&finding, attempts, age, lane, Limits::default());
                    let charged = matches!(verdict, Verdict::Retry { charged: true, .. });
                    let dead = matches!(verdict, Verdict::DeadLetter(_)) && !matches!(reply, Reply::Unknown(_));
                    assert!(!charged && !dead, "{name} on {lane:?} at {attempts}, {age:?}: {verdict:?}");
                }
            }
        }
    }
}

#[test]
fn the_eighteenth_charged_failure_exhausts_the_attempts_and_no_earlier_one_does() {
    let transient = Finding::Replied(Reply::Transient { code: code(), quick: Quick::Pointless });
    let at = |attempts| decide(&transient, attempts, Duration::ZERO, Lane::Closed, Limits::default());
    assert_eq!(at(16), Verdict::Retry { tier: Tier::H6, charged: true });
    assert_eq!(at(17), Verdict::DeadLetter(Reason::AttemptsExhausted(code())));
}

#[test]
fn the_nth_round_waits_in_the_nth_queue() {
    let transient = Finding::Replied(Reply::Transient { code: code(), quick: Quick::Pointless });
    let tiers: Vec<_> = (0..8)
        .map(|attempts| match decide(&transient, attempts, Duration::ZERO, Lane::Closed, Limits::default()) {
            Verdict::Retry { tier, charged: true } => tier,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(tiers, [Tier::S5, Tier::S30, Tier::M2, Tier::M10, Tier::H1, Tier::H6, Tier::H6, Tier::H6]);
}
