//! The exchange of fates, told as well as can be and never at the price of a lead: over a connection of its own, so that
//! a broker that is slow to take them slows nothing else; from a buffer that drops what is too much; without asking
//! again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::{Address, Supervised, supervise};
use super::publisher::Publisher;
use super::topology::Names;
use super::{note_publishing_of, supervised};
use crate::broker::Link;
use crate::domain::fate::Notice;
use crate::telemetry::Telemetry;

/// Fates that wait to be told: some seconds of the busiest worker, and a few megabytes.
const BUFFER: usize = 10_000;

/// Fates told together.
const WINDOW: usize = 500;

/// After a failure: what comes meanwhile waits in the buffer.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a worker that stops waits for the last ones.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

enum Order {
    Tell(Notice),
    /// Everything before this has been told, or given up.
    Flush(oneshot::Sender<()>),
}

pub(super) struct Fates {
    orders: mpsc::Sender<Order>,
    connection: Supervised,
    telemetry: Arc<Telemetry>,
}

impl Fates {
    /// Begins to connect, in `tasks`.
    pub fn start(address: Address, names: Names, telemetry: Arc<Telemetry>, tasks: &mut JoinSet<()>) -> Self {
        let link = Arc::new(watch::Sender::new(Link::default()));
        let (state, connection) = supervised();
        let observed = note_publishing_of(link.clone());
        tasks.spawn(supervise(address, "fates", state, telemetry.clone(), observed));
        let connections = (connection.clone(), connection.clone());
        let (publisher, desk) = Publisher::new(connections, names, link.subscribe(), telemetry.clone());
        tasks.spawn(desk);
        let (orders, inbox) = mpsc::channel(BUFFER);
        tasks.spawn(tell(inbox, publisher, telemetry.clone()));
        Self { orders, connection, telemetry }
    }

    pub fn announce(&self, notice: Notice) {
        if self.orders.try_send(Order::Tell(notice)).is_err() {
            self.telemetry.fates_dropped(1);
        }
    }

    /// Tells what is still in the buffer, for a moment, and says good-bye.
    pub async fn close(&self) {
        let (told, telling) = oneshot::channel();
        let flush = async {
            if self.orders.send(Order::Flush(told)).await.is_ok() {
                // The task has ended: then there is nobody to tell them.
                let _ = telling.await;
            }
        };
        // Those that are left are lost, which is what fates may be.
        let _ = timeout(FLUSH_PATIENCE, flush).await;
        if let Some(connection) = self.connection.current() {
            connection.close().await;
        }
    }
}

async fn tell(mut inbox: mpsc::Receiver<Order>, publisher: Publisher, telemetry: Arc<Telemetry>) {
    let mut orders = Vec::with_capacity(WINDOW);
    while inbox.recv_many(&mut orders, WINDOW).await > 0 {
        let (mut notices, mut flushed) = (Vec::with_capacity(orders.len()), Vec::new());
        for order in orders.drain(..) {
            match order {
                Order::Tell(notice) => notices.push(notice),
                Order::Flush(told) => flushed.push(told),
            }
        }
        let outcomes = publisher.publish_fates(&notices).await;
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        telemetry.fates_told(outcomes.len() - failed);
        for told in flushed {
            // Who asked no longer waits.
            let _ = told.send(());
        }
        if failed > 0 {
            telemetry.fates_dropped(failed);
            tokio::time::sleep(PAUSE).await;
        }
    }
}
