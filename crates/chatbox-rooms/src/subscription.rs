//! A member's cursor in one room.

mod backfill;

use crate::context::Context;
use crate::room::Room;
use crate::wire::history_gone;
use backfill::{Backfill, Progress, StoreRead};
use chatbox_core::{Batch, Connection};
use chatbox_store::Span;
use std::sync::Arc;
use std::task;

/// The membership of one connection in one room. It remembers one number of what was sent. Every member pays for its size.
pub(crate) struct Subscription {
    room: Arc<Room>,
    /// Everything up to this `seq` has been pulled.
    cursor: u64,
    /// Present while the cursor is behind the ring, and for frames of a closing member.
    backfill: Option<Box<Backfill>>,
    /// The member's slot in the room.
    slot: u32,
    /// Nothing more is pulled from the room.
    frozen: bool,
}

/// The result of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// Everything that is there now, or as much as the batch takes.
    All,
    /// There is more in the store, which was not to be read.
    Denied,
}

impl Pulled {
    pub(crate) fn is_denied(self) -> bool {
        self == Self::Denied
    }
}

impl Subscription {
    /// Enters a room. `begin` returns the cursor, given the room's span at that moment.
    pub(crate) fn enter(
        context: &Arc<Context>,
        room: Arc<Room>,
        connection: &Arc<Connection>,
        begin: impl FnOnce(Span) -> u64,
    ) -> Self {
        let (slot, span) = room.enter(connection);
        let cursor = begin(span);
        // A member that begins behind the ring has asked for replay. One that falls behind later is slow, and counted.
        let backfill = (!room.covers(cursor)).then(|| Box::new(Backfill::Store(StoreRead::new(context))));
        Self { room, cursor, backfill, slot, frozen: false }
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Stops at the head of this moment. Takes what the ring has up to there, because the ring may move on before it can be written. A
    /// member further behind stops where it is, and its client resumes elsewhere.
    pub(crate) fn freeze(&mut self, context: &Context) {
        let head = self.room.head();
        if self.frozen {
            return;
        }
        self.frozen = true;
        let (frames, pulled) = backfill::take_frames(&self.room, &mut self.cursor, head);
        context.metrics.delivered.increment(pulled);
        self.backfill = (!frames.is_empty()).then(|| Box::new(Backfill::Frozen(frames)));
    }

    /// Whether it reads from the store, or holds a page that it has read.
    pub(crate) fn is_reading(&self) -> bool {
        self.backfill.as_deref().is_some_and(Backfill::is_reading)
    }

    /// Pulls what follows the cursor from the ring, or from the store if the cursor is behind the ring and `may_read` is set.
    pub(crate) fn pull(
        &mut self,
        context: &Arc<Context>,
        cx: &mut task::Context<'_>,
        batch: &mut Batch,
        may_read: bool,
    ) -> Pulled {
        if self.frozen {
            self.pull_frozen(batch);
            return Pulled::All;
        }
        while !batch.is_full() && self.cursor < self.room.head() {
            if let Some(pulled) = self.room.pull(&mut self.cursor, u64::MAX, batch) {
                self.backfill = None;
                context.metrics.delivered.increment(pulled);
                if pulled == 0 {
                    break;
                }
            } else if !may_read {
                return Pulled::Denied;
            } else if !self.pull_page(context, cx, batch) {
                break;
            }
        }
        if self.backfill.is_some() && self.cursor >= self.room.head() {
            self.backfill = None;
        }
        Pulled::All
    }

    fn pull_frozen(&mut self, batch: &mut Batch) {
        if let Some(Backfill::Frozen(frames)) = self.backfill.as_deref_mut() {
            while !batch.is_full()
                && let Some(next) = frames.pop_front()
            {
                batch.push(next);
            }
            if frames.is_empty() {
                self.backfill = None;
            }
        }
    }

    /// Pulls from a page of the store. Returns whether there may be more at once.
    fn pull_page(&mut self, context: &Arc<Context>, cx: &mut task::Context<'_>, batch: &mut Batch) -> bool {
        let backfill = self.backfill.get_or_insert_with(|| {
            context.metrics.slow_consumers.increment(1);
            Box::new(Backfill::Store(StoreRead::new(context)))
        });
        let Backfill::Store(read) = &mut **backfill else { return false };
        match read.pull(&self.room, &mut self.cursor, cx, batch) {
            Progress::Pulled(messages) => context.metrics.delivered.increment(messages),
            Progress::Removed => {
                // Retention was faster than the member.
                let mut frame = Vec::new();
                context.wire.append(&history_gone(self.room.name()), &mut frame);
                batch.push(frame.into());
            }
            Progress::Again => {}
            Progress::Pending => return false,
        }
        true
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.room.exit(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::rooms::Rooms;
    use chatbox_core::{Limits, RateLimits, Registry};
    use chatbox_store::{Append, Draft, MemoryStore, Store};
    use std::future::poll_fn;
    use std::num::NonZeroU32;
    use std::task::Poll;

    #[test]
    fn a_subscription_stays_small() {
        assert!(size_of::<Subscription>() <= 32, "{}", size_of::<Subscription>());
    }

    #[tokio::test]
    async fn a_member_that_has_caught_up_keeps_no_backfill() {
        let store = Arc::new(MemoryStore::new());
        let draft = |id: u32| Draft { user: "alice".into(), id: id.to_string().into(), body: "x".into(), at_ms: 0 };
        let messages = (1..=3).map(draft).collect();
        let append = Append { room: "r".into(), expected_head: 0, messages };
        store.append(Arc::new([append])).await.expect("it is open");
        let limits = RateLimits::new(NonZeroU32::MIN, NonZeroU32::MIN);
        let rooms = Rooms::new(store, "server", limits, Options::default(), |text, out| out.extend(text.bytes()));
        let (handle, lease) = (rooms.handle(), Registry::new(Limits::default(), ()).admit("bob").expect("room"));
        let room = handle.context.rooms.room("r");
        handle.refresh(&room, 0).await.expect("it is open");

        let mut subscription = Subscription::enter(&handle.context, room, lease.connection(), |_| 0);
        let mut batch = Batch::new(64, 64 * 1024);
        poll_fn(|cx| {
            assert!(!subscription.pull(&handle.context, cx, &mut batch, true).is_denied());
            if batch.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        assert_eq!((subscription.cursor, subscription.backfill.is_some()), (3, false));
    }
}
