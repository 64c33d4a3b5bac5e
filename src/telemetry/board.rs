//! The board: what a worker shows of itself at `/status`, for `leadrelay status`. Its counters are the metrics' own.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::Telemetry;
use super::metrics::Sample;
use crate::domain::route::DestinationName;

/// One lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneShown {
    /// As `leadrelay_lane_state` has it.
    pub state: &'static str,
    /// What it is in trouble with, also while it is being probed or is paused by order.
    pub trouble: Option<&'static str>,
    /// What the destination said.
    pub code: Option<String>,
    pub since: Timestamp,
    /// When it is probed.
    pub until: Option<Timestamp>,
    pub accepting_rejections: bool,
    /// When the oldest lead that waits was first received, if that is known.
    pub oldest_waiting: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub struct Board {
    lanes: Mutex<BTreeMap<String, LaneShown>>,
}

impl Board {
    pub(super) fn show_lane(&self, destination: &DestinationName, shown: LaneShown) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.insert(destination.to_string(), shown);
    }
}

impl Telemetry {
    /// What an operator wants to know of this process. No personal data: names of destinations, codes, numbers, times.
    pub fn status(&self) -> Value {
        let (received, settled, in_flight) = self.metrics.one_fate_each();
        let connected = |which| self.metrics.broker_connected.with_label_values(&[which]).get() == 1;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "phase": self.current_phase().name(),
            "unready": self.unready(),
            "broker": {
                "consuming": connected("consuming"),
                "publishing": connected("publishing"),
                "blocked": self.metrics.publisher_blocked.get() == 1,
            },
            "ledger_up": self.metrics.ledger_up.get() == 1,
            "lanes": &*self.board.lanes.lock().unwrap_or_else(PoisonError::into_inner),
            "received": counted(received),
            "settled": counted(settled),
            "in_flight": in_flight,
        })
    }
}

fn counted(samples: Vec<Sample>) -> Vec<Value> {
    let counted = |(labels, count): Sample| {
        let mut object: serde_json::Map<String, Value> =
            labels.into_iter().map(|(name, value)| (name, value.into())).collect();
        object.insert("count".into(), count.into());
        Value::Object(object)
    };
    samples.into_iter().map(counted).collect()
}
