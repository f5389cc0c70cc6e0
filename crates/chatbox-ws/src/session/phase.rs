//! Where a session stands in its close handshake (RFC 6455 section 7).

use super::Session;
use super::input::ReadState;
use crate::handler::Handler;
use crate::wheel::Tick;
use chatbox_core::{CloseCode, CloseSummary, ClosedBy, Closing, Lease, Outcome};
use std::pin::Pin;
use std::task::Context;
use tokio::io::{AsyncRead, AsyncWrite};

/// The phases follow one another in this order; some are passed over.
#[derive(Debug)]
pub(super) enum Phase {
    /// Messages are exchanged.
    Open,
    /// Told to close: what is owed is awaited, what is queued is written.
    Settling(Box<Closing>),
    /// Our Close is behind everything in `unsent`.
    Closing { code: CloseCode, by: ClosedBy },
    /// Our Close is written; the peer's is awaited until the deadline.
    AwaitingEcho { code: CloseCode, deadline: Tick },
    /// Our side of the stream is shut; input is discarded until the peer has shut its own, so that no unread byte turns
    /// our FIN into a reset that could destroy the Close on its way.
    Lingering { code: CloseCode, by: ClosedBy, deadline: Tick, shut: bool },
}

impl Phase {
    /// Whether our Close is queued or written: nothing may follow it.
    pub(super) fn is_sealed(&self) -> bool {
        matches!(self, Self::Closing { .. } | Self::AwaitingEcho { .. } | Self::Lingering { .. })
    }
}

impl<S, H> Session<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    /// Moves on if the phase has done its part, everything that was to be written being written: `owed` is how many answers
    /// were outstanding before that. Says whether there is more to do now.
    pub(super) fn advance(&mut self, lease: &Lease, owed: u32, cx: &mut Context<'_>) -> Result<bool, CloseSummary> {
        match &self.phase {
            // The last answer may have come while the source was pulled, and have added to it.
            Phase::Settling(_) if owed > 0 => return Ok(lease.connection().owed() == 0),
            Phase::Settling(closing) => {
                let closing = closing.clone();
                // A panic here leaves the last words unsaid; the Close says the rest.
                let _ = self.guard(|handler| handler.before_close(lease.connection(), &closing));
                self.close_with(lease, closing.reason, ClosedBy::Server);
            }
            &Phase::Closing { code, by } if self.peer_close.is_some() || self.read_state != ReadState::Open => {
                self.finish(code, by, cx)?;
            }
            &Phase::Closing { code, .. } => {
                let deadline = self.shared.wheel.after(self.shared.settings.close_handshake);
                self.phase = Phase::AwaitingEcho { code, deadline };
            }
            &Phase::AwaitingEcho { code, .. } if self.peer_close.is_some() || self.read_state != ReadState::Open => {
                self.finish(code, ClosedBy::Server, cx)?;
            }
            Phase::Lingering { shut: false, .. } => {
                self.shut(cx);
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Shuts our side of the stream, or goes on with that.
    fn shut(&mut self, cx: &mut Context<'_>) {
        // A failure shows up when reading.
        let is_over = Pin::new(&mut self.io).poll_shutdown(cx).is_ready();
        if let Phase::Lingering { shut, .. } = &mut self.phase {
            *shut = is_over;
        }
    }

    /// No frame will be sent or read any more. With both Closes exchanged and nothing unread the socket can be closed at
    /// once; otherwise our side is shut, and the peer given the time of a close handshake to shut its own.
    fn finish(&mut self, code: CloseCode, by: ClosedBy, cx: &mut Context<'_>) -> Result<(), CloseSummary> {
        if self.is_all_read(cx) {
            // A stream of more than bytes may have a farewell of its own; what it cannot say at once stays unsaid.
            self.shut(cx);
            return Err(CloseSummary::closed(code, by));
        }
        let deadline = self.shared.wheel.after(self.shared.settings.close_handshake);
        self.read_state = ReadState::Discarding;
        self.phase = Phase::Lingering { code, by, deadline, shut: false };
        self.shut(cx);
        Ok(())
    }

    /// The peer has had its time.
    pub(super) fn timed_out(&self, error: &'static str) -> CloseSummary {
        let code = match self.phase {
            Phase::Closing { code, .. } | Phase::AwaitingEcho { code, .. } | Phase::Lingering { code, .. } => code,
            Phase::Open | Phase::Settling(_) => CloseCode::ABNORMAL,
        };
        CloseSummary { outcome: Outcome::TimedOut, code, by: ClosedBy::Server, error: Some(error) }
    }
}
