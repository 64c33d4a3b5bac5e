//! Which messages of a channel are finished, and what is to be told of them.

use std::collections::VecDeque;

/// What is sent to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ack { tag: u64, multiple: bool },
    HandBack { tag: u64 },
}

/// Which tags are finished, and which of those the broker knows of. Tags count from 1, without a gap.
#[derive(Debug)]
pub(super) struct Frontier {
    /// The lowest unfinished tag.
    base: u64,
    /// `base` and the tags after it, up to the highest that was finished.
    tags: VecDeque<Tag>,
    /// How many of them are owed.
    owed: usize,
    /// How many are finished, whether the broker knows or not.
    finished: usize,
    /// An unfinished message is a straggler when another is finished that came so many after it.
    straggles_after: u64,
    /// Tags below have been looked at, and the stragglers among them are counted.
    looked_at: u64,
    stragglers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Unfinished,
    /// To be acknowledged; the broker does not know yet.
    Owed,
    /// The broker knows.
    Told,
}

impl Frontier {
    pub fn new(straggles_after: u64) -> Self {
        Self { base: 1, tags: VecDeque::new(), owed: 0, finished: 0, straggles_after, looked_at: 1, stragglers: 0 }
    }

    /// The message is done with. A second answer for a tag is no answer.
    pub fn ack(&mut self, tag: u64) {
        if let Some(state) = self.unfinished(tag) {
            *state = Tag::Owed;
            self.owed += 1;
            self.count_finished(tag);
        }
    }

    /// The message goes back, singly and at once.
    pub fn hand_back(&mut self, tag: u64) -> Option<Answer> {
        *self.unfinished(tag)? = Tag::Told;
        self.count_finished(tag);
        Some(Answer::HandBack { tag })
    }

    /// One ack for the whole finished prefix. It names the highest tag that is still unacknowledged: the broker
    /// closes the channel on an ack for a tag that it no longer holds.
    pub fn take_prefix(&mut self) -> Option<Answer> {
        let (mut highest, mut owed) = (None, 0);
        while let Some(state @ (Tag::Owed | Tag::Told)) = self.tags.front().copied() {
            if state == Tag::Owed {
                (highest, owed) = (Some(self.base), owed + 1);
            }
            self.tags.pop_front();
            self.base += 1;
            self.finished -= 1;
        }
        self.owed -= owed;
        highest.map(|tag| Answer::Ack { tag, multiple: owed > 1 })
    }

    /// Single acks for what is finished behind an unfinished message.
    pub fn take_islands(&mut self) -> Vec<Answer> {
        let base = self.base;
        self.owed = 0;
        let owed = self.tags.iter_mut().enumerate().filter(|(_, state)| **state == Tag::Owed);
        owed.map(|(offset, state)| {
            *state = Tag::Told;
            Answer::Ack { tag: base + offset as u64, multiple: false }
        })
        .collect()
    }

    /// Once the prefix has been taken, what is owed is islands.
    pub fn islands(&self) -> usize {
        self.owed
    }

    /// How many finished ones stand behind the unfinished, once the prefix has been taken.
    pub fn behind(&self) -> usize {
        self.finished
    }

    /// Of the messages before the last that is finished, how many are not.
    pub fn unfinished_before_the_last(&self) -> usize {
        self.tags.len() - self.finished
    }

    pub fn stragglers(&self) -> usize {
        self.stragglers
    }

    fn count_finished(&mut self, tag: u64) {
        self.finished += 1;
        if tag < self.looked_at {
            self.stragglers -= 1;
        }
        self.looked_at = self.looked_at.max(self.base);
        while self.looked_at + self.straggles_after < self.base + self.tags.len() as u64 {
            let state = self.tags[(self.looked_at - self.base) as usize];
            self.stragglers += usize::from(state == Tag::Unfinished);
            self.looked_at += 1;
        }
    }

