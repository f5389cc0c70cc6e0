//! A cache of the heads of rooms and of their oldest messages, with the time at which each head was known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a cached head is used. Later, the messages behind it may have been removed already. Much shorter than what [`expire`](super::expire) leaves.
pub(super) const FRESH: Duration = Duration::from_secs(30);

/// The most rooms in the cache. One more clears it, which costs a read for each room that is written to again.
const ROOMS: usize = 65_536;

/// For rooms that this process has used: the head that a majority has, and the oldest message.
#[derive(Debug, Default)]
pub(super) struct Heads(Mutex<HashMap<Arc<str>, Known>>);

#[derive(Debug)]
struct Known {
    head: Head,
    /// The `seq` of the oldest message, or of an older one.
    first: u64,
}

/// The head that a room had at some moment.
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
        self.lock().get(room).map(|known| known.head)
    }

    /// The `seq` from which to look for the oldest message.
    pub(super) fn first(&self, room: &str) -> u64 {
        self.lock().get(room).map_or(1, |known| known.first)
    }

    pub(super) fn learn_first(&self, room: &str, first: u64) {
        if let Some(known) = self.lock().get_mut(room) {
            known.first = known.first.max(first);
        }
    }

    /// Records a head that was the newest at that moment.
    pub(super) fn learn(&self, room: &str, seq: u64, at: Instant) {
        let mut heads = self.lock();
        if let Some(known) = heads.get_mut(room) {
            return known.head.rise(seq, at);
        }
        if heads.len() == ROOMS {
            heads.clear();
        }
        heads.insert(room.into(), Known { head: Head { seq, at }, first: 1 });
    }

    /// The same for a room that this process may not use: rooms that are not cached are ignored.
    pub(super) fn observe(&self, room: &str, seq: u64, at: Instant) {
        if let Some(known) = self.lock().get_mut(room) {
            known.head.rise(seq, at);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_head_never_goes_back_and_is_fresh_for_a_while() {
        let heads = Heads::default();
        heads.learn("r", 7, Instant::now());
        tokio::time::advance(FRESH).await;
        heads.observe("r", 6, Instant::now());
        assert!(heads.known("r").is_some_and(|head| head.seq == 7 && !head.is_fresh()));
        heads.learn("r", 7, Instant::now());
        heads.learn("r", 7, Instant::now() - FRESH);
        assert!(heads.known("r").is_some_and(|head| head.seq == 7 && head.is_fresh()));
    }

    #[test]
    fn what_is_heard_of_unknown_rooms_is_not_kept() {
        let heads = Heads::default();
        heads.observe("r", 7, Instant::now());
        heads.learn_first("r", 7);
        assert!(heads.known("r").is_none());
        assert_eq!(heads.first("r"), 1);
    }

    #[test]
    fn a_flood_of_rooms_is_forgotten() {
        let heads = Heads::default();
        for room in 0..2 * ROOMS {
            heads.learn(&room.to_string(), 1, Instant::now());
            assert!(heads.lock().len() <= ROOMS);
        }
        assert!(heads.known(&(2 * ROOMS - 1).to_string()).is_some());
    }
}
