//! When what is finished behind an unfinished message is acknowledged one by one, and when a fresh channel goes on better.

use std::time::Duration;

use tokio::time::Instant;

use super::frontier::Frontier;

/// How long finished messages behind an unfinished one wait to be acknowledged together with it; while the oldest are being
/// finished, one after the other, it begins anew. A single ack costs the broker as much as a message, and as much again for
/// every hundred and fifty unanswered ones before it, which it walks past (measured: 11 µs, 36 with 400 of them, 83 with a
/// thousand).
const ISLAND_PATIENCE: Duration = Duration::from_millis(250);

/// They wait no longer than this however the oldest go: a crash gives back what the broker was not told of.
const ISLAND_AGE_MAX: Duration = Duration::from_secs(2);

/// And so long on a channel that was left for a fresh one because of many stragglers: longer than a request may usually take,
/// after which the stragglers are finished, too.
const LEFT_AGE_MAX: Duration = Duration::from_secs(30);

/// When they take so many of eight parts of the prefetch it must not run dry behind a straggler: few stragglers are walked past
/// at once, and for many a fresh channel is wanted. Half of it is what a drain of twenty partitions, a hundred leads a
/// batch, has finished before its oldest message.
const ISLANDS_MAX: usize = 5;

/// How long a fresh channel is waited for.
const FRESH_PATIENCE: Duration = Duration::from_millis(100);

/// One of so many parts of the prefetch is many stragglers: walked past, they cost half a single ack.
const STRAGGLERS: usize = 64;

/// What a channel can bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// A fresh channel has taken over, and many stragglers would be walked past.
    Patient,
    Usual,
    /// It runs dry, but a fresh one may take its place first.
    Soon,
    Now,
}

/// Of a channel with a certain prefetch: how many are many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    islands: usize,
    stragglers: usize,
}

impl Bounds {
    pub fn of(prefetch: u16) -> Self {
        let prefetch = usize::from(prefetch);
        Self { islands: (prefetch * ISLANDS_MAX).div_ceil(8), stragglers: prefetch.div_ceil(STRAGGLERS) }
    }

    /// So much stands behind so many stragglers that a fresh channel would serve better.
    pub fn is_held_up(self, frontier: &Frontier) -> bool {
        // Of few stragglers the more must stand behind them: so one costs a fresh channel now and then, and what is kept of
        // this one has a bound.
        let (behind, stragglers) = (frontier.behind(), frontier.stragglers());
        behind >= self.islands && behind.saturating_mul(stragglers) >= self.islands * self.stragglers
    }

    /// `taken_over` by a fresh channel; or nobody has taken over although that was waited for, `in_vain`.
    pub fn haste(self, frontier: &Frontier, taken_over: bool, in_vain: bool) -> Haste {
        match () {
            () if taken_over && frontier.unfinished_before_the_last() >= self.stragglers => Haste::Patient,
            () if taken_over || frontier.islands() < self.islands => Haste::Usual,
            () if frontier.stragglers() >= self.stragglers && !in_vain => Haste::Soon,
            () => Haste::Now,
        }
    }
}

/// When islands are to be acknowledged one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub at: Instant,
    /// There have been some since.
    since: Instant,
}

