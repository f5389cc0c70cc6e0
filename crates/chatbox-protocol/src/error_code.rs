//! The codes of `error` messages.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The fault that a [`ServerMessage::Error`](crate::ServerMessage::Error) reports, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not an object of the protocol, or a field is missing or wrong.
    BadMessage,
    /// The server does not know the `type`.
    UnknownType,
    /// The user's token does not cover the room.
    NotAllowed,
    /// Too many messages; try again after `retry_after_ms`.
    RateLimited,
    /// The message is longer than the server accepts.
    TooLong,
    /// The connection has joined as many rooms as it may.
    TooManyRooms,
    /// The message was not stored, or the outcome is unknown; send it again with the same id.
    StoreUnavailable,
    /// The `after` of a `join` is not in the log: it lies before what is still stored or beyond the newest message, or the
    /// log has another epoch. What is still stored follows.
    HistoryGone,
    /// A code that this version does not know. Only decoding produces it.
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// Every code that a server sends.
    pub const ALL: [Self; 8] = [
        Self::BadMessage,
        Self::UnknownType,
        Self::NotAllowed,
        Self::RateLimited,
        Self::TooLong,
        Self::TooManyRooms,
        Self::StoreUnavailable,
        Self::HistoryGone,
    ];

    /// The code as written on the wire and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn all_has_every_code_that_is_sent() {
        // A new code does not compile until it is counted here, and then `ALL` is too short.
        let count = |code| match code {
            ErrorCode::BadMessage
            | ErrorCode::UnknownType
            | ErrorCode::NotAllowed
            | ErrorCode::RateLimited
            | ErrorCode::TooLong
            | ErrorCode::TooManyRooms
            | ErrorCode::StoreUnavailable
            | ErrorCode::HistoryGone => 8,
            ErrorCode::Unknown => 0,
        };
        assert_eq!(count(ErrorCode::BadMessage), ErrorCode::ALL.len());
        let distinct: std::collections::HashSet<_> = ErrorCode::ALL.into_iter().collect();
        assert_eq!(distinct.len(), ErrorCode::ALL.len());
        assert!(!distinct.contains(&ErrorCode::Unknown));
    }
}
