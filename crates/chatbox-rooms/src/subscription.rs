//! A member's cursor in one room.

use crate::ring::{Chunk, ChunkBuilder};
use crate::room::Room;
use crate::rooms::Shared;
use bytes::Bytes;
use chatbox_core::{Batch, Connection};
use chatbox_protocol::{ErrorCode, ServerMessage, Timestamp};
use chatbox_store::{StoreError, Stored};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinHandle;

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
    /// Present while the cursor lies behind the ring, or frames are left of a room that it has been taken off.
    apart: Option<Box<Backfill>>,
    place: u32,
    /// Nothing more is taken from the room.
    frozen: bool,
}

/// What a pull came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// All that there is now, or as much as the batch takes.
    All,
    /// There is more in the store, which was not to be read.
    Denied,
}

impl Pulled {
    pub(crate) fn is_denied(self) -> bool {
        self == Self::Denied
    }
}

/// What comes from elsewhere than the room's ring.
enum Backfill {
    CatchingUp(CatchUp),
    /// What was queued when the connection was told to close.
    Frozen(VecDeque<Bytes>),
}

/// Reading from the store what the ring no longer has.
struct CatchUp {
    shared: Arc<Shared>,
    reading: Option<Reading>,
    page: Option<Chunk>,
}

/// A read of the store in a task of its own: it must not stand still, with what it holds of the store, because a client does not read
/// and nobody asks for its outcome. Dropping it ends it.
struct Reading(JoinHandle<Found>);

/// What a read found.
enum Found {
    Messages(Vec<Stored>),
    /// No message, because they were removed up to this `seq`.
    Gone(u64),
}

