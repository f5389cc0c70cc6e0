//! Commands from the registry or the application to a session.

use crate::close::CloseReason;
use std::time::Duration;

/// What a session is to do with its connection. A later command never weakens an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Serve the connection.
    Serve,
    /// Read no new message, finish what was accepted, write what is queued, then close with this reason.
    Close(Closing),
    /// End at once, without a close handshake.
    Cut,
}

/// Parameters of an orderly close.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closing {
    /// The code and text of the Close frame.
    pub reason: CloseReason,
    /// In a drain, the client's own reconnect slot, counted from the Close. `None` when only this connection is closed.
    pub reconnect_after: Option<Duration>,
}

impl Closing {
    /// A close with this reason, and no reconnect slot.
    #[must_use]
    pub const fn new(reason: CloseReason) -> Self {
        Self { reason, reconnect_after: None }
    }

    /// Sets the time after which the client should reconnect.
    #[must_use]
    pub const fn with_reconnect_after(mut self, after: Duration) -> Self {
        self.reconnect_after = Some(after);
        self
    }
}

impl From<CloseReason> for Closing {
    fn from(reason: CloseReason) -> Self {
        Self::new(reason)
    }
}
