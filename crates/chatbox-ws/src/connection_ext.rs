//! Sends messages on a connection, encoded as WebSocket frames.

use crate::frame;
use chatbox_core::{Connection, Full};

/// Methods of a [`Connection`] that encode a message and queue it.
pub trait ConnectionExt: sealed::Sealed {
    /// Queues a text message for this connection alone; see [`Connection::push`].
    fn send_text(&self, payload: &str);

    /// Queues a binary message for this connection alone; see [`Connection::push`].
    fn send_binary(&self, payload: &[u8]);

    /// Queues a text message, unless the outbox is full; see [`Connection::try_push`].
    ///
    /// # Errors
    /// [`Full`]; nothing was queued.
    fn try_send_text(&self, payload: &str) -> Result<(), Full>;

    /// Queues a binary message, unless the outbox is full; see [`Connection::try_push`].
    ///
    /// # Errors
    /// [`Full`]; nothing was queued.
    fn try_send_binary(&self, payload: &[u8]) -> Result<(), Full>;
}

impl ConnectionExt for Connection {
    fn send_text(&self, payload: &str) {
        self.push(|out| frame::text(payload, out));
    }

    fn send_binary(&self, payload: &[u8]) {
        self.push(|out| frame::binary(payload, out));
    }

    fn try_send_text(&self, payload: &str) -> Result<(), Full> {
        self.try_push(|out| frame::text(payload, out))
    }

    fn try_send_binary(&self, payload: &[u8]) -> Result<(), Full> {
        self.try_push(|out| frame::binary(payload, out))
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for chatbox_core::Connection {}
}
