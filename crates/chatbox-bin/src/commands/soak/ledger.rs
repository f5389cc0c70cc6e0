//! What was acknowledged, what each client saw, and whether it fits to what is stored: pure.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A message as a client or the store shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) seq: u64,
    pub(super) user: String,
    pub(super) id: String,
    pub(super) body: String,
}

/// What one client saw of its room: enough to compare it to the store without keeping it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    /// The last `seq`; every one from 1 on was seen.
    pub(super) last: u64,
    /// A digest of all of them.
    digest: u64,
}

/// Something that must not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// A word for what kind it is.
    pub(super) kind: &'static str,
    /// Where, and what.
    pub(super) detail: String,
}

impl Violation {
    pub(super) fn new(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl Stream {
    /// Takes the next message, which has to be the one after the last.
    pub(super) fn take(&mut self, client: usize, message: &Seen) -> Result<(), Violation> {
        let expected = self.last + 1;
        if message.seq == expected {
            self.last = expected;
            self.digest = chain(self.digest, message);
            return Ok(());
        }
        let kind = if message.seq < expected { "repeat" } else { "gap" };
        let detail = format!("client {client} expected seq {expected} and got {}", message.seq);
        // Go on from there, so that one gap is not counted again with every message.
        self.last = message.seq.max(self.last);
        Err(Violation::new(kind, detail))
    }
}

/// What the fleet was told about one room.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// `(user, id)` of every acknowledged message, and its `seq`.
    pub(super) acked: HashMap<(usize, String), u64>,
    /// What each member saw; a client whose stream is broken already is not compared.
    pub(super) streams: Vec<(usize, Stream)>,
}

impl Room {
    /// Compares what the fleet was told to what is stored. `user` finds a client by its user id.
    pub(super) fn check(mut self, name: &str, stored: &[Seen], user: impl Fn(&str) -> Option<usize>) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut digests = Vec::with_capacity(stored.len() + 1);
        digests.push(0);
        let mut places: HashMap<(&str, &str), u64> = HashMap::new();
        for (index, message) in stored.iter().enumerate() {
            if message.seq != index as u64 + 1 {
                let detail = format!("{name}: seq {} stands where {} should", message.seq, index + 1);
                violations.push(Violation::new("stored_gap", detail));
            }
            if let Some(first) = places.insert((&message.user, &message.id), message.seq) {
                let detail =
                    format!("{name}: {} of {} is stored as {first} and as {}", message.id, message.user, message.seq);
                violations.push(Violation::new("stored_twice", detail));
            }
            let acked = user(&message.user).and_then(|user| self.acked.remove(&(user, message.id.clone())));
            if let Some(acked) = acked.filter(|&acked| acked != message.seq) {
                let detail =
                    format!("{name}: {} was acknowledged as {acked} and is stored as {}", message.id, message.seq);
                violations.push(Violation::new("moved", detail));
            }
            digests.push(chain(digests[index], message));
        }
        for ((user, id), seq) in &self.acked {
            let detail = format!("{name}: {id} of client {user} was acknowledged as {seq} and is not stored");
            violations.push(Violation::new("lost", detail));
        }
        for (client, stream) in &self.streams {
            match digests.get(stream.last as usize) {
                Some(&digest) if digest != stream.digest => {
                    let detail =
                        format!("{name}: client {client} saw other messages than are stored, up to {}", stream.last);
                    violations.push(Violation::new("differs", detail));
                }
                Some(_) if stream.last as usize + 1 == digests.len() => {}
                _ => {
                    let detail = format!("{name}: client {client} saw {} of {} messages", stream.last, stored.len());
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
            stream.take(0, message).expect("in order");
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
    fn a_stream_must_go_on_where_it_was() {
        let mut stream = Stream::default();
        assert_eq!(stream.take(0, &message(1, "a")), Ok(()));
        assert_eq!(stream.take(0, &message(1, "a")).map_err(|violation| violation.kind), Err("repeat"));
        assert_eq!(stream.take(0, &message(3, "c")).map_err(|violation| violation.kind), Err("gap"));
        assert_eq!(stream.take(0, &message(4, "d")), Ok(()));
    }
}
