//! When the ledger does not answer: nothing is acknowledged; after a while everything is handed back once, and taken
//! again only when a write succeeds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shop;
use crate::store::ledger::LedgerError;
use crate::telemetry::Telemetry;

/// A disk that hangs answers neither yes nor no. What was asked may be done all the same: doing it again is harmless.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

pub async fn answered<T>(call: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
    let late = |_| Err(LedgerError::Unavailable("it does not answer".into()));
    tokio::time::timeout(ANSWER_TIMEOUT, call).await.unwrap_or_else(late)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerState {
    Up,
    /// Not for long: what is in hand is kept.
    Down,
    /// For too long: what is in hand is handed back.
    Gone,
    /// Another worker has it: stop.
    Superseded,
}

pub struct LedgerReports {
    state: watch::Sender<LedgerState>,
    take: CancellationToken,
}

impl LedgerReports {
    pub fn new(take: CancellationToken) -> Self {
        Self { state: watch::Sender::new(LedgerState::Up), take }
    }

    /// Told by whoever saw a call fail.
    pub fn failed(&self, error: &LedgerError, telemetry: &Telemetry) {
        let next = match error {
            LedgerError::Superseded => LedgerState::Superseded,
            LedgerError::Unavailable(_) => LedgerState::Down,
            // Of what was asked: the rest may be sound, and a probe would say that all is.
            LedgerError::Unusable(why) => return telemetry.ledger_unreadable(why),
        };
        let changed = self.state.send_if_modified(|state| {
            let changed = *state == LedgerState::Up || next == LedgerState::Superseded && *state != next;
            if changed {
                *state = next;
            }
            changed
        });
        if changed {
            telemetry.ledger_down(&error.to_string());
        }
        if next == LedgerState::Superseded {
            self.take.cancel();
        }
    }

    pub fn watch(&self) -> watch::Receiver<LedgerState> {
        self.state.subscribe()
    }

    pub fn state(&self) -> LedgerState {
        *self.state.borrow()
    }

    pub fn is_superseded(&self) -> bool {
        self.state() == LedgerState::Superseded
    }

    /// Waits until the ledger answers, however long that takes.
    pub async fn is_up(&self) {
        drop(self.watch().wait_for(|state| *state == LedgerState::Up).await);
    }

    /// Waits until the ledger answers; `false`: it is gone, and the work is to be handed back.
    pub async fn is_back(&self) -> bool {
        let mut state = self.watch();
        state.wait_for(|state| *state != LedgerState::Down).await.is_ok_and(|state| *state == LedgerState::Up)
    }
}

/// Probes a ledger that failed, once a second, until a write succeeds.
pub async fn watch(shop: Arc<Shop>) {
    let mut state = shop.ledger_state.watch();
    loop {
        if state.wait_for(|state| *state == LedgerState::Down).await.is_err() {
            return;
        }
        let since = Instant::now();
        while matches!(shop.ledger_state.state(), LedgerState::Down | LedgerState::Gone) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match answered(shop.ledger.probe()).await {
                Ok(()) => up(&shop),
                Err(LedgerError::Superseded) => {
                    shop.ledger_state.failed(&LedgerError::Superseded, &shop.telemetry);
                    return;
                }
                Err(_) if since.elapsed() >= shop.settings.ledger_patience => gone(&shop, since.elapsed()),
                Err(_) => {}
            }
        }
    }
}

fn up(shop: &Shop) {
    shop.telemetry.ledger_up();
    shop.ledger_state.state.send_if_modified(|state| {
        let lives = *state != LedgerState::Superseded;
        if lives {
            *state = LedgerState::Up;
        }
        lives
    });
    shop.gate.change(|reasons| reasons.ledger_gone = false);
}

fn gone(shop: &Shop, after: Duration) {
    if shop.ledger_state.state.send_replace(LedgerState::Gone) != LedgerState::Gone {
        shop.telemetry.ledger_gone(after);
        shop.gate.change(|reasons| reasons.ledger_gone = true);
    }
}
