//! Callbacks for connection lifecycle events.

use crate::close_summary::CloseSummary;
use crate::command::Closing;
use crate::connection::Connection;
use crate::refused::Refused;
use std::time::Duration;

/// Callbacks for connection lifecycle events, for metrics and logs.
///
/// Called on the thread on which the event happens; a callback must not block. Every default does nothing.
pub trait Observer: Send + Sync + 'static {
    /// A session began to serve the connection.
    fn on_opened(&self, _connection: &Connection) {}
    /// A connection was not admitted.
    fn on_refused(&self, _refused: Refused) {}
    /// A drain begins, with this many connections to close.
    fn on_drain(&self, _connections: usize) {}
    /// The connection's turn in a drain has come. Called once for each connection, also for those that are cut before their turn.
    fn on_closing(&self, _connection: &Connection, _closing: &Closing) {}
    /// The connection no longer counts against its user's limit: its peer did not answer a probe, and a new connection takes its place
    /// (see [`Registry::admit_when_vacant`](crate::Registry::admit_when_vacant)). It is being closed.
    fn on_displaced(&self, _connection: &Connection) {}
    /// A session ended, `lasted` after it began.
    fn on_ended(&self, _connection: &Connection, _summary: &CloseSummary, _lasted: Duration) {}
}

/// An observer that does nothing.
impl Observer for () {}
