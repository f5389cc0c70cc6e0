//! A reply that is owed to a peer.

use crate::connection::Connection;
use std::sync::Arc;

/// A reply that is owed to a peer, made by [`Connection::owe`].
///
/// A connection that is being drained is not closed before every reply owed to it is settled: sent, or dropped without an answer.
/// Settling one wakes the session, which then asks its handler again whether it can take another message.
#[must_use = "dropping a reply settles it without an answer"]
#[derive(Debug)]
pub struct Reply {
    connection: Arc<Connection>,
    reserved: usize,
}

impl Reply {
    pub(crate) fn new(connection: Arc<Connection>, reserved: usize) -> Self {
        Self { connection, reserved }
    }

    /// Sends the answer: `encode` appends complete frames to the connection's outbox.
    pub fn send(self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.connection.enqueue(encode);
        // Dropping `self` settles the reply and wakes the session, after the answer is queued.
    }

    /// The connection that the reply is owed to.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.connection.settle(self.reserved);
    }
}
