//! The steps at which a crash is tried: every call of a seam stands inside [`Steps::around`], so that a test can stop
//! the world before and after each. In a release build this costs a branch on a null pointer, and does nothing.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::Notify;

/// The calls that leave a trace outside the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Consume,
    Decode,
    Withdraw,
    Claim,
    Intend,
    Renew,
    Send,
    Record,
    Retract,
    Release,
    Publish,
    RecordEndings,
    Ack,
    HandBack,
    TakeIn,
}

impl Step {
    pub const ALL: [Self; 15] = [
        Self::Consume,
        Self::Decode,
        Self::Withdraw,
        Self::Claim,
        Self::Intend,
        Self::Renew,
        Self::Send,
        Self::Record,
        Self::Retract,
        Self::Release,
        Self::Publish,
        Self::RecordEndings,
        Self::Ack,
        Self::HandBack,
        Self::TakeIn,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Consume => "consume",
            Self::Decode => "decode",
            Self::Withdraw => "withdraw",
            Self::Claim => "claim",
            Self::Intend => "intend",
            Self::Renew => "renew",
            Self::Send => "send",
            Self::Record => "record",
            Self::Retract => "retract",
            Self::Release => "release",
            Self::Publish => "publish",
            Self::RecordEndings => "record_endings",
            Self::Ack => "ack",
            Self::HandBack => "hand_back",
            Self::TakeIn => "take_in",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edge {
    Before,
    After,
}

/// What is being passed.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    pub step: Step,
    pub edge: Edge,
    /// The message's own id, where the step is one message's.
    pub message_id: Option<&'a str>,
}

/// Told of every edge of every step that is passed; answers whether the world ends here.
pub type Fuse = dyn Fn(Passing<'_>) -> bool + Send + Sync;

#[derive(Clone, Default)]
pub struct Steps(Option<Arc<Watched>>);

struct Watched {
    fuse: Box<Fuse>,
    crashed: Notify,
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Steps(watched)" } else { "Steps" })
    }
}

impl Steps {
    /// Where `fuse` answers true, the task that passed the step never goes on; the test then drops the whole worker,
    /// as a crash would.
    pub fn watched(fuse: Box<Fuse>) -> Self {
        Self(Some(Arc::new(Watched { fuse, crashed: Notify::new() })))
    }

    /// Waits for the first crash.
    pub async fn crashed(&self) {
        match &self.0 {
            Some(watched) => watched.crashed.notified().await,
            None => std::future::pending().await,
        }
    }

    pub async fn around<T>(&self, step: Step, call: impl Future<Output = T>) -> T {
        if self.0.is_none() {
            return call.await;
        }
        self.pass(Passing { step, edge: Edge::Before, message_id: None }).await;
        let answer = call.await;
        self.pass(Passing { step, edge: Edge::After, message_id: None }).await;
        answer
    }

    /// For a call that does not wait.
    pub async fn around_now<T>(&self, step: Step, call: impl FnOnce() -> T) -> T {
        self.around(step, async { call() }).await
    }

    /// For a call that does not wait, on one message.
    pub async fn around_message<T>(&self, step: Step, message_id: Option<&str>, call: impl FnOnce() -> T) -> T {
        if self.0.is_none() {
            return call();
        }
        self.pass(Passing { step, edge: Edge::Before, message_id }).await;
        let answer = call();
        self.pass(Passing { step, edge: Edge::After, message_id }).await;
        answer
    }

    async fn pass(&self, passing: Passing<'_>) {
        if let Some(watched) = &self.0
            && (watched.fuse)(passing)
        {
            watched.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }
}
