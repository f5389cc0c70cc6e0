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

/// Membership of one room: all it remembers of what was sent is one number.
pub(crate) struct Subscription {
    room: Arc<Room>,
    shared: Arc<Shared>,
    place: u32,
    /// The `seq` up to which everything has been pulled.
    cursor: u64,
    /// Where to stop: the newest there is, or less once the connection is closing.
    until: u64,
    /// Present while the cursor lies behind the ring.
    catching_up: Option<Box<CatchUp>>,
    /// It has caught up once: falling behind again means that its peer is slow.
    live: bool,
}

/// Reading from the store what the ring no longer has.
struct CatchUp {
    reading: Option<BoxFuture<'static, Vec<Stored>>>,
    page: Option<Chunk>,
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
        Self { room, shared: Arc::clone(shared), place, cursor, until: u64::MAX, catching_up: None, live: false }
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Stop at what is queued now: everything in the ring. Who is further behind stays there, and resumes elsewhere.
    pub(crate) fn freeze(&mut self) {
        self.until =
            if self.catching_up.is_none() && self.room.covers(self.cursor) { self.room.head() } else { self.cursor };
    }

    /// Pulls what comes after the cursor, from the ring or, behind it, from the store.
    pub(crate) fn pull(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        while !batch.is_full() && self.cursor < self.room.head().min(self.until) {
            if let Some(pulled) = self.room.pull(&mut self.cursor, self.until, batch) {
                self.caught_up();
                self.live = true;
                self.shared.meters.delivered.increment(pulled);
                if pulled == 0 {
                    return;
                }
            } else if !self.pull_page(cx, batch) {
                return;
            }
        }
    }

    /// Pulls from a page of the store. Says whether there may be more at once.
    fn pull_page(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> bool {
        let (meters, live) = (&self.shared.meters, self.live);
        let catching_up = self.catching_up.get_or_insert_with(|| {
            if live {
                meters.slow_consumers.increment(1);
            }
            meters.lagging.increment(1.0);
            Box::new(CatchUp { reading: None, page: None })
        });
        if let Some(page) = &catching_up.page {
            let pulled = page.pull(&mut self.cursor, self.until, batch);
            meters.delivered.increment(pulled);
            if pulled > 0 {
                return true;
            }
            catching_up.page = None;
        }
        let (shared, room, cursor) = (&self.shared, &self.room, self.cursor);
        let reading =
            catching_up.reading.get_or_insert_with(|| Box::pin(read(Arc::clone(shared), Arc::clone(room), cursor)));
        let Poll::Ready(stored) = reading.as_mut().poll(cx) else { return false };
        catching_up.reading = None;
        match stored.first() {
            Some(first) => {
                catching_up.page = page(shared, room, &stored);
                self.skip_to(first.seq - 1, batch);
            }
            // Nothing is stored after the cursor: all of it was removed meanwhile.
            None => self.skip_to(room.head(), batch),
        }
        true
    }

    /// Moves the cursor over what retention has removed meanwhile, and tells the client that it did.
    fn skip_to(&mut self, cursor: u64, batch: &mut Batch) {
        if cursor > self.cursor {
            self.cursor = cursor;
            let gone = ServerMessage::Error {
                code: ErrorCode::HistoryGone,
                message: HISTORY_GONE.into(),
                room: Some((&**self.room.name()).into()),
                id: None,
                retry_after_ms: None,
            };
            let mut frame = Vec::new();
            self.shared.wire.append(&gone, &mut frame);
            batch.push(frame.into());
        }
    }

    fn caught_up(&mut self) {
        if self.catching_up.take().is_some() {
            self.shared.meters.lagging.decrement(1.0);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.caught_up();
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
