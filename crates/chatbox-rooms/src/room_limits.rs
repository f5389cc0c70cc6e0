//! How many different rooms a user may turn to within a minute: each costs a place in memory, and a look at the store.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// For how long a room counts.
const WINDOW: Duration = Duration::from_secs(60);

/// Counts the different rooms of each user, over all of the user's connections, in windows of a minute that are the same for all.
#[derive(Debug)]
pub(crate) struct RoomLimits {
    per_minute: u32,
    hasher: RandomState,
    window: Mutex<Window>,
}

/// Users and rooms are known by their hashes, which nobody can choose: two that are taken for one do no harm.
#[derive(Debug)]
struct Window {
    began: Instant,
    /// How many rooms each user has turned to.
    counts: HashMap<u64, u32>,
    /// Which ones: hashes of a user and a room.
    rooms: HashSet<u64>,
}

impl Window {
    fn new(began: Instant) -> Self {
        Self { began, counts: HashMap::new(), rooms: HashSet::new() }
    }
}

impl RoomLimits {
    pub(crate) fn new(per_minute: usize) -> Self {
        Self {
            per_minute: u32::try_from(per_minute).unwrap_or(u32::MAX),
            hasher: RandomState::new(),
            window: Mutex::new(Window::new(Instant::now())),
        }
    }

    /// Counts a room that `user` turns to.
    ///
    /// # Errors
    /// How long to wait until there may be another one.
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

    /// Gives back the memory of a minute that is over. To be called now and then, for the case that nobody turns to a room.
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
    fn a_user_may_turn_to_so_many_rooms_a_minute() {
        let limits = RoomLimits::new(2);
        let start = limits.window.lock().unwrap().began;
        let check = |user, room, second| limits.check(user, room, start + Duration::from_secs(second));
        assert_eq!(check("alice", "a", 0), Ok(()));
        assert_eq!(check("alice", "b", 10), Ok(()));
        assert_eq!(check("alice", "c", 20), Err(Duration::from_secs(40)));
        assert_eq!(check("alice", "a", 30), Ok(()), "a room that counts already");
        assert_eq!(check("bob", "c", 30), Ok(()));
        assert_eq!(check("alice", "c", 60), Ok(()));
    }

    #[test]
    fn a_minute_that_is_over_takes_no_memory() {
        let limits = RoomLimits::new(1);
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
