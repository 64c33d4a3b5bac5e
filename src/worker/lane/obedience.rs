//! How a lane obeys its operators.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::Lane;
use crate::domain::order::{Kept, Ordered};
use crate::domain::reply::{Code, Reply};
use crate::domain::verdict;

impl Lane {
    /// The latest order, if it is news. An earlier one that nobody has seen is overtaken by it.
    pub(super) fn obey(&mut self) {
        let latest = self.orders.borrow_and_update().get(&self.sender.name).cloned();
        let Some(kept) = latest.filter(|kept| kept.number > self.obeyed && !kept.done) else { return };
        self.obeyed = kept.number;
        let before = self.health.state();
        match &kept.order.what {
            Ordered::Pause => self.health.pause(Instant::now().into_std()),
            Ordered::Resume => self.health.resume(),
            Ordered::AcceptRejections { code } => {
                self.health.accept_rejections(code.clone().or_else(|| self.code_of_suspects()));
                // From now on we wait for a look at what waits.
                self.waiting.mark_unchanged();
            }
        }
        self.sender.accepting.store(self.health.is_accepting(), Ordering::Relaxed);
        let state = self.health.state();
        self.shop().telemetry.order_obeyed(&kept, state != before);
        if state != before {
            self.change_state(before, state);
        }
        self.release_by_order(&kept);
        self.show();
    }

    fn code_of_suspects(&self) -> Option<Code> {
        self.suspects.first().and_then(|suspect| suspect.found.reply()).and_then(Reply::code).cloned()
    }

    /// Leads that are held because it was too early to tell whose fault their rejection is: now it is told.
    fn release_by_order(&mut self, kept: &Kept) {
        let suspect = self.suspects.first();
        let accepted = suspect.is_some_and(|suspect| suspect.found.is_accepted_by(&self.health));
        match kept.order.what {
            Ordered::Pause => self.release_suspects(verdict::Lane::Paused, None),
            Ordered::AcceptRejections { .. } if accepted => self.release_suspects(verdict::Lane::Closed, None),
            Ordered::AcceptRejections { .. } | Ordered::Resume => {}
        }
    }

    /// An acceptance is of what was held and what waited: nothing waits any more, and nothing is in hand.
    pub(super) fn end_acceptance_if_drained(&mut self) {
        let drained = !self.others_wait() && self.is_idle() && self.arrivals.is_empty() && self.suspects.is_empty();
        if self.health.is_accepting() && drained {
            self.health.end_acceptance();
            self.sender.accepting.store(false, Ordering::Relaxed);
            self.shop().orders.end(self.obeyed);
            self.shop().telemetry.acceptance_ended(&self.sender.name);
            self.show();
        }
    }
}
