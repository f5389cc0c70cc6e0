//! Rooms of which the store may know more than this process, and the reads that find out.

use super::queue::CatchUp;
use crate::room::Room;
use crate::rooms::Shared;
use chatbox_store::{BoxFuture, StoreError, Stored};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How many messages one read fetches.
const PAGE: usize = 512;

/// How many rooms are read at the same time.
const READS: usize = 32;

/// The pause after a failed read.
const RETRY: Duration = Duration::from_millis(500);

/// Nothing is appended to a room in doubt: where its log ends has to be known first. Each is read, a page at a time, beside
/// everything else that goes on.
#[derive(Default)]
pub(super) struct Resync {
    rooms: HashMap<u64, Doubt>,
    /// To be read when there is a place.
    queued: VecDeque<Arc<Room>>,
    reading: FuturesUnordered<BoxFuture<'static, Read>>,
    /// Could not be read, and when to try again.
    failed: Vec<Arc<Room>>,
    retry_at: Option<Instant>,
}

#[derive(Debug)]
struct Doubt {
    /// Over once the room's head is there. `None`: once the store has nothing more.
    upto: Option<u64>,
    /// It is about more than what the read that runs can see.
    again: bool,
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

/// What came of reading a room.
pub(super) type Read = (Arc<Room>, Result<Found, StoreError>);

/// What one read found.
#[derive(Debug)]
pub(super) enum Found {
    /// Where the log ends: nothing was known of the room. A later message may have been heard of before: the newest, or 0.
    Head {
        /// The newest `seq` that was heard of.
        heard: u64,
    },
    /// The messages after the newest that is known. Empty when there are none.
    Messages(Vec<Stored>),
    /// No message after the newest that is known, because they were removed up to this `seq`.
    Gone(u64),
}

impl Resync {
    /// Whether the room's head is known. If it is not, it will be.
    pub(super) fn is_clear(&mut self, room: &Arc<Room>) -> bool {
        if !room.is_loaded() {
            self.begin(room, Some(0));
        }
        !self.rooms.contains_key(&room.key())
    }

    /// The store has messages up to `upto`; or nobody knows up to where.
    pub(super) fn begin(&mut self, room: &Arc<Room>, upto: Option<u64>) {
        let queued = &mut self.queued;
        let doubt = self.rooms.entry(room.key()).or_insert_with(|| {
            queued.push_back(Arc::clone(room));
            Doubt { upto: Some(0), again: false, waiting: Vec::new() }
        });
        doubt.upto = doubt.upto.and_then(|before| upto.map(|upto| upto.max(before)));
        doubt.again |= upto.is_none();
    }

    /// Sees to a request.
    pub(super) fn catch_up(&mut self, CatchUp { room, upto, done }: CatchUp) {
        if room.is_loaded() && room.head() >= upto {
            // Whoever asked may be gone.
            let _ = done.send(Ok(()));
            return;
        }
        self.begin(&room, Some(upto));
        if let Some(doubt) = self.rooms.get_mut(&room.key()) {
            doubt.waiting.push(done);
        }
    }

    /// Begins as many reads as may run.
    pub(super) fn start(&mut self, shared: &Arc<Shared>, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.queued.extend(self.failed.drain(..));
        }
        while self.reading.len() < READS
            && let Some(room) = self.queued.pop_front()
        {
            if let Some(doubt) = self.rooms.get_mut(&room.key()) {
                doubt.again = false;
                self.reading.push(Box::pin(read(Arc::clone(shared), room, doubt.upto)));
            }
        }
    }

    /// The next read that ends. Cancel safe.
    pub(super) async fn next(&mut self) -> Read {
        match self.reading.next().await {
            Some(read) => read,
            None => std::future::pending().await,
        }
    }

    /// When a read that failed is tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// A read has ended, and what it found is published. `exhausted`: the store had nothing more.
    pub(super) fn on_read(&mut self, room: Arc<Room>, exhausted: bool) {
        let key = room.key();
        let Some(doubt) = self.rooms.get(&key) else { return };
        let reached = room.is_loaded() && doubt.upto.is_some_and(|upto| room.head() >= upto);
        if !reached && (doubt.again || !exhausted) {
            return self.queued.push_back(room);
        }
        let waiting = self.rooms.remove(&key).map(|doubt| doubt.waiting);
        for done in waiting.into_iter().flatten() {
            let _ = done.send(Ok(()));
        }
    }

    /// A read has failed.
    pub(super) fn on_error(&mut self, room: Arc<Room>, error: &StoreError, now: Instant) {
        if let Some(doubt) = self.rooms.get_mut(&room.key()) {
            for done in doubt.waiting.drain(..) {
                let _ = done.send(Err(error.clone()));
            }
        }
        self.failed.push(room);
        self.retry_at.get_or_insert(now + RETRY);
    }
}

/// Reads what comes after the newest message that is known, within [`Options::store_timeout`](crate::Options::store_timeout).
async fn read(shared: Arc<Shared>, room: Arc<Room>, upto: Option<u64>) -> Read {
    let found = shared.in_time(async {
        if !room.is_loaded() {
            let heard = room.load(shared.store.span(room.name()).await?);
            return Ok(Found::Head { heard });
        }
        let committed = room.committed();
        let stored = shared.store.read(room.name(), committed, PAGE).await?;
        if stored.is_empty() && upto.is_some_and(|upto| upto > committed) {
            let gone = shared.store.span(room.name()).await?.first - 1;
            if gone > committed {
                return Ok(Found::Gone(gone));
            }
        }
        Ok(Found::Messages(stored))
    });
    let found = found.await;
    (room, found)
}
