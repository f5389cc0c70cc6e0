//! The session of one connection: reading, writing, heartbeat and the close handshake in one future.
//!
//! The future is written by hand so that an idle connection costs its fields and nothing else. It never drops a read or
//! a write half-way: bytes that were read are in the decoder or the backlog, bytes that were taken are in the send buffer.
//!
//! The decisions are in pure types that are fed with the time: [`Liveness`](liveness::Liveness), [`SendBuffer`](send_buffer::SendBuffer),
//! [`CloseHandshake`](close_handshake::CloseHandshake), [`TimerTable`](timer::TimerTable). This file and its `impl` blocks in [`input`],
//! [`output`], [`closing`] and [`timeout`] connect them to the stream, the handler and the lease.

mod close_handshake;
mod closing;
mod input;
pub(crate) mod liveness;
mod output;
mod read_buffer;
mod send_buffer;
#[cfg(test)]
mod tests;
mod timeout;
mod timer;

use crate::decode::Decoder;
use crate::handler::Handler;
use crate::settings::Expiry;
use crate::shared::Shared;
use crate::ticks::Tick;
use chatbox_core::{CloseError, CloseReason, CloseSummary, Command, Lease};
use close_handshake::CloseHandshake;
use liveness::Liveness;
use read_buffer::Backlog;
use send_buffer::SendBuffer;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// Rounds of one poll after which a session lets other tasks run.
const ROUNDS: usize = 16;

/// The task of a session: the session, and the lease that it returns at its end.
///
/// Two fields, so that a poll borrows the lease in place: most polls write a few bytes of the session, and cache lines that are not written
/// need not move between the processors that poll it.
pub(crate) struct SessionTask<S, H> {
    /// Before the lease: a session that is dropped closes its socket before it leaves the registry.
    session: Session<S, H>,
    /// `None` once the session has ended.
    lease: Option<Lease>,
}

/// A session over a stream.
struct Session<S, H> {
    io: S,
    handler: H,
    /// The handler has panicked, and is in an unknown state.
    panicked: bool,
    shared: Arc<Shared>,
    decoder: Decoder,
    /// Bytes that were read and not decoded yet, because the application could accept no more.
    backlog: Option<Box<Backlog>>,
    send_buffer: SendBuffer,
    handshake: CloseHandshake,
    expiry: Option<Box<(Tick, CloseReason)>>,
    liveness: Liveness,
    /// Since when writes have made no progress.
    stalled: Option<NonZero<Tick>>,
    /// The earliest wake-up that is scheduled with the wheel.
    scheduled: Option<NonZero<Tick>>,
}

/// The result of one attempt to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// Something was read; there may be more.
    Progress,
    /// The stream has nothing; it will wake the task.
    Idle,
    /// The handler accepts no message; it will wake the task.
    NotReady,
    /// The outbox is full: nothing is read until it has room.
    OutboxFull,
}

impl<S, H> Session<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    fn new(io: S, buffered: &[u8], handler: H, expiry: Option<Expiry>, shared: Arc<Shared>) -> Self {
        let now = shared.now();
        let expiry = expiry.map(|expiry| Box::new((shared.after(expiry.after), expiry.reason)));
        Self {
            io,
            handler,
            panicked: false,
            shared,
            decoder: Decoder::default(),
            backlog: (!buffered.is_empty()).then(|| Backlog::new(buffered)),
            send_buffer: SendBuffer::default(),
            handshake: CloseHandshake::new(),
            expiry,
            liveness: Liveness::new(now),
            stalled: None,
            scheduled: None,
        }
    }

    /// Reads, writes and closes until nothing makes progress.
    ///
    /// # Errors
    /// The end of the connection.
    fn drive(&mut self, lease: &mut Lease, cx: &mut Context<'_>) -> Result<(), CloseSummary> {
        let mut ticked = lease.take_tick();
        for _ in 0..ROUNDS {
            self.apply_command(lease)?;
            let input = self.poll_input(lease, cx)?;
            // Read before pulling: frames that a reply has published are pulled before the Close.
            let owed = lease.connection().owed();
            let dry = self.poll_output(lease, cx)?;
            let advanced = dry && self.advance(lease, owed, cx)?;
            // A write or a reply may have made the room in the outbox that reading waits for.
            let unblocked = input == Input::OutboxFull && !lease.connection().is_full();
            if advanced || unblocked || input == Input::Progress {
                continue;
            }
            if matches!(input, Input::NotReady | Input::OutboxFull) {
                // Silence is counted only while the peer is read from.
                self.on_read(lease);
            }
            // Deadlines are checked last: what is in the socket arrived before this poll, however late that is.
            if std::mem::take(&mut ticked) {
                self.on_tick(lease)?;
                continue;
            }
            self.schedule(lease);
            return Ok(());
        }
        // A session that is never idle has deadlines all the same.
        if ticked {
            self.on_tick(lease)?;
        }
        self.schedule(lease);
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn apply_command(&mut self, lease: &mut Lease) -> Result<(), CloseSummary> {
        if !lease.is_commanded() {
            return Ok(());
        }
        match lease.command() {
            Command::Cut => Err(CloseSummary::aborted(CloseError::Cut)),
            Command::Close(closing) if self.handshake.is_open() => {
                self.begin_closing(lease, &closing);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The peer was read from, or could not be because reading is blocked here.
    fn on_read(&mut self, lease: &mut Lease) {
        let now = self.shared.now();
        lease.record_read(now);
        if self.liveness.on_read(now) {
            lease.answered();
        }
    }

    /// Calls the handler, unless it has panicked before. `None` if it has, or does now.
    fn call<R>(&mut self, callback: impl FnOnce(&mut H) -> R) -> Option<R> {
        if self.panicked {
            return None;
        }
        let result = catch_unwind(AssertUnwindSafe(|| callback(&mut self.handler))).ok();
        self.panicked = result.is_none();
        result
    }
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
        lease.record_read(shared.now());
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
        let Self { lease: slot, session } = &mut *self;
        let Some(lease) = slot else { return Poll::Ready(()) };
        lease.register(cx.waker());
        let Err(summary) = session.drive(lease, cx) else { return Poll::Pending };
        // Called after a panic, too, so that the application can release what belongs to the connection.
        let summary = summary.with_owed(lease.connection().owed());
        let _ = catch_unwind(AssertUnwindSafe(|| session.handler.on_end(lease.connection(), &summary)));
        if let Some(lease) = slot.take() {
            lease.end(summary);
        }
        Poll::Ready(())
    }
}
