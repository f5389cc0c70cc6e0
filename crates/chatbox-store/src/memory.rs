//! The log in memory: the newest messages of each room, for tests and benchmarks.

mod feed;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::store::within_read_bytes;
use crate::{Append, AppendResult, Appended, BoxFuture, Draft, Feed, FeedEvent, Span, Store, StoreError, Stored};

use self::feed::Replica;

/// A store that keeps the newest [`MemoryStore::KEPT`] messages of each room and forgets everything
/// with the process. A duplicate is noticed while the first of its kind is kept.
///
/// [`replicas`](MemoryStore::replicas) are stores over one log, like those of several processes
/// over one database: each follows what all append, and is closed for itself. For tests of what
/// runs in many processes, the feed of one can be held back, or made to miss something.
#[derive(Debug)]
pub struct MemoryStore {
    log: Arc<Mutex<Log>>,
    /// Which of the log's replicas this is.
    place: usize,
}

#[derive(Debug, Default)]
struct Log {
    rooms: HashMap<Arc<str>, Room>,
    replicas: Vec<Replica>,
}

#[derive(Debug, Default)]
struct Room {
    head: u64,
    /// The newest messages, the last one at `head`.
    kept: VecDeque<Stored>,
    /// The `seq` of every kept message.
    ids: HashMap<(Arc<str>, Box<str>), u64>,
}

impl MemoryStore {
    /// How many messages of each room are kept.
    pub const KEPT: usize = 1000;

    /// An empty store, which nobody else can append to.
    #[must_use]
    pub fn new() -> Self {
        Self { log: Arc::new(Mutex::new(Log { replicas: vec![Replica::alone()], ..Log::default() })), place: 0 }
    }

    /// That many stores over one empty log.
    #[must_use]
    pub fn replicas(count: usize) -> Vec<Self> {
        let replicas = (0..count).map(|_| Replica::with_feed()).collect();
        let log = Arc::new(Mutex::new(Log { replicas, ..Log::default() }));
        (0..count).map(|place| Self { log: Arc::clone(&log), place }).collect()
    }

    /// From now on this replica's feed tells nothing, until [`release_news`](Self::release_news).
    pub fn hold_news(&self) {
        self.lock().replicas[self.place].hold();
    }

    /// The feed goes on with what it was held back from telling.
    pub fn release_news(&self) {
        self.lock().replicas[self.place].release();
    }

    /// The feed goes on with [`FeedEvent::Lagged`] in place of what it was held back from telling.
    pub fn lose_news(&self) {
        self.lock().replicas[self.place].lose();
    }

    /// Works at once, under the lock, and leaves nothing to await.
    fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut Log) -> T) -> BoxFuture<'_, Result<T, StoreError>> {
        let mut log = self.lock();
        let answer = if log.replicas[self.place].is_open() { Ok(work(&mut log)) } else { Err(StoreError::Closed) };
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

    fn append(&self, batch: Arc<[Append]>) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        self.with(|log| batch.iter().map(|append| log.append(append)).collect())
    }

    fn span(&self, room: &str) -> BoxFuture<'_, Result<Span, StoreError>> {
        self.with(|log| log.rooms.get(room).map_or(Span { first: 1, head: 0 }, Room::span))
    }

    fn read(&self, room: &str, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Stored>, StoreError>> {
        self.with(|log| log.rooms.get(room).map_or_else(Vec::new, |room| room.read(after, limit)))
    }

    fn find(&self, room: &str, user: &str, id: &str) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        self.with(|log| log.rooms.get(room)?.ids.get(&(user.into(), id.into())).copied())
    }

    fn expire(&self, before_ms: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.with(|log| log.rooms.values_mut().map(|room| room.expire(before_ms)).sum())
    }

    fn follow(&self) -> Option<Feed> {
        self.lock().replicas[self.place].follow()
    }

    fn lag(&self) -> Option<Duration> {
        self.lock().replicas[self.place].lag()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.with(|_| ())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut log = self.lock();
        log.replicas[self.place].close();
        if !log.replicas.iter().any(Replica::is_open) {
            log.rooms = HashMap::new();
        }
        Box::pin(ready(Ok(())))
    }
}

impl Log {
    fn append(&mut self, append: &Append) -> Appended {
        let head = self.rooms.get(&append.room).map_or(0, |room| room.head);
        if append.expected_head != head {
            return Appended::HeadMoved { head };
        }
        if append.messages.is_empty() {
            return Appended::All(Vec::new());
        }
        let room = self.rooms.entry(append.room.clone()).or_default();
        let mut placed = Vec::with_capacity(append.messages.len());
        for draft in &append.messages {
            placed.push(room.place(draft));
            if let (Some(AppendResult::New(_)), Some(message)) = (placed.last(), room.kept.back()) {
                for replica in &mut self.replicas {
                    replica.tell(|| FeedEvent::Appended { room: append.room.clone(), message: message.clone() });
                }
            }
        }
        Appended::All(placed)
    }
}

impl Room {
    fn span(&self) -> Span {
        Span { first: self.head + 1 - self.kept.len() as u64, head: self.head }
    }

    fn place(&mut self, draft: &Draft) -> AppendResult {
        match self.ids.entry((draft.user.clone(), draft.id.clone())) {
            Entry::Occupied(stored) => AppendResult::Duplicate(*stored.get()),
            Entry::Vacant(place) => {
                self.head += 1;
                place.insert(self.head);
                let Draft { user, id, body, at_ms } = draft.clone();
                self.kept.push_back(Stored { seq: self.head, user, id, body, at_ms });
                if self.kept.len() > MemoryStore::KEPT {
                    self.forget_oldest();
                }
                AppendResult::New(self.head)
            }
        }
    }

    fn read(&self, after: u64, limit: usize) -> Vec<Stored> {
        let skipped = (after.saturating_add(1)).saturating_sub(self.span().first);
        self.kept
            .iter()
            .skip(usize::try_from(skipped).unwrap_or(usize::MAX))
            .take(limit)
            .cloned()
            .take_while(within_read_bytes())
            .collect()
    }

    fn expire(&mut self, before_ms: i64) -> u64 {
        let kept = self.kept.len();
        while self.kept.front().is_some_and(|oldest| oldest.at_ms < before_ms) {
            self.forget_oldest();
        }
        (kept - self.kept.len()) as u64
    }

    fn forget_oldest(&mut self) {
        if let Some(Stored { user, id, .. }) = self.kept.pop_front() {
            self.ids.remove(&(user, id));
        }
    }
}
