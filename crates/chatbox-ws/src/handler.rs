//! The application's side of a connection.

use chatbox_core::{Batch, CloseReason, CloseSummary, Closing, Connection};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A complete message from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message; only where [`Settings::with_binary`](crate::Settings::with_binary) accepts them.
    Binary(&'a [u8]),
}

/// Callbacks of one connection.
///
/// All methods are called from the connection's own task, one at a time, and must not block. Frames for this peer alone are pushed to the
/// [`Connection`]; frames that many peers share are offered by [`pull`](Self::pull). Work that takes time runs elsewhere and holds a
/// [`Reply`](chatbox_core::Reply), so that a drain waits for its answer.
///
/// A panic in a callback closes this connection with 1011 and affects no other. After a panic only [`on_end`](Self::on_end) is called.
pub trait Handler: Send + Unpin + 'static {
    /// A message has arrived.
    ///
    /// # Errors
    /// The reason with which to close the connection.
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason>;

    /// Moves frames that are ready into `batch`, like [`Source::pull`](chatbox_core::Source::pull), to which a handler with a source
    /// delegates. Default: nothing is ever ready, for a connection whose frames are all pushed.
    fn pull(&mut self, _cx: &mut Context<'_>, _batch: &mut Batch) {}

    /// The heartbeat: a ping is due to be sent, or a ping or a pong has arrived. For conditions that no message brings up, such as a
    /// wall-clock time that has passed. Default: nothing.
    ///
    /// # Errors
    /// The reason with which to close the connection.
    fn on_heartbeat(&mut self, _connection: &Arc<Connection>) -> Result<(), CloseReason> {
        Ok(())
    }

    /// Whether another message can be accepted now. Default: always.
    ///
    /// While it is pending nothing is read from the peer, so TCP slows the peer down. It is polled again when the waker in `cx` is woken,
    /// and whenever a [`Reply`](chatbox_core::Reply) of this connection is settled: a handler that limits the replies under way needs no
    /// waker of its own.
    fn poll_ready(&mut self, _connection: &Arc<Connection>, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// The connection is about to be closed: no further message is delivered. Replies that are owed are still awaited, and frames
    /// pulled until none is ready, so a source that is never dry must end now. Default: nothing.
    fn on_closing(&mut self, _connection: &Arc<Connection>, _closing: &Closing) {}

    /// Everything queued, owed and offered has been taken; frames pushed now are the last before the Close. Default: none.
    fn before_close(&mut self, _connection: &Arc<Connection>, _closing: &Closing) {}

    /// The connection has ended. Called exactly once, also after a panic in another callback. Default: nothing.
    fn on_end(&mut self, _connection: &Arc<Connection>, _summary: &CloseSummary) {}
}
