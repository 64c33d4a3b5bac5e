use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn terms() -> Terms {
    Terms { canary: 5, canary_timeout: secs(120), rate: 100, max_failures: Percent(10) }
}

fn seen(outstanding: u64, ended: u64, dead: u64) -> Seen {
    Seen { outstanding, ended, dead }
}

/// Its canary of five is delivered, and the ramp begins at this second.
fn ramping(terms: Terms) -> Pace {
    let mut pace = Pace::new(terms);
    assert_eq!(pace.next(seen(0, 0, 0), secs(0)), Next::Publish(5));
    pace.published(5, secs(0));
    assert_eq!(pace.next(seen(0, 5, 0), secs(0)), Next::Look);
    assert!(!pace.is_canary());
    pace
}

#[test]
fn a_share_is_a_whole_number_of_percent() {
    for (text, share) in [("10%", 10), ("0", 0), (" 100 %", 100), ("7", 7)] {
        assert_eq!(Percent::parse(&text.replace(" %", "%")), Percent::of(share), "{text:?}");
    }
    for text in ["101%", "-1", "ten", "", "%", "1.5%"] {
        assert_eq!(Percent::parse(text), Err(NotAShare), "{text:?}");
    }
}

#[test]
fn a_limit_is_passed_by_more_than_its_share_and_by_nothing_less() {
    let check = |limit, dead, of, passed| assert_eq!(Percent(limit).is_passed_by(dead, of), passed, "{dead} of {of}");
    check(10, 1, 10, false);
    check(10, 2, 10, true);
    check(10, 0, 0, false);
    check(0, 1, 1_000_000, true);
    check(0, 0, 5, false);
    check(100, 5, 5, false);
}

#[test]
fn the_ramp_doubles_every_two_seconds_from_the_canary_to_the_rate() {
    let check = |elapsed, canary, rate, speed| {
        assert_eq!(ramp(secs(elapsed), canary, rate), speed, "after {elapsed} s, {canary}, {rate}");
    };
    check(0, 5, 100, 5.0);
    check(2, 5, 100, 10.0);
    check(4, 5, 100, 20.0);
    check(8, 5, 100, 80.0);
    check(10, 5, 100, 100.0);
    check(1_000_000, 5, 100, 100.0);
    check(0, 50, 100, 50.0);
    check(0, 0, 100, 5.0);
    check(0, 5, 1, 1.0);
}

#[test]
fn the_canary_goes_alone_and_is_waited_for() {
    let mut pace = Pace::new(terms());
    assert_eq!(pace.next(seen(0, 0, 0), secs(0)), Next::Publish(5));
    pace.published(3, secs(0));
    assert_eq!(pace.next(seen(3, 0, 0), secs(1)), Next::Publish(2), "not all could be taken at once");
    pace.published(2, secs(1));
    for second in [2, 60, 120] {
        assert_eq!(pace.next(seen(5, 0, 0), secs(second)), Next::Look, "at {second} s");
    }
    assert_eq!(pace.next(seen(5, 0, 0), secs(121)), Next::Pause(Why::Silent { outstanding: 5, ended: 0 }));
    assert!(pace.is_canary());
}

#[test]
fn a_canary_that_is_heard_of_is_given_its_time_anew() {
    let mut pace = Pace::new(terms());
    pace.published(5, secs(0));
    assert_eq!(pace.next(seen(4, 1, 0), secs(119)), Next::Look);
    assert_eq!(pace.next(seen(4, 1, 0), secs(238)), Next::Look);
    assert_eq!(pace.next(seen(4, 1, 0), secs(239)), Next::Pause(Why::Silent { outstanding: 4, ended: 1 }));
}

#[test]
fn a_canary_fails_by_its_own_number_not_by_who_came_first() {
    let check = |max_failures, dead, expected: Next| {
        let mut pace = Pace::new(Terms { max_failures: Percent(max_failures), ..terms() });
        pace.published(5, secs(0));
        assert_eq!(pace.next(seen(5 - dead, dead, dead), secs(1)), expected, "{dead} dead, {max_failures}%");
    };
    check(10, 1, Next::Pause(Why::Failing { dead: 1, of: 5 }));
    check(20, 1, Next::Look);
    check(20, 2, Next::Pause(Why::Failing { dead: 2, of: 5 }));
    check(0, 0, Next::Look);
}

