//! How many different rooms a user may turn to within a minute: each costs a place in memory, and a look at the store.

use chatbox_protocol::{ClientMessage, RoomName};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long a room counts.
const WINDOW: Duration = Duration::from_secs(60);

/// Users known at once before those whose minute is over are forgotten.
const FEW_USERS: usize = 1_024;

/// Counts the different rooms of each user, over all of the user's connections, in windows of a minute that begin with the first.
#[derive(Debug)]
pub(crate) struct RoomLimits {
    per_minute: usize,
    hasher: RandomState,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    users: HashMap<Arc<str>, Window>,
    /// How many users there may be before the next sweep.
    sweep_at: usize,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    /// By their hashes, which nobody can choose: two rooms that are taken for one do no harm.
    rooms: HashSet<u64>,
}

impl RoomLimits {
    pub(crate) fn new(per_minute: usize) -> Self {
        let known = Known { users: HashMap::new(), sweep_at: FEW_USERS };
        Self { per_minute, hasher: RandomState::new(), known: Mutex::new(known) }
    }

    /// Counts a room that `user` turns to.
    ///
    /// # Errors
    /// How long to wait until there may be another one.
    pub(crate) fn check(&self, user: &Arc<str>, room: &str, now: Instant) -> Result<(), Duration> {
        let room = self.hasher.hash_one(room);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.users.len() >= known.sweep_at {
            known.users.retain(|_, window| now.duration_since(window.began) < WINDOW);
            known.sweep_at = FEW_USERS.max(2 * known.users.len());
        }
        let fresh = || Window { began: now, rooms: HashSet::new() };
        let window = known.users.entry(Arc::clone(user)).or_insert_with(fresh);
        let passed = now.duration_since(window.began);
        if passed >= WINDOW {
            *window = fresh();
        } else if window.rooms.len() >= self.per_minute && !window.rooms.contains(&room) {
            return Err(WINDOW - passed);
        }
        window.rooms.insert(room);
        Ok(())
    }
}

/// The room that a `join` or `send` turns to; `None` for what is neither.
pub(crate) fn room_of(text: &str) -> Option<Cow<'_, str>> {
    // As the protocol writes it, the room is found without reading the rest: a second one would make the message invalid.
    for begin in [r#"{"type":"send","room":""#, r#"{"type":"join","room":""#] {
        let room = text.strip_prefix(begin).and_then(|rest| rest.split_once('"'));
        if let Some(room) = room.and_then(|(room, _)| RoomName::new(room).ok()) {
            return Some(room.into());
        }
    }
    match ClientMessage::parse(text).ok()? {
        ClientMessage::Join { room, .. } | ClientMessage::Send { room, .. } => Some(room.into()),
        ClientMessage::Leave { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_user_may_turn_to_so_many_rooms_a_minute() {
        let (limits, start) = (RoomLimits::new(2), Instant::now());
        let check = |user: &str, room, second| limits.check(&user.into(), room, start + Duration::from_secs(second));
        assert_eq!(check("alice", "a", 0), Ok(()));
        assert_eq!(check("alice", "b", 10), Ok(()));
        assert_eq!(check("alice", "c", 20), Err(Duration::from_secs(40)));
        assert_eq!(check("alice", "a", 30), Ok(()), "a room that counts already");
        assert_eq!(check("bob", "c", 30), Ok(()));
        assert_eq!(check("alice", "c", 60), Ok(()));
    }

    #[test]
    fn users_whose_minute_is_over_are_forgotten() {
        let (limits, start) = (RoomLimits::new(1), Instant::now());
        for index in 0..=3 * FEW_USERS {
            let now = start + Duration::from_secs(index as u64);
            limits.check(&index.to_string().into(), "a", now).unwrap();
            assert!(limits.known.lock().unwrap().users.len() <= FEW_USERS);
        }
    }

    #[test]
    fn a_room_is_found_however_the_message_is_written() {
        for (text, room) in [
            (r#"{"type":"send","room":"a","id":"1","body":"x"}"#, Some("a")),
            (r#"{"type":"join","room":"a","after":1}"#, Some("a")),
            (r#" {"room":"a","id":"1","body":"x","type":"send"}"#, Some("a")),
            (r#"{"type":"join","room":"\u0061"}"#, Some("a")),
            (r#"{"x":{"room":"b"},"type":"join","room":"a"}"#, Some("a")),
            (r#"{"type":"leave","room":"a"}"#, None),
            (r#"{"type":"join","room":"no spaces"}"#, None),
            ("nonsense", None),
        ] {
            assert_eq!(room_of(text).as_deref(), room, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_room_found_is_the_one_that_is_joined(rest in ".{0,30}", room in "[a-c\"\\\\]{1,4}") {
            let text = format!(r#"{{"type":"join","room":"{room}"{rest}"#);
            if let Ok(ClientMessage::Join { room, .. }) = ClientMessage::parse(&text) {
                let found = room_of(&text);
                prop_assert_eq!(found.as_deref(), Some(room.as_str()));
            }
        }
    }
}
