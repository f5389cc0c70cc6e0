//! A store in a SQLite file: one writer thread that commits in groups, and readers beside it.

mod backend;
mod file;
mod identity;
mod inspect;
mod log;
mod names;
mod readers;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Append, Appended, BoxFuture, Cutoff, Page, Span, Store, StoreError};

pub(crate) use self::backend::Backend;
use self::file::Database;
use self::readers::Readers;
use self::writer::Writer;

/// A store in one SQLite file, for services that run on one machine.
///
/// A commit is on the disk when [`append`](Store::append) returns (`journal_mode=WAL`, `synchronous=FULL`). Appends that are
/// queued while one commit is written share the next one. Beside the file are `-wal` and `-shm`, which belong to it while it
/// is open and after a crash, and `-lock`, which keeps a second process out and may be deleted when none runs. Other programs
/// may read the file at any time, to back it up for example.
///
/// Nothing is acknowledged unless each of these names still leads to the file that is open: after one was removed or
/// replaced, [`append`](Store::append) and [`ping`](Store::ping) fail until it is put back, or the store opened again.
///
/// A commit waits for at most one second for the lock of another program that writes to the file. [`ping`](Store::ping) takes
/// part in a commit, so it fails on a full disk before a message does. After [`expire`](Store::expire) the file does not
/// shrink; its free space is used again.
#[derive(Debug)]
pub struct SqliteStore {
    // Dropped first: the last connection to be closed removes the write-ahead log, if it may write.
    readers: Readers,
    writer: Writer,
    epoch: Arc<str>,
}

impl SqliteStore {
    /// Opens the file, creates it if there is none, and migrates one of an older version.
    ///
    /// Must be called within a tokio runtime. Dropping the future leaves nothing half done.
    ///
    /// # Errors
    ///
    /// [`StoreError::Foreign`], [`StoreError::Newer`] and [`StoreError::InUse`] refuse a file and leave it unchanged;
    /// [`StoreError::Open`] when the directory does not exist, or anything is not writable.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let opening = tokio::task::spawn_blocking(move || Self::start(&path, file::open(&path)?));
        opening.await.map_err(unavailable)?
    }

    fn start(path: &Path, database: Database) -> Result<Self, StoreError> {
        let Database { lock, writer, readers, epoch, files } = database;
        let writer = Writer::start(writer, files, lock)
            .map_err(|source| StoreError::Open { path: path.into(), source: Arc::new(source) })?;
        Ok(Self { writer, readers: Readers::new(readers), epoch })
    }
}

impl Store for SqliteStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn epoch(&self) -> Arc<str> {
        Arc::clone(&self.epoch)
    }

    fn append(&self, batch: Arc<[Append]>) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        Box::pin(self.writer.run(move |log| log::append(log, &batch)))
    }

    fn span(&self, room: &str) -> BoxFuture<'_, Result<Span, StoreError>> {
        let room = room.to_owned();
        Box::pin(self.readers.run(move |log| log::span(log, &room)))
    }

    fn read(&self, room: &str, after: u64, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        let room = room.to_owned();
        Box::pin(self.readers.run(move |log| log::read(log, &room, after, limit)))
    }

    fn expire(&self, cutoff: Cutoff) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut removed = 0;
            let mut rest = Some(0);
            while let Some(done) = rest {
                let step = self.writer.run(move |log| log::expire(log, cutoff, done)).await?;
                removed += step.removed;
                rest = step.rest;
            }
            Ok(removed)
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.writer.run(log::probe))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            // The writer comes last: the last connection to be closed removes the write-ahead log.
            self.readers.close().await;
            self.writer.close().await;
            Ok(())
        })
    }
}

const NAME: &str = "sqlite";

fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable { store: NAME, source: Arc::new(source) }
}