    fn unfinished(&mut self, tag: u64) -> Option<&mut Tag> {
        let offset = usize::try_from(tag.checked_sub(self.base)?).ok()?;
        while self.tags.len() <= offset {
            self.tags.push_back(Tag::Unfinished);
        }
        self.tags.get_mut(offset).filter(|state| **state == Tag::Unfinished)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::rngs::SmallRng;
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// The broker's view of a channel: it closes it on an answer for a tag that it does not hold.
    #[derive(Default)]
    struct Broker {
        held: BTreeSet<u64>,
        acknowledged: BTreeSet<u64>,
        handed_back: BTreeSet<u64>,
    }

    impl Broker {
        fn holding(messages: u64) -> Self {
            Self { held: (1..=messages).collect(), ..Self::default() }
        }

        fn hear(&mut self, answer: Answer) {
            match answer {
                Answer::Ack { tag, multiple } => {
                    assert!(self.held.contains(&tag), "PRECONDITION_FAILED - unknown delivery tag {tag}");
                    let first = if multiple { 0 } else { tag };
                    let named: Vec<u64> = self.held.range(first..=tag).copied().collect();
                    self.held.retain(|tag| !named.contains(tag));
                    self.acknowledged.extend(named);
                }
                Answer::HandBack { tag } => {
                    assert!(self.held.remove(&tag), "PRECONDITION_FAILED - unknown delivery tag {tag}");
                    self.handed_back.insert(tag);
                }
            }
        }
    }

    /// One run over a random order of answers, told to the broker at random moments. The seed is all of it: drawing
    /// the steps through proptest takes a hundred times as long.
    fn run(seed: u64) {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut order: Vec<u64> = (1..=random.random_range(1..25)).collect();
        order.shuffle(&mut random);
        let (mut frontier, mut broker) = (Frontier::new(4), Broker::holding(order.len() as u64));
        let (mut acked, mut handed_back) = (BTreeSet::new(), BTreeSet::new());
        for tag in order {
            if random.random_ratio(1, 5) {
                frontier.hand_back(tag).into_iter().for_each(|answer| broker.hear(answer));
                handed_back.insert(tag);
            } else {
                frontier.ack(tag);
                acked.insert(tag);
            }
            if random.random_ratio(1, 10) {
                // The same message is answered once more, which does nothing.
                frontier.ack(tag);
                assert_eq!(frontier.hand_back(tag), None);
            }
            if random.random_ratio(1, 2) {
                frontier.take_prefix().into_iter().for_each(|answer| broker.hear(answer));
            }
            if random.random_ratio(1, 8) {
                frontier.take_islands().into_iter().for_each(|answer| broker.hear(answer));
                assert_eq!(frontier.islands(), 0);
            }
            assert!(broker.acknowledged.is_subset(&acked), "acknowledged unasked");
            let finished = |tag: &u64| acked.contains(tag) || handed_back.contains(tag);
            let last = acked.iter().chain(&handed_back).max().copied().unwrap_or_default();
            assert_eq!(frontier.unfinished_before_the_last(), (1..last).filter(|tag| !finished(tag)).count());
            let straggling = (1..).take_while(|tag| tag + 4 <= last).filter(|tag| !finished(tag)).count();
            assert_eq!(frontier.stragglers(), straggling);
        }
        frontier.take_prefix().into_iter().for_each(|answer| broker.hear(answer));
        assert_eq!((broker.acknowledged, broker.handed_back), (acked, handed_back));
        assert!(frontier.islands() == 0, "everything is finished, so the prefix is all");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn in_any_order_no_tag_is_answered_twice_and_none_unasked(seed: u64) {
            run(seed);
        }
    }

    #[test]
    fn what_stands_behind_an_unfinished_message_counts_though_the_broker_knows_of_it() {
        let mut frontier = Frontier::new(4);
        (2..=9).for_each(|tag| frontier.ack(tag));
        assert_eq!((frontier.take_prefix(), frontier.take_islands().len()), (None, 8));
        frontier.hand_back(10);
        assert_eq!((frontier.islands(), frontier.behind()), (0, 9));
        frontier.ack(1);
        assert_eq!(frontier.take_prefix(), Some(Answer::Ack { tag: 1, multiple: false }));
        assert_eq!(frontier.behind(), 0);
    }

    #[test]
    fn a_finished_prefix_is_one_ack() {
        let mut frontier = Frontier::new(4);
        [3, 1, 2, 5].into_iter().for_each(|tag| frontier.ack(tag));
        assert_eq!(frontier.take_prefix(), Some(Answer::Ack { tag: 3, multiple: true }));
        assert_eq!(frontier.take_prefix(), None);
        assert_eq!(frontier.take_islands(), [Answer::Ack { tag: 5, multiple: false }]);
        frontier.ack(4);
        // It stops at 4: the broker knows of 5 already, and closes the channel on an ack that names it.
        assert_eq!(frontier.take_prefix(), Some(Answer::Ack { tag: 4, multiple: false }));
    }
}
