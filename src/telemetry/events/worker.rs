//! What the worker tells.

use std::time::Duration;

use crate::domain::allowance::{Daily, OnDailyLimit};
use crate::domain::envelope::Origin;
use crate::domain::health::{Cause, State};
use crate::domain::lead_key::LeadKey;
use crate::domain::order::{Kept, Order, Ordered};
use crate::domain::reply::{Code, Reply};
use crate::domain::route::DestinationName;
use crate::domain::verdict::{Reason, Verdict};
use crate::telemetry::Telemetry;
use crate::telemetry::board::LaneShown;

/// The label of what has no destination (yet).
const NONE: &str = "";

fn label(destination: Option<&DestinationName>) -> &str {
    destination.map_or(NONE, DestinationName::as_str)
}

/// What a pause asks of a person.
fn mend(cause: Cause) -> &'static str {
    match cause {
        Cause::Transient => "it fails again and again: look at it, and at its address",
        Cause::Throttled => "it asked for a pause: nothing is to be done, unless it asks again and again",
        Cause::Credentials => {
            "its credentials, permissions or configuration are wrong: mend them; `leadrelay destination test` tells \
             whether they work"
        }
        Cause::Rejecting => "it rejects lead after lead with one code: look whether its fields or rules have changed",
        Cause::DailyLimit => "it has had its leads for a day: nothing is to be done, or raise daily_limit",
    }
}

impl Telemetry {
    pub fn received(&self, origin: Origin) {
        self.metrics.count_received(origin.as_str());
    }

    /// `age`: from the event's time, where the message has come to its end.
    pub fn settled(&self, verdict: &Verdict, destination: Option<&DestinationName>, age: Option<Duration>) {
        self.metrics.count_settled(verdict.fate(), label(destination));
        if let Some(age) = age {
            self.metrics.lead_age.observe(age.as_secs_f64());
        }
        tracing::trace!(fate = verdict.fate(), destination = label(destination), "settled");
    }

    pub fn dead_lettered(
        &self,
        reason: &Reason,
        destination: Option<&DestinationName>,
        (lead, trace_id): (Option<LeadKey>, Option<&str>),
        attempts: u32,
    ) {
        self.metrics.dead_letters.with_label_values(&[reason.name(), label(destination)]).inc();
        let lead = lead.map(|lead| lead.to_string()).unwrap_or_default();
        let (reason, detail) = (reason.name(), reason.detail().unwrap_or_default());
        let trace_id = trace_id.unwrap_or_default();
        tracing::warn!(reason, detail, destination = label(destination), lead, trace_id, attempts, "dead-lettered");
    }

    pub fn queue_lag(&self, lag: Duration) {
        self.metrics.queue_lag.observe(lag.as_secs_f64());
    }

    pub fn unknown_vocabulary(&self, part: &'static str) {
        self.metrics.unknown_vocabulary.with_label_values(&[part]).inc();
    }

    pub fn unknown_members(&self, count: u32) {
        self.metrics.unknown_members.inc_by(count.into());
    }

    pub fn publish_failed(&self, queue: &str, why: &str) {
        tracing::warn!(queue, why, "could not publish, trying again");
    }

    pub fn sent(&self, destination: &DestinationName, leads: usize, took: Duration) {
        self.metrics.send_duration.with_label_values(&[destination.as_str()]).observe(took.as_secs_f64());
        self.metrics.batch_size.with_label_values(&[destination.as_str()]).observe(leads as f64);
    }

    pub fn replied(&self, destination: &DestinationName, reply: &Reply) {
        let class = reply.class().as_str();
        self.metrics.attempts.with_label_values(&[destination.as_str(), class]).inc();
        match reply.code() {
            Some(code) if self.refusals.note(destination, code) => {
                tracing::warn!(%destination, class, %code, "a lead was not accepted");
            }
            Some(code) => tracing::debug!(%destination, class, %code, "a lead was not accepted"),
            None => {}
        }
    }

    pub fn lane_state(&self, destination: &DestinationName, before: State, now: State) {
        match (before, now) {
            (State::Paused { .. }, State::Closed | State::HalfOpen { .. }) => {}
            (_, State::Closed) => tracing::info!(%destination, "the destination works again"),
            // What was ordered, and by whom, is told by the order.
            (_, State::Paused { .. }) => {}
            (State::HalfOpen { .. }, State::Open { .. }) => {
                tracing::debug!(%destination, state = now.label(), "the probe failed, still paused");
            }
            (_, State::Open { cause, .. }) => {
                let refused = self.refusals.last(destination).filter(|_| cause != Cause::DailyLimit);
                let code = refused.as_ref().map_or("", Code::as_str);
                tracing::warn!(%destination, state = now.label(), code, mend = mend(cause), "paused the destination");
            }
            (_, State::HalfOpen { .. }) => tracing::debug!(%destination, "probing the destination"),
        }
    }

    pub fn show_lane(&self, destination: &DestinationName, shown: LaneShown) {
        for state in State::LABELS {
            let on = i64::from(state == shown.state);
            self.metrics.lane_state.with_label_values(&[destination.as_str(), state]).set(on);
        }
        self.board.show_lane(destination, shown);
    }

