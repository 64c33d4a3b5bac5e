//! The one thread that writes, with group commit: all changes that are there share a transaction and its one sync.
//!
//! A call is answered after the commit, never before. Idle, nobody lingers: the first call goes alone, and those that
//! arrive while it is being committed are the next group.

use std::sync::Arc;
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::fault::{Fault, Trouble, When};
use super::file::{Inode, StoreFile};
use crate::telemetry::Telemetry;
use crate::telemetry::events::Kept;

/// Calls that may wait for the writer before their callers do.
const QUEUE: usize = 1024;
/// A group takes no more calls once it has this many rows: it bounds what one commit holds up.
const GROUP_ROWS: usize = 1000;

/// What a writer keeps in memory beside the file, for one seam.
pub(super) trait Beside: Send + 'static {
    /// The seam's.
    type Error: From<Trouble>;

    /// The last statements of every transaction that writes.
    fn before_commit(&self, _: &Connection) -> Result<(), Fault> {
        Ok(())
    }

    fn committed(&mut self) {}

    /// A transaction failed, or the file is another: what was learned from it may be wrong.
    fn forget(&mut self) {}
}

/// A call of a seam.
pub(super) trait Call<O>: Send + 'static {
    /// What the database said.
    type Done: Send;
    type Answer: Send;
    const WRITES: bool;

    fn rows(&self) -> usize;

    /// Inside a transaction, which may be rolled back and run again: nothing but the database may change.
    fn run(&self, connection: &Connection, beside: &O) -> Result<Self::Done, Fault>;

    /// After the commit.
    fn conclude(self, done: Self::Done, beside: &mut O) -> Self::Answer;
}

/// One that needs nothing but the database.
pub(super) struct Plain<const WRITES: bool, F>(F);

pub(super) fn look<F>(statements: F) -> Plain<false, F> {
    Plain(statements)
}

pub(super) fn change<F>(statements: F) -> Plain<true, F> {
    Plain(statements)
}

impl<const WRITES: bool, O, A, F> Call<O> for Plain<WRITES, F>
where
    A: Send + 'static,
    F: Fn(&Connection) -> Result<A, Fault> + Send + 'static,
{
    type Done = A;
    type Answer = A;
    const WRITES: bool = WRITES;

    fn rows(&self) -> usize {
        1
    }

    fn run(&self, connection: &Connection, _: &O) -> Result<A, Fault> {
        (self.0)(connection)
    }

    fn conclude(self, done: A, _: &mut O) -> A {
        done
    }
}

/// How a file is opened by the first call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Create,
    /// Where there is none, there is nothing to be done.
    Existing,
}

/// The callers' end. Dropping it closes the file: it waits for the commit in hand, not for a caller.
pub(super) struct Writer<O> {
    /// `None` only while being dropped.
    calls: Option<mpsc::Sender<Box<dyn Pending<O>>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<O> Drop for Writer<O> {
    fn drop(&mut self) {
        drop(self.calls.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has said so.
            let _ = thread.join();
        }
    }
}

impl<O: Beside> Writer<O> {
    /// `connection`: none is opened by the first call, as `opening` says, and by the next if that fails.
    pub fn start(
        file: StoreFile,
        connection: Option<Connection>,
        opening: Opening,
        beside: O,
        (kept, telemetry): (Kept, Arc<Telemetry>),
    ) -> Result<Self, Trouble> {
        let (sender, calls) = mpsc::channel(QUEUE);
        let was_open = connection.is_some();
        let connection = connection.map(|connection| Ok((connection, file.inode()?))).transpose()?;
        let name = file.kind.words.name;
        let thread = WriterThread { file, connection, was_open, opening, beside, kept, telemetry, failing: false };
        let spawned = thread::Builder::new().name(name.replace(' ', "-")).spawn(move || thread.work(calls));
        match spawned {
            Ok(thread) => Ok(Self { calls: Some(sender), thread: Some(thread) }),
            Err(error) => Err(Trouble::Unavailable(format!("cannot start the {name}'s thread: {error}"))),
        }
    }

    pub async fn ask<C: Call<O>>(&self, call: C) -> Result<C::Answer, O::Error> {
        let (reply, answer) = oneshot::channel();
        let asked = Box::new(Asked { call, done: None, reply });
        let stopped = || Trouble::Unavailable("its thread has stopped".into());
        let calls = self.calls.as_ref().ok_or_else(stopped)?;
        calls.send(asked).await.map_err(|_| stopped())?;
        Ok(answer.await.map_err(|_| stopped())??)
    }
}

/// A call on its way through a group.
struct Asked<O, C: Call<O>> {
    call: C,
    done: Option<C::Done>,
    reply: oneshot::Sender<Result<C::Answer, Trouble>>,
}

/// Calls of different kinds, side by side in a group.
trait Pending<O>: Send {
    fn rows(&self) -> usize;
    fn writes(&self) -> bool;
    fn run(&mut self, connection: &Connection, beside: &O) -> Result<(), Fault>;
    fn conclude(self: Box<Self>, beside: &mut O);
    fn refuse(self: Box<Self>, trouble: Trouble);
}

impl<O, C: Call<O>> Pending<O> for Asked<O, C> {
    fn rows(&self) -> usize {
        self.call.rows()
    }

    fn writes(&self) -> bool {
        C::WRITES
    }

    fn run(&mut self, connection: &Connection, beside: &O) -> Result<(), Fault> {
        self.done = Some(self.call.run(connection, beside)?);
        Ok(())
    }

    /// A caller that has gone away is no matter: what it claimed lapses.
    fn conclude(self: Box<Self>, beside: &mut O) {
        let done = self.done.expect("a call is concluded only after its group ran");
        let _ = self.reply.send(Ok(self.call.conclude(done, beside)));
    }

