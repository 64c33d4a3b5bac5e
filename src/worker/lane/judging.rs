//! The verdict on each lead, at once or when a suspect is let go.

use std::time::Duration;

use tokio::time::Instant;

use super::Lane;
use crate::broker::settle::Settlement;
use crate::domain::dead_letter::Attempt;
use crate::domain::health::Health;
use crate::domain::reply::Reply;
use crate::domain::verdict::{self, Finding, decide};
use crate::worker::Item;
use crate::worker::round::Found;

/// A rejected lead that is held for a sign of whose fault it is.
pub(super) struct Suspect {
    pub found: Found,
    pub since: Instant,
}

impl Lane {
    pub(super) fn judge(&self, found: Found, lane: verdict::Lane) -> Settlement {
        let Found { mut item, finding, companion } = found;
        let now = self.shop().clock.now();
        let age = item.envelope.age(now);
        if let Finding::Replied(reply) = &finding {
            item.envelope.tried.extend(Attempt::of(reply, now));
        }
        let verdict = decide(&finding, item.envelope.attempt, age, lane, self.shop().settings.limits);
        item.settle(verdict, companion.into_iter().map(|companion| *companion).collect())
    }

    pub(super) fn settle_all(&self, items: Vec<Item>, finding: &Finding) {
        let found = |item| Found { item, finding: finding.clone(), companion: None };
        let settlements = items.into_iter().map(|item| self.judge(found(item), verdict::Lane::Paused)).collect();
        self.shop().settle(settlements);
    }

    pub(super) fn release_suspects(&mut self, lane: verdict::Lane, instead: Option<&Finding>) {
        let suspects = std::mem::take(&mut self.suspects);
        self.release(suspects, lane, instead);
    }

    pub(super) fn release(&self, suspects: Vec<Suspect>, lane: verdict::Lane, instead: Option<&Finding>) {
        let settlements = suspects.into_iter().map(|Suspect { mut found, .. }| {
            if let Some(finding) = instead {
                found.finding = finding.clone();
            }
            self.judge(found, lane)
        });
        let settlements = settlements.collect();
        self.shop().settle(settlements);
    }
}

impl Found {
    pub(super) fn reply(&self) -> Option<&Reply> {
        match &self.finding {
            Finding::Replied(reply) => Some(reply),
            _ => None,
        }
    }

    pub(super) fn frees_in(&self) -> Option<Duration> {
        match self.finding {
            Finding::DayIsFull { frees_in } => Some(frees_in),
            _ => None,
        }
    }

    pub(super) fn is_rejected(&self) -> bool {
        matches!(self.reply(), Some(Reply::Rejected(_)))
    }

    pub(super) fn is_accepted_by(&self, health: &Health) -> bool {
        self.reply().is_some_and(|reply| health.accepts(reply))
    }
}
