#![allow(clippy::disallowed_methods, reason = "an arbitrary beginning")]

use proptest::prelude::*;

use super::*;
use crate::domain::reply::{Accepted, Quick};

const SECOND: Duration = Duration::from_secs(1);

fn accepted() -> Reply {
    Reply::Accepted(Accepted::Created)
}

fn rejected(code: &'static str) -> Reply {
    Reply::Rejected(Code::known(code))
}

fn transient() -> Reply {
    Reply::Transient { code: Code::known("http_500"), quick: Quick::Pointless }
}

fn throttled(retry_after: Option<Duration>) -> Reply {
    Reply::Throttled { code: Code::known("http_429"), retry_after }
}

fn credentials() -> Reply {
    Reply::Credentials(Code::known("http_403"))
}

/// A lane and a clock: each round takes a second.
struct Rig {
    health: Health,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        Self { health: Health::new(Policy::default()), now: Instant::now() }
    }

    fn round(&mut self, replies: &[Reply]) -> Suspects {
        let started = self.now;
        self.now += SECOND;
        self.health.observe(replies, None, (started, self.now), 0.0)
    }

    fn pause(&self) -> Option<(Cause, Duration)> {
        match self.health.state() {
            State::Open { cause, until } => Some((cause, until - self.now)),
            State::Closed | State::HalfOpen { .. } | State::Paused { .. } => None,
        }
    }

    fn wait_until_half_open(&mut self) {
        let (_, pause) = self.pause().expect("the lane is open");
        self.now += pause;
        self.health.tick(self.now);
        assert!(matches!(self.health.state(), State::HalfOpen { .. }));
    }
}

#[test]
fn five_failed_rounds_in_a_row_open_the_lane_and_four_do_not() {
    let mut rig = Rig::new();
    for _ in 0..4 {
        rig.round(&[transient()]);
    }
    assert_eq!(rig.health.state(), State::Closed);
    rig.round(&[accepted()]);
    for _ in 0..4 {
        rig.round(&[transient()]);
    }
    assert_eq!(rig.health.state(), State::Closed, "a success between starts the row anew");
    rig.round(&[transient()]);
    assert_eq!(rig.pause(), Some((Cause::Transient, SECOND)));
}

#[test]
fn one_lead_that_fails_by_itself_does_not_open_the_lane_and_two_do() {
    let mut rig = Rig::new();
    let lead = |n| Some(LeadKey::from_bytes([n; 16]));
    let round = |rig: &mut Rig, n| rig.health.observe(&[transient()], lead(n), (rig.now, rig.now), 0.0);
    for _ in 0..50 {
        round(&mut rig, 1);
    }
    assert_eq!(rig.health.state(), State::Closed);
    for n in [2, 1, 2, 1] {
        round(&mut rig, n);
    }
    assert!(matches!(rig.pause(), Some((Cause::Transient, _))));
}

