//! One room: its head, the newest part of its log, and its members.

use crate::ring::{Chunk, Ring};
use crate::ring_budget::RingBudget;
use crate::thread_cache;
use chatbox_core::{Batch, Connection, notify_all};
use chatbox_store::Span;
use slab::Slab;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
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
///
/// A room whose log is replaced, because a backup was restored, [starts over](Self::start_over) with the next generation. Heads and
/// cursors of different generations have nothing in common.
#[derive(Debug)]
pub(crate) struct Room {
    /// Unique within the process, and never used again.
    key: u64,
    name: Arc<str>,
    /// The newest published `seq`, readable without a lock.
    head: AtomicU64,
    /// Counts how often the log was replaced. Written under the lock of the log.
    generation: AtomicU16,
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
    /// The epoch that the room was loaded in.
    epoch: Option<Arc<str>>,
    /// The newest `seq` that the feed announced before the room was loaded.
    announced: u64,
}

/// The state of a room at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) span: Span,
    pub(crate) epoch: Arc<str>,
    /// Changes when the log is replaced.
    pub(crate) generation: u16,
}

impl Room {
    pub(crate) fn new(name: Arc<str>) -> Self {
        static KEYS: AtomicU64 = AtomicU64::new(0);
        Self {
            key: KEYS.fetch_add(1, Ordering::Relaxed),
            name,
            head: AtomicU64::new(0),
            generation: AtomicU16::new(0),
            log: RwLock::new(Log::new()),
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

    /// Changes when the log is replaced.
    pub(crate) fn generation(&self) -> u16 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether the room's span has been read from the store.
    pub(crate) fn is_loaded(&self) -> bool {
        self.log().loaded.is_some()
    }

    /// Whether the span was read recently.
    pub(crate) fn is_fresh(&self) -> bool {
        self.log().loaded.is_some_and(|loaded| loaded.elapsed() < SPAN_FRESH)
    }

    /// The epoch that the room was loaded in; `None` until then.
    pub(crate) fn epoch(&self) -> Option<Arc<str>> {
        self.log().epoch.clone()
    }

    /// Takes over a span that was read from the store in this generation; one of another generation is ignored. The head is taken over
    /// once; after that only publishing moves it. Returns the newest `seq` that the feed announced before: if the span is older than that,
    /// there is something to read.
    pub(crate) fn load(&self, generation: u16, span: Span, epoch: Arc<str>) -> u64 {
        let mut log = self.log_mut();
        if generation != self.generation() {
            return 0;
        }
        let begins = log.loaded.is_none();
        if begins {
            log.ring = Ring::new(span.head);
            log.epoch = Some(epoch);
            self.head.store(span.head, Ordering::Release);
        }
        log.first = span.first;
        log.loaded = Some(Instant::now());
        let announced = log.announced;
        drop(log);
        if begins && generation > 0 {
            // Members of the earlier generation wait for this.
            self.notify_members();
        }
        announced
    }

    /// The log was replaced: forgets everything about it until the room is [loaded](Self::load) again. Called by the sequencer only.
    pub(crate) fn start_over(&self, budget: &RingBudget) {
        let mut log = self.log_mut();
        budget.account(log.ring.bytes(), 0);
        *log = Log::new();
        self.generation.fetch_add(1, Ordering::Release);
        self.head.store(0, Ordering::Release);
        self.committed.store(0, Ordering::Relaxed);
        drop(log);
        self.notify_members();
    }

    /// The state of the room at this moment; `None` until it is loaded.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        let log = self.log();
        let head = self.head();
        let span = Span { first: log.first.min(head + 1), head };
        Some(Snapshot { span, epoch: log.epoch.clone()?, generation: self.generation() })
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
        self.notify_members();
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
        self.notify_members();
    }

    /// Frees the ring's memory: all messages in it can be read from the store.
    pub(crate) fn forget(&self, budget: &RingBudget) {
        let mut log = self.log_mut();
        budget.account(log.ring.bytes(), 0);
        log.ring.clear();
    }

    /// Adds a member. Returns its slot and the state at that moment; later messages are notified. `None` if the room is not loaded.
    pub(crate) fn enter(&self, connection: &Arc<Connection>) -> Option<(u32, Snapshot)> {
        let slot = self.members().insert(Arc::clone(connection));
        let slot = u32::try_from(slot).expect("a process has fewer than 2^32 connections");
        let snapshot = self.snapshot();
        if snapshot.is_none() {
            self.exit(slot);
        }
        Some((slot, snapshot?))
    }

    /// Removes the member in a slot.
    pub(crate) fn exit(&self, slot: u32) {
        let mut members = self.members();
        members.remove(slot as usize);
        if members.is_empty() {
            members.shrink_to_fit();
        }
    }

    /// Pulls the messages after `cursor`, up to `until`, from the ring. Returns how many, or `None` if the ring begins later. A cursor of
    /// another generation pulls nothing.
    pub(crate) fn pull(&self, generation: u16, cursor: &mut u64, until: u64, batch: &mut Batch) -> Option<u64> {
        let (after, before) = (*cursor, batch.frames().len());
        let up_to = self.head().min(until);
        if let Some(frames) = thread_cache::find(self.log_key(generation), after, up_to) {
            batch.push(frames);
            *cursor = up_to;
            return Some(up_to - after);
        }
        let log = self.log();
        if generation != self.generation() {
            return Some(0);
        }
        let pulled = log.ring.covers(after).then(|| log.ring.pull(cursor, until, batch));
        drop(log);
        if let [frames] = &batch.frames()[before..] {
            thread_cache::keep(self.log_key(generation), after, *cursor, frames);
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

    /// Unique among the generations of all rooms.
    fn log_key(&self, generation: u16) -> u64 {
        self.key << u16::BITS | u64::from(generation)
    }

    fn notify_members(&self) {
        notify_all(self.members().iter().map(|(_, member)| member));
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

impl Log {
    fn new() -> Self {
        Self { ring: Ring::new(0), first: 1, loaded: None, epoch: None, announced: 0 }
    }
}
