//! Reads of a room's log.

use chatbox_store::{Store, StoreError, Stored};

/// What a read after a given `seq` found.
#[derive(Debug)]
pub(crate) enum Page {
    /// Messages in `seq` order, at least one.
    Messages(Vec<Stored>),
    /// No messages: those up to this `seq`, which is greater than the given one, were removed.
    Removed(u64),
    /// Neither messages nor a sign that there were any.
    Empty,
}

/// Reads at most `limit` messages after `after`.
pub(crate) async fn read(store: &dyn Store, room: &str, after: u64, limit: usize) -> Result<Page, StoreError> {
    let page = store.read(room, after, limit).await?;
    let removed = page.removed_to(after);
    Ok(if page.messages.is_empty() {
        removed.map_or(Page::Empty, Page::Removed)
    } else {
        Page::Messages(page.messages)
    })
}
