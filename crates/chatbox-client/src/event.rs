//! Events of a client.

use crate::Reason;
use chatbox_protocol::{ErrorCode, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Something that happened to a client, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection is established: the server's `welcome` was received. Rooms are joined again and messages sent again
    /// without the application's doing.
    #[non_exhaustive]
    Connected {
        /// The name of the server's instance.
        server: String,
        /// The deploy that the instance belongs to, if the server says so.
        generation: Option<String>,
        /// The id of the connection in the server's log.
        connection: String,
        /// The user id that the server has given to the connection.
        user: String,
    },
    /// A connection ended, or an attempt to establish one failed. The next attempt follows.
    #[non_exhaustive]
    Disconnected {
        /// The reason.
        reason: Reason,
        /// When the next attempt begins, from now.
        retry_in: Duration,
    },
    /// The client has joined a room: for the first time, or again after a reconnect. The messages after `after` follow.
    #[non_exhaustive]
    Joined {
        /// The room.
        room: Arc<str>,
        /// The newest `seq` of the room, 0 if it has none.
        head: u64,
        /// The oldest `seq` that is still stored, `head + 1` if there is none.
        first: u64,
        /// The name of the log, if the server has one: store it with `seq` to [resume](crate::JoinFrom::Resume) across
        /// restarts of the program.
        epoch: Option<Arc<str>>,
        /// The first message that follows has the `seq` after this one.
        after: u64,
    },
    /// The client is no longer in a room, because it left or because the server refused: then [`Event::Error`] came before.
    #[non_exhaustive]
    Left {
        /// The room.
        room: Arc<str>,
    },
    /// A message of a joined room, the client's own included: every one exactly once, in `seq` order.
    #[non_exhaustive]
    Message {
        /// The room.
        room: Arc<str>,
        /// Its position in the room: 1, 2, 3 …
        seq: u64,
        /// Its sender.
        user: String,
        /// The id that its sender gave it.
        id: String,
        /// The text.
        body: String,
        /// When the server accepted it.
        at: Timestamp,
    },
    /// The messages of a room do not continue where they were.
    #[non_exhaustive]
    Gap {
        /// The room.
        room: Arc<str>,
        /// What is missing, and why.
        gap: Gap,
    },
    /// A request was not carried out. Errors about a message are reported by its [`Sending`](crate::Sending) instead.
    #[non_exhaustive]
    Error {
        /// The fault, for programs.
        code: ErrorCode,
        /// The fault, for people.
        message: String,
        /// The room that it concerns.
        room: Option<Arc<str>>,
    },
    /// The server will close the connection. [`Event::Disconnected`] follows, and then a new connection.
    #[non_exhaustive]
    Goodbye {
        /// The cause: `shutdown` or `rebalance`.
        reason: String,
        /// For how long the server serves the connection in full, from now.
        close_after: Duration,
        /// This client's own slot for coming back, from the end of the connection.
        reconnect_after: Duration,
    },
    /// The last event: the client was closed, or the server refused it for good.
    #[non_exhaustive]
    Closed {
        /// The reason.
        reason: Reason,
    },
}

/// A break in the sequence of a room's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// Retention removed messages before the client could read them; the server said so (`history_gone`).
    #[non_exhaustive]
    Removed {
        /// The first `seq` that is missing.
        from: u64,
        /// The last `seq` that is missing.
        to: u64,
    },
    /// The room's log is another one than the client has read so far, because a backup was restored or the store was
    /// replaced: its epoch differs, or its newest message is older than what the client has seen. Messages may be lost, and
    /// messages that the application knows may come again: their `seq` counts in the new log.
    #[non_exhaustive]
    LogReplaced {
        /// The last `seq` that the client has seen of the old log.
        seen: u64,
        /// The first message that follows has the `seq` after this one, in the new log.
        after: u64,
    },
    /// The server left out messages without announcing it, which it must not do:
    /// [`Stats::violations`](crate::Stats::violations) has counted it.
    #[non_exhaustive]
    Missing {
        /// The first `seq` that is missing.
        from: u64,
        /// The last `seq` that is missing.
        to: u64,
    },
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Removed { from, to } => write!(f, "messages {from} to {to} are no longer stored"),
            Self::LogReplaced { seen, after } => {
                write!(
                    f,
                    "another log, restored or new, takes the place of the one read up to {seen}; it goes on after {after}"
                )
            }
            Self::Missing { from, to } => write!(f, "the server left out messages {from} to {to}"),
        }
    }
}
