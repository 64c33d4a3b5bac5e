//! What the broker's adapters tell.

use crate::telemetry::Telemetry;

impl Telemetry {
    pub fn fates_told(&self, count: usize) {
        self.metrics.fates_told.inc_by(count as u64);
    }

    /// Not at a higher level: while the broker is away, this is one line a message.
    pub fn fates_dropped(&self, count: usize) {
        self.metrics.fates_dropped.inc_by(count as u64);
        tracing::debug!(count, "could not tell fates");
    }

    /// `which`: `consuming` or `publishing`.
    pub fn broker_connected(&self, which: &'static str) {
        self.metrics.broker_connected.with_label_values(&[which]).set(1);
        tracing::info!(connection = which, "connected to the broker");
    }

    pub fn broker_disconnected(&self, which: &'static str, why: &str) {
        self.metrics.broker_connected.with_label_values(&[which]).set(0);
        tracing::warn!(connection = which, why, "lost the broker, connecting again");
    }

    pub fn broker_unreachable(&self, which: &'static str, why: &str) {
        self.metrics.broker_connected.with_label_values(&[which]).set(0);
        tracing::warn!(connection = which, why, "failed to connect to the broker, trying again");
    }

    pub fn publishing_blocked(&self) {
        self.metrics.publisher_blocked.set(1);
        tracing::warn!("the broker has raised an alarm (memory or disk) and takes no publishes");
    }

    pub fn publishing_unblocked(&self) {
        self.metrics.publisher_blocked.set(0);
        tracing::info!("the broker takes publishes again");
    }

    pub fn window_abandoned(&self, messages: usize, why: &str) {
        tracing::warn!(messages, why, "publishes were not confirmed: publishing them again, one by one");
    }

    pub fn declare_failed(&self, queue: &str, why: &str) {
        tracing::warn!(queue, why, "failed to declare a wait queue");
    }

    pub fn consumer_lost(&self, queue: &str, why: &str) {
        tracing::warn!(queue, why, "a consumer ended");
    }

    pub fn answers_lost(&self, why: &str) {
        tracing::warn!(why, "a consuming channel closed: the broker takes back what was not acknowledged");
    }

    pub fn unsettled_dropped(&self) {
        self.metrics.unsettled_dropped.inc();
        tracing::error!("a message was dropped unsettled and handed back: this is a defect of leadrelay");
    }
}