#[test]
fn pauses_double_up_to_five_minutes_and_a_success_closes_the_lane() {
    let mut rig = Rig::new();
    for _ in 0..5 {
        rig.round(&[transient()]);
    }
    let mut pauses = Vec::new();
    for _ in 0..11 {
        pauses.push(rig.pause().expect("open").1.as_secs());
        rig.wait_until_half_open();
        rig.round(&[transient()]);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    rig.wait_until_half_open();
    rig.round(&[accepted()]);
    assert_eq!(rig.health.state(), State::Closed);
}

#[test]
fn a_retry_after_is_never_undercut_and_is_capped_at_an_hour() {
    for jitter in [0.0, 0.5, 0.999] {
        for (hint, least) in [(7, 7), (3_600, 3_600), (1_000_000, 3_600)] {
            let mut health = Health::new(Policy::default());
            let now = Instant::now();
            health.observe(&[throttled(Some(Duration::from_secs(hint)))], None, (now, now), jitter);
            let State::Open { cause: Cause::Throttled, until } = health.state() else { panic!("not open") };
            let pause = (until - now).as_secs_f64();
            assert!((least as f64..=least as f64 * 1.1).contains(&pause), "{hint} gave {pause}");
        }
    }
}

#[test]
fn credentials_pause_the_lane_unless_another_lead_succeeded_in_the_call_or_since() {
    let mut rig = Rig::new();
    assert_eq!(rig.round(&[credentials(), accepted()]), Suspects::Blame);
    assert_eq!(rig.health.state(), State::Closed);
    let started = rig.now;
    rig.round(&[accepted()]);
    rig.health.observe(&[credentials()], None, (started, rig.now), 0.0);
    assert_eq!(rig.health.state(), State::Closed, "another lead succeeded since it was sent");
    rig.round(&[credentials()]);
    assert!(matches!(rig.pause(), Some((Cause::Credentials, _))));
}

#[test]
fn twenty_rejections_with_one_code_pause_the_lane_and_clear_the_suspects() {
    let mut rig = Rig::new();
    for _ in 0..19 {
        assert_eq!(rig.round(&[rejected("bad_oid")]), Suspects::Hold);
    }
    assert_eq!(rig.round(&[rejected("bad_oid")]), Suspects::Clear);
    assert_eq!(rig.pause(), Some((Cause::Rejecting, Duration::from_secs(300))));
    rig.wait_until_half_open();
    assert_eq!(rig.round(&[rejected("bad_oid")]), Suspects::Clear);
    assert_eq!(rig.pause(), Some((Cause::Rejecting, Duration::from_secs(300))), "each probe waits as long");
    rig.wait_until_half_open();
    rig.round(&[accepted()]);
    assert_eq!(rig.health.state(), State::Closed);
}

#[test]
fn an_acceptance_or_another_code_blames_the_suspects_themselves() {
    let mut rig = Rig::new();
    assert_eq!(rig.round(&[rejected("a")]), Suspects::Hold);
    assert_eq!(rig.round(&[accepted()]), Suspects::Blame);
    assert_eq!(rig.round(&[rejected("a")]), Suspects::Hold);
    assert_eq!(rig.round(&[rejected("b")]), Suspects::Blame);
    for _ in 0..18 {
        assert_eq!(rig.round(&[rejected("b")]), Suspects::Hold);
    }
    assert_eq!(rig.round(&[rejected("b")]), Suspects::Clear);
}

#[test]
fn a_table_that_turns_unwritable_under_load_blames_nobody() {
    let mut rig = Rig::new();
    let sent = rig.now;
    rig.round(&[accepted()]);
    let batch = vec![rejected("TableIsReadOnly"); 100];
    let suspects = rig.health.observe(&batch, None, (sent, rig.now), 0.0);
    assert_eq!(suspects, Suspects::Clear, "sent before an acceptance was seen, and rejected all the same");
    assert!(matches!(rig.pause(), Some((Cause::Rejecting, _))));
}

#[test]
fn a_retry_after_of_nothing_pauses_all_the_same() {
    let mut rig = Rig::new();
    rig.round(&[throttled(Some(Duration::ZERO))]);
    assert_eq!(rig.pause(), Some((Cause::Throttled, SECOND)));
}

#[test]
fn a_round_that_was_sent_before_the_pause_neither_ends_nor_prolongs_it() {
    for late in [accepted(), transient(), credentials(), throttled(None), rejected("a")] {
        let mut rig = Rig::new();
        let sent_before = rig.now;
        rig.round(&[credentials()]);
        let paused = rig.health.state();
        rig.now += SECOND / 2;
        rig.health.observe(std::slice::from_ref(&late), None, (sent_before, rig.now), 0.0);
        assert_eq!(rig.health.state(), paused, "{late:?}");
    }
}

#[test]
fn an_ordered_pause_ends_by_order_only_and_a_sound_destination_then_goes_on_at_once() {
    let mut rig = Rig::new();
    let sent_before = rig.now;
    rig.health.pause(rig.now);
    for late in [accepted(), transient(), credentials(), throttled(None), rejected("a")] {
        rig.now += SECOND;
        rig.health.observe(std::slice::from_ref(&late), None, (sent_before, rig.now), 0.0);
        rig.health.fill(rig.now + SECOND, rig.now);
        rig.now += Duration::from_secs(100_000);
        rig.health.tick(rig.now);
        assert_eq!(rig.health.state(), State::Paused { trouble: None }, "{late:?}");
    }
    rig.health.resume();
    assert_eq!(rig.health.state(), State::Closed);
    rig.health.resume();
    assert_eq!(rig.health.state(), State::Closed, "twice is once");
}

#[test]
fn a_destination_that_was_in_trouble_is_probed_at_once_when_it_is_resumed() {
    let mut rig = Rig::new();
    rig.round(&[credentials()]);
    rig.health.resume();
    let half_open = State::HalfOpen { cause: Cause::Credentials };
    assert_eq!(rig.health.state(), half_open, "without a pause by order, too");
    rig.round(&[credentials()]);
    rig.health.pause(rig.now);
    rig.health.pause(rig.now);
    assert_eq!(rig.health.state(), State::Paused { trouble: Some(Cause::Credentials) });
    assert_eq!(rig.health.code().map(Code::as_str), Some("http_403"));
    let sent_before = rig.now;
    rig.now += SECOND;
    rig.health.resume();
    rig.health.observe(&[credentials()], None, (sent_before, rig.now), 0.0);
    assert_eq!(rig.health.state(), half_open, "what was sent before the pause says nothing now");
    rig.round(&[accepted()]);
    assert_eq!((rig.health.state(), rig.health.code()), (State::Closed, None));
}

#[test]
fn accepted_rejections_blow_no_fuse_and_others_still_do() {
    let mut rig = Rig::new();
    rig.round(&vec![rejected("bad_oid"); 20]);
    assert_eq!(rig.health.code().map(Code::as_str), Some("bad_oid"));
    rig.health.accept_rejections(None);
    assert_eq!(rig.health.state(), State::Closed);
    for _ in 0..100 {
        rig.round(&[rejected("bad_oid")]);
    }
    assert_eq!(rig.health.state(), State::Closed);
    assert!(rig.health.accepts(&rejected("bad_oid")));
    assert!(!rig.health.accepts(&rejected("other")) && !rig.health.accepts(&transient()));
    for _ in 0..19 {
        rig.round(&[rejected("bad_oid"), rejected("other")]);
    }
    assert_eq!(rig.round(&[rejected("bad_oid"), rejected("other")]), Suspects::Clear);
    assert!(matches!(rig.pause(), Some((Cause::Rejecting, _))));
    rig.health.accept_rejections(None);
    rig.health.end_acceptance();
    assert!(!rig.health.accepts(&rejected("other")) && !rig.health.is_accepting());
    assert_eq!(rig.round(&vec![rejected("other"); 20]), Suspects::Clear);
}

#[test]
fn an_acceptance_that_names_no_code_and_finds_none_is_of_the_next_rejections_code() {
    let mut rig = Rig::new();
    rig.health.pause(rig.now);
    rig.now += SECOND;
    rig.health.accept_rejections(None);
    assert_eq!(rig.health.state(), State::Closed);
    assert!(rig.health.is_accepting() && !rig.health.accepts(&rejected("a")));
    rig.round(&[rejected("a")]);
    assert!(rig.health.accepts(&rejected("a")) && !rig.health.accepts(&rejected("b")));
    rig.health.accept_rejections(Some(Code::known("b")));
    assert!(rig.health.accepts(&rejected("b")) && !rig.health.accepts(&rejected("a")));
}

#[test]
fn an_acceptance_does_not_call_a_destination_mended_that_is_in_another_trouble() {
    let mut rig = Rig::new();
    rig.round(&[credentials()]);
    rig.health.accept_rejections(None);
    assert_eq!(rig.health.state(), State::HalfOpen { cause: Cause::Credentials });
    assert!(!rig.health.accepts(&Reply::Rejected(Code::known("http_403"))), "that was no rejection");
}

proptest! {
    #[test]
    fn every_pause_ends_and_no_pause_outlasts_its_cap(
        rounds in proptest::collection::vec((0_usize..6, 0.0..1.0_f64), 1..60),
    ) {
        let mut rig = Rig::new();
        for (kind, jitter) in rounds {
            let hint = Duration::from_secs((jitter * 10_000.0) as u64);
            let reply = [accepted(), rejected("a"), transient(), throttled(Some(hint)), throttled(None), credentials()]
                [kind].clone();
            let started = rig.now;
            rig.now += SECOND;
            rig.health.observe(&[reply], None, (started, rig.now), jitter);
            if let Some((_, pause)) = rig.pause() {
                prop_assert!(pause <= Duration::from_secs(3_960), "{pause:?}");
                rig.wait_until_half_open();
            }
        }
        rig.round(&[accepted()]);
        prop_assert_eq!(rig.health.state(), State::Closed);
    }
}
