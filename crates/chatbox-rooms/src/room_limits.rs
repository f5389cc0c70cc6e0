//! Limits how many different rooms a user joins or sends to within a minute: each costs memory and a read of the store.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(60);

/// Counts the different rooms of each user, over all of the user's connections. All users share the same windows of a minute.
#[derive(Debug)]
pub(crate) struct RoomLimits {
    per_minute: u32,
    hasher: RandomState,
    window: Mutex<Window>,
}

/// One window. Users and rooms are stored as hashes with a random key; a collision merely undercounts.
#[derive(Debug)]
struct Window {
    began: Instant,
    /// Number of rooms by hash of the user.
    counts: HashMap<u64, u32>,
    /// The rooms counted, as hashes of user and room.
    rooms: HashSet<u64>,
}

impl Window {
    fn new(began: Instant) -> Self {
        Self { began, counts: HashMap::new(), rooms: HashSet::new() }
    }
}

impl RoomLimits {
    pub(crate) fn new(per_minute: NonZeroUsize) -> Self {
        let per_minute = u32::try_from(per_minute.get()).unwrap_or(u32::MAX);
        Self { per_minute, hasher: RandomState::new(), window: Mutex::new(Window::new(Instant::now())) }
    }

    /// Counts a request of `user` that concerns `room`.
    ///
    /// # Errors
    /// The time until the next window, if the user has reached the limit and the room was not counted before.
    pub(crate) fn check(&self, user: &str, room: &str, now: Instant) -> Result<(), Duration> {
        let both = self.hasher.hash_one((user, room));
        let mut window = self.current(now);
        if window.rooms.contains(&both) {
            return Ok(());
        }
        let count = window.counts.entry(self.hasher.hash_one(user)).or_default();
        if *count >= self.per_minute {
            return Err(WINDOW.saturating_sub(now.saturating_duration_since(window.began)));
        }
        *count += 1;
        window.rooms.insert(both);
        Ok(())
    }

    /// Frees the memory of a window that is over. Needed only while no requests come.
    pub(crate) fn forget(&self, now: Instant) {
        drop(self.current(now));
    }

    /// The window that `now` belongs to.
    fn current(&self, now: Instant) -> MutexGuard<'_, Window> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.began) >= WINDOW {
            *window = Window::new(now);
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_beyond_the_limit_are_refused_until_the_next_window() {
        let limits = RoomLimits::new(const { NonZeroUsize::new(2).unwrap() });
        let start = limits.window.lock().unwrap().began;
        let check = |user, room, second| limits.check(user, room, start + Duration::from_secs(second));
        assert_eq!(check("alice", "a", 0), Ok(()));
        assert_eq!(check("alice", "b", 10), Ok(()));
        assert_eq!(check("alice", "c", 20), Err(Duration::from_secs(40)));
        assert_eq!(check("alice", "a", 30), Ok(()), "a room that was counted before");
        assert_eq!(check("bob", "c", 30), Ok(()));
        assert_eq!(check("alice", "c", 60), Ok(()));
    }

    #[test]
    fn a_window_that_is_over_takes_no_memory() {
        let limits = RoomLimits::new(NonZeroUsize::MIN);
        let start = limits.window.lock().unwrap().began;
        for index in 0..1_000 {
            limits.check(&index.to_string(), "a", start).unwrap();
        }
        let capacity = || {
            let window = limits.window.lock().unwrap();
            window.counts.capacity() + window.rooms.capacity()
        };
        limits.forget(start + WINDOW / 2);
        assert!(capacity() >= 2_000);
        limits.forget(start + WINDOW);
        assert_eq!(capacity(), 0);
    }
}
