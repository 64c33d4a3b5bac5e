//! What goes wrong on purpose: which requests are hit, how often, and how. Seeded, so that a run can be repeated.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Which requests a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Any,
    WebToLead,
    Token,
    /// `/composite/…`.
    Collections,
    /// All else below `/services/data`.
    Rest,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub on: Kind,
    pub what: What,
    pub when: When,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Answers so, instead of doing what was asked; or after having done it.
    Status { status: u16, body: Option<String>, code: Option<String>, headers: BTreeMap<String, String>, done: bool },
    /// Waits before all else.
    Slow(Duration),
    /// Closes the connection without having done anything.
    DropBefore,
    /// Does what was asked, and closes the connection without an answer.
    DropAfter,
    /// Does what was asked, sends half of the answer, and closes the connection.
    HalfBody,
    /// Records fail with `UNABLE_TO_LOCK_ROW`: those with these external ids, or each by chance.
    Lock { keys: Vec<String> },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    Always,
    /// For so many requests (of a lock: records).
    Next(u64),
    /// For this share of them, by chance.
    Share(f64),
}

impl Fault {
    pub fn new(on: Kind, what: What) -> Self {
        Self { on, what, when: When::Always }
    }

    /// Answers with this status, and nothing is done.
    pub fn status(on: Kind, status: u16) -> Self {
        Self::new(on, What::Status { status, body: None, code: None, headers: BTreeMap::new(), done: false })
    }

    pub fn lock(keys: &[&str]) -> Self {
        Self::new(Kind::Any, What::Lock { keys: keys.iter().map(|key| (*key).to_owned()).collect() })
    }

    pub fn next(self, requests: u64) -> Self {
        Self { when: When::Next(requests), ..self }
    }

    pub fn share(self, share: f64) -> Self {
        Self { when: When::Share(share), ..self }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let What::Status { headers, .. } = &mut self.what {
            headers.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    pub fn body(mut self, text: &str) -> Self {
        if let What::Status { body, .. } = &mut self.what {
            *body = Some(text.to_owned());
        }
        self
    }

    /// Answers with Salesforce's JSON for this error code.
    pub fn code(mut self, text: &str) -> Self {
        if let What::Status { code, .. } = &mut self.what {
            *code = Some(text.to_owned());
        }
        self
    }

    /// Answers so after what was asked has been done.
    pub fn after(mut self) -> Self {
        if let What::Status { done, .. } = &mut self.what {
            *done = true;
        }
        self
    }
}

#[derive(Debug)]
pub struct Faults {
    set: Vec<Fault>,
    dice: SmallRng,
    /// Requests and records that were hit.
    pub hits: u64,
}

/// What is done to one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hit {
    pub slow: Duration,
    pub what: Option<What>,
}

impl Faults {
    pub fn new(seed: u64, set: Vec<Fault>) -> Self {
        Self { set, dice: SmallRng::seed_from_u64(seed), hits: 0 }
    }

    pub fn all(&self) -> &[Fault] {
        &self.set
    }

    pub fn add(&mut self, fault: Fault) {
        self.set.push(fault);
    }

    pub fn clear(&mut self) {
        self.set.clear();
    }

    /// The faults for a request: all that make it slow, and the first of the others.
    pub fn strike(&mut self, kind: Kind) -> Hit {
        let mut hit = Hit::default();
        for fault in &mut self.set {
            let meant = fault.on == Kind::Any || fault.on == kind;
            match &fault.what {
                _ if !meant => {}
                What::Lock { .. } => {}
                What::Slow(delay) => {
                    let delay = *delay;
                    if falls(&mut fault.when, &mut self.dice) {
                        hit.slow += delay;
                    }
                }
                what if hit.what.is_none() => {
                    let what = what.clone();
                    hit.what = falls(&mut fault.when, &mut self.dice).then_some(what);
                }
                What::Status { .. } | What::DropBefore | What::DropAfter | What::HalfBody => {}
            }
        }
        self.hits += u64::from(hit != Hit::default());
        self.forget_spent();
        hit
    }

