//! A member's cursor in one room.

mod backfill;

use crate::handle::Handle;
use crate::replay::Replay;
use crate::room::{Room, Snapshot};
use crate::wire::{history_gone, joined};
use backfill::{Backfill, Progress};
use chatbox_core::{Batch, Connection};
use std::sync::Arc;
use std::task;

/// The membership of one connection in one room. It remembers one number of what was sent. Every member pays for its size.
pub(crate) struct Subscription {
    room: Arc<Room>,
    /// Everything up to this `seq` of the room's generation has been pulled.
    cursor: u64,
    /// Present while the cursor is behind the ring, or the connection is closing and something is left to pull.
    backfill: Option<Box<Backfill>>,
    /// The member's slot in the room.
    slot: u32,
    generation: u16,
    /// The connection is closing: nothing is pulled beyond the backfill's last message.
    closing: bool,
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
    /// Enters a room. Returns its state at that moment, and whether the replay is not in the log. `None` if the room is not loaded.
    pub(crate) fn enter(
        handle: &Arc<Handle>,
        room: &Arc<Room>,
        connection: &Arc<Connection>,
        replay: &Replay,
    ) -> Option<(Self, Snapshot, bool)> {
        let (slot, snapshot) = room.enter(connection)?;
        let (start, generation) = (replay.start(&snapshot), snapshot.generation);
        let room = Arc::clone(room);
        let mut entered = Self { room, cursor: start.cursor, backfill: None, slot, generation, closing: false };
        entered.backfill = entered.replay(handle);
        Some((entered, snapshot, start.history_gone))
    }

    /// The backfill of a member that begins at the cursor. One that begins behind the ring has asked for replay; one that falls behind
    /// later is slow, and counted.
    fn replay(&self, handle: &Arc<Handle>) -> Option<Box<Backfill>> {
        (!self.room.covers(self.cursor)).then(|| Box::new(Backfill::from_store(handle)))
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Ends the membership at the head of this moment. What is left up to there is still pulled, from the ring or from the store; until
    /// then the connection is owed an answer, so its Close waits.
    pub(crate) fn close(&mut self, connection: &Arc<Connection>) {
        if self.closing {
            return;
        }
        self.closing = true;
        let head = self.room.head();
        if self.cursor < head {
            self.backfill.get_or_insert_default().end_at(head, connection.owe(0));
        } else {
            self.backfill = None;
        }
    }

    /// Whether it reads from the store, or holds a page that it has read.
    pub(crate) fn is_reading(&self) -> bool {
        self.backfill.as_deref().is_some_and(Backfill::is_reading)
    }

    /// Pulls what follows the cursor from the ring, or from the store if the cursor is behind the ring and `may_read` is set.
    pub(crate) fn pull(
        &mut self,
        handle: &Arc<Handle>,
        cx: &mut task::Context<'_>,
        batch: &mut Batch,
        may_read: bool,
    ) -> Pulled {
        if self.generation != self.room.generation() && !self.start_over(handle, batch) {
            return Pulled::All;
        }
        let until =
            if self.closing { self.backfill.as_ref().map_or(self.cursor, |left| left.until()) } else { u64::MAX };
        while !batch.is_full() && self.cursor < self.room.head().min(until) {
            if let Some(pulled) = self.room.pull(self.generation, &mut self.cursor, until, batch) {
                if let Some(backfill) = &mut self.backfill {
                    backfill.leave_store();
                }
                handle.context.metrics.delivered.increment(pulled);
                if pulled == 0 {
                    break;
                }
            } else if !may_read {
                return Pulled::Denied;
            } else if !self.pull_page(handle, until, cx, batch) {
                break;
            }
        }
        if self.backfill.is_some() && self.cursor >= self.room.head().min(until) {
            self.backfill = None;
        }
        Pulled::All
    }

    /// The log was replaced: announces it to the client and begins with the oldest message. Returns whether there may be something to pull.
    fn start_over(&mut self, handle: &Arc<Handle>, batch: &mut Batch) -> bool {
        self.backfill = None;
        if self.closing {
            // What was left before the Close is no longer there.
            return false;
        }
        // The room notifies its members once it is loaded.
        let Some(snapshot) = self.room.snapshot() else { return false };
        (self.cursor, self.generation) = (snapshot.span.first - 1, snapshot.generation);
        self.backfill = self.replay(handle);
        let mut frames = Vec::new();
        handle.context.wire.append(&history_gone(self.room.name()), &mut frames);
        handle.context.wire.append(&joined(self.room.name(), &snapshot), &mut frames);
        batch.push(frames.into());
        true
    }

    /// Pulls from a page of the store. Returns whether there may be more at once.
    fn pull_page(&mut self, handle: &Arc<Handle>, until: u64, cx: &mut task::Context<'_>, batch: &mut Batch) -> bool {
        let context = &handle.context;
        let backfill = self.backfill.get_or_insert_default();
        if backfill.enter_store(handle) {
            context.metrics.slow_consumers.increment(1);
        }
        match backfill.pull(&self.room, &mut self.cursor, until, cx, batch) {
            Progress::Pulled(messages) => context.metrics.delivered.increment(messages),
            Progress::Removed => {
                // Retention was faster than the member.
                let mut frame = Vec::new();
                context.wire.append(&history_gone(self.room.name()), &mut frame);
                batch.push(frame.into());
            }
            Progress::Again => {}
            Progress::Pending => return false,
            Progress::GaveUp => {
                self.backfill = None;
                return false;
            }
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

        let replay = Replay { after: Some(0), ..Replay::default() };
        let (mut subscription, ..) = Subscription::enter(handle, &room, lease.connection(), &replay).expect("loaded");
        let mut batch = Batch::new(64, 64 * 1024);
        poll_fn(|cx| {
            assert!(!subscription.pull(handle, cx, &mut batch, true).is_denied());
            if batch.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        assert_eq!((subscription.cursor, subscription.backfill.is_some()), (3, false));
    }
}
