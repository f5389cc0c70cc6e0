//! The closing of a session: carries out what the close handshake decides.

use super::Session;
use super::close_handshake::Step;
use crate::frame;
use crate::handler::Handler;
use chatbox_core::{CloseCode, CloseReason, CloseSummary, ClosedBy, Closing, Command, Lease};
use std::num::NonZero;
use std::pin::Pin;
use std::task::Context;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S, H> Session<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    /// Delivers no further message; replies that are owed and frames that are queued still go out.
    pub(super) fn begin_closing(&mut self, lease: &mut Lease, closing: &Closing) {
        let result = self.call(|handler| handler.on_closing(lease.connection(), closing));
        self.handshake.settle();
        self.expiry = None;
        self.restart_stall();
        if result.is_none() {
            self.close_after_panic(lease);
        }
    }

    /// Queues a Close behind what was taken and what the outbox holds, unless there is one. Nothing is pulled or taken after it.
    pub(super) fn close_with(&mut self, lease: &mut Lease, reason: CloseReason, by: ClosedBy) {
        if self.handshake.close(reason.code(), by) {
            let mut last = lease.take_outbox().unwrap_or_default();
            frame::close(&reason, &mut last);
            self.send_buffer.push(last.into());
            self.restart_stall();
        }
    }

    /// Closes a connection whose handler has panicked.
    pub(super) fn close_after_panic(&mut self, lease: &mut Lease) {
        self.close_with(lease, CloseReason::new(CloseCode::INTERNAL, "internal error"), ClosedBy::Server);
    }

    /// Takes the next step of the close handshake, everything being written that was to be: `owed` is the number of replies that were owed
    /// before that. Returns whether there is more to do now.
    pub(super) fn advance(&mut self, lease: &mut Lease, owed: u32, cx: &mut Context<'_>) -> Result<bool, CloseSummary> {
        if self.handshake.is_open() {
            return Ok(false);
        }
        let deadline = self.shared.after(self.shared.settings.close_handshake);
        match self.handshake.on_written(owed, deadline) {
            Step::Wait => Ok(false),
            // The last reply may have been sent while the source was pulled, and have added to it.
            Step::AwaitReplies => Ok(lease.connection().owed() == 0),
            Step::Again => Ok(true),
            Step::QueueClose => {
                // The command that began the closing: the first reason stands, so it is still the same.
                let Command::Close(closing) = lease.command() else { return Ok(true) };
                // After a panic here the frames before the Close are missing; the reason stands.
                let _ = self.call(|handler| handler.before_close(lease.connection(), &closing));
                self.close_with(lease, closing.reason, ClosedBy::Server);
                Ok(true)
            }
            Step::Finish if self.is_all_read(cx) => {
                // A stream with a closing message of its own, such as TLS, can send it if it does so at once.
                self.shut(cx);
                Err(self.handshake.finished())
            }
            Step::Finish => {
                self.handshake.linger(deadline);
                self.shut(cx);
                Ok(true)
            }
            Step::Shut => {
                self.shut(cx);
                Ok(false)
            }
        }
    }

    /// Shuts our side of the stream, or goes on with that.
    fn shut(&mut self, cx: &mut Context<'_>) {
        // A failure shows up when reading.
        if Pin::new(&mut self.io).poll_shutdown(cx).is_ready() {
            self.handshake.on_shut();
        }
    }

    /// Restarts the time of a peer that does not read: its limit has changed.
    fn restart_stall(&mut self) {
        self.stalled = self.stalled.and(NonZero::new(self.shared.now()));
    }
}
