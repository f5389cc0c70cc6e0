//! The writing side of a session: frames of the outbox first, then those of the handler's source, as much as the peer takes.

use super::Session;
use crate::handler::Handler;
use chatbox_core::{Batch, CloseError, CloseSummary, Lease};
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::num::NonZero;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// Limits of one vectored write.
const MAX_SLICES: usize = 64;
const MAX_BYTES: usize = 128 * 1024;

/// Batches that one round may write before the session looks at its input again.
const BATCHES: usize = 4;

thread_local! {
    /// The batch that this thread's sessions pull into.
    static BATCH: Cell<Option<Batch>> = const { Cell::new(None) };
}

impl<S, H> Session<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    /// Writes until nothing is left or the peer takes no more. Returns whether everything is written, with nothing more to pull.
    pub(super) fn poll_output(&mut self, lease: &mut Lease, cx: &mut Context<'_>) -> Result<bool, CloseSummary> {
        for _ in 0..BATCHES {
            if !self.write_buffered(lease, cx)? {
                return Ok(false);
            }
            if self.handshake.is_sealed() {
                return self.flush(cx);
            }
            let dry = self.pull_and_write(lease, cx)?;
            // After a panic of the source, a Close follows what it had offered.
            if dry && !self.handshake.is_sealed() {
                return Ok(self.send_buffer.is_empty() && self.flush(cx)?);
            }
        }
        // Other tasks have waited long enough.
        cx.waker().wake_by_ref();
        Ok(false)
    }

    /// Writes one batch. Returns whether the source had no more than that.
    fn pull_and_write(&mut self, lease: &mut Lease, cx: &mut Context<'_>) -> Result<bool, CloseSummary> {
        let mut batch = BATCH.take().unwrap_or_else(|| Batch::new(MAX_SLICES, MAX_BYTES));
        let dry = self.fill_and_write(lease, &mut batch, cx);
        drop(batch.drain());
        BATCH.set(Some(batch));
        dry
    }

    fn fill_and_write(
        &mut self,
        lease: &mut Lease,
        batch: &mut Batch,
        cx: &mut Context<'_>,
    ) -> Result<bool, CloseSummary> {
        // From here on a notification wakes this task: what was published before is seen below.
        lease.rearm();
        let mut direct = 0;
        if let Some(queued) = lease.take_outbox() {
            direct = queued.len();
            batch.push(queued.into());
        }
        let panicked = self.call(|handler| handler.pull(cx, batch)).is_none();
        let dry = !batch.is_full();
        if !batch.is_empty() {
            self.write_batch(lease, batch, direct, cx)?;
        }
        if panicked {
            self.close_after_panic(lease);
        }
        Ok(dry)
    }

    /// Writes the batch; what the peer does not take goes to the send buffer.
    fn write_batch(
        &mut self,
        lease: &mut Lease,
        batch: &mut Batch,
        direct: usize,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseSummary> {
        // The usual case takes one write and no memory.
        let polled = poll_write(&mut self.io, batch.frames().iter().map(|frame| &frame[..]), cx);
        let written = self.on_write(polled)?.unwrap_or(0);
        if written == batch.bytes() {
            report_written(lease, direct);
            return Ok(());
        }
        report_written(lease, self.send_buffer.fill(batch, direct, written));
        self.write_buffered(lease, cx).map(drop)
    }

    /// Goes on writing the send buffer. Returns whether it is empty.
    fn write_buffered(&mut self, lease: &mut Lease, cx: &mut Context<'_>) -> Result<bool, CloseSummary> {
        while !self.send_buffer.is_empty() {
            let polled = poll_write(&mut self.io, self.send_buffer.slices(), cx);
            let Some(written) = self.on_write(polled)? else { return Ok(false) };
            report_written(lease, self.send_buffer.advance(written));
        }
        Ok(true)
    }

    /// Accounts for a write. `None` if the stream takes nothing now.
    fn on_write(&mut self, polled: Poll<io::Result<usize>>) -> Result<Option<usize>, CloseSummary> {
        match polled {
            Poll::Pending => {
                self.on_stall();
                Ok(None)
            }
            Poll::Ready(Ok(0)) => Err(CloseSummary::peer_gone(CloseError::WriteZero)),
            Poll::Ready(Ok(written)) => {
                self.stalled = None;
                self.liveness.on_written(written);
                Ok(Some(written))
            }
            Poll::Ready(Err(error)) => Err(self.handshake.on_error(error.kind().into())),
        }
    }

    /// Flushes what the stream itself buffers. Returns whether it has.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseSummary> {
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Pending => {
                self.on_stall();
                Ok(false)
            }
            Poll::Ready(Ok(())) => {
                self.stalled = None;
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(self.handshake.on_error(error.kind().into())),
        }
    }

    /// A write makes no progress, since now or earlier.
    fn on_stall(&mut self) {
        self.stalled = self.stalled.or(NonZero::new(self.shared.now()));
    }
}

fn report_written(lease: &mut Lease, direct: usize) {
    if direct > 0 {
        lease.written(direct);
    }
}

/// One write of as many slices as a vectored write takes.
fn poll_write<'b, S: AsyncWrite + Unpin>(
    io: &mut S,
    mut slices: impl Iterator<Item = &'b [u8]>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let io = Pin::new(io);
    let first = slices.next().unwrap_or_default();
    // The usual case: a plain write costs the kernel less.
    let Some(second) = slices.next() else { return io.poll_write(cx, first) };
    let mut vectors = [IoSlice::new(&[]); MAX_SLICES];
    let mut count = 0;
    for (vector, slice) in vectors.iter_mut().zip([first, second].into_iter().chain(slices)) {
        *vector = IoSlice::new(slice);
        count += 1;
    }
    io.poll_write_vectored(cx, &vectors[..count])
}
