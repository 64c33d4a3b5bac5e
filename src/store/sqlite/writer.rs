//! The one thread that writes, with group commit: all calls that are there share a transaction and its one sync.
//!
//! A call is answered after the commit, never before. Idle, nobody lingers: the first call goes alone, and those that
//! arrive while it is being committed are the next group.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use tokio::time::Instant;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::fault::{Fault, When};
use super::file::{Inode, LedgerFile};
use super::leads::Known;
use super::rows;
use super::tail::ENOUGH;
use crate::store::claims::Claims;
use crate::store::ledger::LedgerError;
use crate::telemetry::Telemetry;

/// Calls that may wait for the writer before their callers do.
const QUEUE: usize = 1024;
/// A group takes no more calls once it has this many rows: it bounds what one commit holds up.
const GROUP_ROWS: usize = 1000;

/// A call of the ledger's seam.
pub(super) trait Call: Send + 'static {
    /// What the database said.
    type Done: Send;
    type Answer: Send;
    const WRITES: bool;

    fn rows(&self) -> usize;

    /// Inside a transaction, which may be rolled back and run again: nothing but the database may change.
    fn run(&self, connection: &Connection, owner: &Owner) -> Result<Self::Done, Fault>;

    /// After the commit.
    fn conclude(self, done: Self::Done, owner: &mut Owner) -> Self::Answer;
}

/// What the owner knows beside the file.
pub(super) struct Owner {
    /// The epoch in which we took over.
    epoch: Option<u64>,
    claims: Arc<Mutex<Claims>>,
    pub known: Known,
}

impl Owner {
    /// The epoch, if it is still ours. Asked in every transaction: an owner that was frozen does not know.
    pub fn epoch(&self, connection: &Connection) -> Result<u64, Fault> {
        let standing = rows::epoch(connection)?;
        if self.epoch == Some(standing) { Ok(standing) } else { Err(Fault::Superseded) }
    }

    pub fn take_over(&mut self, epoch: u64) {
        self.epoch = Some(epoch);
        self.claims().forget_all();
    }

    pub fn claims(&self) -> MutexGuard<'_, Claims> {
        lock(&self.claims)
    }
}

/// Every change to the claims is whole when it returns, so a panic elsewhere leaves them sound.
pub(super) fn lock(claims: &Mutex<Claims>) -> MutexGuard<'_, Claims> {
    claims.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The callers' end. Dropping it closes the file: it waits for the commit in hand, not for a caller.
pub(super) struct Writer {
    /// `None` only while being dropped.
    calls: Option<mpsc::Sender<Box<dyn Pending>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.calls.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has said so.
            let _ = thread.join();
        }
    }
}

