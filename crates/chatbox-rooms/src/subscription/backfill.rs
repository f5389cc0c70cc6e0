//! Messages of a member that do not come from the room's ring.

use crate::context::Context;
use crate::page::{self, Page};
use crate::ring::{Chunk, ChunkBuilder};
use crate::room::Room;
use crate::wire::stored_message;
use bytes::Bytes;
use chatbox_core::Batch;
use chatbox_store::Stored;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Messages in one page.
const PAGE: usize = 256;

/// The pause after a failed read.
const RETRY: Duration = Duration::from_millis(500);

/// Messages of a member that do not come from the room's ring.
pub(super) enum Backfill {
    /// Read from the store, because the ring begins later.
    Store(StoreRead),
    /// Taken from the ring when the connection was told to close.
    Frozen(VecDeque<Bytes>),
}

impl Backfill {
    /// Whether it reads from the store, or holds a page that it has read.
    pub(super) fn is_reading(&self) -> bool {
        match self {
            Self::Store(read) => read.task.is_some() || read.page.is_some(),
            Self::Frozen(_) => false,
        }
    }
}

/// Takes everything between `cursor` and `until` out of a room's ring, as far as the ring reaches back. Returns how many messages.
pub(super) fn take_frames(room: &Room, cursor: &mut u64, until: u64) -> (VecDeque<Bytes>, u64) {
    /// In one pull.
    const FRAMES: usize = 64;
    let (mut frames, mut messages) = (VecDeque::new(), 0);
    while *cursor < until {
        let mut batch = Batch::new(FRAMES, usize::MAX);
        let pulled = room.pull(cursor, until, &mut batch).unwrap_or_default();
        if pulled == 0 {
            break;
        }
        messages += pulled;
        frames.extend(batch.drain());
    }
    (frames, messages)
}

/// Reads a room from the store, page by page.
pub(super) struct StoreRead {
    context: Arc<Context>,
    task: Option<ReadTask>,
    page: Option<Chunk>,
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
}

impl StoreRead {
    pub(super) fn new(context: &Arc<Context>) -> Self {
        context.metrics.lagging.increment(1.0);
        Self { context: Arc::clone(context), task: None, page: None }
    }

    /// Pulls what follows the cursor from the page that was read, or reads the next one.
    pub(super) fn pull(
        &mut self,
        room: &Arc<Room>,
        cursor: &mut u64,
        cx: &mut task::Context<'_>,
        batch: &mut Batch,
    ) -> Progress {
        if let Some(page) = &self.page {
            let pulled = page.pull(cursor, u64::MAX, batch);
            if page.last() <= *cursor {
                self.page = None;
            }
            if pulled > 0 {
                return Progress::Pulled(pulled);
            }
        }
        let task = self.task.get_or_insert_with(|| ReadTask::spawn(&self.context, room, *cursor));
        let Poll::Ready(page) = task.poll(cx) else { return Progress::Pending };
        self.task = None;
        let removed = match page {
            Page::Messages(stored) => {
                self.page = encode(&self.context, room, &stored);
                stored.first().map_or(0, |first| first.seq - 1)
            }
            Page::Removed(seq) => seq,
            Page::Empty => 0,
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
        self.context.metrics.lagging.decrement(1.0);
    }
}

/// A read in a task of its own, aborted on drop. As part of the session it would stand still, with whatever it holds of the store, while the
/// client does not read.
struct ReadTask(JoinHandle<Page>);

impl ReadTask {
    fn spawn(context: &Arc<Context>, room: &Arc<Room>, after: u64) -> Self {
        Self(tokio::spawn(read(Arc::clone(context), Arc::clone(room), after)))
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
async fn read(context: Arc<Context>, room: Arc<Room>, after: u64) -> Page {
    loop {
        match page::read(&*context.store, room.name(), after, PAGE).await {
            Ok(Page::Empty) => {
                tracing::debug!(room = &**room.name(), after, "replay waits for the store to show messages");
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
