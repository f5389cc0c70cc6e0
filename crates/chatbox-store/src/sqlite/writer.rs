//! The writer thread: whatever is queued while one commit is written shares the next one.

use std::fs::File;
use std::io;
use std::thread;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::unavailable;
use crate::StoreError;

/// The most jobs that wait, and that share a commit; beyond that callers wait to queue theirs.
pub(super) const QUEUE: usize = 1024;

/// The handle of the thread. The thread ends when it is told to close, or this is dropped, and what
/// is queued is done.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    /// Its other end is dropped by the thread, last of all.
    ended: watch::Receiver<()>,
}

enum Message {
    Do(Box<dyn Job>),
    Close,
}

/// Work that takes part in a commit, and the caller who waits for the outcome.
trait Job: Send {
    /// Within the transaction. After an error nothing of the transaction is kept.
    fn run(&mut self, log: &Connection) -> rusqlite::Result<()>;
    /// After the commit, or instead of it.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Task<F, T> {
    work: F,
    done: Option<T>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl Writer {
    /// Starts the thread, which holds the lock until the file is closed.
    pub(super) fn start(connection: Connection, lock: File) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (end, ended) = watch::channel(());
        thread::Builder::new().name("chatbox-store".into()).spawn(move || {
            write(connection, jobs);
            drop(lock);
            drop(end);
        })?;
        Ok(Self { queue, ended })
    }

    /// Has work done within a transaction and returns once it is committed. Dropping the future
    /// takes nothing back that is queued already.
    pub(super) async fn run<F, T>(&self, work: F) -> Result<T, StoreError>
    where
        F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (caller, outcome) = oneshot::channel();
        let job = Message::Do(Box::new(Task { work, done: None, caller }));
        self.queue.send(job).await.map_err(|_| StoreError::Closed)?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// Waits until what is queued is done and the file is closed.
    pub(super) async fn close(&self) {
        // It fails when it is closing already, and either way the end is what counts.
        let _ = self.queue.send(Message::Close).await;
        let _ = self.ended.clone().changed().await;
    }

    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        QUEUE - self.queue.capacity()
    }
}

impl<F, T> Job for Task<F, T>
where
    F: FnMut(&Connection) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn run(&mut self, log: &Connection) -> rusqlite::Result<()> {
        self.done = Some((self.work)(log)?);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { done, caller, .. } = *self;
        let outcome = committed.map(|()| done.expect("nothing is committed before it has run"));
        // A caller who no longer waits has said that either outcome is fine.
        let _ = caller.send(outcome);
    }
}

fn write(mut connection: Connection, mut queue: mpsc::Receiver<Message>) {
    let mut failing = false;
    let mut group: Vec<Box<dyn Job>> = Vec::new();
    while let Some(first) = queue.blocking_recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Do(job) => group.push(job),
                Message::Close => queue.close(),
            }
            next = if group.len() < QUEUE { queue.try_recv().ok() } else { None };
        }
        let committed = commit(&mut connection, &mut group);
        match &committed {
            Err(error) if !failing => tracing::warn!(%error, "the SQLite store cannot be written to"),
            Ok(()) if failing => tracing::info!("the SQLite store can be written to again"),
            _ => {}
        }
        failing = committed.is_err();
        let committed = committed.map_err(unavailable);
        for job in group.drain(..) {
            job.answer(committed.clone());
        }
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the SQLite file was not closed in order; nothing stored is lost");
    }
}

/// All or nothing: what fails on the way is rolled back.
fn commit(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in group {
        job.run(&transaction)?;
    }
    transaction.commit()
}
