//! A member's cursor in one room.

use crate::ring::{Chunk, ChunkBuilder};
use crate::room::Room;
use crate::rooms::Shared;
use chatbox_core::{Batch, Connection};
use chatbox_protocol::{ErrorCode, ServerMessage, Timestamp};
use chatbox_store::{BoxFuture, Stored};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How many messages one read of the store fetches.
const PAGE: usize = 256;

/// The pause after a failed read of the store.
const RETRY: Duration = Duration::from_millis(500);

/// What a client is told when messages that it has not seen are no longer stored.
pub(crate) const HISTORY_GONE: &str = "older messages are no longer stored; what is still stored follows";

/// Membership of one room: all it remembers of what was sent is one number. Every member pays for its size.
pub(crate) struct Subscription {
    room: Arc<Room>,
    /// The `seq` up to which everything has been pulled.
    cursor: u64,
    /// Present while the cursor lies behind the ring.
    catching_up: Option<Box<CatchUp>>,
    place: u32,
    /// How many messages may still be pulled: [`ENDLESS`], or what is left once the connection is closing.
    left: u32,
}

/// All that will ever come.
const ENDLESS: u32 = u32::MAX;

/// Reading from the store what the ring no longer has.
struct CatchUp {
    shared: Arc<Shared>,
    reading: Option<BoxFuture<'static, Vec<Stored>>>,
    page: Option<Chunk>,
}

impl CatchUp {
    fn begin(shared: &Arc<Shared>) -> Box<Self> {
        shared.meters.lagging.increment(1.0);
        Box::new(Self { shared: Arc::clone(shared), reading: None, page: None })
    }
}

impl Drop for CatchUp {
    fn drop(&mut self) {
        self.shared.meters.lagging.decrement(1.0);
    }
}

impl Subscription {
    /// Enters a room. `begin` is given the span at that moment and says up to where the member has seen everything.
    pub(crate) fn enter(
        shared: &Arc<Shared>,
        room: Arc<Room>,
        connection: &Arc<Connection>,
        begin: impl FnOnce(chatbox_store::Span) -> u64,
    ) -> Self {
        let (place, span) = room.enter(connection);
        let cursor = begin(span);
        // Who is behind from the start has asked for it; whoever falls behind later is slow.
        let catching_up = (!room.covers(cursor)).then(|| CatchUp::begin(shared));
        Self { room, cursor, catching_up, place, left: ENDLESS }
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Stop at what is queued now: everything in the ring. Who is further behind stays there, and resumes elsewhere.
    pub(crate) fn freeze(&mut self) {
        let live = self.catching_up.is_none() && self.room.covers(self.cursor);
        let queued = if live { self.room.head().saturating_sub(self.cursor) } else { 0 };
        self.left = u32::try_from(queued).unwrap_or(ENDLESS).min(ENDLESS - 1);
    }

    /// Pulls what comes after the cursor, from the ring or, behind it, from the store.
    pub(crate) fn pull(&mut self, shared: &Arc<Shared>, cx: &mut Context<'_>, batch: &mut Batch) {
        while !batch.is_full() && self.cursor < self.room.head().min(self.until()) {
            let mut cursor = self.cursor;
            if let Some(pulled) = self.room.pull(&mut cursor, self.until(), batch) {
                self.advance(cursor);
                self.catching_up = None;
                shared.meters.delivered.increment(pulled);
                if pulled == 0 {
                    return;
                }
            } else if !self.pull_page(shared, cx, batch) {
                return;
            }
        }
    }

    /// Pulls from a page of the store. Says whether there may be more at once.
    fn pull_page(&mut self, shared: &Arc<Shared>, cx: &mut Context<'_>, batch: &mut Batch) -> bool {
        let (mut cursor, until, room) = (self.cursor, self.until(), Arc::clone(&self.room));
        let catching_up = self.catching_up.get_or_insert_with(|| {
            shared.meters.slow_consumers.increment(1);
            CatchUp::begin(shared)
        });
        if let Some(page) = &catching_up.page {
            let pulled = page.pull(&mut cursor, until, batch);
            shared.meters.delivered.increment(pulled);
            if pulled > 0 {
                self.advance(cursor);
                return true;
            }
            catching_up.page = None;
        }
        let reading =
            catching_up.reading.get_or_insert_with(|| Box::pin(read(Arc::clone(shared), Arc::clone(&room), cursor)));
        let Poll::Ready(stored) = reading.as_mut().poll(cx) else { return false };
        catching_up.reading = None;
        match stored.first() {
            Some(first) => {
                catching_up.page = page(shared, &room, &stored);
                self.skip_to(first.seq - 1, shared, batch);
            }
            // Nothing is stored after the cursor: all of it was removed meanwhile.
            None => self.skip_to(room.head(), shared, batch),
        }
        true
    }

    /// Moves the cursor over what retention has removed meanwhile, and tells the client that it did.
    fn skip_to(&mut self, cursor: u64, shared: &Shared, batch: &mut Batch) {
        if cursor > self.cursor {
            self.advance(cursor);
            let gone = ServerMessage::Error {
                code: ErrorCode::HistoryGone,
                message: HISTORY_GONE.into(),
                room: Some((&**self.room.name()).into()),
                id: None,
                retry_after_ms: None,
            };
            let mut frame = Vec::new();
            shared.wire.append(&gone, &mut frame);
            batch.push(frame.into());
        }
    }

    /// Where to stop.
    fn until(&self) -> u64 {
        if self.left == ENDLESS { u64::MAX } else { self.cursor + u64::from(self.left) }
    }

    fn advance(&mut self, cursor: u64) {
        let passed = u32::try_from(cursor.saturating_sub(self.cursor)).unwrap_or(u32::MAX);
        if self.left != ENDLESS {
            self.left = self.left.saturating_sub(passed);
        }
        self.cursor = cursor;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.room.exit(self.place);
    }
}

/// Reads a page; while the store cannot be read, tries again. Whoever waits for it drops it when no longer interested.
async fn read(shared: Arc<Shared>, room: Arc<Room>, after: u64) -> Vec<Stored> {
    loop {
        match shared.store.read(room.name(), after, PAGE).await {
            Ok(stored) => return stored,
            Err(error) => tracing::debug!(room = &**room.name(), %error, "replay waits for the store"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn page(shared: &Shared, room: &Room, stored: &[Stored]) -> Option<Chunk> {
    let mut builder = ChunkBuilder::new(stored.first()?.seq);
    for message in stored {
        if message.seq == builder.next() {
            builder.push(|out| shared.wire.append(&message_of(room.name(), message), out));
        }
    }
    builder.build()
}

/// A stored message as clients see it.
pub(crate) fn message_of<'a>(room: &'a str, stored: &'a Stored) -> ServerMessage<'a> {
    ServerMessage::Message {
        room: room.into(),
        seq: stored.seq,
        user: (&*stored.user).into(),
        id: (&*stored.id).into(),
        body: (&*stored.body).into(),
        at: Timestamp::from_millis(stored.at_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_stays_small() {
        assert!(size_of::<Subscription>() <= 32, "{}", size_of::<Subscription>());
    }
}
