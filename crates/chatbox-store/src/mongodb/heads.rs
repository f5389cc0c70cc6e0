//! How far rooms are known to be written, and since when that was known to be all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long it is believed that a head has not moved so far that what came after it is removed
/// already. Much shorter than what [`expire`](super::expire) leaves.
pub(super) const FRESH: Duration = Duration::from_secs(30);

/// Beyond that all rooms are forgotten, which costs a read for each that is written to again.
const ROOMS: usize = 65_536;

/// Heads that a majority has, of rooms that this process has used.
#[derive(Debug, Default)]
pub(super) struct Heads(Mutex<HashMap<Arc<str>, Head>>);

/// The head that a room had at some moment, and may have left since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) seq: u64,
    at: Instant,
}

impl Head {
    pub(super) fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH
    }

    fn rise(&mut self, seq: u64, at: Instant) {
        if seq > self.seq {
            *self = Self { seq, at };
        } else if seq == self.seq {
            self.at = self.at.max(at);
        }
    }
}

impl Heads {
    pub(super) fn known(&self, room: &str) -> Option<Head> {
        self.lock().get(room).copied()
    }

    /// What came after this head came after about that moment.
    pub(super) fn learn(&self, room: &str, seq: u64, at: Instant) {
        let mut heads = self.lock();
        if let Some(head) = heads.get_mut(room) {
            return head.rise(seq, at);
        }
        if heads.len() == ROOMS {
            heads.clear();
        }
        heads.insert(room.into(), Head { seq, at });
    }

    /// The same, of a room that may be of no interest here.
    pub(super) fn hear(&self, room: &str, seq: u64, at: Instant) {
        if let Some(head) = self.lock().get_mut(room) {
            head.rise(seq, at);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Head>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
