//! Errors: of building a client, of sending a message, and of a connection.

use chatbox_protocol::{ErrorCode, InvalidName};
use std::time::Duration;

/// The error of [`Builder::connect`](crate::Builder::connect).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no server.
    #[error("no server is named")]
    NoServer,
    /// The address of a server is invalid.
    #[error("server address `{address}`: {problem}")]
    #[non_exhaustive]
    Server {
        /// The address as it was given.
        address: String,
        /// The fault.
        problem: &'static str,
    },
    /// A server is reached by TLS, which cannot be configured.
    #[cfg(feature = "tls")]
    #[error("server address `{address}`")]
    #[non_exhaustive]
    Tls {
        /// The address.
        address: String,
        /// The fault.
        source: crate::TlsError,
    },
    /// [`Builder::refresh_before`](crate::Builder::refresh_before) without a provider of new tokens.
    #[error("refresh_before needs a token provider or a header provider")]
    NothingToRefresh,
    /// The token has characters that an HTTP header cannot carry.
    #[error("the token has characters that no HTTP header can carry")]
    Token,
}

/// The reason why a message is not, or may not be, stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The room or the id is invalid. Nothing was sent.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// As many messages as [`Builder::max_unacked`](crate::Builder::max_unacked) allows wait for their ack. Nothing was
    /// sent.
    #[error("too many messages wait for their ack")]
    Full,
    /// The message is longer than [`Builder::max_message_bytes`](crate::Builder::max_message_bytes). Nothing was sent.
    #[error("the message has {bytes} bytes when encoded, {limit} are allowed")]
    #[non_exhaustive]
    TooLong {
        /// The encoded length.
        bytes: usize,
        /// The greatest length allowed.
        limit: usize,
    },
    /// A message with this id already waits for its ack in this room. Nothing was sent.
    #[error("a message with this id already waits for its ack")]
    DuplicateId,
    /// The server rejected the message, and would do so again. It is not stored.
    #[error("the server rejected the message: {code}: {message}")]
    #[non_exhaustive]
    Rejected {
        /// The fault, for programs.
        code: ErrorCode,
        /// The fault, for people.
        message: String,
    },
    /// The client ended before the ack was received: the message may be stored or not. If another client of the same user
    /// sends it again with the same id, it will be stored once.
    #[error("the client was closed before the ack was received")]
    Closed,
}

/// The reason why a connection ended or an attempt to connect failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The application closed the client, by [`Client::close`](crate::Client::close) or by dropping it.
    #[error("closed by this client")]
    Requested,
    /// The server closed the connection.
    #[error("closed by the server: {code} {text}")]
    Close {
        /// The close code (RFC 6455 section 7.4); 1005 when the Close frame had none.
        code: u16,
        /// The text of the Close frame.
        text: String,
    },
    /// The server, or a proxy, refused the connection with an HTTP response.
    #[error("refused: {status} {error} {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code in the response's body, for example `draining`; empty if there was none.
        error: String,
        /// The text in the response's body, for people; empty if there was none.
        message: String,
        /// The value of the `Retry-After` header.
        retry_after: Option<Duration>,
    },
    /// The network failed, or the connection ended without a Close frame (RFC 6455 calls this 1006).
    #[error("network: {0}")]
    Network(String),
    /// Nothing was received for that long.
    #[error("nothing received for {0:?}")]
    Silent(Duration),
    /// The server violated the protocol.
    #[error("protocol: {0}")]
    Protocol(String),
    /// The token provider failed, or its token cannot be a header.
    #[error("token: {0}")]
    Token(String),
    /// The header provider failed, or set a header that it must not set.
    #[error("headers: {0}")]
    Headers(String),
}
