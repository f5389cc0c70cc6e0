//! Reads of a room's log.

use crate::room::Room;
use chatbox_store::{Store, StoreError, Stored};

/// What a read after a given `seq` found.
#[derive(Debug)]
pub(crate) enum Page {
    /// Messages in `seq` order, at least one.
    Messages(Vec<Stored>),
    /// No messages: those up to this `seq`, which is greater than the given one, were removed.
    Removed(u64),
    /// No messages: the log ends at the given `seq`, or does not show what follows.
    Empty,
    /// No messages: the log ends before the room's head.
    Behind,
}

/// Reads at most `limit` messages after `after`.
pub(crate) async fn read(store: &dyn Store, room: &Room, after: u64, limit: usize) -> Result<Page, StoreError> {
    // Known to be stored before the store is asked.
    let known = room.head().max(after);
    let page = store.read(room.name(), after, limit).await?;
    Ok(if !page.messages.is_empty() {
        Page::Messages(page.messages)
    } else if page.head < known {
        Page::Behind
    } else {
        page.removed_to(after).map_or(Page::Empty, Page::Removed)
    })
}
