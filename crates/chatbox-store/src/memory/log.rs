//! The rooms of a log in memory.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::feed::Replica;
use crate::message::within_read_bytes;
use crate::{Append, AppendResult, Appended, Cutoff, Draft, FeedEvent, Page, Span, Stored};

/// How many messages of each room are kept.
pub(super) const KEPT: usize = 1000;

/// The rooms, and the stores that share them.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) rooms: HashMap<Arc<str>, Room>,
    pub(super) replicas: Vec<Replica>,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    head: u64,
    /// The newest messages; the last one has the `seq` `head`.
    kept: VecDeque<Stored>,
    /// The `seq` of every kept message, by user and id.
    ids: HashMap<(Arc<str>, Box<str>), u64>,
}

impl Log {
    pub(super) fn shared(replicas: Vec<Replica>) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { rooms: HashMap::new(), replicas }))
    }

    pub(super) fn append(&mut self, append: &Append) -> Appended {
        let head = self.rooms.get(&append.room).map_or(0, |room| room.head);
        if append.expected_head != head {
            return Appended::HeadMoved { head };
        }
        if append.messages.is_empty() {
            return Appended::All(Vec::new());
        }
        let room = self.rooms.entry(append.room.clone()).or_default();
        let mut results = Vec::with_capacity(append.messages.len());
        for draft in &append.messages {
            results.push(room.push(draft));
            if let (Some(AppendResult::New(_)), Some(message)) = (results.last(), room.kept.back()) {
                for replica in &mut self.replicas {
                    replica.send(|| FeedEvent::Appended { room: append.room.clone(), message: message.clone() });
                }
            }
        }
        Appended::All(results)
    }
}

impl Room {
    pub(super) fn span(&self) -> Span {
        Span { first: self.head + 1 - self.kept.len() as u64, head: self.head }
    }

    fn push(&mut self, draft: &Draft) -> AppendResult {
        match self.ids.entry((draft.user.clone(), draft.id.clone())) {
            Entry::Occupied(stored) => AppendResult::Duplicate(*stored.get()),
            Entry::Vacant(entry) => {
                self.head += 1;
                entry.insert(self.head);
                let Draft { user, id, body, at_ms } = draft.clone();
                self.kept.push_back(Stored { seq: self.head, user, id, body, at_ms });
                if self.kept.len() > KEPT {
                    self.forget_oldest();
                }
                AppendResult::New(self.head)
            }
        }
    }

    pub(super) fn read(&self, after: u64, limit: usize) -> Page {
        let skipped = (after.saturating_add(1)).saturating_sub(self.span().first);
        let messages = self
            .kept
            .iter()
            .skip(usize::try_from(skipped).unwrap_or(usize::MAX))
            .take(limit.max(1))
            .cloned()
            .take_while(within_read_bytes())
            .collect();
        Page::new(self.head, messages)
    }

    pub(super) fn expire(&mut self, Cutoff { before_ms, now_ms }: Cutoff) -> u64 {
        let removable = self.kept.iter().take_while(|message| message.at_ms < before_ms || message.at_ms > now_ms);
        let expired = removable.enumerate().filter(|(_, message)| message.at_ms < before_ms);
        let removed = expired.last().map_or(0, |(last, _)| last + 1);
        for _ in 0..removed {
            self.forget_oldest();
        }
        removed as u64
    }

    /// Goes back to an earlier head.
    pub(super) fn truncate(&mut self, head: u64) {
        while self.head > head {
            self.head -= 1;
            if let Some(Stored { user, id, .. }) = self.kept.pop_back() {
                self.ids.remove(&(user, id));
            }
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(Stored { user, id, .. }) = self.kept.pop_front() {
            self.ids.remove(&(user, id));
        }
    }
}