impl Writer {
    pub fn start(
        file: LedgerFile,
        connection: Connection,
        claims: Arc<Mutex<Claims>>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, LedgerError> {
        let (sender, calls) = mpsc::channel(QUEUE);
        let connection = Some((connection, file.inode()?));
        let owner = Owner { epoch: None, claims, known: Known::nothing(ENOUGH) };
        let thread = WriterThread { file, connection, owner, telemetry, failing: false };
        let spawned = thread::Builder::new().name("ledger".into()).spawn(move || thread.work(calls));
        match spawned {
            Ok(thread) => Ok(Self { calls: Some(sender), thread: Some(thread) }),
            Err(error) => Err(LedgerError::Unavailable(format!("cannot start the ledger's thread: {error}"))),
        }
    }

    pub async fn ask<C: Call>(&self, call: C) -> Result<C::Answer, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let asked = Box::new(Asked { call, done: None, reply });
        let stopped = || LedgerError::Unavailable("the ledger's thread has stopped".into());
        let calls = self.calls.as_ref().ok_or_else(stopped)?;
        calls.send(asked).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// A call on its way through a group.
struct Asked<C: Call> {
    call: C,
    done: Option<C::Done>,
    reply: oneshot::Sender<Result<C::Answer, LedgerError>>,
}

/// Calls of different kinds, side by side in a group.
trait Pending: Send {
    fn rows(&self) -> usize;
    fn writes(&self) -> bool;
    fn run(&mut self, connection: &Connection, owner: &Owner) -> Result<(), Fault>;
    fn conclude(self: Box<Self>, owner: &mut Owner);
    fn refuse(self: Box<Self>, error: LedgerError);
}

impl<C: Call> Pending for Asked<C> {
    fn rows(&self) -> usize {
        self.call.rows()
    }

    fn writes(&self) -> bool {
        C::WRITES
    }

    fn run(&mut self, connection: &Connection, owner: &Owner) -> Result<(), Fault> {
        self.done = Some(self.call.run(connection, owner)?);
        Ok(())
    }

    /// A caller that has gone away is no matter: what it claimed lapses.
    fn conclude(self: Box<Self>, owner: &mut Owner) {
        let done = self.done.expect("a call is concluded only after its group ran");
        let _ = self.reply.send(Ok(self.call.conclude(done, owner)));
    }

    fn refuse(self: Box<Self>, error: LedgerError) {
        let _ = self.reply.send(Err(error));
    }
}

struct WriterThread {
    file: LedgerFile,
    /// `None` after trouble: it is opened again for the next group.
    connection: Option<(Connection, Inode)>,
    owner: Owner,
    telemetry: Arc<Telemetry>,
    failing: bool,
}

impl WriterThread {
    fn work(mut self, mut calls: mpsc::Receiver<Box<dyn Pending>>) {
        while let Some(first) = calls.blocking_recv() {
            let group = gather(first, &mut calls);
            self.serve(group);
        }
    }

    fn serve(&mut self, mut group: Vec<Box<dyn Pending>>) {
        match self.commit(&mut group) {
            Ok(()) => group.into_iter().for_each(|call| call.conclude(&mut self.owner)),
            // The disk's trouble is everybody's.
            Err(error @ LedgerError::Unavailable(_)) => refuse(group, &error),
            // One call's trouble is its own: nothing of the group was done, so each is done again alone.
            Err(_) if group.len() > 1 => group.into_iter().for_each(|call| self.serve(vec![call])),
            Err(error) => refuse(group, &error),
        }
    }

    fn commit(&mut self, group: &mut [Box<dyn Pending>]) -> Result<(), LedgerError> {
        let committed = self.connect().and_then(|(mut connection, inode)| {
            let started = Instant::now();
            let done = transact(&mut connection, group, &self.owner);
            if done.is_ok() && group.iter().any(|call| call.writes()) {
                self.telemetry.ledger_committed(started.elapsed());
            }
            match done {
                Ok(()) => self.owner.known.committed(),
                Err(_) => self.owner.known.forget(),
            }
            if matches!(done, Ok(()) | Err(Fault::Superseded)) {
                self.connection = Some((connection, inode));
            }
            done.map_err(|fault| fault.explain(&self.file.path, When::Running))
        });
        self.tell(&committed);
        committed
    }

    /// The connection, opened again if it had trouble or if another file stands in the place of ours: what is
    /// written to a file that was moved away is lost.
    fn connect(&mut self) -> Result<(Connection, Inode), LedgerError> {
        let inode = self.file.inode()?;
        match self.connection.take() {
            Some((connection, ours)) if ours == inode => Ok((connection, inode)),
            _ => {
                self.owner.known.forget();
                Ok((self.file.open_again()?, inode))
            }
        }
    }

    fn tell(&mut self, committed: &Result<(), LedgerError>) {
        match committed {
            Err(error @ (LedgerError::Unavailable(_) | LedgerError::Unusable(_))) if !self.failing => {
                self.failing = true;
                self.telemetry.ledger_failing(error);
            }
            Ok(()) if self.failing => {
                self.failing = false;
                self.telemetry.ledger_recovered();
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// All that is there, up to the bound.
fn gather(first: Box<dyn Pending>, calls: &mut mpsc::Receiver<Box<dyn Pending>>) -> Vec<Box<dyn Pending>> {
    let mut rows = first.rows();
    let mut group = vec![first];
    while rows < GROUP_ROWS
        && let Ok(next) = calls.try_recv()
    {
        rows += next.rows();
        group.push(next);
    }
    group
}

fn transact(connection: &mut Connection, group: &mut [Box<dyn Pending>], owner: &Owner) -> Result<(), Fault> {
    // A group that writes says so from the start: one that began by reading could not wait for the lock later.
    let writes = group.iter().any(|call| call.writes());
    let behavior = if writes { TransactionBehavior::Immediate } else { TransactionBehavior::Deferred };
    let transaction = connection.transaction_with_behavior(behavior)?;
    for call in group {
        call.run(&transaction, owner)?;
    }
    if writes {
        owner.known.before_commit(&transaction)?;
    }
    Ok(transaction.commit()?)
}

fn refuse(group: Vec<Box<dyn Pending>>, error: &LedgerError) {
    group.into_iter().for_each(|call| call.refuse(error.clone()));
}