impl Reading {
    fn begin(shared: &Arc<Shared>, room: &Arc<Room>, after: u64) -> Self {
        Self(tokio::spawn(read(Arc::clone(shared), Arc::clone(room), after)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Found> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(Ok(found)) => Poll::Ready(found),
            Poll::Ready(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Cancelled: the runtime ends, and this session with it.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl CatchUp {
    fn begin(shared: &Arc<Shared>) -> Box<Backfill> {
        shared.meters.lagging.increment(1.0);
        Box::new(Backfill::CatchingUp(Self { shared: Arc::clone(shared), reading: None, page: None }))
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
        let apart = (!room.covers(cursor)).then(|| CatchUp::begin(shared));
        Self { room, cursor, apart, place, frozen: false }
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Stop at what is queued now: everything in the ring, which is taken along, since the ring may move on before it can be written. Who
    /// is further behind stays there, and resumes elsewhere.
    pub(crate) fn freeze(&mut self, shared: &Shared) {
        /// At once, and then again.
        const FRAMES: usize = 64;
        let (head, mut frames) = (self.room.head(), VecDeque::new());
        while self.cursor < head && !self.frozen {
            let mut batch = Batch::new(FRAMES, usize::MAX);
            let pulled = self.room.pull(&mut self.cursor, head, &mut batch).unwrap_or_default();
            if pulled == 0 {
                break;
            }
            shared.meters.delivered.increment(pulled);
            frames.extend(batch.drain());
        }
        if !self.frozen {
            self.frozen = true;
            self.apart = (!frames.is_empty()).then(|| Box::new(Backfill::Frozen(frames)));
        }
    }

    /// Whether it reads from the store, or holds what it has read.
    pub(crate) fn is_reading(&self) -> bool {
        match self.apart.as_deref() {
            Some(Backfill::CatchingUp(catching_up)) => catching_up.reading.is_some() || catching_up.page.is_some(),
            Some(Backfill::Frozen(_)) | None => false,
        }
    }

    /// Pulls what comes after the cursor, from the ring or, behind it, from the store, if it may read that.
    pub(crate) fn pull(
        &mut self,
        shared: &Arc<Shared>,
        cx: &mut Context<'_>,
        batch: &mut Batch,
        may_read: bool,
    ) -> Pulled {
        if self.frozen {
            self.pull_frozen(batch);
            return Pulled::All;
        }
        while !batch.is_full() && self.cursor < self.room.head() {
            if let Some(pulled) = self.room.pull(&mut self.cursor, u64::MAX, batch) {
                self.apart = None;
                shared.meters.delivered.increment(pulled);
                if pulled == 0 {
                    break;
                }
            } else if !may_read {
                return Pulled::Denied;
            } else if !self.pull_page(shared, cx, batch) {
                break;
            }
        }
        if self.apart.is_some() && self.cursor >= self.room.head() {
            // It has caught up, and needs no page any more.
            self.apart = None;
        }
        Pulled::All
    }

    fn pull_frozen(&mut self, batch: &mut Batch) {
        if let Some(Backfill::Frozen(frames)) = self.apart.as_deref_mut() {
            while !batch.is_full()
                && let Some(next) = frames.pop_front()
            {
                batch.push(next);
            }
            if frames.is_empty() {
                self.apart = None;
            }
        }
    }

    /// Pulls from a page of the store. Says whether there may be more at once.
    fn pull_page(&mut self, shared: &Arc<Shared>, cx: &mut Context<'_>, batch: &mut Batch) -> bool {
        let apart = self.apart.get_or_insert_with(|| {
            shared.meters.slow_consumers.increment(1);
            CatchUp::begin(shared)
        });
        let Backfill::CatchingUp(catching_up) = &mut **apart else { return false };
        if let Some(page) = &catching_up.page {
            let pulled = page.pull(&mut self.cursor, u64::MAX, batch);
            shared.meters.delivered.increment(pulled);
            if page.last() <= self.cursor {
                catching_up.page = None;
            }
            if pulled > 0 {
                return true;
            }
        }
        let (room, cursor) = (&self.room, self.cursor);
        let reading = catching_up.reading.get_or_insert_with(|| Reading::begin(shared, room, cursor));
        let Poll::Ready(found) = reading.poll(cx) else { return false };
        catching_up.reading = None;
        let gone = match found {
            Found::Messages(stored) => {
                catching_up.page = page(shared, room, &stored);
                stored.first().map_or(cursor, |first| first.seq - 1)
            }
            Found::Gone(seq) => seq,
        };
        self.skip_to(gone, shared, batch);
        true
    }

    /// Moves the cursor over what retention has removed meanwhile, and tells the client that it did.
    fn skip_to(&mut self, cursor: u64, shared: &Shared, batch: &mut Batch) {
        if cursor > self.cursor {
            self.cursor = cursor;
            let room = Some(&**self.room.name());
            let gone = ServerMessage::error(ErrorCode::HistoryGone, HISTORY_GONE, room, None, None);
            let mut frame = Vec::new();
            shared.wire.append(&gone, &mut frame);
            batch.push(frame.into());
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.room.exit(self.place);
    }
}

/// Reads a page of messages that are known to have been stored; while the store cannot be read, or does not show them, tries again.
async fn read(shared: Arc<Shared>, room: Arc<Room>, after: u64) -> Found {
    loop {
        match look(&shared, &room, after).await {
            Ok(Some(found)) => return found,
            Ok(None) => tracing::debug!(room = &**room.name(), after, "replay waits for the store to show messages"),
            Err(error) => tracing::debug!(room = &**room.name(), %error, "replay waits for the store"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// `None` when the store shows neither messages nor that they were removed: a replica of a database may lag behind another.
async fn look(shared: &Shared, room: &Room, after: u64) -> Result<Option<Found>, StoreError> {
    let stored = shared.store.read(room.name(), after, PAGE).await?;
    if !stored.is_empty() {
        return Ok(Some(Found::Messages(stored)));
    }
    let gone = shared.store.span(room.name()).await?.first - 1;
    Ok((gone > after).then_some(Found::Gone(gone)))
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
    let at = Timestamp::from_millis(stored.at_ms);
    ServerMessage::message(room, stored.seq, &*stored.user, &*stored.id, &*stored.body, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::{Options, Rooms};
    use chatbox_core::{Limits, RateLimits, Registry};
    use chatbox_store::{Append, Draft, MemoryStore, Store};
    use std::future::poll_fn;
    use std::num::NonZeroU32;

    #[test]
    fn a_subscription_stays_small() {
        assert!(size_of::<Subscription>() <= 32, "{}", size_of::<Subscription>());
    }

    #[tokio::test]
    async fn who_has_caught_up_keeps_nothing_of_it() {
        let store = Arc::new(MemoryStore::new());
        let draft = |id: u32| Draft { user: "alice".into(), id: id.to_string().into(), body: "x".into(), at_ms: 0 };
        let messages = (1..=3).map(draft).collect();
        let append = Append { room: "r".into(), expected_head: 0, messages };
        store.append(Arc::new([append])).await.expect("it is open");
        let limits = RateLimits::new(NonZeroU32::MIN, NonZeroU32::MIN);
        let rooms = Rooms::new(store, "server", limits, Options::default(), |text, out| out.extend(text.bytes()));
        let (shared, lease) = (rooms.shared(), Registry::new(Limits::default(), ()).admit("bob").expect("room"));
        let room = shared.room("r");
        shared.refresh(&room, 0).await.expect("it is open");

        let mut subscription = Subscription::enter(shared, room, lease.connection(), |_| 0);
        let mut batch = Batch::new(64, 64 * 1024);
        poll_fn(|cx| {
            assert!(!subscription.pull(shared, cx, &mut batch, true).is_denied());
            if batch.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        assert_eq!((subscription.cursor, subscription.apart.is_some()), (3, false));
    }
}
