//! The metrics, all of them, each with bounded labels and base units.

use std::collections::BTreeMap;
use std::sync::Mutex;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// From a millisecond to a minute: sends and commits.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// From 10 ms to a week: ages and lags.
/// Fine where a worker without a backlog is, to the promised 5 and 25 ms; coarse where a lead waits.
const AGES: [f64; 18] = [
    0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0,
    259_200.0, 604_800.0,
];
const SIZES: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 200.0];

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Held while a message is received or settled and while all is read, so that in every snapshot what was received
    /// is what was settled and what is in flight.
    one_fate: Mutex<()>,
    received: IntCounterVec,
    settled: IntCounterVec,
    in_flight: IntGauge,
    pub attempts: IntCounterVec,
    pub send_duration: HistogramVec,
    pub lead_age: Histogram,
    pub queue_lag: Histogram,
    pub batch_size: HistogramVec,
    pub lane_state: IntGaugeVec,
    pub waiting: IntGaugeVec,
    pub dead_letters: IntCounterVec,
    pub daily_posts: IntGaugeVec,
    pub daily_limit: IntGaugeVec,
    pub texts_cut: IntCounterVec,
    pub api_calls_used: IntGaugeVec,
    pub api_calls_limit: IntGaugeVec,
    pub ledger_commit_duration: Histogram,
    pub ledger_up: IntGauge,
    pub office_commit_duration: Histogram,
    pub office_up: IntGauge,
    pub office_letters: IntGaugeVec,
    pub office_taken_in: IntCounterVec,
    pub office_endings_lost: IntCounter,
    pub office_plans: IntGaugeVec,
    pub replays_ended: IntCounterVec,
    pub broker_connected: IntGaugeVec,
    pub publisher_blocked: IntGauge,
    pub unsettled_dropped: IntCounter,
    pub unknown_vocabulary: IntCounterVec,
    pub unknown_members: IntCounter,
    pub config_reloads: IntCounterVec,
    pub fates_told: IntCounter,
    pub fates_dropped: IntCounter,
}

impl Metrics {
    pub fn new() -> Self {
        let registry = Registry::new();
        let make = Make(&registry);
        let metrics = Self {
            received: make.counters("received_total", "Messages received, by where they came from", &["origin"]),
            settled: make.counters("settled_total", "Messages settled, by their fate", &["fate", "destination"]),
            in_flight: make.gauge("in_flight", "Messages received and not yet settled"),
            attempts: make.counters("attempts_total", "Replies of destinations, one a lead", &["destination", "class"]),
            send_duration: make.histograms("send_duration_seconds", "One send of a batch", &SECONDS, &["destination"]),
            lead_age: make.histogram("lead_age_seconds", "From the event's time to its settling", &AGES),
            queue_lag: make.histogram("queue_lag_seconds", "From the event's time to its first receipt", &AGES),
            batch_size: make.histograms("batch_size", "Leads in a send", &SIZES, &["destination"]),
            lane_state: make.gauges(
                "lane_state",
                "1 for the state that the lane is in: closed, transient, throttled, credentials, rejecting, daily_limit, \
                 half_open, paused",
                &["destination", "state"],
            ),
            waiting: make.gauges("waiting", "Messages in the destination's wait queue", &["destination"]),
            dead_letters: make.counters("dead_letters_total", "Messages dead-lettered", &["reason", "destination"]),
            daily_posts: make.gauges("daily_posts", "Leads sent in the last 24 hours", &["destination"]),
            daily_limit: make.gauges("daily_limit", "Leads that the destination takes in a day", &["destination"]),
            texts_cut: make.counters("texts_cut_total", "Texts too long for the field", &["destination", "field"]),
            api_calls_used: make.gauges(
                "api_calls_used",
                "API calls that the org has used in 24 hours",
                &["destination"],
            ),
            api_calls_limit: make.gauges("api_calls_limit", "API calls that the org has in 24 hours", &["destination"]),
            ledger_commit_duration: make.histogram("ledger_commit_duration_seconds", "One commit", &SECONDS),
            ledger_up: make.gauge("ledger_up", "1 while the ledger answers"),
            office_commit_duration: make.histogram("office_commit_duration_seconds", "One commit of letters", &SECONDS),
            office_up: make.gauge("office_up", "1 while the dead-letter office takes letters in"),
            office_letters: make.gauges("office_letters", "Dead letters in the office", &["reason", "destination"]),
            office_taken_in: make.counters("office_taken_in_total", "Letters that came out of the queue", &["result"]),
            office_plans: make.gauges("office_plans", "Plans of replay that have not ended", &["state"]),
            replays_ended: make.counters("replays_ended_total", "Replayed letters, by their new fate", &["ending"]),
            office_endings_lost: make.counter("office_endings_lost_total", "Ends of replays that could not be noted"),
            broker_connected: make.gauges("broker_connected", "1 while the connection is up", &["connection"]),
            publisher_blocked: make.gauge("publisher_blocked", "1 while the broker takes no publishes (an alarm)"),
            unsettled_dropped: make.counter("unsettled_dropped_total", "Messages dropped unsettled: must stay 0"),
            unknown_vocabulary: make.counters("unknown_vocabulary_total", "Sources and actions not known", &["part"]),
            unknown_members: make.counter("unknown_members_total", "Members of events that are not in the contract"),
            config_reloads: make.counters("config_reloads_total", "Reloads asked for, by what became of them", &["result"]),
            fates_told: make.counter("fates_told_total", "Fates told to the exchange of fates"),
            fates_dropped: make.counter("fates_dropped_total", "Fates that could not be told"),
            registry: registry.clone(),
            one_fate: Mutex::new(()),
        };
        let build = make.gauges("build_info", "1, with the version", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.ledger_up.set(1);
        metrics
    }

    pub(super) fn count_received(&self, origin: &str) {
        let _one = self.one_fate.lock();
        self.received.with_label_values(&[origin]).inc();
        self.in_flight.inc();
    }

    pub(super) fn count_settled(&self, fate: &str, destination: &str) {
        let _one = self.one_fate.lock();
        self.settled.with_label_values(&[fate, destination]).inc();
        self.in_flight.dec();
    }

    /// Messages received and neither settled nor handed back.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.get().try_into().unwrap_or_default()
    }

