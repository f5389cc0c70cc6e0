//! What the server says.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A message from the server to a client.
///
/// Encoded as one compact JSON object, `type` first, the other fields in the order of declaration,
/// absent ones omitted. Decoding (what a client does) takes fields in any order and ignores those
/// it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    /// The first message on every connection.
    Welcome {
        /// Who the server takes the client for.
        #[serde(borrow)]
        user: Cow<'a, str>,
        /// The id of this connection, as it stands in the server's log.
        #[serde(borrow)]
        connection: Cow<'a, str>,
        /// The name of the server's instance.
        #[serde(borrow)]
        server: Cow<'a, str>,
        /// How often the server pings, in milliseconds.
        heartbeat_ms: u64,
    },
    /// A `join` succeeded; the replay, if one was asked for, and then live messages follow.
    Joined {
        /// The room joined.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// The newest `seq` at that moment, 0 when there is none.
        head: u64,
        /// The oldest `seq` still stored, `head + 1` when there is none.
        first: u64,
    },
    /// A `leave` took effect: nothing more of this room follows.
    Left {
        /// The room left.
        #[serde(borrow)]
        room: Cow<'a, str>,
    },
    /// A message of a room that the client has joined.
    Message {
        /// The room it was sent to.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// Its place in the room: 1, 2, 3 … without gaps.
        seq: u64,
        /// Who sent it.
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
    /// A `send` is stored for good.
    Ack {
        /// The room it was sent to.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// The id that the client gave it.
        #[serde(borrow)]
        id: Cow<'a, str>,
        /// Its place in the room.
        seq: u64,
    },
    /// A request was not carried out.
    Error {
        /// What is wrong, for programs.
        code: ErrorCode,
        /// What is wrong, for people.
        #[serde(borrow)]
        message: Cow<'a, str>,
        /// The room it concerns.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        room: Option<Cow<'a, str>>,
        /// The id of the `send` it concerns.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        id: Option<Cow<'a, str>>,
        /// When to try again, in milliseconds from now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The last message before the server closes the connection with 1001.
    Goodbye {
        /// Why: `shutdown`.
        #[serde(borrow)]
        reason: Cow<'a, str>,
        /// This client's own slot for coming back, in milliseconds from now.
        reconnect_after_ms: u64,
    },
    /// A type this version does not know, to be ignored. Only decoding makes one.
    #[serde(other)]
    Unknown,
}

/// What a [`ServerMessage::Error`] is about, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not an object of the protocol, or a field is missing or wrong.
    BadMessage,
    /// The `type` is none the server knows.
    UnknownType,
    /// This user may not enter that room.
    NotAllowed,
    /// Too many messages; try again after `retry_after_ms`.
    RateLimited,
    /// The message is longer than the server takes.
    TooLong,
    /// The connection has joined as many rooms as it may.
    TooManyRooms,
    /// The message could not be stored now, or nobody knows; send it again with the same id.
    StoreUnavailable,
    /// The `after` of a `join` lies before what is still stored; the rest follows.
    HistoryGone,
    /// A code this version does not know. Only decoding makes one.
    #[serde(other)]
    Unknown,
}

impl<'a> ServerMessage<'a> {
    /// Decodes one text message, borrowing from it where no escape stands in the way.
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

impl ErrorCode {
    /// The code as it stands on the wire and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadMessage => "bad_message",
            Self::UnknownType => "unknown_type",
            Self::NotAllowed => "not_allowed",
            Self::RateLimited => "rate_limited",
            Self::TooLong => "too_long",
            Self::TooManyRooms => "too_many_rooms",
            Self::StoreUnavailable => "store_unavailable",
            Self::HistoryGone => "history_gone",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
