//! A store in memory, for tests and benchmarks.

mod backend;
mod feed;
mod log;

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::{Append, Appended, BoxFuture, Cutoff, Feed, Page, Span, Store, StoreError, epoch};

pub(crate) use self::backend::Backend;
use self::feed::Replica;
use self::log::Log;

/// A store that keeps the newest [`MemoryStore::KEPT`] messages of each room and loses everything with the process. A
/// duplicate is recognised while the first message with its id is kept.
///
/// [`replicas`](MemoryStore::replicas) are stores over one log, like those of several processes over one database: each
/// follows what all append, and is closed by itself. For tests, the feed of one can be paused, or made to lag, and a room
/// can be taken back to an earlier state.
#[derive(Debug)]
pub struct MemoryStore {
    log: Arc<Mutex<Log>>,
    epoch: Arc<str>,
    /// The index of this store among the log's replicas.
    index: usize,
}

impl MemoryStore {
    /// How many messages of each room are kept.
    pub const KEPT: usize = log::KEPT;

    /// An empty store with a log of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { log: Log::shared(vec![Replica::alone()]), epoch: epoch::generate(), index: 0 }
    }

    /// `count` stores over one empty log.
    #[must_use]
    pub fn replicas(count: usize) -> Vec<Self> {
        let log = Log::shared((0..count).map(|_| Replica::with_feed()).collect());
        let epoch = epoch::generate();
        (0..count).map(|index| Self { log: Arc::clone(&log), epoch: Arc::clone(&epoch), index }).collect()
    }

    /// Pauses this store's feed: events are held back until [`resume_feed`](Self::resume_feed) or
    /// [`resume_feed_lagged`](Self::resume_feed_lagged).
    pub fn pause_feed(&self) {
        self.lock().replicas[self.index].pause();
    }

    /// Resumes the feed with the events that were held back.
    pub fn resume_feed(&self) {
        self.lock().replicas[self.index].resume();
    }

    /// Resumes the feed with [`FeedEvent::Lagged`](crate::FeedEvent::Lagged) in place of the events that were held back.
    pub fn resume_feed_lagged(&self) {
        self.lock().replicas[self.index].resume_lagged();
    }

    /// Takes a room back to an earlier head, as a restored backup does: its later messages are lost. Neither the epoch nor a feed
    /// shows it.
    pub fn truncate(&self, room: &str, head: u64) {
        if let Some(room) = self.lock().rooms.get_mut(room) {
            room.truncate(head);
        }
    }

    /// Runs `work` under the lock, unless the store is closed. The future is ready at once.
    fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut Log) -> T) -> BoxFuture<'_, Result<T, StoreError>> {
        let mut log = self.lock();
        let answer = if log.replicas[self.index].is_open() { Ok(work(&mut log)) } else { Err(StoreError::Closed) };
        Box::pin(ready(answer))
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("nothing panics while it holds the lock")
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn epoch(&self) -> Arc<str> {
        Arc::clone(&self.epoch)
    }

    fn append(&self, batch: Arc<[Append]>) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        self.with(|log| batch.iter().map(|append| log.append(append)).collect())
    }

    fn span(&self, room: &str) -> BoxFuture<'_, Result<Span, StoreError>> {
        self.with(|log| log.rooms.get(room).map_or(Span { first: 1, head: 0 }, |room| room.span()))
    }

    fn read(&self, room: &str, after: u64, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.with(|log| log.rooms.get(room).map_or_else(|| Page::new(0, Vec::new()), |room| room.read(after, limit)))
    }

    fn expire(&self, cutoff: Cutoff) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.with(|log| log.rooms.values_mut().map(|room| room.expire(cutoff)).sum())
    }

    fn follow(&self) -> Option<Feed> {
        self.lock().replicas[self.index].follow()
    }

    fn lag(&self) -> Option<Duration> {
        self.lock().replicas[self.index].lag()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.with(|_| ())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut log = self.lock();
        log.replicas[self.index].close();
        if !log.replicas.iter().any(Replica::is_open) {
            log.rooms = HashMap::new();
        }
        Box::pin(ready(Ok(())))
    }
}
