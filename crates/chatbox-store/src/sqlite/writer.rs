//! The writer thread, which commits queued jobs in groups.

use std::fs::File;
use std::io;
use std::thread;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::identity::{Files, Misplaced};
use super::unavailable;
use crate::StoreError;

/// The most jobs in the queue, and in one commit. Further callers wait until there is room in the queue.
pub(super) const QUEUE: usize = 1024;

/// The handle of the thread. The thread ends after [`close`](Self::close), or after this is dropped, once the queued jobs are
/// done.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    /// The thread drops the other end last of all.
    ended: watch::Receiver<()>,
}

enum Message {
    Do(Box<dyn Job>),
    Close,
}

/// Work that takes part in a commit, with the channel for its result.
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
    pub(super) fn start(connection: Connection, files: Files, lock: File) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (end, ended) = watch::channel(());
        thread::Builder::new().name("chatbox-store".into()).spawn(move || {
            write(connection, &files, jobs);
            drop(lock);
            drop(end);
        })?;
        Ok(Self { queue, ended })
    }

    /// Runs `work` within a transaction and returns once that is committed. Dropping the future does not take back work that
    /// is queued already.
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

    /// Waits until the queued jobs are done and the file is closed.
    pub(super) async fn close(&self) {
        // Sending fails if the thread is closing already, which is as good.
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
        // The receiver may have been dropped.
        let _ = caller.send(outcome);
    }
}

fn write(mut connection: Connection, files: &Files, mut queue: mpsc::Receiver<Message>) {
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
        let committed = commit(&mut connection, files, &mut group);
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

/// Why a group was not committed.
#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Misplaced(#[from] Misplaced),
}

/// All or nothing: after an error the transaction is rolled back. A commit that went to a misplaced file counts for nothing,
/// so the files are looked at before it, and again before it is acknowledged.
fn commit(connection: &mut Connection, files: &Files, group: &mut [Box<dyn Job>]) -> Result<(), CommitError> {
    files.check()?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in group {
        job.run(&transaction)?;
    }
    transaction.commit()?;
    Ok(files.check()?)
}
