//! A `join` that waits for the store.

use crate::handle::Handle;
use crate::replay::Replay;
use crate::room::Room;
use chatbox_store::{BoxFuture, StoreError};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A `join` and its room.
pub(super) struct Joining {
    room: Arc<Room>,
    replay: Replay,
    /// Present while the store is asked for the room's span.
    refresh: Option<BoxFuture<'static, Result<(), StoreError>>>,
}

impl Joining {
    /// Looks up the room. Its span is read from the store unless that was done recently. It is always read when the client has seen more
    /// than this process, which may be behind the process that the client was connected to before.
    pub(super) fn new(handle: &Arc<Handle>, room: &str, replay: Replay) -> Self {
        let room = handle.context.rooms.room(room);
        let wanted = replay.after.unwrap_or(0);
        let known = room.is_fresh() && wanted <= room.head();
        let (handle, refreshed) = (Arc::clone(handle), Arc::clone(&room));
        let refresh = (!known)
            .then(|| -> BoxFuture<'static, _> { Box::pin(async move { handle.refresh(&refreshed, wanted).await }) });
        Self { room, replay, refresh }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.refresh.is_none()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        self.refresh.as_mut().map_or(Poll::Ready(Ok(())), |refresh| refresh.as_mut().poll(cx))
    }

    pub(super) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    pub(super) fn replay(&self) -> &Replay {
        &self.replay
    }

    /// The same `join` once more.
    pub(super) fn again(self, handle: &Arc<Handle>) -> Self {
        Self::new(handle, self.room.name(), self.replay)
    }
}