    /// Whether the record with this external id cannot be locked.
    pub fn lock(&mut self, kind: Kind, key: &str) -> bool {
        let mut locked = false;
        for fault in &mut self.set {
            let What::Lock { keys } = &fault.what else { continue };
            let meant = fault.on == Kind::Any || fault.on == kind;
            let chosen = keys.is_empty() || keys.iter().any(|chosen| chosen == key);
            locked = locked || (meant && chosen && falls(&mut fault.when, &mut self.dice));
        }
        self.hits += u64::from(locked);
        self.forget_spent();
        locked
    }

    fn forget_spent(&mut self) {
        self.set.retain(|fault| fault.when != When::Next(0));
    }
}

fn falls(when: &mut When, dice: &mut SmallRng) -> bool {
    match when {
        When::Always => true,
        When::Next(left) => {
            let falls = *left > 0;
            *left = left.saturating_sub(1);
            falls
        }
        When::Share(share) => dice.random_bool(share.clamp(0.0, 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(fault: Fault, seed: u64, requests: usize) -> Vec<bool> {
        let mut faults = Faults::new(seed, vec![fault]);
        (0..requests).map(|_| faults.strike(Kind::Rest) != Hit::default()).collect()
    }

    #[test]
    fn a_fault_strikes_the_requests_that_it_is_for_as_often_as_it_says() {
        assert_eq!(strikes(Fault::status(Kind::Rest, 500), 1, 3), [true; 3]);
        assert_eq!(strikes(Fault::status(Kind::Any, 500).next(2), 1, 4), [true, true, false, false]);
        assert_eq!(strikes(Fault::status(Kind::Token, 500), 1, 3), [false; 3]);
        assert_eq!(strikes(Fault::status(Kind::Rest, 500).share(0.0), 1, 9), [false; 9]);
        assert_eq!(strikes(Fault::status(Kind::Rest, 500).share(1.0), 1, 9), [true; 9]);
    }

    #[test]
    fn a_share_is_the_same_for_the_same_seed_and_another_for_another() {
        let fault = Fault::new(Kind::Any, What::DropAfter).share(0.3);
        let struck = strikes(fault.clone(), 7, 1_000);
        assert_eq!(struck, strikes(fault.clone(), 7, 1_000));
        assert_ne!(struck, strikes(fault, 8, 1_000));
        let count = struck.iter().filter(|struck| **struck).count();
        assert!((250..350).contains(&count), "{count}");
    }

    #[test]
    fn delays_add_up_and_the_first_other_fault_is_the_one_that_strikes() {
        let slow = |ms| Fault::new(Kind::Any, What::Slow(Duration::from_millis(ms)));
        let set = vec![slow(1), Fault::status(Kind::Any, 500).next(1), slow(2), Fault::status(Kind::Any, 503)];
        let mut faults = Faults::new(1, set);
        let status = |hit: Hit| match hit.what {
            Some(What::Status { status, .. }) => (hit.slow.as_millis(), status),
            other => panic!("{other:?}"),
        };
        assert_eq!(status(faults.strike(Kind::Rest)), (3, 500));
        assert_eq!(status(faults.strike(Kind::Rest)), (3, 503));
        assert_eq!(faults.all().len(), 3, "a spent one is gone");
        assert_eq!(faults.hits, 2);
    }

    #[test]
    fn records_are_locked_by_their_keys_or_by_chance() {
        let mut faults = Faults::new(1, vec![Fault::lock(&["abc"]).next(2)]);
        assert_eq!(
            ["abc", "def", "abc", "abc"].map(|key| faults.lock(Kind::Collections, key)),
            [true, false, true, false]
        );
        let mut faults = Faults::new(1, vec![Fault::lock(&[])]);
        assert!(faults.lock(Kind::Collections, "anything"));
        assert_eq!(faults.strike(Kind::Collections), Hit::default(), "the call itself goes on");
    }
}
