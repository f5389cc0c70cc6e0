//! One batch of messages, grouped by room, and what follows from its commit.

use super::Submission;
use crate::ring::{Chunk, ChunkBuilder};
use crate::room::Room;
use crate::rooms::Shared;
use crate::subscription::message_of;
use chatbox_core::Reply;
use chatbox_protocol::{ErrorCode, ServerMessage, Timestamp};
use chatbox_store::{Append, Appended, Draft, Placed, Stored};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// How many messages a resync reads at a time.
pub(super) const PAGE: usize = 512;

/// When a client whose message could not be stored should try again.
const RETRY_AFTER_MS: u64 = 1_000;

/// Messages of one room, and who waits for their answers.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) room: Arc<Room>,
    drafts: Vec<Draft>,
    /// One for each draft; taken once it is answered.
    replies: Vec<(Option<Reply>, Instant)>,
}

/// The messages of one commit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    groups: Vec<Group>,
    appends: Option<Arc<[Append]>>,
}

impl Batch {
    /// Groups by room, keeping each room's order.
    pub(super) fn group(submissions: Vec<Submission>) -> Self {
        let mut places: HashMap<*const Room, usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for Submission { room, draft, reply, due } in submissions {
            let place = *places.entry(Arc::as_ptr(&room)).or_insert_with(|| {
                groups.push(Group { room, drafts: Vec::new(), replies: Vec::new() });
                groups.len() - 1
            });
            groups[place].drafts.push(draft);
            groups[place].replies.push((Some(reply), due));
        }
        Self { groups, appends: None }
    }

    pub(super) fn rooms(&self) -> Vec<Arc<Room>> {
        self.groups.iter().map(|group| Arc::clone(&group.room)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many messages.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.replies.len()).sum()
    }

    /// The batch as the store takes it, behind the heads that are known now.
    pub(super) fn appends(&mut self) -> Arc<[Append]> {
        let appends: Arc<[Append]> = self
            .groups
            .iter_mut()
            .map(|group| Append {
                room: Arc::clone(group.room.name()),
                expected_head: group.room.committed(),
                messages: std::mem::take(&mut group.drafts),
            })
            .collect();
        self.appends = Some(Arc::clone(&appends));
        appends
    }

    /// Takes note of what was stored, and returns what has to be tried again because its room's head has moved.
    pub(super) fn settle(self, appended: Vec<Appended>, settled: &mut Settled) -> Self {
        let appends = self.appends.unwrap_or_default();
        let mut again = Vec::new();
        for (place, (mut group, appended)) in self.groups.into_iter().zip(appended).enumerate() {
            let placed = match appended {
                Appended::Placed(placed) | Appended::Partly { placed, .. } => placed,
                Appended::HeadMoved { .. } => Vec::new(),
            };
            if placed.len() < group.replies.len() {
                group.room.set_doubtful(true);
                again.push(Group {
                    room: Arc::clone(&group.room),
                    drafts: appends[place].messages[placed.len()..].to_vec(),
                    replies: group.replies.split_off(placed.len()),
                });
            }
            let newest = placed.iter().filter_map(|placed| match placed {
                Placed::New(seq) => Some(*seq),
                Placed::Duplicate(_) => None,
            });
            group.room.set_committed(newest.max().unwrap_or(0));
            settled.groups.push(SettledGroup { group, place, placed, appends: Arc::clone(&appends) });
        }
        Self { groups: again, appends: None }
    }

    pub(super) fn reject_overdue(&mut self, now: Instant, shared: &Shared) {
        self.reject(shared, |_, due| due <= now);
    }

    pub(super) fn reject_all(&mut self, shared: &Shared) {
        self.reject(shared, |_, _| true);
    }

    /// Rejects and removes the messages of a room.
    pub(super) fn reject_room(&mut self, room: &Arc<Room>, shared: &Shared) {
        self.reject(shared, |of, _| Arc::ptr_eq(of, room));
        self.groups.retain(|group| !Arc::ptr_eq(&group.room, room));
    }

    fn reject(&mut self, shared: &Shared, which: impl Fn(&Arc<Room>, Instant) -> bool) {
        for (place, group) in self.groups.iter_mut().enumerate() {
            let drafts = self.appends.as_ref().map_or(&*group.drafts, |appends| &appends[place].messages);
            for ((reply, due), draft) in group.replies.iter_mut().zip(drafts) {
                if which(&group.room, *due)
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
    let error = ServerMessage::Error {
        code: ErrorCode::StoreUnavailable,
        message: "the message could not be stored; send it again with the same id".into(),
        room: Some((&**room.name()).into()),
        id: Some(id.into()),
        retry_after_ms: Some(RETRY_AFTER_MS),
    };
    shared.meters.unstored();
    reply.send(|out| shared.wire.append(&error, out));
}

/// What a commit brought: acknowledgements and messages, not yet handed out.
#[derive(Debug, Default)]
pub(super) struct Settled {
    groups: Vec<SettledGroup>,
}

#[derive(Debug)]
struct SettledGroup {
    group: Group,
    /// Its drafts are `appends[place].messages`, and stand where `placed` says.
    place: usize,
    placed: Vec<Placed>,
    appends: Arc<[Append]>,
}

impl Settled {
    /// Hands everything out: a room's acknowledgements first, then its messages to its members.
    pub(super) fn publish(self, shared: &Shared) {
        for SettledGroup { group, place, placed, appends } in self.groups {
            let room = &group.room;
            let drafts = &appends[place].messages;
            for (((reply, _), draft), placed) in group.replies.into_iter().zip(drafts).zip(&placed) {
                // A reply that is gone was answered with an error; the client asks again, and is told the same `seq`.
                let Some(reply) = reply else { continue };
                let (Placed::New(seq) | Placed::Duplicate(seq)) = *placed;
                let ack = ServerMessage::Ack { room: (&**room.name()).into(), id: (&*draft.id).into(), seq };
                shared.meters.acked();
                reply.send(|out| shared.wire.append(&ack, out));
            }
            publish(
                shared,
                room,
                drafts.iter().zip(&placed).filter_map(|(draft, placed)| match placed {
                    Placed::New(seq) => Some((*seq, message(room.name(), *seq, draft))),
                    Placed::Duplicate(_) => None,
                }),
            );
        }
    }
}

/// Publishes messages read from the store to a room's members.
pub(super) fn publish_stored(shared: &Shared, room: &Room, stored: &[Stored]) {
    publish(shared, room, stored.iter().map(|stored| (stored.seq, message_of(room.name(), stored))));
}

/// Publishes messages in `seq` order, encoded once for all members.
fn publish<'a>(shared: &Shared, room: &Room, messages: impl Iterator<Item = (u64, ServerMessage<'a>)>) {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut builder = ChunkBuilder::new(0);
    for (seq, message) in messages {
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
    ServerMessage::Message {
        room: room.into(),
        seq,
        user: (&*draft.user).into(),
        id: (&*draft.id).into(),
        body: (&*draft.body).into(),
        at: Timestamp::from_millis(draft.at_ms),
    }
}
