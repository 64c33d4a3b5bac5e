//! Calls of the ledger that outlast its trouble.

use tokio_util::sync::CancellationToken;

use super::Shop;
use super::ledger_watch::answered;
use crate::domain::verdict::Finding;
use crate::steps::Step;
use crate::store::ledger::LedgerError;

impl Shop {
    /// Calls the ledger until it answers, stays away for too long, or `enough`.
    pub async fn while_down<T, F>(
        &self,
        step: Step,
        enough: &CancellationToken,
        call: impl Fn() -> F,
    ) -> Result<T, Finding>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        loop {
            let error = match self.steps.around(step, answered(call())).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            self.ledger_state.failed(&error, &self.telemetry);
            if matches!(error, LedgerError::Unusable(_)) {
                return Err(Finding::Unreadable);
            }
            if enough.run_until_cancelled(self.ledger_state.is_back()).await != Some(true) {
                return Err(Finding::Interrupted);
            }
        }
    }

    /// One answer an ask. A record that the ledger cannot read spoils only what it was asked for.
    pub async fn each_while_down<A, T, F>(
        &self,
        step: Step,
        enough: &CancellationToken,
        asks: Vec<A>,
        call: impl Fn(Vec<A>) -> F,
    ) -> Vec<Result<T, Finding>>
    where
        A: Clone,
        F: Future<Output = Result<Vec<T>, LedgerError>>,
    {
        match self.while_down(step, enough, || call(asks.clone())).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(Finding::Unreadable) if asks.len() > 1 => {
                let mut answers = Vec::with_capacity(asks.len());
                for ask in asks {
                    match self.while_down(step, enough, || call(vec![ask.clone()])).await {
                        Ok(answer) => answers.extend(answer.into_iter().map(Ok)),
                        Err(finding) => answers.push(Err(finding)),
                    }
                }
                answers
            }
            Err(finding) => asks.iter().map(|_| Err(finding.clone())).collect(),
        }
    }
}
