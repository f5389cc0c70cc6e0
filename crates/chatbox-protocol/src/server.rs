//! Messages from the server, and their encoding.

use crate::{ErrorCode, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// A message from the server to a client.
///
/// Encoded as one compact JSON object: `type` first, then the other fields in the order of declaration; absent ones are
/// omitted. Decoding, which clients do, accepts fields in any order and ignores unknown ones.
///
/// A later version may add variants, and fields to a variant: match with `..`, and build messages with the constructors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerMessage<'a> {
    /// The first message on every connection.
    #[non_exhaustive]
    Welcome {
        /// The user id that the server has given to the connection.
        #[serde(borrow)]
        user: Cow<'a, str>,
        /// The id of this connection, as written in the server's log.
        #[serde(borrow)]
        connection: Cow<'a, str>,
        /// The name of the server's instance.
        #[serde(borrow)]
        server: Cow<'a, str>,
        /// The deploy that the instance belongs to; absent where none is configured.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        generation: Option<Cow<'a, str>>,
        /// The interval of the server's pings, in milliseconds.
        heartbeat_ms: u64,
    },
    /// A `join` succeeded. The replay follows, if one was asked for, then live messages.
    #[non_exhaustive]
    Joined {
        /// The room joined.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// The newest `seq` at that moment, 0 when there is none.
        head: u64,
        /// The oldest `seq` still stored, `head + 1` when there is none.
        first: u64,
        /// The name of the log, which changes when a backup is restored; absent from servers that have none.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        epoch: Option<Cow<'a, str>>,
    },
    /// A `leave` took effect: no further message of this room follows.
    #[non_exhaustive]
    Left {
        /// The room left.
        #[serde(borrow)]
        room: Cow<'a, str>,
    },
    /// A message of a room that the client has joined.
    #[non_exhaustive]
    Message {
        /// The room it was sent to.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// Its position in the room: 1, 2, 3 … without gaps.
        seq: u64,
        /// Its sender.
        #[serde(borrow)]
        user: Cow<'a, str>,
        /// The id that its sender gave it.
        #[serde(borrow)]
        id: Cow<'a, str>,
        /// The text.
        #[serde(borrow)]
        body: Cow<'a, str>,
        /// When the server accepted it.
        at: Timestamp,
    },
    /// A `send` is durable.
    #[non_exhaustive]
    Ack {
        /// The room it was sent to.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// The id that the client gave it.
        #[serde(borrow)]
        id: Cow<'a, str>,
        /// Its position in the room.
        seq: u64,
    },
    /// A request was not carried out.
    #[non_exhaustive]
    Error {
        /// The fault, for programs.
        code: ErrorCode,
        /// The fault, for people.
        #[serde(borrow)]
        message: Cow<'a, str>,
        /// The room that it concerns.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        room: Option<Cow<'a, str>>,
        /// The id of the `send` that it concerns.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        id: Option<Cow<'a, str>>,
        /// When to try again, in milliseconds from now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The server announces that it will close the connection.
    #[non_exhaustive]
    Goodbye {
        /// The cause: see [`Disconnect::goodbye`](crate::Disconnect::goodbye).
        #[serde(borrow)]
        reason: Cow<'a, str>,
        /// For how long the connection is served in full, in milliseconds from now; 0: the Close frame follows at once.
        /// Servers that do not send it close at once.
        #[serde(default)]
        close_after_ms: u64,
        /// This client's own slot for coming back, in milliseconds from the Close frame.
        reconnect_after_ms: u64,
    },
    /// A type that this version does not know; ignore it. Only decoding produces it.
    #[serde(other)]
    Unknown,
}

/// Constructors. Durations are written as whole milliseconds.
impl<'a> ServerMessage<'a> {
    /// A [`ServerMessage::Welcome`].
    pub fn welcome(
        user: impl Into<Cow<'a, str>>,
        connection: impl Into<Cow<'a, str>>,
        server: impl Into<Cow<'a, str>>,
        generation: Option<&'a str>,
        heartbeat: Duration,
    ) -> Self {
        Self::Welcome {
            user: user.into(),
            connection: connection.into(),
            server: server.into(),
            generation: generation.map(Into::into),
            heartbeat_ms: millis(heartbeat),
        }
    }

    /// A [`ServerMessage::Joined`].
    pub fn joined(room: impl Into<Cow<'a, str>>, head: u64, first: u64, epoch: Option<&'a str>) -> Self {
        Self::Joined { room: room.into(), head, first, epoch: epoch.map(Into::into) }
    }

    /// A [`ServerMessage::Left`].
    pub fn left(room: impl Into<Cow<'a, str>>) -> Self {
        Self::Left { room: room.into() }
    }

    /// A [`ServerMessage::Message`].
    pub fn message(
        room: impl Into<Cow<'a, str>>,
        seq: u64,
        user: impl Into<Cow<'a, str>>,
        id: impl Into<Cow<'a, str>>,
        body: impl Into<Cow<'a, str>>,
        at: Timestamp,
    ) -> Self {
        Self::Message { room: room.into(), seq, user: user.into(), id: id.into(), body: body.into(), at }
    }

    /// A [`ServerMessage::Ack`].
    pub fn ack(room: impl Into<Cow<'a, str>>, id: impl Into<Cow<'a, str>>, seq: u64) -> Self {
        Self::Ack { room: room.into(), id: id.into(), seq }
    }

    /// A [`ServerMessage::Error`] about a room, a `send`, both or neither.
    pub fn error(
        code: ErrorCode,
        message: impl Into<Cow<'a, str>>,
        room: Option<&'a str>,
        id: Option<&'a str>,
        retry_after: Option<Duration>,
    ) -> Self {
        Self::Error {
            code,
            message: message.into(),
            room: room.map(Into::into),
            id: id.map(Into::into),
            retry_after_ms: retry_after.map(millis),
        }
    }

    /// A [`ServerMessage::Goodbye`].
    pub fn goodbye(reason: impl Into<Cow<'a, str>>, close_after: Duration, reconnect_after: Duration) -> Self {
        Self::Goodbye {
            reason: reason.into(),
            close_after_ms: millis(close_after),
            reconnect_after_ms: millis(reconnect_after),
        }
    }
}

/// Encoding and decoding.
impl<'a> ServerMessage<'a> {
    /// Decodes one text message. Strings without escapes are borrowed from it.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, or a field of a known type is missing or wrong.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Appends the encoded message to `buffer`, without an allocation of its own.
    pub fn encode_into(&self, buffer: &mut Vec<u8>) {
        serde_json::to_writer(buffer, self).expect("text and integers always encode");
    }

    /// The encoded message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(128);
        self.encode_into(&mut buffer);
        buffer
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
