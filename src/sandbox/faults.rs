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
