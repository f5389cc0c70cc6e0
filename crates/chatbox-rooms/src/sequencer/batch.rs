//! One batch of messages, grouped by room, and what follows from its commit.

use super::queue::Submission;
use crate::ring::{Chunk, ChunkBuilder};
use crate::room::Room;
use crate::rooms::Shared;
use crate::subscription::message_of;
use chatbox_core::Reply;
use chatbox_protocol::{ErrorCode, ServerMessage, Timestamp};
use chatbox_store::{Append, AppendResult, Appended, Draft, Stored};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// When a client whose message could not be stored should try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Messages of one room, and who waits for their answers.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) room: Arc<Room>,
    drafts: Vec<Draft>,
    /// One for each draft; taken once it is answered.
    replies: Vec<(Option<Reply>, Instant)>,
    /// When it may go to the store.
    pub(super) backoff_until: Option<Instant>,
    /// How many times in a row somebody else was faster.
    pub(super) lost: u32,
}

impl Group {
    pub(super) fn new(room: Arc<Room>) -> Self {
        Self { room, drafts: Vec::new(), replies: Vec::new(), backoff_until: None, lost: 0 }
    }

    pub(super) fn push(&mut self, submission: Submission) {
        self.drafts.push(submission.draft);
        self.replies.push((Some(submission.reply), submission.due));
    }

    /// Adds what comes behind.
    pub(super) fn append(&mut self, mut later: Self) {
        self.drafts.append(&mut later.drafts);
        self.replies.append(&mut later.replies);
    }

