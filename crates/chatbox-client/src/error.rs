//! What can go wrong: building a client, sending a message, being connected.

use chatbox_protocol::{ErrorCode, InvalidName};
use std::time::Duration;

/// Why a [`Builder`](crate::Builder) makes no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No server was named.
    #[error("no server is named")]
    NoServer,
    /// A server's address cannot be used.
    #[error("server address `{address}`: {problem}")]
    Server {
        /// The address as it was given.
        address: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The token cannot stand in an HTTP header.
    #[error("the token has characters that no HTTP header can carry")]
    Token,
}

/// Why a message will not be acked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The room or the id is not well-formed. Nothing was sent.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// As many messages as [`Builder::max_unacked`](crate::Builder::max_unacked) allows wait for their ack. Nothing was
    /// sent.
    #[error("too many messages wait for their ack")]
    Full,
    /// The message is longer than [`Builder::max_message_bytes`](crate::Builder::max_message_bytes). Nothing was sent.
    #[error("the message has {bytes} bytes when encoded, {limit} are allowed")]
    TooLong {
        /// The encoded length.
        bytes: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A message with this id already waits for its ack in this room. Nothing was sent.
    #[error("a message with this id already waits for its ack")]
    DuplicateId,
    /// The server rejected the message, and would do so again. It is not stored.
    #[error("the server rejects the message: {code}: {message}")]
    Rejected {
        /// What is wrong, for programs.
        code: ErrorCode,
        /// What is wrong, for people.
        message: String,
    },
    /// The client ended before an ack came: the message may be stored or not. Sent again by another client of the same
    /// user, with the same id, it will be stored once.
    #[error("the client was closed before the ack came")]
    Closed,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// This client was closed, by [`Client::close`](crate::Client::close) or by dropping it.
    #[error("closed by this client")]
    Requested,
    /// The server closed the connection.
    #[error("closed by the server: {code} {text}")]
    Close {
        /// The close code (RFC 6455 section 7.4); 1005 when the Close frame had none.
        code: u16,
        /// The reason that the server gave.
        text: String,
    },
    /// The server, or something before it, refused the connection with an HTTP response.
    #[error("refused: {status} {error} {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code in the response's body, `draining` for example; empty if it had none.
        error: String,
        /// The text in the response's body, for people; empty if it had none.
        message: String,
        /// What the `Retry-After` header asks for.
        retry_after: Option<Duration>,
    },
    /// The network failed, or the connection ended without a Close frame (RFC 6455 calls this 1006).
    #[error("network: {0}")]
    Network(String),
    /// Nothing was heard of the server for that long.
    #[error("nothing heard of the server for {0:?}")]
    Silent(Duration),
    /// The server said what no chatbox server says.
    #[error("protocol: {0}")]
    Protocol(String),
    /// The token provider failed.
    #[error("token: {0}")]
    Token(String),
}
