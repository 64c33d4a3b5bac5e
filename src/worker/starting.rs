//! Whether a lane may start one more round, or its next batch should grow first. A request costs as much as twenty leads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::pending::Turn;

/// While one round sends, another claims or records, so that the destination is not kept waiting for the ledger. How many
/// send at once is the destination's to say.
const ROUNDS_A_SEND: usize = 2;

/// With so many rounds under way in all lanes together for each processor, it is the processors that are waited for, and not
/// the destinations (with 8 in place of 32 on two processors, ten destinations take a tenth more leads a second, in batches
/// three times as large).
const ROUNDS_A_PROCESSOR: usize = 4;

/// A round that takes longer waits for its destination, and is none of them.
const COUNTED: Duration = Duration::from_millis(250);

/// Nor is it for want of rounds that anything waits where a lane holds so many batches that have not been sent.
const BACKLOG: usize = 10;

/// So long a batch grows then. A backlog keeps a lead here several times as long anyway.
pub const GROWING: Duration = Duration::from_millis(50);

/// What a lane knows before it starts a round.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Rounds under way in this lane.
    pub here: usize,
    /// In all lanes together there are many.
    pub many_everywhere: bool,
    /// How many may send at once.
    pub sends_max: usize,
    /// The lane holds so many leads that are not in a round.
    pub held: usize,
    pub batch_max: usize,
    /// The next batch is as large as a batch may be.
    pub full: bool,
    /// Since when the oldest lead has been here.
    pub oldest: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Now,
    /// Unless it is full before.
    In(Duration),
    /// When another round has ended.
    Later,
}

/// A group that fills a batch goes first, until one has waited too long for others.
pub fn turn(oldest: Duration) -> Turn {
    if oldest < GROWING { Turn::Full } else { Turn::Oldest }
}

pub fn may_start(standing: Standing) -> Start {
    let Standing { here, many_everywhere, sends_max, held, batch_max, full, oldest } = standing;
    let growing = GROWING.saturating_sub(oldest);
    let busy = many_everywhere || held >= BACKLOG * batch_max;
    match () {
        () if here >= ROUNDS_A_SEND * sends_max => Start::Later,
        () if full => Start::Now,
        // A batch that has to wait for its turn may as well grow while it waits.
        () if here >= sends_max => Start::Later,
        () if busy && !growing.is_zero() => Start::In(growing),
        () => Start::Now,
    }
}

/// How many rounds are under way in all lanes, but for those that wait for their destination.
#[derive(Debug)]
pub struct Rounds {
    count: Arc<AtomicUsize>,
    many: usize,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Round(Arc<AtomicUsize>);

impl Rounds {
    /// None yet, on a machine of so many processors.
    pub fn none(processors: usize) -> Self {
        Self { count: Arc::default(), many: ROUNDS_A_PROCESSOR * processors }
    }

    pub fn are_many(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= self.many
    }

    pub fn begin(&self) -> Round {
        self.count.fetch_add(1, Ordering::Relaxed);
        Round(Arc::clone(&self.count))
    }
}

impl Round {
    /// Is one of them during this, or for the first part of it.
    pub async fn during<T>(self, round: impl Future<Output = T>) -> T {
        tokio::pin!(round);
        let quick = timeout(COUNTED, &mut round).await;
        drop(self);
        match quick {
            Ok(end) => end,
            Err(_) => round.await,
        }
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Standing = Standing {
        here: 0,
        many_everywhere: false,
        sends_max: 4,
        held: 1,
        batch_max: 100,
        full: false,
        oldest: Duration::ZERO,
    };

    #[test]
    fn an_idle_worker_sends_a_lead_at_once() {
        assert_eq!(may_start(IDLE), Start::Now);
        assert_eq!(may_start(Standing { here: 3, ..IDLE }), Start::Now);
    }

    #[test]
    fn where_many_rounds_are_under_way_a_batch_grows_until_it_is_full_or_has_waited_long_enough() {
        let busy = Standing { many_everywhere: true, ..IDLE };
        let waited = |millis| Duration::from_millis(millis);
        assert_eq!(may_start(busy), Start::In(GROWING));
        assert_eq!(may_start(Standing { oldest: waited(20), ..busy }), Start::In(GROWING - waited(20)));
        assert_eq!(may_start(Standing { oldest: GROWING, ..busy }), Start::Now);
        assert_eq!(may_start(Standing { full: true, ..busy }), Start::Now);
    }

    #[test]
    fn a_backlog_goes_by_full_batches_until_one_lead_has_waited_long_enough() {
        let backlog = Standing { held: BACKLOG * 100, ..IDLE };
        assert_eq!(may_start(backlog), Start::In(GROWING));
        assert_eq!(may_start(Standing { full: true, ..backlog }), Start::Now);
        assert_eq!(may_start(Standing { oldest: GROWING, ..backlog }), Start::Now);
        assert_eq!((turn(Duration::ZERO), turn(GROWING)), (Turn::Full, Turn::Oldest));
    }

    #[test]
    fn what_could_not_be_sent_yet_waits_unless_it_is_full() {
        let all_send = Standing { here: 4, oldest: GROWING, ..IDLE };
        assert_eq!(may_start(all_send), Start::Later);
        assert_eq!(may_start(Standing { full: true, ..all_send }), Start::Now);
        assert_eq!(may_start(Standing { full: true, here: 8, ..all_send }), Start::Later);
    }

    #[test]
    fn four_rounds_a_processor_are_many_until_one_of_them_is_dropped() {
        let rounds = Rounds::none(2);
        let mut under_way: Vec<Round> = (0..7).map(|_| rounds.begin()).collect();
        assert!(!rounds.are_many());
        under_way.push(rounds.begin());
        assert!(rounds.are_many());
        under_way.pop();
        assert!(!rounds.are_many());
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_waits_for_its_destination_is_not_one_of_many() {
        let rounds = Rounds::none(1);
        let hanging: Vec<_> = (0..4).map(|_| rounds.begin().during(std::future::pending::<()>())).collect();
        assert!(rounds.are_many());
        let hanging = futures_util::future::join_all(hanging);
        assert!(timeout(COUNTED * 2, hanging).await.is_err(), "they go on");
        assert!(!rounds.are_many());
    }
}