#[test]
fn a_plan_that_the_canary_uses_up_is_finished_however_it_ended() {
    let mut pace = Pace::new(terms());
    pace.published(3, secs(0));
    pace.exhausted();
    assert_eq!(pace.next(seen(1, 2, 2), secs(1)), Next::Look, "there is nothing to pause");
    assert_eq!(pace.next(seen(0, 3, 3), secs(2)), Next::Finish);
    let mut empty = Pace::new(terms());
    empty.exhausted();
    assert_eq!(empty.next(seen(0, 0, 0), secs(0)), Next::Finish);
}

#[test]
fn no_more_than_the_ramp_allows_is_published_and_after_a_halt_there_is_no_burst() {
    let mut pace = ramping(terms());
    let (mut sent, mut allowed) = (0, 0.0);
    for tick in 1..=400_u64 {
        let now = Duration::from_millis(tick * 50);
        allowed += ramp(now, 5, 100) * 0.05;
        if let Next::Publish(count) = pace.next(seen(0, sent, 0), now) {
            pace.published(count, now);
            sent += u64::from(count);
        }
        assert!(sent as f64 <= allowed, "{sent} after {now:?}, {allowed} allowed");
        assert!(sent as f64 > allowed - 101.0, "{sent} after {now:?}, {allowed} allowed");
    }
    let Next::Publish(count) = pace.next(seen(0, sent, 0), secs(3_600)) else { panic!("it goes on") };
    assert_eq!(count, 100, "a second's worth");
}

#[test]
fn what_is_on_its_way_is_never_more_than_ten_seconds_worth() {
    let mut pace = ramping(terms());
    assert_eq!(pace.next(seen(1_000, 1, 0), secs(60)), Next::Look);
    assert_eq!(pace.next(seen(993, 8, 0), secs(61)), Next::Publish(7));
    let mut slow = ramping(Terms { rate: 1, ..terms() });
    assert_eq!(slow.next(seen(19, 0, 0), secs(60)), Next::Publish(1));
}

#[test]
fn the_latest_endings_say_whether_too_many_fail() {
    let mut pace = ramping(terms());
    for second in 1..=100 {
        assert!(!matches!(pace.next(seen(50, second * 100, 0), secs(second)), Next::Pause(_)));
    }
    assert!(!matches!(pace.next(seen(50, 10_100, 10), secs(101)), Next::Pause(_)), "10 of 100");
    let next = pace.next(seen(50, 10_150, 25), secs(102));
    assert_eq!(next, Next::Pause(Why::Failing { dead: 25, of: 150 }), "ten thousand that went well excuse nothing");
}

#[test]
fn of_a_handful_of_endings_no_share_is_spoken_of() {
    let mut pace = ramping(terms());
    assert!(!matches!(pace.next(seen(5, 19, 19), secs(1)), Next::Pause(_)));
    assert_eq!(pace.next(seen(5, 20, 19), secs(2)), Next::Pause(Why::Failing { dead: 19, of: 20 }));
}

#[test]
fn silence_pauses_a_plan_that_may_publish_no_more_and_finishes_one_that_has_published_all() {
    let mut pace = ramping(terms());
    pace.published(100, secs(10));
    assert_eq!(pace.next(seen(1_000, 0, 0), secs(129)), Next::Look);
    assert_eq!(pace.next(seen(1_000, 0, 0), secs(130)), Next::Pause(Why::Silent { outstanding: 1_000, ended: 0 }));
    let mut pace = ramping(terms());
    pace.published(100, secs(10));
    pace.exhausted();
    assert_eq!(pace.next(seen(100, 0, 0), secs(129)), Next::Look);
    assert_eq!(pace.next(seen(1, 99, 0), secs(129)), Next::Look);
    assert_eq!(pace.next(seen(1, 99, 0), secs(249)), Next::Finish);
    assert_eq!(pace.next(seen(0, 100, 0), secs(249)), Next::Finish);
}
