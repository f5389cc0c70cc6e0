//! The check: acks and received messages against the stored ones. Does no I/O.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A message as received by a client or as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) seq: u64,
    pub(crate) user: String,
    pub(crate) id: String,
    pub(crate) body: String,
}

/// The messages that one client received of its room, as a digest: enough to compare them with the stored ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    /// The last `seq`; every one from 1 on was received.
    pub(crate) last: u64,
    /// The digest of all of them.
    digest: u64,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Its kind: see the README.
    pub(crate) kind: &'static str,
    /// The room or client, and what happened.
    pub(crate) detail: String,
}

impl Violation {
    pub(crate) fn new(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl Stream {
    /// Adds a message, which must be the one after the last.
    pub(crate) fn push(&mut self, client: usize, message: &Seen) -> Result<(), Violation> {
        let expected = self.last + 1;
        if message.seq == expected {
            self.last = expected;
            self.digest = chain(self.digest, message);
            return Ok(());
        }
        let kind = if message.seq < expected { "repeat" } else { "gap" };
        let detail = format!("client {client} expected seq {expected} and got {}", message.seq);
        // Continue from there, so that one gap is counted once.
        self.last = message.seq.max(self.last);
        Err(Violation::new(kind, detail))
    }
}

/// The acks and streams of one room.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The `seq` of every acked message, by client and id.
    pub(crate) acked: HashMap<(usize, String), u64>,
    /// The stream of each member.
    pub(crate) streams: Vec<(usize, Stream)>,
}

impl Room {
    /// Compares acks and streams with the stored messages. `user` finds a client by its user id.
    pub(crate) fn check(mut self, name: &str, stored: &[Seen], user: impl Fn(&str) -> Option<usize>) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut digests = Vec::with_capacity(stored.len() + 1);
        digests.push(0);
        let mut stored_as: HashMap<(&str, &str), u64> = HashMap::new();
        for (index, message) in stored.iter().enumerate() {
            if message.seq != index as u64 + 1 {
                let detail = format!("{name}: seq {} is stored where {} should be", message.seq, index + 1);
                violations.push(Violation::new("stored_gap", detail));
            }
            if let Some(first) = stored_as.insert((&message.user, &message.id), message.seq) {
                let detail =
                    format!("{name}: {} of {} is stored as {first} and as {}", message.id, message.user, message.seq);
                violations.push(Violation::new("stored_twice", detail));
            }
            let acked = user(&message.user).and_then(|user| self.acked.remove(&(user, message.id.clone())));
            if let Some(acked) = acked.filter(|&acked| acked != message.seq) {
                let detail = format!("{name}: {} was acked as {acked} and is stored as {}", message.id, message.seq);
                violations.push(Violation::new("moved", detail));
            }
            digests.push(chain(digests[index], message));
        }
        for ((user, id), seq) in &self.acked {
            let detail = format!("{name}: {id} of client {user} was acked as {seq} and is not stored");
            violations.push(Violation::new("lost", detail));
        }
        for (client, stream) in &self.streams {
            match digests.get(stream.last as usize) {
                Some(&digest) if digest != stream.digest => {
                    let detail = format!(
                        "{name}: client {client} received other messages than are stored, up to {}",
                        stream.last
                    );
                    violations.push(Violation::new("differs", detail));
                }
                Some(_) if stream.last as usize + 1 == digests.len() => {}
                _ => {
                    let detail =
                        format!("{name}: client {client} received {} of {} messages", stream.last, stored.len());
                    violations.push(Violation::new("undelivered", detail));
                }
            }
        }
        violations
    }
}

fn chain(before: u64, message: &Seen) -> u64 {
    let mut hasher = DefaultHasher::new();
    (before, message.seq, &message.user, &message.id, &message.body).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, id: &str) -> Seen {
        Seen { seq, user: "user-0".into(), id: id.into(), body: String::new() }
    }

    fn user(name: &str) -> Option<usize> {
        name.strip_prefix("user-")?.parse().ok()
    }

    fn room(seen: &[Seen], acked: &[(&str, u64)]) -> Room {
        let mut stream = Stream::default();
        for message in seen {
            stream.push(0, message).expect("in order");
        }
        let acked = acked.iter().map(|&(id, seq)| ((0, id.to_owned()), seq)).collect();
        Room { acked, streams: vec![(0, stream)] }
    }

    fn kinds(violations: &[Violation]) -> Vec<&str> {
        violations.iter().map(|violation| violation.kind).collect()
    }

    #[test]
    fn a_sound_room_passes() {
        let stored = [message(1, "a"), message(2, "b")];
        assert_eq!(room(&stored, &[("a", 1), ("b", 2)]).check("r", &stored, user), []);
    }

    #[test]
    fn every_kind_of_fault_is_found() {
        let stored = [message(1, "a"), message(2, "b")];
        let check = |room: Room, stored: &[Seen]| kinds(&room.check("r", stored, user)).join(" ");
        assert_eq!(check(room(&stored, &[("c", 3)]), &stored), "lost");
        assert_eq!(check(room(&stored, &[("a", 2)]), &stored), "moved");
        assert_eq!(check(room(&stored[..1], &[]), &stored), "undelivered");
        assert_eq!(check(room(&[message(1, "x"), message(2, "b")], &[]), &stored), "differs");
        let twice = [message(1, "a"), message(2, "a")];
        assert_eq!(check(room(&twice, &[]), &twice), "stored_twice");
        let gap = [message(1, "a"), message(3, "b")];
        assert_eq!(check(room(&gap[..1], &[]), &gap), "stored_gap undelivered");
    }

    #[test]
    fn a_stream_must_continue_after_its_last_message() {
        let mut stream = Stream::default();
        assert_eq!(stream.push(0, &message(1, "a")), Ok(()));
        assert_eq!(stream.push(0, &message(1, "a")).map_err(|violation| violation.kind), Err("repeat"));
        assert_eq!(stream.push(0, &message(3, "c")).map_err(|violation| violation.kind), Err("gap"));
        assert_eq!(stream.push(0, &message(4, "d")), Ok(()));
    }
}
