//! The status for scripts.

use serde_json::{Value, json};

use crate::app::Queue;
use crate::app::status::{LaneSeen, QueueSeen, Status, StoreSeen, WorkerSeen};
use crate::cli::destination::pause::words;
use crate::config::Config;
use crate::domain::order::Kept;
use crate::domain::route::DestinationName;

/// What is not known is null.
pub fn of(status: &Status, config: &Config) -> Value {
    let Status { at, broker, worker, store } = status;
    let names = config.destinations.iter().map(|destination| &destination.name);
    json!({
        "at": at,
        "broker": {
            "error": broker.as_ref().err(),
            "owned": broker.as_ref().ok().map(|broker| broker.owned),
            "queues": broker.as_ref().ok().map(|broker| broker.queues.iter().map(queue).collect::<Vec<_>>()),
        },
        "worker": match worker {
            Ok(worker) => of_worker(worker),
            Err(error) => json!({ "error": error }),
        },
        "store": {
            "error": store.as_ref().err(),
            "bytes": store.as_ref().ok().map(|store| store.bytes),
        },
        "destinations": names.map(|name| destination(name, status)).collect::<Vec<_>>(),
    })
}

fn queue(queue: &QueueSeen) -> Value {
    let delay = match &queue.queue {
        Queue::Retry(tier) => Some(tier.delay().as_secs()),
        Queue::Inbox | Queue::Wait(_) | Queue::Dead => None,
    };
    json!({
        "queue": queue.name,
        "messages": queue.messages,
        "consumers": queue.consumers,
        "delay_seconds": delay,
    })
}

fn of_worker(worker: &WorkerSeen) -> Value {
    let settled: Vec<_> = worker
        .settled
        .iter()
        .map(|settled| json!({ "fate": settled.fate, "destination": settled.destination, "count": settled.count }))
        .collect();
    json!({
        "error": null,
        "version": worker.version,
        "phase": worker.phase,
        "unready": worker.unready,
        "received": worker.received.iter().map(|received| received.count).sum::<u64>(),
        "settled": settled,
        "in_flight": worker.in_flight,
    })
}

fn destination(name: &DestinationName, status: &Status) -> Value {
    let lane = status.worker.as_ref().ok().and_then(|worker| worker.lanes.get(name.as_str()));
    let order = status.store.as_ref().ok().and_then(|store| order_of(store, name));
    let of_lane = |field: fn(&LaneSeen) -> Value| lane.map(field);
    json!({
        "destination": name.as_str(),
        "state": of_lane(|lane| json!(lane.state)),
        "trouble": of_lane(|lane| json!(lane.trouble)),
        "code": of_lane(|lane| json!(lane.code)),
        "since": of_lane(|lane| json!(lane.since)),
        "probed_at": of_lane(|lane| json!(lane.until)),
        "accepting_rejections": of_lane(|lane| json!(lane.accepting_rejections)),
        "oldest_waiting": of_lane(|lane| json!(lane.oldest_waiting)),
        "order": order.map(order_as_json),
    })
}

/// The latest order for a destination.
pub fn order_of<'a>(store: &'a StoreSeen, name: &DestinationName) -> Option<&'a Kept> {
    store.orders.iter().find(|kept| kept.order.destination == *name)
}

fn order_as_json(kept: &Kept) -> Value {
    let (what, code) = words(&kept.order.what);
    json!({
        "number": kept.number,
        "order": what,
        "code": code.map(|code| code.as_str()),
        "by": kept.order.by,
        "at": kept.order.at,
        "reason": kept.order.reason.as_str(),
        "ended": kept.done,
    })
}