/// Usually after the patience, which begins when there are some, and anew whenever the oldest unfinished message is finished.
pub(super) fn due_after(islands: usize, moved: bool, haste: Haste, due: Option<Due>, now: Instant) -> Option<Due> {
    let due = due.unwrap_or(Due { at: now + ISLAND_PATIENCE, since: now });
    let usual = (now + ISLAND_PATIENCE).min(if moved { due.since + ISLAND_AGE_MAX } else { due.at });
    let at = match haste {
        Haste::Patient => due.since + LEFT_AGE_MAX,
        Haste::Usual => usual,
        Haste::Soon => due.at.min(now + FRESH_PATIENCE),
        Haste::Now => now,
    };
    (islands > 0).then_some(Due { at, ..due })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(due: Option<Due>) -> Option<Instant> {
        due.map(|due| due.at)
    }

    #[test]
    fn islands_wait_for_the_oldest_as_long_as_it_is_being_finished_but_not_for_ever() {
        let now = Instant::now();
        let later = now + ISLAND_PATIENCE / 2;
        let due = due_after(1, false, Haste::Usual, None, now);
        assert_eq!(at(due), Some(now + ISLAND_PATIENCE));
        assert_eq!(due_after(5, false, Haste::Usual, due, later), due, "stuck, it is due when it was");
        assert_eq!(at(due_after(5, true, Haste::Usual, due, later)), Some(later + ISLAND_PATIENCE));
        assert_eq!(due_after(0, true, Haste::Usual, due, later), None);
        let mut creeping = due;
        for step in 1..=79 {
            creeping = due_after(5, true, Haste::Usual, creeping, now + step * ISLAND_PATIENCE / 10);
            assert!(at(creeping).is_some_and(|at| at <= now + ISLAND_AGE_MAX), "after {step} tenths of the patience");
        }
        assert_eq!(at(creeping), Some(now + ISLAND_AGE_MAX));
    }

    /// What stands behind tags that are a multiple of `every`, of the first so many tags.
    fn behind_each(every: u64, tags: u64) -> Frontier {
        let mut frontier = Frontier::new(200);
        (1..=tags).filter(|tag| tag % every != 0 && *tag > 1).for_each(|tag| frontier.ack(tag));
        assert_eq!(frontier.take_prefix(), None);
        frontier
    }

    #[test]
    fn few_stragglers_are_walked_past_and_for_many_the_channel_is_left_and_waits() {
        let bounds = Bounds::of(400);
        let few = |taken_over| bounds.haste(&behind_each(150, 400), taken_over, false);
        let many = |taken_over, in_vain| bounds.haste(&behind_each(10, 400), taken_over, in_vain);
        assert_eq!((few(false), many(false, false), many(false, true)), (Haste::Now, Haste::Soon, Haste::Now));
        assert_eq!((few(true), many(true, false)), (Haste::Usual, Haste::Patient));
        assert_eq!(bounds.haste(&behind_each(10, 250), false, false), Haste::Usual, "it does not run dry yet");
    }

    #[test]
    fn many_stragglers_hold_a_channel_up_and_one_does_when_much_more_stands_behind_it() {
        let held_up = |every, tags| Bounds::of(400).is_held_up(&behind_each(every, tags));
        assert_eq!((held_up(10, 250), held_up(10, 400)), (false, true));
        assert_eq!((held_up(5_000, 400), held_up(5_000, 1_700), held_up(5_000, 1_800)), (false, false, true));
    }

    #[test]
    fn a_channel_that_runs_dry_waits_a_moment_for_a_fresh_one_or_not_at_all() {
        let now = Instant::now();
        let later = now + FRESH_PATIENCE / 2;
        let due = due_after(5, false, Haste::Soon, None, now);
        assert_eq!(at(due), Some(now + FRESH_PATIENCE));
        for moved in [false, true] {
            assert_eq!(due_after(5, moved, Haste::Soon, due, later), due, "the moment is not begun anew");
        }
        assert_eq!(at(due_after(5, true, Haste::Now, due, later)), Some(later));
    }

    #[test]
    fn on_a_channel_that_was_left_islands_wait_for_many_stragglers_until_these_are_few() {
        let now = Instant::now();
        let later = now + 5 * ISLAND_PATIENCE;
        let due = due_after(5, false, Haste::Usual, None, now);
        let left = due_after(5, true, Haste::Patient, due, later);
        assert_eq!(at(left), Some(now + LEFT_AGE_MAX));
        assert_eq!(due_after(5, false, Haste::Patient, left, now + LEFT_AGE_MAX), left, "due at last");
        assert_eq!(at(due_after(5, false, Haste::Usual, left, later)), Some(later + ISLAND_PATIENCE));
    }
}
