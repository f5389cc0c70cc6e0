//! One room: its head, the newest part of its log, and its members.

use crate::ring::{Chunk, Ring};
use crate::thread_cache;
use chatbox_core::{Batch, Connection, notify_all};
use chatbox_store::Span;
use slab::Slab;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::time::Instant;

/// How long a room's span is used before the store is asked again.
const SPAN_FRESH: Duration = Duration::from_secs(1);

/// A room in memory.
///
/// There are two locks, never held together. Publishing appends under the first and notifies under the second; joining enters
/// under the second and reads the head under the first. In every interleaving a published message is either before the new
/// member's cursor or notified to it.
#[derive(Debug)]
pub(crate) struct Room {
    /// Unique within the process, and never used again.
    key: u64,
    name: Arc<str>,
    /// The newest published `seq`, readable without a lock.
    head: AtomicU64,
    log: RwLock<Log>,
    members: Mutex<Slab<Arc<Connection>>>,
    /// The newest `seq` that the sequencer knows to be stored, ahead of `head` until it is published.
    committed: AtomicU64,
}

#[derive(Debug)]
struct Log {
    ring: Ring,
    first: u64,
    /// When the span was last read; `None` until the room is loaded.
    loaded: Option<Instant>,
    /// The newest `seq` that the feed announced before the room was loaded.
    announced: u64,
}

/// The memory of all rings, and its limits in bytes.
#[derive(Debug)]
pub(crate) struct RingBudget {
    per_room: usize,
    total: usize,
    used: AtomicUsize,
}

impl RingBudget {
    pub(crate) fn new(per_room: usize, total: usize) -> Self {
        Self { per_room, total, used: AtomicUsize::new(0) }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The bytes that a ring may keep now. While all rings together exceed their limit, it keeps its newest chunk only.
    fn allowance(&self) -> usize {
        if self.used() > self.total { 0 } else { self.per_room }
    }

    fn account(&self, before: usize, after: usize) {
        self.used.fetch_add(after, Ordering::Relaxed);
        self.used.fetch_sub(before, Ordering::Relaxed);
    }
}

impl Room {
    pub(crate) fn new(name: Arc<str>) -> Self {
        static KEYS: AtomicU64 = AtomicU64::new(0);
        Self {
            key: KEYS.fetch_add(1, Ordering::Relaxed),
            name,
            head: AtomicU64::new(0),
            log: RwLock::new(Log { ring: Ring::new(0), first: 1, loaded: None, announced: 0 }),
            members: Mutex::default(),
            committed: AtomicU64::new(0),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Unique within the process: a later room of the same name has another key.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// The newest published `seq`.
    pub(crate) fn head(&self) -> u64 {
        // Read after the session has asked for notifications: a later publication notifies it.
        self.head.load(Ordering::Acquire)
    }

    /// Whether the room's span has been read from the store.
    pub(crate) fn is_loaded(&self) -> bool {
        self.log().loaded.is_some()
    }

    /// Whether the span was read recently.
    pub(crate) fn is_fresh(&self) -> bool {
        self.log().loaded.is_some_and(|loaded| loaded.elapsed() < SPAN_FRESH)
    }

    /// Takes over a span read from the store. The head is taken over once; after that only publishing moves it. Returns the newest `seq`
    /// that the feed announced before: if the span is older than that, there is something to read.
    pub(crate) fn load(&self, span: Span) -> u64 {
        let mut log = self.log_mut();
        if log.loaded.is_none() {
            log.ring = Ring::new(span.head);
            self.head.store(span.head, Ordering::Release);
        }
        log.first = span.first;
        log.loaded = Some(Instant::now());
        log.announced
    }

    /// The store has messages up to `seq`. Returns whether the room is loaded; if not, [`load`](Self::load) will return the `seq`.
    pub(crate) fn announce(&self, seq: u64) -> bool {
        let mut log = self.log_mut();
        if log.loaded.is_none() {
            log.announced = log.announced.max(seq);
        }
        log.loaded.is_some()
    }

    /// Appends stored messages and notifies the members. Messages that are published already are cut off. Called by the sequencer
    /// only.
    pub(crate) fn publish(&self, chunks: Vec<Chunk>, budget: &RingBudget) {
        let mut log = self.log_mut();
        let before = log.ring.bytes();
        for chunk in chunks {
            if let Some(chunk) = chunk.after(self.head()) {
                self.head.store(chunk.last(), Ordering::Release);
                log.ring.push(chunk);
            }
        }
        log.ring.trim(budget.allowance());
        budget.account(before, log.ring.bytes());
        drop(log);
        notify_all(self.members().iter().map(|(_, member)| member));
    }

    /// Moves the head over removed messages up to `seq`. Called by the sequencer only.
    pub(crate) fn skip_to(&self, seq: u64, budget: &RingBudget) {
        let mut log = self.log_mut();
        if seq > self.head() {
            budget.account(log.ring.bytes(), 0);
            log.ring = Ring::new(seq);
            self.head.store(seq, Ordering::Release);
        }
        drop(log);
        notify_all(self.members().iter().map(|(_, member)| member));
    }

    /// Frees the ring's memory: all messages in it can be read from the store.
    pub(crate) fn forget(&self, budget: &RingBudget) {
        let mut log = self.log_mut();
        budget.account(log.ring.bytes(), 0);
        log.ring.clear();
    }

    /// Adds a member. Returns its slot and the span at that moment; later messages are notified.
    pub(crate) fn enter(&self, connection: &Arc<Connection>) -> (u32, Span) {
        let slot = self.members().insert(Arc::clone(connection));
        let slot = u32::try_from(slot).expect("a process has fewer than 2^32 connections");
        let log = self.log();
        let head = self.head();
        (slot, Span { first: log.first.min(head + 1), head })
    }

    /// Removes the member in a slot.
    pub(crate) fn exit(&self, slot: u32) {
        let mut members = self.members();
        members.remove(slot as usize);
        if members.is_empty() {
            members.shrink_to_fit();
        }
    }

    /// Pulls the messages after `cursor`, up to `until`, from the ring. Returns how many, or `None` if the ring begins later.
    pub(crate) fn pull(&self, cursor: &mut u64, until: u64, batch: &mut Batch) -> Option<u64> {
        let (after, before) = (*cursor, batch.frames().len());
        let up_to = self.head().min(until);
        if let Some(frames) = thread_cache::find(self.key, after, up_to) {
            batch.push(frames);
            *cursor = up_to;
            return Some(up_to - after);
        }
        let log = self.log();
        let pulled = log.ring.covers(after).then(|| log.ring.pull(cursor, until, batch));
        drop(log);
        if let [frames] = &batch.frames()[before..] {
            thread_cache::keep(self.key, after, *cursor, frames);
        }
        pulled
    }

    /// The mean size of the newest messages, in bytes of their frames. 0 if none are in memory.
    pub(crate) fn mean_size(&self) -> usize {
        self.log().ring.mean_size()
    }

    /// Whether the ring reaches back to `cursor`.
    pub(crate) fn covers(&self, cursor: u64) -> bool {
        self.log().ring.covers(cursor)
    }

    /// The newest `seq` known to be stored. Called by the sequencer only.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed).max(self.head())
    }

    pub(crate) fn set_committed(&self, seq: u64) {
        self.committed.fetch_max(seq, Ordering::Relaxed);
    }

    fn log(&self) -> RwLockReadGuard<'_, Log> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_mut(&self) -> RwLockWriteGuard<'_, Log> {
        self.log.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> MutexGuard<'_, Slab<Arc<Connection>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