    /// What was received, by origin; what was settled, by fate and destination; what is in flight: of one moment.
    pub(super) fn one_fate_each(&self) -> (Vec<Sample>, Vec<Sample>, u64) {
        let _one = self.one_fate.lock();
        (samples(&self.received), samples(&self.settled), self.in_flight())
    }

    /// As Prometheus reads it.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        let families = {
            let _one = self.one_fate.lock();
            self.registry.gather()
        };
        TextEncoder::new().encode(&families, &mut text).expect("encoding to memory does not fail");
        String::from_utf8(text).expect("the text format is UTF-8")
    }

    /// The names of all metrics that have a value, with the prefix.
    pub fn names(&self) -> Vec<String> {
        self.registry.gather().iter().map(|family| family.name().to_owned()).collect()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A counter's labels, by name, and its value.
pub(super) type Sample = (BTreeMap<String, String>, u64);

fn samples(counters: &IntCounterVec) -> Vec<Sample> {
    let families = counters.collect();
    let metrics = families.iter().flat_map(|family| family.get_metric());
    let labels = |metric: &prometheus::proto::Metric| {
        metric.get_label().iter().map(|label| (label.name().to_owned(), label.value().to_owned())).collect()
    };
    // A counter of integers, which the format has as a float.
    metrics.map(|metric| (labels(metric), metric.get_counter().get_value() as u64)).collect()
}

/// Makes and registers metrics under the one prefix.
struct Make<'a>(&'a Registry);

impl Make<'_> {
    fn register<M: prometheus::core::Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect("metric names and labels are constants, and legal");
        self.0.register(Box::new(metric.clone())).expect("each metric is registered once");
        metric
    }

    fn options(name: &str, help: &str) -> Opts {
        Opts::new(format!("leadrelay_{name}"), help)
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::with_opts(Self::options(name, help)))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Self::options(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::with_opts(Self::options(name, help)))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Self::options(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::from(Self::options(name, help)).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(options))
    }

    fn histograms(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        let options = HistogramOpts::from(Self::options(name, help)).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, labels))
    }
}
