//! The trait that every backend implements, and what goes in and out of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;

use crate::StoreError;

/// A future that a `dyn Store` can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What [`Store::follow`] returns.
pub type Feed = BoxStream<'static, FeedEvent>;

/// The most text (users, ids and bodies, in bytes) that one [`Store::read`] returns: 1 MiB, unless
/// a single message is larger.
pub const MAX_READ_BYTES: usize = 1 << 20;

/// A durable log of messages, one sequence per room.
///
/// A message belongs to a room, where it has a `seq`: 1, 2, 3 … without gaps. It is identified by
/// its room, its user and the id that the user gave it: what has been stored is not stored again.
///
/// Every method fails with [`StoreError::Closed`] after [`close`](Store::close), and with
/// [`StoreError::Unavailable`] when the backend cannot serve it now. None waits for longer than the
/// backend's own timeouts, but a caller with a deadline sets its own.
pub trait Store: Send + Sync + 'static {
    /// `memory`, `sqlite` …: what a readiness check of this store is called.
    fn name(&self) -> &'static str;

    /// Stores the batch durably and answers each of its appends, in order; when it returns `Ok`,
    /// what was placed survives a crash of the process and of the machine.
    ///
    /// The appends of one room take effect one after the other: a later one has to expect the head
    /// that the earlier one leaves. One whose [`Append::expected_head`] is not the head is answered
    /// [`Appended::HeadMoved`] and stores nothing; the others are not affected.
    ///
    /// An expected head is one that this store has answered: by [`span`](Store::span),
    /// [`read`](Store::read), an append or a [`Feed`]. To expect another is to guess that nobody has
    /// written, and a guess can only be answered [`Appended::HeadMoved`].
    ///
    /// After an error it is unknown which of the batch is stored, and what is not stored yet may
    /// still be, a little later; SQLite and memory have stored nothing. The same goes for a future
    /// that was dropped. In every case what is stored has its place behind `expected_head`, without
    /// a gap, and appending again with the same ids tells ([`AppendResult::Duplicate`]).
    fn append(&self, batch: Arc<[Append]>) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>>;

    /// Which messages of a room are stored. A room that nobody has written to is empty.
    fn span(&self, room: &str) -> BoxFuture<'_, Result<Span, StoreError>>;

    /// The messages of a room with a `seq` greater than `after`, ascending: at most `limit`, and at
    /// most [`MAX_READ_BYTES`] of text. Empty only when there are none (or `limit` is 0).
    fn read(&self, room: &str, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Stored>, StoreError>>;

    /// The `seq` of the message that a user sent to a room under that id, if it is stored.
    fn find(&self, room: &str, user: &str, id: &str) -> BoxFuture<'_, Result<Option<u64>, StoreError>>;

    /// Removes messages with an `at_ms` before that moment and returns how many. Each room loses
    /// its oldest messages only, up to the first that is to stay, so that what is left has no gaps.
    /// Heads stay where they are; the ids of removed messages are forgotten.
    ///
    /// Works in short steps between which appends go on. Dropping the future ends it after a step.
    fn expire(&self, before_ms: i64) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Follows what is appended to this store by anybody, this process included. `None` (the
    /// default) where no other process can append to it.
    ///
    /// The feed begins with [`FeedEvent::Lagged`] once it listens: it tells everything that is appended
    /// after that. It reconnects by itself and ends when the store is closed. It takes no more from
    /// the backend than its reader takes from it, give or take a few hundred messages. A store has one
    /// feed: calling this again ends the one before. To be called within a tokio runtime.
    fn follow(&self) -> Option<Feed> {
        None
    }

    /// How far behind the feed may be: for that long it has not shown that it hears everything.
    /// Grows while nothing is heard, and while the feed is not read. `None` (the default) where
    /// there is no feed, or nobody follows it yet.
    fn lag(&self) -> Option<Duration> {
        None
    }

    /// Whether the store can be written to now. Made for readiness checks.
    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Finishes the appends that are queued, lets go of the backend and makes every later call fail.
    /// Closing again waits for the same end and succeeds. Dropping the future is harmless; close
    /// again to wait for the end.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Messages to be appended to one room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The room.
    pub room: Arc<str>,
    /// The newest `seq` that the caller knows of, 0 for an empty room.
    pub expected_head: u64,
    /// The messages, in the order in which they get their `seq`.
    pub messages: Vec<Draft>,
}

/// A message that has no `seq` yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who sent it.
    pub user: Arc<str>,
    /// The id that its user gave it.
    pub id: Box<str>,
    /// The text.
    pub body: Box<str>,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// What became of an [`Append`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It took effect: one [`AppendResult`] for each of its messages, in order.
    All(Vec<AppendResult>),
    /// Somebody else has appended to the room since: nothing of it was stored.
    HeadMoved {
        /// The head of the room, or a newer one than was expected: up to it everything can be read.
        head: u64,
    },
    /// Somebody else has appended to the room meanwhile: only the first messages took effect. Happens
    /// only where a store has other writers.
    Partly {
        /// One for each of the messages that took effect, at least one and not all of them. The new
        /// ones follow the expected head without gaps.
        placed: Vec<AppendResult>,
        /// As in [`HeadMoved`](Appended::HeadMoved).
        head: u64,
    },
}

/// What a [`Feed`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEvent {
    /// A message was appended; it is durable and can be read. Those of a room come in the order of
    /// their `seq`, and some possibly again after the feed had to reconnect.
    Appended {
        /// The room.
        room: Arc<str>,
        /// The message.
        message: Stored,
    },
    /// Something may have been appended that the feed did not tell and never will. From here on it
    /// tells everything again: who reads the store now has what lies between.
    Lagged,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendResult {
    /// It was stored now. The new ones of an append follow its expected head without gaps.
    New(u64),
    /// The same room, user and id was stored before (maybe earlier in the same append): with this
    /// `seq`, and the body it had then.
    Duplicate(u64),
}

/// Which messages of a room are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The oldest stored `seq`; `head + 1` when nothing is stored.
    pub first: u64,
    /// The newest `seq` ever given in the room, 0 when there was none.
    pub head: u64,
}

/// A message of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the room.
    pub seq: u64,
    /// Who sent it.
    pub user: Arc<str>,
    /// The id that its user gave it.
    pub id: Box<str>,
    /// The text.
    pub body: Box<str>,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

impl Stored {
    /// What the message counts towards [`MAX_READ_BYTES`].
    pub(crate) fn text_len(&self) -> usize {
        self.user.len() + self.id.len() + self.body.len()
    }
}

/// Takes messages as long as [`MAX_READ_BYTES`] allows: the first in any case.
pub(crate) fn within_read_bytes() -> impl FnMut(&Stored) -> bool {
    let mut bytes = 0;
    move |message| {
        let first = bytes == 0;
        bytes += message.text_len();
        first || bytes <= MAX_READ_BYTES
    }
}
