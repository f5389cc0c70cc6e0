//! A `join` that waits for the store.

use crate::handle::Handle;
use crate::room::Room;
use chatbox_store::{BoxFuture, Span, StoreError};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A `join` and its room.
pub(super) struct Joining {
    room: Arc<Room>,
    after: Option<u64>,
    last: Option<u64>,
    /// Present while the store is asked for the room's span.
    refresh: Option<BoxFuture<'static, Result<(), StoreError>>>,
}

/// The `after` of a join lies beyond the head: the client has seen messages that the store does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BeyondHead;

impl Joining {
    /// Looks up the room. Its span is read from the store unless that was done recently. It is always read when the client has seen more
    /// than this process, which may be behind the process that the client was connected to before.
    pub(super) fn new(handle: &Arc<Handle>, room: &str, after: Option<u64>, last: Option<u64>) -> Self {
        let room = handle.context.rooms.room(room);
        let known = room.is_fresh() && after.is_none_or(|after| after <= room.head());
        let wanted = after.unwrap_or(0);
        let (handle, refreshed) = (Arc::clone(handle), Arc::clone(&room));
        let refresh = (!known)
            .then(|| -> BoxFuture<'static, _> { Box::pin(async move { handle.refresh(&refreshed, wanted).await }) });
        Self { room, after, last, refresh }
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

    pub(super) fn after(&self) -> Option<u64> {
        self.after
    }

    /// The cursor to begin with, given the room's span.
    pub(super) fn begin(&self, span: Span) -> Result<u64, BeyondHead> {
        let gone = span.first - 1;
        match (self.after, self.last) {
            (Some(after), _) if after > span.head => Err(BeyondHead),
            (Some(after), _) => Ok(after.max(gone)),
            (None, Some(last)) => Ok(span.head.saturating_sub(last).max(gone)),
            (None, None) => Ok(span.head),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(after: Option<u64>, last: Option<u64>) -> Result<u64, BeyondHead> {
        let room = Arc::new(Room::new("r".into()));
        Joining { room, after, last, refresh: None }.begin(Span { first: 11, head: 20 })
    }

    #[test]
    fn a_join_begins_where_it_asks_as_far_as_that_is_stored() {
        assert_eq!(begin(None, None), Ok(20));
        assert_eq!(begin(Some(15), None), Ok(15));
        assert_eq!(begin(Some(20), None), Ok(20));
        assert_eq!(begin(Some(21), None), Err(BeyondHead));
        assert_eq!(begin(Some(3), None), Ok(10));
        assert_eq!(begin(None, Some(2)), Ok(18));
        assert_eq!(begin(None, Some(u64::MAX)), Ok(10));
        assert_eq!(begin(None, Some(0)), Ok(20));
    }
}
