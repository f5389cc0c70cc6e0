//! The log in memory: the newest messages of each room, for tests and benchmarks.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::store::within_read_bytes;
use crate::{Append, Appended, BoxFuture, Draft, Placed, Span, Store, StoreError, Stored};

/// A store that keeps the newest [`MemoryStore::KEPT`] messages of each room and forgets everything
/// with the process. A duplicate is noticed while the first of its kind is kept.
#[derive(Debug)]
pub struct MemoryStore {
    /// `None` once closed.
    rooms: Mutex<Option<HashMap<Arc<str>, Room>>>,
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

    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { rooms: Mutex::new(Some(HashMap::new())) }
    }

    /// Works at once, under the lock, and leaves nothing to await.
    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashMap<Arc<str>, Room>) -> T,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        Box::pin(ready(self.lock().as_mut().map(work).ok_or(StoreError::Closed)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<Arc<str>, Room>>> {
        self.rooms.lock().expect("nothing panics while it holds the lock")
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
        self.with(|rooms| batch.iter().map(|append| apply(rooms, append)).collect())
    }

    fn span(&self, room: &str) -> BoxFuture<'_, Result<Span, StoreError>> {
        self.with(|rooms| rooms.get(room).map_or(Span { first: 1, head: 0 }, Room::span))
    }

    fn read(&self, room: &str, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Stored>, StoreError>> {
        self.with(|rooms| rooms.get(room).map_or_else(Vec::new, |room| room.read(after, limit)))
    }

    fn find(&self, room: &str, user: &str, id: &str) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        self.with(|rooms| rooms.get(room)?.ids.get(&(user.into(), id.into())).copied())
    }

    fn expire(&self, before_ms: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.with(|rooms| rooms.values_mut().map(|room| room.expire(before_ms)).sum())
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.with(|_| ())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        *self.lock() = None;
        Box::pin(ready(Ok(())))
    }
}

fn apply(rooms: &mut HashMap<Arc<str>, Room>, append: &Append) -> Appended {
    let head = rooms.get(&append.room).map_or(0, |room| room.head);
    if append.expected_head != head {
        return Appended::HeadMoved { head };
    }
    if append.messages.is_empty() {
        return Appended::Placed(Vec::new());
    }
    let room = rooms.entry(append.room.clone()).or_default();
    Appended::Placed(append.messages.iter().map(|draft| room.place(draft)).collect())
}

impl Room {
    fn span(&self) -> Span {
        Span { first: self.head + 1 - self.kept.len() as u64, head: self.head }
    }

    fn place(&mut self, draft: &Draft) -> Placed {
        match self.ids.entry((draft.user.clone(), draft.id.clone())) {
            Entry::Occupied(stored) => Placed::Duplicate(*stored.get()),
            Entry::Vacant(place) => {
                self.head += 1;
                place.insert(self.head);
                let Draft { user, id, body, at_ms } = draft.clone();
                self.kept.push_back(Stored { seq: self.head, user, id, body, at_ms });
                if self.kept.len() > MemoryStore::KEPT {
                    self.forget_oldest();
                }
                Placed::New(self.head)
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
