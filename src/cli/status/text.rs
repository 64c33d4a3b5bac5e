//! The status for people: one screen, in eighty columns.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;

use super::json::order_of;
use crate::app::Queue;
use crate::app::status::{LaneSeen, Observer, QueueSeen, Status, WorkerSeen};
use crate::cli::columns::padded;
use crate::cli::screen::{Paint, age, grouped, until};
use crate::config::{Config, Store};
use crate::domain::order::{Kept, Ordered};
use crate::domain::route::DestinationName;

pub struct Scene<'a> {
    pub config: &'a Config,
    /// The look before this one, where there is one: what happened since is told by the second.
    pub before: Option<&'a Status>,
    pub status: &'a Status,
    pub paint: Paint,
    pub width: usize,
}

impl Scene<'_> {
    pub fn text(&self) -> String {
        let parts = [self.parts(), self.queues(), self.destinations(), self.fates()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Which of the three parts answers.
    fn parts(&self) -> String {
        let Status { at, broker, worker, store } = self.status;
        let good = |text: &str| self.paint.good(text);
        let broker = match broker {
            Ok(_) => format!("{} at {}", good("reachable"), Observer::place(self.config)),
            Err(why) => self.unknown(&format!("not reached at {}: {why}", Observer::place(self.config))),
        };
        let worker = match worker {
            Ok(worker) => self.worker(worker),
            Err(why) => self.unknown(why),
        };
        let Store::Sqlite(path) = &self.config.store;
        let store = match store {
            Ok(store) => format!("{}, {}", path.display(), mebibytes(store.bytes)),
            Err(why) => self.unknown(why),
        };
        let at = at.strftime("%Y-%m-%d %H:%M:%SZ");
        format!("time      {at}\nbroker    {broker}\nworker    {worker}\nledger    {store}\n")
    }

    fn worker(&self, worker: &WorkerSeen) -> String {
        let (address, version) = (self.config.http.listen, &worker.version);
        match &worker.unready {
            None => format!("{} at {address}, version {version}", self.paint.good(&worker.phase)),
            Some(why) => format!("{} at {address}, version {version}", self.paint.doubtful(why)),
        }
    }

    fn unknown(&self, why: &str) -> String {
        self.paint.bad(&wrapped(why, self.width, 10))
    }

    fn queues(&self) -> String {
        let Ok(broker) = &self.status.broker else { return String::new() };
        let shown = |queue: &&QueueSeen| match queue.queue {
            Queue::Inbox | Queue::Dead => true,
            Queue::Wait(_) => queue.messages.is_some(),
            // The empty ones share a line.
            Queue::Retry(_) => queue.messages != Some(0),
        };
        let queues: Vec<&QueueSeen> = broker.queues.iter().filter(shown).collect();
        let width = queues.iter().map(|queue| queue.name.chars().count()).chain([20]).max().unwrap_or_default();
        // What stands beside them has room too.
        let width = width.min(self.width.saturating_sub(2 + 9 + 2 + 25));
        let mut text = format!("{:<width$}  {:>9}\n", "QUEUE", "MESSAGES");
        for queue in queues {
            let messages = queue.messages.map_or_else(|| "missing".to_owned(), grouped);
            let aside = self.beside(queue);
            writeln!(text, "{}", format!("{}  {messages:>9}  {aside}", padded(&queue.name, width)).trim_end())
                .expect("a string takes all that is written");
        }
        let empty = broker.queues.iter().filter(|queue| matches!(queue.queue, Queue::Retry(_)));
        let empty: Vec<&str> =
            empty.filter(|queue| queue.messages == Some(0)).map(|queue| tier_of(&queue.queue)).collect();
        if !empty.is_empty() {
            let name = format!("{}.retry.*", self.config.broker.prefix);
            text += &format!("{name:<width$}  {:>9}  {}\n", 0, empty.join(" "));
        }
        if !broker.owned {
            text += &format!("{}\n", self.paint.bad("no worker owns the ledger: nobody consumes"));
        }
        text
    }

    /// What more is known of a queue.
    fn beside(&self, queue: &QueueSeen) -> String {
        let holds = queue.messages.unwrap_or_default() > 0;
        match &queue.queue {
            Queue::Inbox => match queue.consumers {
                0 => self.paint.doubtful("nobody consumes it"),
                _ => String::new(),
            },
            Queue::Wait(name) => match self.lane(name).and_then(|lane| lane.oldest_waiting).filter(|_| holds) {
                Some(at) => format!("oldest {}", age(at, self.status.at)),
                None => String::new(),
            },
            Queue::Retry(tier) => format!("each for {}", tier.name()),
            Queue::Dead if holds => self.paint.doubtful("look: leadrelay dead list"),
            Queue::Dead => String::new(),
        }
    }

    fn lane(&self, name: &DestinationName) -> Option<&LaneSeen> {
        self.status.worker.as_ref().ok()?.lanes.get(name.as_str())
    }

    fn order(&self, name: &DestinationName) -> Option<&Kept> {
        order_of(self.status.store.as_ref().ok()?, name)
    }

    fn destinations(&self) -> String {
        let names: Vec<&DestinationName> = self.config.destinations.iter().map(|found| &found.name).collect();
        let width = names.iter().map(|name| name.as_str().len()).chain([20]).max().unwrap_or_default();
        let width = width.min(self.width.saturating_sub(2 + 11 + 2 + 8 + 2 + 3));
        let mut text = format!("{:<width$}  {:<11}  {:<8}  WHY\n", "DESTINATION", "STATE", "SINCE");
        for name in names {
            let (lane, order) = (self.lane(name), self.order(name));
            let state = lane.map_or_else(|| self.state_by_order(order), |lane| lane.state.clone());
            let since = lane.map_or_else(|| "?".to_owned(), |lane| age(lane.since, self.status.at));
            let before = width + 2 + 11 + 2 + 8 + 2;
            // A long name leaves no room beside it.
            let column = if before + 20 > self.width { 4 } else { before };
            let why = wrapped(&why(lane, order, self.status.at), self.width, column);
            let why = if column == 4 && !why.is_empty() { format!("\n    {why}") } else { why };
            let painted = self.painted(&state, 11);
            writeln!(text, "{}", format!("{}  {painted}  {since:<8}  {why}", padded(name.as_str(), width)).trim_end())
                .expect("a string takes all that is written");
        }
        text
    }

    /// What we know without a worker.
    fn state_by_order(&self, order: Option<&Kept>) -> String {
        if order.is_some_and(Kept::pauses) { "paused".to_owned() } else { "?".to_owned() }
    }

    fn painted(&self, state: &str, width: usize) -> String {
        let padded = format!("{state:<width$}");
        match state {
            "closed" => self.paint.good(&padded),
            "?" => padded,
            "paused" | "throttled" | "daily_limit" | "half_open" => self.paint.doubtful(&padded),
            _ => self.paint.bad(&padded),
        }
    }

    fn fates(&self) -> String {
        let Ok(worker) = &self.status.worker else { return String::new() };
        let before = self.before.and_then(|before| Some((before.worker.as_ref().ok()?, before.at)));
        let seconds = before.map(|(_, at)| self.status.at.duration_since(at).as_secs_f64());
        let mut fates = fates_of(worker);
        fates.insert(0, ("received".to_owned(), worker.received.iter().map(|received| received.count).sum()));
        let earlier: BTreeMap<String, u64> = before
            .map(|(worker, _)| {
                let received = worker.received.iter().map(|received| received.count).sum();
                fates_of(worker).into_iter().chain([("received".to_owned(), received)]).collect()
            })
            .unwrap_or_default();
        let rate = |fate: &str, now: u64| {
            let then = earlier.get(fate).copied().unwrap_or_default();
            // Less than before: it is another worker, or another life of it.
            seconds.filter(|seconds| *seconds > 0.0 && now >= then).map(|seconds| (now - then) as f64 / seconds)
        };
        let watching = if before.is_some() { "  A SECOND" } else { "" };
        let mut text = format!("{:<20}  {:>9}{watching}\n", "SINCE IT STARTED", "MESSAGES");
        for (fate, count) in fates {
            let rate = rate(&fate, count).map_or_else(String::new, |rate| format!("  {rate:>8.1}"));
            text += &format!("{fate:<20}  {:>9}{rate}\n", grouped(count));
        }
        text + &format!("{:<20}  {:>9}\n", "in hand", grouped(worker.in_flight))
    }
}

/// In the order in which one asks for them; those that happened.
fn fates_of(worker: &WorkerSeen) -> Vec<(String, u64)> {
    const ORDER: [&str; 8] =
        ["delivered", "duplicate", "suppressed", "unmarked", "waiting", "retried", "dead", "handed_back"];
    let sum = |fate: &str| worker.settled.iter().filter(|settled| settled.fate == fate).map(|one| one.count).sum();
    let counted = ORDER.iter().map(|fate| ((*fate).to_owned(), sum(fate)));
    counted.filter(|(fate, count)| *count > 0 || fate == "delivered").collect()
}

fn why(lane: Option<&LaneSeen>, order: Option<&Kept>, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if let Some(lane) = lane {
        if let (Some(trouble), true) = (&lane.trouble, matches!(lane.state.as_str(), "half_open" | "paused")) {
            parts.push(trouble.clone());
        }
        parts.extend(lane.code.clone());
        if let Some(at) = lane.until {
            parts.push(format!("probed {}", until(at, now)));
        }
        if lane.accepting_rejections {
            parts.push("accepts rejections".to_owned());
        }
    }
    let told = order.filter(|kept| !kept.done && kept.order.what != Ordered::Resume).map(|kept| {
        let pauses_soon = kept.pauses() && lane.is_some_and(|lane| lane.state != "paused");
        let soon = if pauses_soon { "paused in a moment, " } else { "" };
        let reason = kept.order.reason.as_str();
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        format!("{soon}by {}, {} ago{reason}", kept.order.by, age(kept.order.at, now))
    });
    // The order first: it is what holds the lane.
    told.into_iter().chain(parts).collect::<Vec<_>>().join("; ")
}

fn tier_of(queue: &Queue) -> &'static str {
    match queue {
        Queue::Retry(tier) => tier.name(),
        Queue::Inbox | Queue::Wait(_) | Queue::Dead => "",
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

/// In lines of at most `width`, all but the first indented by `column`, where the first begins.
fn wrapped(text: &str, width: usize, column: usize) -> String {
    let room = width.saturating_sub(column).max(20);
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        let length = line.chars().count();
        if length > 0 && length + 1 + word.chars().count() > room {
            lines.push(word.to_owned());
        } else {
            if length > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{:column$}", ""))
}

#[cfg(test)]
mod tests;
