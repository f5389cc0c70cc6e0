//! The messages of one append, grouped by room, and what is published after its commit.

use crate::context::Context;
use crate::queue::Submission;
use crate::ring::{Chunk, ChunkBuilder};
use crate::room::Room;
use crate::wire::{committed_message, stored_message};
use chatbox_core::Reply;
use chatbox_protocol::ServerMessage;
use chatbox_store::{Append, AppendResult, Appended, Draft, Stored};
use std::sync::Arc;
use tokio::time::Instant;

/// Messages of one room with their replies.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) room: Arc<Room>,
    drafts: Vec<Draft>,
    /// One for each draft, with its deadline; `None` once it is answered.
    replies: Vec<(Option<Reply>, Instant)>,
    /// The earliest time of the next append.
    pub(super) backoff_until: Option<Instant>,
    /// How many appends in a row another process was ahead of.
    pub(super) conflicts: u32,
}

impl Group {
    pub(super) fn new(room: Arc<Room>) -> Self {
        Self { room, drafts: Vec::new(), replies: Vec::new(), backoff_until: None, conflicts: 0 }
    }

    pub(super) fn push(&mut self, submission: Submission) {
        self.drafts.push(submission.draft);
        self.replies.push((Some(submission.reply), submission.due));
    }

    /// Adds later messages.
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
            conflicts: self.conflicts,
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

    /// How many messages, counted from the front, have reached their deadline.
    pub(super) fn overdue(&self, now: Instant) -> usize {
        self.replies.partition_point(|(_, due)| *due <= now)
    }

    pub(super) fn reject(self, context: &Context) {
        for ((reply, _), draft) in self.replies.into_iter().zip(&self.drafts) {
            if let Some(reply) = reply {
                context.reject(self.room.name(), &draft.id, reply);
            }
        }
    }
}

/// The messages of one append under way.
#[derive(Debug)]
pub(super) struct Batch {
    /// Their drafts are in `appends`, at the same index.
    groups: Vec<Group>,
    appends: Arc<[Append]>,
}

impl Batch {
    /// An append of these messages behind the heads that are known now.
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

    pub(super) fn contains(&self, room: &Arc<Room>) -> bool {
        self.rooms().any(|other| Arc::ptr_eq(other, room))
    }

    /// Number of messages.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(Group::len).sum()
    }

    /// Adds what was stored to `committed`. Returns the messages that conflicted with another process's append, with the head that this left.
    pub(super) fn commit(self, appended: Vec<Appended>, committed: &mut Committed) -> Vec<(Group, u64)> {
        let mut conflicts = Vec::new();
        for (index, (mut group, appended)) in self.groups.into_iter().zip(appended).enumerate() {
            let (results, moved) = match appended {
                Appended::All(results) => (results, None),
                Appended::Partly { results, head } => (results, Some(head)),
                Appended::HeadMoved { head } => (Vec::new(), Some(head)),
            };
            let replies = group.replies.split_off(results.len().min(group.replies.len()));
            if let Some(head) = moved {
                let drafts = self.appends[index].messages[results.len()..].iter();
                // A message without a reply was rejected meanwhile, and stays so: it is not stored.
                let (drafts, replies) =
                    drafts.zip(replies).filter(|(_, (reply, _))| reply.is_some()).map(|(d, r)| (d.clone(), r)).unzip();
                let before = if results.is_empty() { group.conflicts } else { 0 };
                let room = Arc::clone(&group.room);
                conflicts.push((Group { room, drafts, replies, backoff_until: None, conflicts: before + 1 }, head));
            }
            let newest = results.iter().filter_map(|result| match result {
                AppendResult::New(seq) => Some(*seq),
                AppendResult::Duplicate(_) => None,
            });
            group.room.set_committed(newest.max().unwrap_or(0));
            committed.groups.push(CommittedGroup { group, index, results, appends: Arc::clone(&self.appends) });
        }
        conflicts
    }

    pub(super) fn reject_overdue(&mut self, now: Instant, context: &Context) {
        self.reject(context, |due| due <= now);
    }

    pub(super) fn reject_all(mut self, context: &Context) {
        self.reject(context, |_| true);
    }

    fn reject(&mut self, context: &Context, which: impl Fn(Instant) -> bool) {
        for (group, append) in self.groups.iter_mut().zip(&*self.appends) {
            for ((reply, due), draft) in group.replies.iter_mut().zip(&append.messages) {
                if which(*due)
                    && let Some(reply) = reply.take()
                {
                    context.reject(group.room.name(), &draft.id, reply);
                }
            }
        }
    }
}

/// Stored messages that are not acknowledged and published yet.
#[derive(Debug, Default)]
pub(super) struct Committed {
    groups: Vec<CommittedGroup>,
}

#[derive(Debug)]
struct CommittedGroup {
    group: Group,
    /// The drafts are `appends[index].messages`, with one result each as far as they were stored.
    index: usize,
    results: Vec<AppendResult>,
    appends: Arc<[Append]>,
}

impl Committed {
    pub(super) fn rooms(&self) -> impl Iterator<Item = &Arc<Room>> {
        self.groups.iter().map(|committed| &committed.group.room)
    }

    /// Sends the acknowledgements of each room, then publishes its messages.
    pub(super) fn publish(self, context: &Context) {
        for CommittedGroup { group, index, results, appends } in self.groups {
            let room = &group.room;
            let drafts = &appends[index].messages;
            for (((reply, _), draft), result) in group.replies.into_iter().zip(drafts).zip(&results) {
                // Without a reply the message was rejected in the meantime. Sent again, it is acknowledged with the same `seq`.
                let Some(reply) = reply else { continue };
                let (AppendResult::New(seq) | AppendResult::Duplicate(seq)) = *result;
                let ack = ServerMessage::ack(&**room.name(), &*draft.id, seq);
                context.metrics.acked();
                reply.send(|out| context.wire.append(&ack, out));
            }
            publish(
                context,
                room,
                drafts.iter().zip(&results).filter_map(|(draft, result)| match result {
                    AppendResult::New(seq) => Some((*seq, committed_message(room.name(), *seq, draft))),
                    AppendResult::Duplicate(_) => None,
                }),
            );
        }
    }
}

/// Publishes stored messages to a room, skipping those that are published already.
pub(super) fn publish_stored<'a>(context: &Context, room: &Room, stored: impl IntoIterator<Item = &'a Stored>) {
    publish(context, room, stored.into_iter().map(|stored| (stored.seq, stored_message(room.name(), stored))));
    room.set_committed(room.head());
}

/// Publishes messages in `seq` order, each encoded once for all members.
fn publish<'a>(context: &Context, room: &Room, messages: impl Iterator<Item = (u64, ServerMessage<'a>)>) {
    let head = room.head();
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut builder = ChunkBuilder::new(0);
    for (seq, message) in messages.filter(|(seq, _)| *seq > head) {
        if builder.is_enough() || builder.next() != seq {
            chunks.extend(std::mem::replace(&mut builder, ChunkBuilder::new(seq)).build());
        }
        builder.push(|out| context.wire.append(&message, out));
    }
    chunks.extend(builder.build());
    if !chunks.is_empty() {
        room.publish(chunks, &context.rooms.ring_budget);
    }
}
