//! A connection's place in the registry, held by its session.

use crate::close::CloseSummary;
use crate::connection::Connection;
use crate::registry::Inner;
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

/// A registered connection. Whoever holds the lease serves the connection; the place is given back when it is dropped.
///
/// [`end`](Self::end) says how the connection ended. Dropped before [`begin`](Self::begin) it counts as a peer that went
/// away during the handshake; dropped after, as aborted: a session cannot leave unnoticed, even by panicking.
#[must_use = "dropping a lease ends the connection"]
pub struct Lease {
    /// Taken when the place is given back.
    registry: Option<Arc<Inner>>,
    connection: Arc<Connection>,
    /// When the session began, in microseconds since the registry did. Every session pays for its size.
    opened: Option<NonZero<u64>>,
}

impl Lease {
    pub(crate) fn new(registry: Arc<Inner>, connection: Arc<Connection>) -> Self {
        Self { registry: Some(registry), connection, opened: None }
    }

    /// The handshake is done: the session begins.
    pub fn begin(&mut self) {
        if let Some(registry) = &self.registry {
            self.opened = NonZero::new(micros(registry.began.elapsed()).max(1));
            registry.observer.on_opened(&self.connection);
        }
    }

    /// The connection that is leased.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Gives the place back and says how the connection ended.
    pub fn end(mut self, ended: CloseSummary) {
        self.give_back(&ended);
    }

    fn give_back(&mut self, ended: &CloseSummary) {
        let Some(registry) = self.registry.take() else { return };
        // Others may hold the connection for a while yet; what it had queued need not last as long.
        self.connection.retire();
        if let Some(opened) = self.opened {
            let lasted = Duration::from_micros(micros(registry.began.elapsed()).saturating_sub(opened.get()));
            registry.observer.on_ended(&self.connection, ended, lasted);
        }
        registry.leave(&self.connection, ended);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Drop for Lease {
    fn drop(&mut self) {
        let begun = self.opened.is_some();
        self.give_back(&if begun { CloseSummary::aborted("dropped") } else { CloseSummary::peer_gone("handshake") });
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("connection", &self.connection.id()).finish_non_exhaustive()
    }
}
