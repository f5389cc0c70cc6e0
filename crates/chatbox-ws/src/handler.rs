//! What an application does with a connection.

use chatbox_core::{CloseReason, CloseSummary, Closing, Connection, Source};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A whole message of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Binary data; only when [`DecodeLimits::binary`](crate::DecodeLimits::binary) is set.
    Binary(&'a [u8]),
}

/// The application's side of one connection.
///
/// All methods are called from the connection's own task, one at a time, and must not block. What the application
/// has to say to this peer alone it pushes to the [`Connection`]; what it shares with others it offers as a [`Source`].
/// Work that takes time is done elsewhere, and holds a [`Reply`](chatbox_core::Reply) so that a drain waits for its answer.
///
/// A panic in any of them closes this connection with 1011 and harms no other.
pub trait Handler: Source + Unpin {
    /// A message has arrived. An error closes the connection with that reason.
    ///
    /// # Errors
    /// The reason to close.
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason>;

    /// Whether another message can be taken now. While it is pending nothing is read from the peer, so TCP slows it down;
    /// the waker in `cx` must be woken when that changes. Default: always.
    fn poll_ready(&mut self, _connection: &Arc<Connection>, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// The connection is told to close: no further message will be handed over. What is owed will still be awaited, and the
    /// source pulled until it is dry, so a source that never is must now become so. Default: nothing.
    fn on_closing(&mut self, _connection: &Arc<Connection>, _closing: &Closing) {}

    /// Everything that was queued and owed has been pulled; frames pushed now are the last before the Close. Default: none.
    fn before_close(&mut self, _connection: &Arc<Connection>, _closing: &Closing) {}

    /// The connection has ended. Not called after a panic. Default: nothing.
    fn on_end(&mut self, _connection: &Arc<Connection>, _ended: &CloseSummary) {}
}
