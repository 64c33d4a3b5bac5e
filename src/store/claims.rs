//! The live claims, in the owner's memory.
//!
//! Enough where the destination recognises a repeat: an owner that dies takes its claims with it, and the next one
//! at worst sends again what the destination already holds.

use std::collections::HashMap;

use tokio::time::Instant;

use super::ledger::{Claim, LEASE};
use crate::domain::lead_key::LeadKey;
use crate::domain::repeat::Record;
use crate::domain::route::DestinationName;

/// What a claim is of.
pub(in crate::store) type Subject = (LeadKey, DestinationName);

#[derive(Debug, Default)]
pub(in crate::store) struct Claims {
    held: HashMap<Subject, Held>,
    issued: u64,
    /// Claims up to this one vouch no more.
    doubted: u64,
    sweep_at: usize,
}

#[derive(Debug)]
struct Held {
    token: u64,
    expires_at: Instant,
    /// Nobody has recorded this lead under another claim.
    vouches: bool,
}

/// Below this many, lapsed claims that nobody released are not worth looking for.
const SWEEP_FROM: usize = 10_000;

impl Claims {
    /// `None`: somebody else has a live claim.
    pub fn grant(&mut self, subject: Subject, record: Option<Record>, epoch: u64, now: Instant) -> Option<Claim> {
        if self.held.get(&subject).is_some_and(|held| now < held.expires_at) {
            return None;
        }
        self.sweep(now);
        self.issued += 1;
        self.held.insert(subject.clone(), Held { token: self.issued, expires_at: now + LEASE, vouches: true });
        Some(Claim::new(subject, record, (self.issued, epoch), now))
    }

    /// `None`: lapsed or forgotten, and perhaps another's by now.
    pub fn renew(&mut self, claim: Claim, now: Instant) -> Option<Claim> {
        let held = self.held.get_mut(&subject(&claim))?;
        if held.token != claim.token() || now >= held.expires_at {
            return None;
        }
        held.expires_at = now + LEASE;
        Some(claim.renewed(now))
    }

    /// Ends this claim, and no other of the same lead.
    pub fn end(&mut self, claim: &Claim) {
        let subject = subject(claim);
        if self.held.get(&subject).is_some_and(|held| held.token == claim.token()) {
            self.held.remove(&subject);
        }
    }

    /// Whether the lead stands in the ledger as it did when it was claimed. Asked once for each claim that is recorded, in
    /// order: only who has a claim records, so what stands is known unless it was under another claim of the same lead,
    /// which had lapsed. Then this is not the claim that is held, or that one vouches no more.
    pub fn vouches(&mut self, claim: &Claim) -> bool {
        let Some(held) = self.held.get_mut(&subject(claim)) else { return false };
        held.vouches &= held.token == claim.token();
        held.vouches && held.token > self.doubted
    }

    /// A commit failed, and may have been made all the same: no claim of before tells any more what stands.
    pub fn doubt_all(&mut self) {
        self.doubted = self.issued;
    }

    pub fn forget_all(&mut self) {
        self.held.clear();
    }

    /// Claims that were dropped unreleased lapse; this is where they leave memory, at a cost that spreads.
    fn sweep(&mut self, now: Instant) {
        if self.held.len() >= self.sweep_at.max(SWEEP_FROM) {
            self.held.retain(|_, held| now < held.expires_at);
            self.sweep_at = self.held.len() * 2;
        }
    }
}

fn subject(claim: &Claim) -> Subject {
    (claim.key(), claim.destination().clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::ledger::VERIFIED_FOR;

    #[tokio::test(start_paused = true)]
    async fn a_claim_covers_no_send_that_could_outlast_its_lease_and_none_long_after_it_was_verified() {
        let now = Instant::now();
        let destination = DestinationName::parse("contoso").expect("a legal name");
        let claim = Claims::default().grant((LeadKey::from_bytes([0; 16]), destination), None, 1, now);
        let claim = claim.expect("nobody else has it");
        let (moment, brief) = (Duration::from_millis(1), Duration::from_secs(15));
        let covers = |timeout, after| claim.covers(timeout, now + after);
        assert!(covers(LEASE - moment, Duration::ZERO) && !covers(LEASE, Duration::ZERO));
        assert!(covers(brief, VERIFIED_FOR - moment) && !covers(brief, VERIFIED_FOR));
    }
}
