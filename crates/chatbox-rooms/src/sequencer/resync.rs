//! Rooms whose log may be ahead of this process, and the reads that bring them up to date.

use crate::context::Context;
use crate::page::{self, Page};
use crate::queue::CatchUp;
use crate::room::Room;
use chatbox_store::{BoxFuture, StoreError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Messages in one page.
const PAGE: usize = 512;

/// How many rooms are read at the same time.
const READS: usize = 32;

/// The pause after a failed read.
const RETRY: Duration = Duration::from_millis(500);

/// Rooms that are being resynchronised. Nothing is appended to them until their head is known. Each is read a page at a time, beside
/// everything else.
#[derive(Default)]
pub(super) struct Resync {
    rooms: HashMap<u64, RoomResync>,
    /// Rooms to be read next.
    queued: VecDeque<Arc<Room>>,
    reading: FuturesUnordered<BoxFuture<'static, Read>>,
    /// Rooms that could not be read, and when they are read again.
    failed: Vec<Arc<Room>>,
    retry_at: Option<Instant>,
}

#[derive(Debug)]
struct RoomResync {
    /// Ends when the room's head has reached this. `None`: when the store has no more messages.
    up_to: Option<u64>,
    /// The read under way may have begun too early: another one has to follow.
    again: bool,
    requests: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

/// The outcome of reading a room.
pub(super) type Read = (Arc<Room>, Result<Found, StoreError>);

/// What a read found.
#[derive(Debug)]
pub(super) enum Found {
    /// The head of a room that was not loaded.
    Head {
        /// The newest `seq` that the feed has announced meanwhile, or 0.
        announced: u64,
    },
    /// What follows the newest message that is known.
    Page(Page),
    /// The log has another epoch than the one that the room was loaded in.
    OtherEpoch,
}

impl Resync {
    /// Whether the room's head is known. If the room is not loaded, this begins to load it.
    pub(super) fn is_clear(&mut self, room: &Arc<Room>) -> bool {
        if !room.is_loaded() {
            self.begin(room, Some(0));
        }
        !self.rooms.contains_key(&room.key())
    }

    /// Begins to read a room: up to a `seq` that the store is known to have, or until there are no more messages.
    pub(super) fn begin(&mut self, room: &Arc<Room>, up_to: Option<u64>) {
        let queued = &mut self.queued;
        let resync = self.rooms.entry(room.key()).or_insert_with(|| {
            queued.push_back(Arc::clone(room));
            RoomResync { up_to: Some(0), again: false, requests: Vec::new() }
        });
        resync.up_to = resync.up_to.and_then(|before| up_to.map(|up_to| up_to.max(before)));
        resync.again |= up_to.is_none();
    }

    /// Takes a request, and answers it when the room's head has been reached.
    pub(super) fn catch_up(&mut self, CatchUp { room, up_to, done }: CatchUp) {
        if room.is_loaded() && up_to.is_some_and(|up_to| room.head() >= up_to) {
            // The receiver may have been dropped.
            let _ = done.send(Ok(()));
            return;
        }
        self.begin(&room, up_to);
        if let Some(resync) = self.rooms.get_mut(&room.key()) {
            resync.requests.push(done);
        }
    }

    /// Starts as many reads as may run at the same time.
    pub(super) fn start(&mut self, context: &Arc<Context>, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.queued.extend(self.failed.drain(..));
        }
        while self.reading.len() < READS
            && let Some(room) = self.queued.pop_front()
        {
            if let Some(resync) = self.rooms.get_mut(&room.key()) {
                resync.again = false;
                self.reading.push(Box::pin(read(Arc::clone(context), room)));
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

    /// When failed reads are repeated.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// A read has ended and its messages are published. `exhausted`: the store had no more.
    pub(super) fn on_read(&mut self, room: Arc<Room>, exhausted: bool) {
        let key = room.key();
        let Some(resync) = self.rooms.get(&key) else { return };
        let reached = room.is_loaded() && resync.up_to.is_some_and(|up_to| room.head() >= up_to);
        if !reached && (resync.again || !exhausted) {
            return self.queued.push_back(room);
        }
        let requests = self.rooms.remove(&key).map(|resync| resync.requests);
        for done in requests.into_iter().flatten() {
            let _ = done.send(Ok(()));
        }
    }

    /// A read has failed.
    pub(super) fn on_error(&mut self, room: Arc<Room>, error: &StoreError, now: Instant) {
        if let Some(resync) = self.rooms.get_mut(&room.key()) {
            for done in resync.requests.drain(..) {
                let _ = done.send(Err(error.clone()));
            }
        }
        self.retry(room, now);
    }

    /// Reads the room again, after a pause.
    pub(super) fn retry(&mut self, room: Arc<Room>, now: Instant) {
        self.failed.push(room);
        self.retry_at.get_or_insert(now + RETRY);
    }
}

/// Loads a room, or reads what follows its newest known message, within [`Options::store_timeout`](crate::Options::store_timeout).
async fn read(context: Arc<Context>, room: Arc<Room>) -> Read {
    let found = context.in_time(async {
        // Before the store is asked: what it answers is not older than this.
        let (store, generation, epoch) = (&*context.store, room.generation(), context.store.epoch());
        match room.epoch() {
            Some(loaded) if loaded != epoch => Ok(Found::OtherEpoch),
            Some(_) => Ok(Found::Page(page::read(store, &room, room.committed(), PAGE).await?)),
            None => {
                let span = store.span(room.name()).await?;
                Ok(Found::Head { announced: room.load(generation, span, epoch) })
            }
        }
    });
    let found = found.await;
    (room, found)
}
