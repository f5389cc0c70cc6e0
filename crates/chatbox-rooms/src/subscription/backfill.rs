//! What a member has to catch up on: messages that are read from the store, and those left before a Close.

use crate::context::Context;
use crate::handle::Handle;
use crate::page::{self, Page};
use crate::ring::{Chunk, ChunkBuilder};
use crate::room::Room;
use crate::wire::stored_message;
use chatbox_core::{Batch, Reply};
use chatbox_store::Stored;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The most messages in one page.
const PAGE_MESSAGES: usize = 256;

/// The size of one page that is aimed at. A page stays in memory until the client has taken it.
const PAGE_BYTES: usize = 256 * 1024;

/// The pause after a failed read.
const RETRY: Duration = Duration::from_millis(500);

/// What a member has to catch up on.
#[derive(Default)]
pub(super) struct Backfill {
    /// Present while the cursor is behind the ring.
    store: Option<StoreRead>,
    /// Present when the connection is closing.
    end: Option<End>,
}

/// The last message before the Close.
struct End {
    seq: u64,
    /// The Close waits until this is dropped.
    _close_waits: Reply,
}

/// The result of a pull from the store.
pub(super) enum Progress {
    /// So many messages.
    Pulled(u64),
    /// The cursor has moved over messages that were removed.
    Removed,
    /// A page was read: pull again.
    Again,
    /// A page is being read.
    Pending,
    /// The connection is closing and the store did not answer in time.
    GaveUp,
}

impl Backfill {
    /// The backfill of a member that begins behind the ring.
    pub(super) fn from_store(handle: &Arc<Handle>) -> Self {
        Self { store: Some(StoreRead::new(handle)), end: None }
    }

    /// Ends at this `seq`. The reply is dropped when the member has pulled it, or cannot.
    pub(super) fn end_at(&mut self, seq: u64, close_waits: Reply) {
        self.end = Some(End { seq, _close_waits: close_waits });
        if let Some(store) = &mut self.store {
            // It would wait for the store without a limit.
            store.task = store.task.take_if(|task| task.is_finished());
        }
    }

    /// The last `seq` to pull.
    pub(super) fn until(&self) -> u64 {
        self.end.as_ref().map_or(u64::MAX, |end| end.seq)
    }

    /// Begins to read from the store. Returns whether the member did not do so before.
    pub(super) fn enter_store(&mut self, handle: &Arc<Handle>) -> bool {
        let enters = self.store.is_none();
        self.store.get_or_insert_with(|| StoreRead::new(handle));
        enters
    }

    /// The ring has what follows the cursor.
    pub(super) fn leave_store(&mut self) {
        self.store = None;
    }

    /// Whether it reads from the store, or holds a page that it has read.
    pub(super) fn is_reading(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.task.is_some() || store.page.is_some())
    }

    /// Pulls what follows the cursor from the page that was read, or reads the next one.
    pub(super) fn pull(
        &mut self,
        room: &Arc<Room>,
        cursor: &mut u64,
        until: u64,
        cx: &mut task::Context<'_>,
        batch: &mut Batch,
    ) -> Progress {
        let limited = self.end.is_some();
        match &mut self.store {
            Some(store) => store.pull(room, cursor, until, limited, cx, batch),
            None => Progress::Pending,
        }
    }
}

/// Reads a room from the store, page by page. One page is in memory at a time.
struct StoreRead {
    handle: Arc<Handle>,
    task: Option<ReadTask>,
    page: Option<Chunk>,
}

impl StoreRead {
    fn new(handle: &Arc<Handle>) -> Self {
        handle.context.metrics.lagging.increment(1.0);
        Self { handle: Arc::clone(handle), task: None, page: None }
    }

    fn pull(
        &mut self,
        room: &Arc<Room>,
        cursor: &mut u64,
        until: u64,
        limited: bool,
        cx: &mut task::Context<'_>,
        batch: &mut Batch,
    ) -> Progress {
        if let Some(page) = &self.page {
            let pulled = page.pull(cursor, until, batch);
            if page.last() <= *cursor {
                self.page = None;
            }
            if pulled > 0 {
                return Progress::Pulled(pulled);
            }
        }
        let task = self.task.get_or_insert_with(|| ReadTask::spawn(&self.handle, room, *cursor, limited));
        let Poll::Ready(page) = task.poll(cx) else { return Progress::Pending };
        self.task = None;
        let removed = match page {
            Page::Messages(stored) => {
                self.page = encode(&self.handle.context, room, &stored);
                stored.first().map_or(0, |first| first.seq - 1)
            }
            Page::Removed(seq) => seq,
            Page::Empty | Page::Behind => return Progress::GaveUp,
        };
        if removed > *cursor {
            *cursor = removed;
            return Progress::Removed;
        }
        Progress::Again
    }
}

impl Drop for StoreRead {
    fn drop(&mut self) {
        self.handle.context.metrics.lagging.decrement(1.0);
    }
}

/// A read in a task of its own, aborted on drop. As part of the session it would stand still, with whatever it holds of the store, while the
/// client does not read.
struct ReadTask(JoinHandle<Page>);

impl ReadTask {
    /// Reads until there is a page; with `limited`, at most for [`Options::store_timeout`](crate::Options::store_timeout).
    fn spawn(handle: &Arc<Handle>, room: &Arc<Room>, after: u64, limited: bool) -> Self {
        let limit = handle.context.options.store_timeout();
        let read = read(Arc::clone(handle), Arc::clone(room), after);
        Self(if limited {
            tokio::spawn(async move { tokio::time::timeout(limit, read).await.unwrap_or(Page::Empty) })
        } else {
            tokio::spawn(read)
        })
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Page> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(Ok(page)) => Poll::Ready(page),
            Poll::Ready(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Cancelled: the runtime is shutting down, and this session with it.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for ReadTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads messages that are known to have been stored. Repeats the read while the store fails or does not show them: a secondary of a
/// database may be behind its primary.
async fn read(handle: Arc<Handle>, room: Arc<Room>, after: u64) -> Page {
    // Assumes that the messages are about as long as the newest ones. The store bounds a page in any case.
    let limit = PAGE_BYTES.checked_div(room.mean_size()).unwrap_or(PAGE_MESSAGES).clamp(1, PAGE_MESSAGES);
    loop {
        match page::read(&*handle.context.store, &room, after, limit).await {
            Ok(Page::Empty) => {
                tracing::debug!(room = &**room.name(), after, "replay waits for the store to show messages");
            }
            Ok(Page::Behind) => {
                // If the log was replaced, the room starts over and this read ends.
                let _ = handle.queue.catch_up(&room, None).await;
            }
            Ok(page) => return page,
            Err(error) => tracing::debug!(room = &**room.name(), %error, "replay waits for the store"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// The messages up to the first gap, as frames.
fn encode(context: &Context, room: &Room, stored: &[Stored]) -> Option<Chunk> {
    let mut builder = ChunkBuilder::new(stored.first()?.seq);
    for message in stored {
        if message.seq == builder.next() {
            builder.push(|out| context.wire.append(&stored_message(room.name(), message), out));
        }
    }
    builder.build()
}
