//! One connection from its first frame to its end: reading, writing, heartbeat and the close handshake in one future.
//!
//! The future is written by hand so that an idle connection costs its fields and nothing else. It never drops a read or
//! a write half-way: bytes that were read are in the decoder or the backlog, bytes that were taken are in `unsent`.

mod input;
mod output;
mod phase;
#[cfg(test)]
mod tests;
mod timing;

use crate::decode::Decoder;
use crate::handler::Handler;
use crate::transport::{Expiry, Shared};
use crate::wheel::Tick;
use chatbox_core::{CloseCode, CloseReason, CloseSummary, ClosedBy, Closing, Command, Lease};
use input::{Backlog, Input, ReadState};
use output::Unsent;
use phase::Phase;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
pub(crate) use timing::Heartbeat;
use tokio::io::{AsyncRead, AsyncWrite};

/// How often a session goes round before it lets others run.
const TURNS: usize = 16;

/// A session, and the connection's place in the registry that it gives back at its end.
///
/// They stand apart so that a poll borrows the lease and leaves it where it is: most polls write a few bytes of the session, and what
/// stays unwritten need not travel between the processors that poll it in turn.
pub(crate) struct SessionTask<S, H> {
    /// Before the lease: a session that is dropped closes its socket before its place is given back.
    session: Session<S, H>,
    /// `None` once the session has ended.
    lease: Option<Lease>,
}

/// A session over a stream.
pub(crate) struct Session<S, H> {
    io: S,
    handler: H,
    /// The handler has panicked: nobody knows what state it is in.
    panicked: bool,
    /// How many pings the peer was sent since it was last last_read.
    unanswered: u16,
    shared: Arc<Shared>,
    decoder: Decoder,
    /// Read but not yet decoded, because the application could take no more.
    backlog: Option<Box<Backlog>>,
    /// Taken but not yet written.
    unsent: Option<Box<Unsent>>,
    phase: Phase,
    /// The peer's Close, once it is in.
    peer_close: Option<CloseCode>,
    /// What becomes of the peer's bytes.
    read_state: ReadState,
    expiry: Option<Box<(Tick, CloseReason)>>,
    /// When the peer was last last_read, how many bytes were written to it since then, and when it was last sent a ping.
    last_read: Tick,
    bytes_since_read: u32,
    last_ping: Tick,
    /// Since when a write has made no progress.
    stalled: Option<NonZero<Tick>>,
    /// The earliest wake-up that is booked with the wheel.
    booked: Option<NonZero<Tick>>,
}

impl<S, H> Session<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    fn new(io: S, buffered: &[u8], handler: H, expiry: Option<Expiry>, shared: Arc<Shared>) -> Self {
        let now = shared.wheel.now();
        let expiry = expiry.map(|expiry| Box::new((shared.wheel.after(expiry.after), expiry.reason)));
        Self {
            io,
            handler,
            panicked: false,
            unanswered: 0,
            shared,
            decoder: Decoder::default(),
            backlog: (!buffered.is_empty()).then(|| Backlog::of(buffered)),
            unsent: None,
            phase: Phase::Open,
            peer_close: None,
            read_state: ReadState::Open,
            expiry,
            last_read: now,
            bytes_since_read: 0,
            last_ping: now,
            stalled: None,
            booked: None,
        }
    }

    /// Goes round until nothing moves. An error is the end.
    fn drive(&mut self, lease: &Lease, cx: &mut Context<'_>) -> Result<(), CloseSummary> {
        let mut called = lease.connection().take_tick();
        for _ in 0..TURNS {
            self.apply_command(lease)?;
            let input = self.poll_input(lease, cx)?;
            // Counted before pulling: what an answer has published is pulled before the Close.
            let owed = lease.connection().owed();
            let dry = self.poll_output(lease, cx)?;
            let advanced = dry && self.advance(lease, owed, cx)?;
            // A write or an answer may have made the room in the outbox that reading waits for.
            let unblocked = input == Input::Full && !lease.connection().is_full();
            if advanced || unblocked || input == Input::Moved {
                continue;
            }
            if matches!(input, Input::Held | Input::Full) {
                // Silence counts only while somebody listens.
                self.hear();
            }
            // Deadlines are judged last: what lies in the socket came before this poll, however late that is.
            if std::mem::take(&mut called) {
                self.on_time(lease)?;
                continue;
            }
            self.book(lease);
            return Ok(());
        }
        // Who is never at rest has deadlines all the same.
        if called {
            self.on_time(lease)?;
        }
        self.book(lease);
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Does what the connection was told to do.
    fn apply_command(&mut self, lease: &Lease) -> Result<(), CloseSummary> {
        if !lease.connection().is_commanded() {
            return Ok(());
        }
        match lease.connection().command() {
            Command::Serve => {}
            Command::Cut => return Err(CloseSummary::aborted("cut")),
            Command::Close(closing) => {
                if matches!(self.phase, Phase::Open) {
                    self.begin_drain(lease, closing);
                }
            }
        }
        Ok(())
    }

    /// No further message is taken; what is owed and queued still goes out.
    fn begin_drain(&mut self, lease: &Lease, closing: Closing) {
        let told = self.guard(|handler| handler.on_closing(lease.connection(), &closing));
        self.phase = Phase::Settling(Box::new(closing));
        self.expiry = None;
        self.restart_stall();
        if told.is_none() {
            self.close_with(lease, internal_error(), ClosedBy::Server);
        }
    }

    /// Puts a Close behind what the connection's outbox holds. Nothing is pulled or taken after it.
    fn close_with(&mut self, lease: &Lease, reason: CloseReason, by: ClosedBy) {
        if self.phase.is_sealed() {
            return;
        }
        self.queue_close(lease, &reason);
        self.phase = Phase::Closing { code: reason.code, by };
        self.restart_stall();
    }

    /// Runs the application's code, unless it has panicked before; a panic is caught, and answered with `None`.
    fn guard<R>(&mut self, call: impl FnOnce(&mut H) -> R) -> Option<R> {
        if self.panicked {
            return None;
        }
        let result = catch_unwind(AssertUnwindSafe(|| call(&mut self.handler))).ok();
        self.panicked = result.is_none();
        result
    }
}

/// The Close for a connection whose handler panicked.
fn internal_error() -> CloseReason {
    CloseReason::new(CloseCode::INTERNAL, "internal error")
}

impl<S, H> SessionTask<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    pub(crate) fn new(
        io: S,
        buffered: &[u8],
        mut lease: Lease,
        handler: H,
        expiry: Option<Expiry>,
        shared: Arc<Shared>,
    ) -> Self {
        lease.begin();
        Self { session: Session::new(io, buffered, handler, expiry, shared), lease: Some(lease) }
    }
}

impl<S, H> Future for SessionTask<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { lease: place, session } = &mut *self;
        let Some(lease) = place else { return Poll::Ready(()) };
        lease.connection().register(cx.waker());
        let Err(ended) = session.drive(lease, cx) else { return Poll::Pending };
        session.guard(|handler| handler.on_end(lease.connection(), &ended));
        if let Some(lease) = place.take() {
            lease.end(ended);
        }
        Poll::Ready(())
    }
}