    fn refuse(self: Box<Self>, trouble: Trouble) {
        let _ = self.reply.send(Err(trouble));
    }
}

struct WriterThread<O> {
    file: StoreFile,
    /// `None` before the first call and after trouble: it is opened (again) for the next group.
    connection: Option<(Connection, Inode)>,
    was_open: bool,
    opening: Opening,
    beside: O,
    kept: Kept,
    telemetry: Arc<Telemetry>,
    failing: bool,
}

impl<O: Beside> WriterThread<O> {
    fn work(mut self, mut calls: mpsc::Receiver<Box<dyn Pending<O>>>) {
        while let Some(first) = calls.blocking_recv() {
            let group = gather(first, &mut calls);
            // What only looks need not wait for the disk. They came at the same time: any order is right.
            let (changes, looks): (Vec<_>, Vec<_>) = group.into_iter().partition(|call| call.writes());
            for calls in [looks, changes].into_iter().filter(|calls| !calls.is_empty()) {
                self.serve(calls);
            }
        }
    }

    fn serve(&mut self, mut group: Vec<Box<dyn Pending<O>>>) {
        match self.commit(&mut group) {
            Ok(()) => group.into_iter().for_each(|call| call.conclude(&mut self.beside)),
            // The disk's trouble is everybody's.
            Err(trouble @ Trouble::Unavailable(_)) => refuse(group, &trouble),
            // One call's trouble is its own: nothing of the group was done, so each is done again alone.
            Err(_) if group.len() > 1 => group.into_iter().for_each(|call| self.serve(vec![call])),
            Err(trouble) => refuse(group, &trouble),
        }
    }

    fn commit(&mut self, group: &mut [Box<dyn Pending<O>>]) -> Result<(), Trouble> {
        let committed = self.connect().and_then(|(connection, inode)| {
            let started = Instant::now();
            let done = transact(&connection, group, &self.beside);
            if done.is_ok() && group.iter().any(|call| call.writes()) {
                self.telemetry.store_committed(self.kept, started.elapsed());
            }
            match done {
                Ok(()) => self.beside.committed(),
                Err(_) => self.beside.forget(),
            }
            if matches!(done, Ok(()) | Err(Fault::Superseded)) {
                self.connection = Some((connection, inode));
            }
            done.map_err(|fault| self.file.subject.explain(&fault, When::Running))
        });
        self.tell(&committed);
        committed
    }

    /// The connection, opened again if it had trouble or if another file stands in the place of ours: what is
    /// written to a file that was moved away is lost.
    fn connect(&mut self) -> Result<(Connection, Inode), Trouble> {
        if !self.was_open {
            let connection = match self.opening {
                Opening::Create => self.file.open_or_create()?,
                Opening::Existing => self.file.open_existing()?,
            };
            self.was_open = true;
            self.telemetry.store_opened(self.kept, self.file.path());
            return Ok((connection, self.file.inode()?));
        }
        let inode = self.file.inode()?;
        match self.connection.take() {
            Some((connection, ours)) if ours == inode => Ok((connection, inode)),
            _ => {
                self.beside.forget();
                Ok((self.file.open_again()?, inode))
            }
        }
    }

    fn tell(&mut self, committed: &Result<(), Trouble>) {
        match committed {
            Err(Trouble::Unavailable(why) | Trouble::Unusable(why)) if !self.failing => {
                self.failing = true;
                self.telemetry.store_failing(self.kept, why);
            }
            Ok(()) if self.failing => {
                self.failing = false;
                self.telemetry.store_recovered(self.kept);
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// All that is there, up to the bound.
fn gather<O>(first: Box<dyn Pending<O>>, calls: &mut mpsc::Receiver<Box<dyn Pending<O>>>) -> Vec<Box<dyn Pending<O>>> {
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

fn transact<O: Beside>(connection: &Connection, group: &mut [Box<dyn Pending<O>>], beside: &O) -> Result<(), Fault> {
    // A group that writes says so from the start: one that began by reading could not wait for the lock later.
    let writes = group.iter().any(|call| call.writes());
    let transaction = Transaction::begin(connection, if writes { "BEGIN IMMEDIATE" } else { "BEGIN" })?;
    for call in group {
        call.run(connection, beside)?;
    }
    if writes {
        beside.before_commit(connection)?;
    }
    Ok(transaction.commit()?)
}

/// As rusqlite's own, with statements that are prepared once. Dropped, it is rolled back.
struct Transaction<'a>(&'a Connection);

impl<'a> Transaction<'a> {
    fn begin(connection: &'a Connection, begin: &str) -> rusqlite::Result<Self> {
        connection.prepare_cached(begin)?.execute([])?;
        Ok(Self(connection))
    }

    /// One that cannot be made may leave the transaction open.
    fn commit(self) -> rusqlite::Result<()> {
        self.0.prepare_cached("COMMIT")?.execute([]).map(drop)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit() {
            // If it fails, the connection is not used again.
            let _ = self.0.execute_batch("ROLLBACK");
        }
    }
}

fn refuse<O>(group: Vec<Box<dyn Pending<O>>>, trouble: &Trouble) {
    group.into_iter().for_each(|call| call.refuse(trouble.clone()));
}

/// As much as a batch of records takes: whether there is room is seen only by taking it.
const BALLAST: i64 = 64 * 1024;

pub(super) fn take_ballast(connection: &Connection) -> Result<(), Fault> {
    connection.execute("INSERT OR REPLACE INTO ballast (only, bytes) VALUES (1, zeroblob(?1))", [BALLAST])?;
    Ok(())
}

pub(super) fn drop_ballast(connection: &Connection) -> Result<(), Fault> {
    connection.execute("DELETE FROM ballast", [])?;
    Ok(())
}
