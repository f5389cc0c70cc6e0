//! A connection's place in the registry, held by its session.

use crate::close::Ended;
use crate::connection::Connection;
use crate::registry::Inner;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A registered connection. Whoever holds the lease serves the connection; the place is given back when it is dropped.
///
/// [`end`](Self::end) says how the connection ended. Dropped before [`begin`](Self::begin) it counts as a peer that went
/// away during the handshake; dropped after, as aborted: a session cannot leave unnoticed, even by panicking.
#[must_use = "dropping a lease ends the connection"]
pub struct Lease {
    registry: Arc<Inner>,
    connection: Arc<Connection>,
    opened: Option<Instant>,
    ended: Ended,
}

impl Lease {
    pub(crate) fn new(registry: Arc<Inner>, connection: Arc<Connection>) -> Self {
        Self { registry, connection, opened: None, ended: Ended::peer_gone("handshake") }
    }

    /// The handshake is done: the session begins.
    pub fn begin(&mut self) {
        self.opened = Some(Instant::now());
        self.ended = Ended::aborted("dropped");
        self.registry.observer.on_opened(&self.connection);
    }

    /// The connection that is leased.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Gives the place back and says how the connection ended.
    pub fn end(mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(opened) = self.opened {
            self.registry.observer.on_ended(&self.connection, &self.ended, opened.elapsed());
        }
        self.registry.leave(&self.connection, &self.ended);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("connection", &self.connection.id()).finish_non_exhaustive()
    }
}
