//! For tests of the real program, in debug builds only: crashes it, as kill -9 would.
//!
//! `LEADRELAY_CRASH_AT=record.after:3` when it has passed a step's edge for the third time;
//! `LEADRELAY_CRASH_ON=some-id` whenever it has decoded the message of this id.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::steps::{Edge, Step, Steps};

pub fn from_environment() -> Steps {
    let at = std::env::var("LEADRELAY_CRASH_AT").ok().as_deref().and_then(parse);
    let on = std::env::var("LEADRELAY_CRASH_ON").ok();
    if at.is_none() && on.is_none() {
        return Steps::default();
    }
    let passed = AtomicU32::new(0);
    Steps::watched(Box::new(move |passing| {
        let here = |(step, edge, _): &(Step, Edge, u32)| (*step, *edge) == (passing.step, passing.edge);
        let due = at.filter(here).is_some_and(|(.., nth)| passed.fetch_add(1, Ordering::SeqCst) + 1 == nth);
        if due || on.is_some() && passing.message_id == on.as_deref() {
            std::process::abort();
        }
        false
    }))
}

fn parse(text: &str) -> Option<(Step, Edge, u32)> {
    let (place, nth) = text.split_once(':').unwrap_or((text, "1"));
    let (step, edge) = place.split_once('.')?;
    let step = Step::ALL.into_iter().find(|known| known.name() == step)?;
    let edge = match edge {
        "before" => Edge::Before,
        "after" => Edge::After,
        _ => return None,
    };
    Some((step, edge, nth.parse().ok()?))
}
