//! One room: its log's newest part, its head, and who is in it.

use crate::ring::{Chunk, Ring};
use crate::thread_cache;
use chatbox_core::{Batch, Connection, notify_all};
use chatbox_store::Span;
use slab::Slab;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::time::Instant;

/// How long what the store said about a room's oldest message is believed.
const SPAN_FRESH: Duration = Duration::from_secs(1);

/// A room that somebody uses.
///
/// Two locks, never held together: publishing appends under the first and notifies under the second, joining enters
/// under the second and reads the head under the first. Whichever way the two interleave, a message that is published is
/// either before the member's cursor or notified to it.
#[derive(Debug)]
pub(crate) struct Room {
    /// Tells this room from every other that there is, was or will be.
    key: u64,
    name: Arc<str>,
    /// The newest published `seq`; readable without a lock.
    head: AtomicU64,
    log: RwLock<Log>,
    members: Mutex<Slab<Arc<Connection>>>,
    /// The newest `seq` that the sequencer knows to be stored; ahead of `head` until it is published.
    committed: AtomicU64,
}

#[derive(Debug)]
struct Log {
    ring: Ring,
    first: u64,
    /// When the store was last asked; `None`: never.
    asked: Option<Instant>,
    /// The newest `seq` that was heard of before anything else was known.
    heard: u64,
}

/// The bytes of all rings together, and their bounds.
#[derive(Debug)]
pub(crate) struct RingBudget {
    pub(crate) per_room: usize,
    pub(crate) total: usize,
    pub(crate) used: AtomicUsize,
}

impl RingBudget {
    /// What a ring may keep now: little once all rings together have reached their bound.
    fn allowance(&self) -> usize {
        if self.used.load(Ordering::Relaxed) > self.total { 0 } else { self.per_room }
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
            log: RwLock::new(Log { ring: Ring::new(0), first: 1, asked: None, heard: 0 }),
            members: Mutex::default(),
            committed: AtomicU64::new(0),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// No other room of this process has it, not even one of the same name later.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// The newest published `seq`.
    pub(crate) fn head(&self) -> u64 {
        // Read after the session has said that it rests: a later publication notifies it.
        self.head.load(Ordering::Acquire)
    }

    /// Whether the store has ever been asked about this room.
    pub(crate) fn is_loaded(&self) -> bool {
        self.log().asked.is_some()
    }

    /// Whether what is known of its oldest message is recent.
    pub(crate) fn is_fresh(&self) -> bool {
        self.log().asked.is_some_and(|asked| asked.elapsed() < SPAN_FRESH)
    }

    /// Takes over what the store says. The head is taken once: from then on it moves by publication only. Returns the newest
    /// `seq` that was heard of before: if the store answered earlier than that, there is something to be read.
    pub(crate) fn load(&self, span: Span) -> u64 {
        let mut log = self.log_mut();
        if log.asked.is_none() {
            log.ring = Ring::new(span.head);
            self.head.store(span.head, Ordering::Release);
        }
        log.first = span.first;
        log.asked = Some(Instant::now());
        log.heard
    }

    /// Says whether the store has been asked; if not, notes for whoever is asking that it has messages up to `seq`.
    pub(crate) fn is_loaded_or_hears(&self, seq: u64) -> bool {
        let mut log = self.log_mut();
        if log.asked.is_none() {
            log.heard = log.heard.max(seq);
        }
        log.asked.is_some()
    }

    /// Appends committed messages and wakes the members who had everything before them. What is published already is cut off.
    /// For the sequencer alone.
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

    /// Passes over messages up to `seq` that are no longer stored. For the sequencer alone.
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

    /// Forgets the ring: everything in it is in the store.
    pub(crate) fn forget(&self, budget: &RingBudget) {
        let mut log = self.log_mut();
        budget.account(log.ring.bytes(), 0);
        log.ring.clear();
    }

    /// Lets a connection in. Returns its place, and the span at that moment: everything later will be notified.
    pub(crate) fn enter(&self, connection: &Arc<Connection>) -> (u32, Span) {
        let place = self.members().insert(Arc::clone(connection));
        let place = u32::try_from(place).expect("a process has fewer connections than that");
        let log = self.log();
        let head = self.head();
        (place, Span { first: log.first.min(head + 1), head })
    }

    pub(crate) fn exit(&self, place: u32) {
        let mut members = self.members();
        members.remove(place as usize);
        if members.is_empty() {
            members.shrink_to_fit();
        }
    }

    /// Pulls what the ring has after `cursor`; `None` when it does not reach back that far.
    pub(crate) fn pull(&self, cursor: &mut u64, until: u64, batch: &mut Batch) -> Option<u64> {
        let (after, before) = (*cursor, batch.frames().len());
        let upto = self.head().min(until);
        if let Some(frames) = thread_cache::find(self.key, after, upto) {
            batch.push(frames);
            *cursor = upto;
            return Some(upto - after);
        }
        let log = self.log();
        let pulled = log.ring.covers(after).then(|| log.ring.pull(cursor, until, batch));
        drop(log);
        if let [frames] = &batch.frames()[before..] {
            thread_cache::keep(self.key, after, *cursor, frames);
        }
        pulled
    }

    /// Whether the ring has what comes after `cursor`.
    pub(crate) fn covers(&self, cursor: u64) -> bool {
        self.log().ring.covers(cursor)
    }

    /// For the sequencer alone: the newest stored `seq` that it knows of.
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