    /// An order is told when it is obeyed; after a restart one that still holds the lane is obeyed again.
    pub fn order_obeyed(&self, Kept { number, order, .. }: &Kept, changed: bool) {
        let Order { destination, what, reason, by, at } = order;
        let (reason, at) = (reason.as_str(), at.to_string());
        match what {
            Ordered::Pause => {
                tracing::warn!(%destination, number, by, at, reason, "paused by order: its leads wait");
            }
            Ordered::Resume if changed => tracing::info!(%destination, number, by, at, reason, "resumed by order"),
            // The lane had nothing to resume from, as after a restart.
            Ordered::Resume => {}
            Ordered::AcceptRejections { code } => {
                let code = code.as_ref().map_or("", Code::as_str);
                tracing::warn!(
                    %destination, number, by, at, reason, code,
                    "rejections accepted by order: what is rejected of what waits is dead-lettered"
                );
            }
        }
    }

    pub fn acceptance_ended(&self, destination: &DestinationName) {
        tracing::info!(%destination, "nothing waits any more: rejections are no longer accepted unseen");
    }

    pub fn waiting(&self, destination: &DestinationName, depth: u64) {
        self.metrics.waiting.with_label_values(&[destination.as_str()]).set(depth.try_into().unwrap_or(i64::MAX));
    }

    pub fn posted_today(&self, destination: &DestinationName, used: u64, limit: u32) {
        let label = [destination.as_str()];
        self.metrics.daily_posts.with_label_values(&label).set(used.try_into().unwrap_or(i64::MAX));
        self.metrics.daily_limit.with_label_values(&label).set(limit.into());
    }

    pub fn day_is_full(&self, destination: &DestinationName, Daily { limit, on_limit }: Daily) {
        match on_limit {
            OnDailyLimit::Send => tracing::warn!(%destination, limit, "its day is full: what is sent now waits there"),
            OnDailyLimit::Wait => tracing::warn!(%destination, limit, "its day is full: leads wait here"),
        }
    }

    /// The one place where a person must act on a withdrawal.
    pub fn unmarked(&self, destination: &DestinationName, lead: LeadKey) {
        tracing::warn!(%destination, %lead, "consent was withdrawn, and the destination cannot mark the lead: do it there");
    }

    pub fn panicked(&self, doing: &'static str, lead: Option<LeadKey>) {
        let lead = lead.map(|lead| lead.to_string()).unwrap_or_default();
        tracing::error!(doing, lead, "a panic was contained: this is a defect of leadrelay");
    }

    pub fn ledger_down(&self, why: &str) {
        self.metrics.ledger_up.set(0);
        tracing::error!(why, "the ledger does not answer; nothing is acknowledged until it does");
    }

    pub fn ledger_unreadable(&self, why: &str) {
        tracing::error!(why, "the ledger cannot read what it holds of a lead; the lead is tried again later");
    }

    pub fn ledger_gone(&self, after: Duration) {
        tracing::error!(after_seconds = after.as_secs(), "the ledger stays away; everything is handed back");
    }

    pub fn ledger_up(&self) {
        self.metrics.ledger_up.set(1);
        tracing::info!("the ledger answers again");
    }

    pub fn intake_failed(&self, queue: &str, why: &str) {
        tracing::warn!(queue, why, "cannot consume, trying again");
    }

    pub fn intake_paused(&self, why: &'static str) {
        tracing::warn!(why, "intake paused");
    }

    pub fn intake_cautious(&self, delivery_count: u64) {
        tracing::warn!(delivery_count, "a message has come back often: taking one at a time");
    }

    pub fn handed_back_unmovable(&self, count: usize) {
        tracing::warn!(count, "the broker is blocked: handing back what cannot be published");
    }

    pub fn standing_by(&self, token: &str) {
        tracing::info!(token, "another worker owns the ledger: standing by");
    }

    pub fn superseded(&self) {
        tracing::warn!("another worker has taken the ledger over: standing by");
    }

    pub fn configuration_doubtful(&self, warning: &str) {
        tracing::warn!(warning, "the configuration that was read again");
    }

    pub fn reload_refused(&self, problems: &[String]) {
        self.metrics.config_reloads.with_label_values(&["refused"]).inc();
        for problem in problems {
            tracing::error!(problem, "the configuration that was read again cannot be used");
        }
        tracing::error!(problems = problems.len(), "not reloaded: going on with the old configuration");
    }

    pub fn reloading(&self, grace: Duration) {
        tracing::info!(grace_seconds = grace.as_secs(), "reloading: finishing what is in flight first");
    }

    pub fn reloaded(&self, destinations: usize) {
        self.metrics.config_reloads.with_label_values(&["done"]).inc();
        tracing::info!(destinations, "reloaded: going on with the new configuration");
    }

    /// What is shown of its lane is of the past; what waits for it is not.
    pub fn no_longer_configured(&self, destination: &DestinationName) {
        let name = destination.as_str();
        for state in State::LABELS {
            // Of series that there never were, nothing is to be removed.
            let _ = self.metrics.lane_state.remove_label_values(&[name, state]);
        }
        for gauge in [
            &self.metrics.daily_posts,
            &self.metrics.daily_limit,
            &self.metrics.api_calls_used,
            &self.metrics.api_calls_limit,
        ] {
            let _ = gauge.remove_label_values(&[name]);
        }
        tracing::info!(destination = name, "no longer configured: what waited for it is routed anew");
    }

    pub fn stopping(&self, grace: Duration) {
        tracing::info!(grace_seconds = grace.as_secs(), "stopping: taking no more, finishing what is in flight");
    }

    pub fn stopped(&self) {
        tracing::info!("stopped; everything is settled or handed back");
    }
}
