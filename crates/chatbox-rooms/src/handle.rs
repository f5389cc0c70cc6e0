//! The shared context together with the queue to the sequencer.

use crate::context::Context;
use crate::queue::{Submission, SubmitQueue};
use crate::room::Room;
use chatbox_core::Reply;
use chatbox_store::{Draft, StoreError};
use std::sync::Arc;
use tokio::time::Instant;

/// What [`Rooms`](crate::Rooms) and its members hold. Dropping the last one closes the queue, and thereby ends the sequencer.
pub(crate) struct Handle {
    pub(crate) context: Arc<Context>,
    pub(crate) queue: SubmitQueue,
}

impl Handle {
    /// Asks the store for a room's span, within [`Options::store_timeout`](crate::Options::store_timeout). If the store has `wanted`, the
    /// room's head has reached it afterwards. If the log was replaced, the room has started over. Cancel safe.
    pub(crate) async fn refresh(&self, room: &Arc<Room>, wanted: u64) -> Result<(), StoreError> {
        let store = &self.context.store;
        let refreshed = async {
            // Before the store is asked: the head is known to be stored, and the span is not older than the epoch.
            let (generation, known, epoch) = (room.generation(), room.head(), store.epoch());
            let span = store.span(room.name()).await?;
            if span.head < known || room.epoch().is_some_and(|loaded| loaded != epoch) {
                return self.queue.catch_up(room, None).await;
            }
            let newest = room.load(generation, span, epoch).max(span.head.min(wanted));
            if newest > room.head() { self.queue.catch_up(room, Some(newest)).await } else { Ok(()) }
        };
        self.context.in_time(refreshed).await
    }

    /// Queues a message for the sequencer. If the queue is full or closed, the message is rejected at once.
    pub(crate) fn submit(&self, room: Arc<Room>, user: &Arc<str>, id: &str, body: &str, reply: Reply) {
        let draft =
            Draft { user: Arc::clone(user), id: id.into(), body: body.into(), at_ms: self.context.store.now_ms() };
        let due = Instant::now() + self.context.options.store_timeout();
        self.context.metrics.accepted();
        if let Err(Submission { room, draft, reply, .. }) = self.queue.submit(Submission { room, draft, reply, due }) {
            self.context.reject(room.name(), &draft.id, reply);
        }
    }
}
