//! The trait that every backend implements.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::stream::BoxStream;

use crate::{Append, Appended, Cutoff, Page, Span, StoreError, Stored};

/// A boxed future, as a `dyn Store` returns it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The stream that [`Store::follow`] returns.
pub type Feed = BoxStream<'static, FeedEvent>;

/// A durable log of messages, with one sequence per room.
///
/// A message has a `seq` in its room: 1, 2, 3 … without gaps. Room, user and the id that the user chose identify it: a
/// message that is stored already is not stored again.
///
/// Every method fails with [`StoreError::Closed`] after [`close`](Store::close), and with [`StoreError::Unavailable`] when
/// the backend cannot serve it now. No call outlasts the backend's own timeouts; a caller with a deadline sets its own.
pub trait Store: Send + Sync + 'static {
    /// The backend's name, such as `sqlite`: what a readiness check of this store is called.
    fn name(&self) -> &'static str;

    /// The name of this log: 16 hexadecimal digits, made with the log and stored in it.
    ///
    /// A `seq` means the same message only within one epoch. The epoch changes when the log has lost messages that were
    /// read by clients: by [`renew_epoch`](crate::renew_epoch) after a backup was restored, or by the backend where it
    /// notices by itself. A feed then yields [`FeedEvent::Lagged`].
    fn epoch(&self) -> Arc<str>;

    /// The current time by the store's clock, in milliseconds since the Unix epoch: the one that dates messages and decides
    /// what is past its retention. The system clock by default; the server's clock in a store that several machines share.
    fn now_ms(&self) -> i64 {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        i64::try_from(now).unwrap_or(i64::MAX)
    }

    /// Stores the batch durably and answers each of its appends, in order. When it returns `Ok`, the stored messages survive
    /// a crash of the process and of the machine.
    ///
    /// The appends of one room take effect one after the other: a later one has to expect the head that the earlier one
    /// leaves. An append whose [`Append::expected_head`] is not the head is answered [`Appended::HeadMoved`] and stores
    /// nothing; the others are not affected.
    ///
    /// An expected head is one that this store has returned: from [`span`](Store::span), [`read`](Store::read), an append or
    /// a [`Feed`]. Any other can only be answered [`Appended::HeadMoved`].
    ///
    /// After an error it is unknown which messages of the batch are stored, and those that are not may still be stored a
    /// little later; SQLite and memory have stored nothing. The same holds for a future that was dropped. In every case the
    /// stored ones follow `expected_head` without a gap, and appending again with the same ids returns their `seq`
    /// ([`AppendResult::Duplicate`](crate::AppendResult::Duplicate)).
    fn append(&self, batch: Arc<[Append]>) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>>;

    /// The range of messages that a room has. A room that was never written to is empty.
    fn span(&self, room: &str) -> BoxFuture<'_, Result<Span, StoreError>>;

    /// The messages of a room with a `seq` greater than `after`, ascending: at most `limit` (0 counts as 1), and at most
    /// [`MAX_READ_BYTES`](crate::MAX_READ_BYTES) of text. The page is empty only when there are none.
    fn read(&self, room: &str, after: u64, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// Removes messages dated before [`Cutoff::before_ms`] and returns how many.
    ///
    /// A room loses its oldest messages only, up to the first that is to stay, so that the rest has no gaps. A message dated
    /// after [`Cutoff::now_ms`] has a wrong date: it goes with the first message behind it that is past its retention. Heads
    /// stay where they are; the ids of removed messages are forgotten.
    ///
    /// Works in short steps between which appends go on. Dropping the future ends it after a step.
    fn expire(&self, cutoff: Cutoff) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// A feed of the messages that all processes append to this log, this one included. `None` (the default) in a store
    /// that no other process can append to.
    ///
    /// The feed begins with [`FeedEvent::Lagged`] once it is established, and yields everything that is appended after that.
    /// It reconnects by itself and ends when the store is closed. At most a few hundred messages are buffered ahead of its
    /// reader. A store has one feed: calling this again ends the previous one. Must be called within a tokio runtime.
    fn follow(&self) -> Option<Feed> {
        None
    }

    /// An upper bound on how far the feed is behind the log. Grows while the backend is silent, and while the feed is not
    /// read. `None` (the default) where there is no feed.
    fn lag(&self) -> Option<Duration> {
        None
    }

    /// Whether the store can be written to now, for readiness checks.
    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Finishes the queued appends, releases the backend and makes every later call fail. Closing again waits for the same
    /// end and succeeds. Dropping the future does no harm; close again to wait for the end.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// An item of a [`Feed`]. Treat an unknown one like [`Lagged`](FeedEvent::Lagged).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedEvent {
    /// A message was appended; it is durable and can be read. The messages of a room come in `seq` order; some may be
    /// repeated after the feed had to reconnect.
    Appended {
        /// The room.
        room: Arc<str>,
        /// The message.
        message: Stored,
    },
    /// Messages may have been appended that the feed did not yield and never will. It yields everything appended from here
    /// on: reading the store now returns what lies between.
    Lagged,
}
