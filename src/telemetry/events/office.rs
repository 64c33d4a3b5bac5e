//! What the dead-letter office tells.

use std::collections::BTreeMap;
use std::fmt::Display;

use prometheus::core::Collector;

use crate::telemetry::Telemetry;

impl Telemetry {
    pub fn letters_taken_in(&self, new: usize, same: usize, reopened: usize) {
        for (result, count) in [("new", new), ("same", same), ("reopened", reopened)] {
            self.metrics.office_taken_in.with_label_values(&[result]).inc_by(count as u64);
        }
        tracing::debug!(new, same, reopened, "the office took letters in");
    }

    /// By reason and destination; what is not among them is no more.
    pub fn letters_counted(&self, counts: &BTreeMap<(String, String), u64>) {
        let gauge = &self.metrics.office_letters;
        for ((reason, destination), count) in counts {
            gauge.with_label_values(&[reason, destination]).set((*count).try_into().unwrap_or(i64::MAX));
        }
        for metric in gauge.collect().iter().flat_map(|family| family.get_metric()) {
            let label =
                |name| metric.get_label().iter().find(|pair| pair.name() == name).map(|pair| pair.value().to_owned());
            if let (Some(reason), Some(destination)) = (label("reason"), label("destination"))
                && !counts.contains_key(&(reason.clone(), destination.clone()))
            {
                gauge.with_label_values(&[&reason, &destination]).set(0);
            }
        }
    }

    pub fn letters_purged(&self, count: u64) {
        tracing::info!(count, "the office removed letters that had been settled long ago");
    }

    pub fn office_up(&self) {
        if self.metrics.office_up.get() == 0 {
            tracing::info!("the office takes letters in");
        }
        self.metrics.office_up.set(1);
    }

    pub fn office_down(&self, why: &impl Display) {
        self.metrics.office_up.set(0);
        tracing::error!(%why, "the office takes no letters in; they stay in the dead queue, and everything else goes on");
    }

    /// Of the latest plans of replay.
    pub fn plans_counted(&self, running: usize, paused: usize) {
        for (state, count) in [("running", running), ("paused", paused)] {
            self.metrics.office_plans.with_label_values(&[state]).set(count.try_into().unwrap_or(i64::MAX));
        }
    }

    /// A plan was begun, paused, resumed or ended since the last look.
    pub fn plan_changed(&self, plan: u64, state: &str, paused_why: Option<&str>, ended: u64, dead: u64) {
        match paused_why {
            Some(why) => tracing::warn!(plan, ended, dead, why, "a plan of replay is paused"),
            None => tracing::info!(plan, ended, dead, "a plan of replay is {state}"),
        }
    }

    pub fn replay_ended(&self, ending: &str) {
        self.metrics.replays_ended.with_label_values(&[ending]).inc();
    }

    pub fn endings_unrecorded(&self, count: usize, why: &impl Display) {
        self.metrics.office_endings_lost.inc_by(count as u64);
        tracing::warn!(count, %why, "the office was not told how replayed letters ended");
    }
}
