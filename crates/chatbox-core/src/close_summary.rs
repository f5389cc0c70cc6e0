//! How a connection ended: outcome, close code, initiator and cause.

use crate::close::CloseCode;
use crate::close_error::CloseError;

/// The side that ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClosedBy {
    /// This side sent the first Close, or cut the connection.
    Server,
    /// The peer sent the first Close.
    Client,
    /// Neither side sent a Close: the transport ended.
    Network,
}

impl ClosedBy {
    /// The word for metric labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Network => "network",
        }
    }
}

/// How completely a connection was closed. Every connection has exactly one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The close handshake was finished, whichever side began it.
    Closed,
    /// The peer disconnected before the handshake was finished.
    PeerGone,
    /// The peer did not read, or did not answer the Close, in time.
    TimedOut,
    /// Cut: the drain's deadline passed, a second signal came, or the session was dropped.
    Aborted,
}

impl Outcome {
    /// The word for metric labels, logs and the shutdown report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::PeerGone => "peer_gone",
            Self::TimedOut => "timed_out",
            Self::Aborted => "aborted",
        }
    }
}

/// The end of one connection, as the registry counts it and an [`Observer`](crate::Observer) sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseSummary {
    /// How completely it was closed.
    pub outcome: Outcome,
    /// The code of the first Close frame, or [`CloseCode::ABNORMAL`] when there was none.
    pub code: CloseCode,
    /// The side that ended it.
    pub by: ClosedBy,
    /// What went wrong on the way, if anything.
    pub error: Option<CloseError>,
    /// Replies that were still owed at the end (see [`Connection::owe`](crate::Connection::owe)): what a drain was waiting for when it
    /// cut the connection. Set by the [`Lease`](crate::Lease).
    pub owed: u32,
}

impl CloseSummary {
    /// A finished close handshake.
    #[must_use]
    pub const fn closed(code: CloseCode, by: ClosedBy) -> Self {
        Self { outcome: Outcome::Closed, code, by, error: None, owed: 0 }
    }

    /// A transport that ended without a close handshake.
    #[must_use]
    pub const fn peer_gone(error: CloseError) -> Self {
        Self {
            outcome: Outcome::PeerGone,
            code: CloseCode::ABNORMAL,
            by: ClosedBy::Network,
            error: Some(error),
            owed: 0,
        }
    }

    /// A peer that did not read or answer in time. `code` is that of the Close it did not answer, or [`CloseCode::ABNORMAL`].
    #[must_use]
    pub const fn timed_out(code: CloseCode, error: CloseError) -> Self {
        Self { outcome: Outcome::TimedOut, code, by: ClosedBy::Server, error: Some(error), owed: 0 }
    }

    /// A connection that this side cut.
    #[must_use]
    pub const fn aborted(error: CloseError) -> Self {
        Self { outcome: Outcome::Aborted, code: CloseCode::ABNORMAL, by: ClosedBy::Server, error: Some(error), owed: 0 }
    }

    /// The same end with this error.
    #[must_use]
    pub const fn with_error(self, error: CloseError) -> Self {
        Self { error: Some(error), ..self }
    }

    /// The same end with this number of replies still owed.
    #[must_use]
    pub const fn with_owed(self, owed: u32) -> Self {
        Self { owed, ..self }
    }
}