    /// Takes the first `count` messages, or as many as there are.
    pub(super) fn split_front(&mut self, count: usize) -> Self {
        let count = count.min(self.drafts.len());
        let (drafts, replies) = (self.drafts.split_off(count), self.replies.split_off(count));
        Self {
            room: Arc::clone(&self.room),
            drafts: std::mem::replace(&mut self.drafts, drafts),
            replies: std::mem::replace(&mut self.replies, replies),
            backoff_until: None,
            lost: self.lost,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.replies.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    pub(super) fn drafts(&self) -> &[Draft] {
        &self.drafts
    }

    /// How many of the first have waited too long.
    pub(super) fn overdue(&self, now: Instant) -> usize {
        self.replies.partition_point(|(_, due)| *due <= now)
    }

    pub(super) fn reject(self, shared: &Shared) {
        for ((reply, _), draft) in self.replies.into_iter().zip(&self.drafts) {
            if let Some(reply) = reply {
                reject(shared, &draft.id, &self.room, reply);
            }
        }
    }
}

/// The messages of one commit, on their way.
#[derive(Debug)]
pub(super) struct Batch {
    /// Without their drafts: those are in `appends`, in the same places.
    groups: Vec<Group>,
    appends: Arc<[Append]>,
}

impl Batch {
    /// What goes to the store behind the heads that are known now.
    pub(super) fn new(mut groups: Vec<Group>) -> Self {
        let appends = groups
            .iter_mut()
            .map(|group| Append {
                room: Arc::clone(group.room.name()),
                expected_head: group.room.committed(),
                messages: std::mem::take(&mut group.drafts),
            })
            .collect();
        Self { groups, appends }
    }

    pub(super) fn appends(&self) -> &Arc<[Append]> {
        &self.appends
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &Arc<Room>> {
        self.groups.iter().map(|group| &group.room)
    }

    /// How many messages.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(Group::len).sum()
    }

    /// Takes note of what was stored. Returns what was not because somebody else was faster, with the heads that they made.
    pub(super) fn settle(self, appended: Vec<Appended>, settled: &mut Committed) -> Vec<(Group, u64)> {
        let mut lost = Vec::new();
        for (place, (mut group, appended)) in self.groups.into_iter().zip(appended).enumerate() {
            let (placed, moved) = match appended {
                Appended::All(placed) => (placed, None),
                Appended::Partly { placed, head } => (placed, Some(head)),
                Appended::HeadMoved { head } => (Vec::new(), Some(head)),
            };
            let rest = group.replies.split_off(placed.len().min(group.replies.len()));
            if let Some(head) = moved {
                let drafts = self.appends[place].messages[placed.len()..].iter();
                // Who was answered meanwhile was told that it is not stored, and that is true now.
                let (drafts, replies) =
                    drafts.zip(rest).filter(|(_, (reply, _))| reply.is_some()).map(|(d, r)| (d.clone(), r)).unzip();
                let (room, times) = (Arc::clone(&group.room), if placed.is_empty() { group.lost } else { 0 });
                lost.push((Group { room, drafts, replies, backoff_until: None, lost: times + 1 }, head));
            }
            let newest = placed.iter().filter_map(|placed| match placed {
                AppendResult::New(seq) => Some(*seq),
                AppendResult::Duplicate(_) => None,
            });
            group.room.set_committed(newest.max().unwrap_or(0));
            settled.groups.push(SettledGroup { group, place, placed, appends: Arc::clone(&self.appends) });
        }
        lost
    }

    pub(super) fn reject_overdue(&mut self, now: Instant, shared: &Shared) {
        self.reject(shared, |due| due <= now);
    }

    pub(super) fn reject_all(mut self, shared: &Shared) {
        self.reject(shared, |_| true);
    }

    fn reject(&mut self, shared: &Shared, which: impl Fn(Instant) -> bool) {
        for (group, append) in self.groups.iter_mut().zip(&*self.appends) {
            for ((reply, due), draft) in group.replies.iter_mut().zip(&append.messages) {
                if which(*due)
                    && let Some(reply) = reply.take()
                {
                    reject(shared, &draft.id, &group.room, reply);
                }
            }
        }
    }
}

/// Answers that a message could not be stored, or nobody knows.
pub(crate) fn reject(shared: &Shared, id: &str, room: &Room, reply: Reply) {
    let message = "the message could not be stored; send it again with the same id";
    let error =
        ServerMessage::error(ErrorCode::StoreUnavailable, message, Some(room.name()), Some(id), Some(RETRY_AFTER));
    shared.meters.unstored();
    reply.send(|out| shared.wire.append(&error, out));
}

/// What a commit brought: acknowledgements and messages, not yet handed out.
#[derive(Debug, Default)]
pub(super) struct Committed {
    groups: Vec<SettledGroup>,
}

#[derive(Debug)]
struct SettledGroup {
    group: Group,
    /// Its drafts are `appends[place].messages`, and stand where `placed` says.
    place: usize,
    placed: Vec<AppendResult>,
    appends: Arc<[Append]>,
}

impl Committed {
    pub(super) fn rooms(&self) -> impl Iterator<Item = &Arc<Room>> {
        self.groups.iter().map(|settled| &settled.group.room)
    }

    /// Hands everything out: a room's acknowledgements first, then its messages to its members.
    pub(super) fn publish(self, shared: &Shared) {
        for SettledGroup { group, place, placed, appends } in self.groups {
            let room = &group.room;
            let drafts = &appends[place].messages;
            for (((reply, _), draft), placed) in group.replies.into_iter().zip(drafts).zip(&placed) {
                // A reply that is gone was answered with an error; the client asks again, and is told the same `seq`.
                let Some(reply) = reply else { continue };
                let (AppendResult::New(seq) | AppendResult::Duplicate(seq)) = *placed;
                let ack = ServerMessage::ack(&**room.name(), &*draft.id, seq);
                shared.meters.acked();
                reply.send(|out| shared.wire.append(&ack, out));
            }
            publish(
                shared,
                room,
                drafts.iter().zip(&placed).filter_map(|(draft, placed)| match placed {
                    AppendResult::New(seq) => Some((*seq, message(room.name(), *seq, draft))),
                    AppendResult::Duplicate(_) => None,
                }),
            );
        }
    }
}

/// Publishes messages read from the store, or heard of, to a room's members.
pub(super) fn publish_stored<'a>(shared: &Shared, room: &Room, stored: impl IntoIterator<Item = &'a Stored>) {
    publish(shared, room, stored.into_iter().map(|stored| (stored.seq, message_of(room.name(), stored))));
    room.set_committed(room.head());
}

/// Publishes messages in `seq` order, encoded once for all members. What is published already is passed over.
fn publish<'a>(shared: &Shared, room: &Room, messages: impl Iterator<Item = (u64, ServerMessage<'a>)>) {
    let head = room.head();
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut builder = ChunkBuilder::new(0);
    for (seq, message) in messages.filter(|(seq, _)| *seq > head) {
        if builder.is_enough() || builder.next() != seq {
            chunks.extend(std::mem::replace(&mut builder, ChunkBuilder::new(seq)).build());
        }
        builder.push(|out| shared.wire.append(&message, out));
    }
    chunks.extend(builder.build());
    if !chunks.is_empty() {
        room.publish(chunks, &shared.ring_budget);
    }
}

fn message<'a>(room: &'a str, seq: u64, draft: &'a Draft) -> ServerMessage<'a> {
    ServerMessage::message(room, seq, &*draft.user, &*draft.id, &*draft.body, Timestamp::from_millis(draft.at_ms))
}
