//! Writing: what the outbox holds first, then what the source offers, as much as the peer takes.

use super::input::{kind, unawaited};
use super::phase::Phase;
use super::{Session, internal_error};
use crate::frame;
use crate::handler::Handler;
use bytes::{Buf, Bytes};
use chatbox_core::{Batch, CloseReason, CloseSummary, ClosedBy, Lease};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// Bounds of one vectored write.
const MAX_SLICES: usize = 64;
const MAX_BYTES: usize = 128 * 1024;

/// How many batches one round may write before the session looks at its input again.
const BATCHES: usize = 4;

thread_local! {
    /// The list that this thread's sessions pull into.
    static BATCH: Cell<Option<Batch>> = const { Cell::new(None) };
}

/// Frames that were taken and could not be written at once: at most one batch and a Close.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    frames: VecDeque<Bytes>,
    /// How many of the first bytes came from the outbox, and are to be reported to it when written.
    direct: usize,
    /// How much of the first element is written already; it is kept whole to find where its frames end.
    at: usize,
}

impl<S, H> Session<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    /// Writes until nothing is left or the peer takes no more. Says whether everything is written, with nothing more to pull.
    pub(super) fn poll_output(&mut self, lease: &Lease, cx: &mut Context<'_>) -> Result<bool, CloseSummary> {
        for _ in 0..BATCHES {
            if self.unsent.is_some() && !self.write_unsent(lease, cx)? {
                return Ok(false);
            }
            if self.phase.is_sealed() {
                return self.flush(cx);
            }
            let dry = self.pull_and_write(lease, cx)?;
            // A panic in the source has put a Close behind what it had offered.
            if dry && !self.phase.is_sealed() {
                return Ok(self.unsent.is_none() && self.flush(cx)?);
            }
        }
        // The others have waited long enough; this session goes on when it is polled again.
        cx.waker().wake_by_ref();
        Ok(false)
    }

    /// Puts a Close behind what was taken and what the outbox holds.
    pub(super) fn queue_close(&mut self, lease: &Lease, reason: &CloseReason) {
        let mut last = lease.connection().take_outbox().unwrap_or_default();
        frame::close(reason, &mut last);
        self.unsent.get_or_insert_default().frames.push_back(last.into());
    }

    /// Gives up what was not yet begun to be written, so that a Close can follow the frame that was.
    pub(super) fn forget_unsent(&mut self) {
        if let Some(unsent) = &mut self.unsent {
            unsent.frames.truncate(1);
            if let Some(first) = unsent.frames.front_mut() {
                let end = frame::boundary(first, unsent.at);
                first.truncate(end);
                unsent.direct = unsent.direct.min(end.saturating_sub(unsent.at));
            }
        }
    }

    /// Writes one batch. Says whether the source had no more than that.
    fn pull_and_write(&mut self, lease: &Lease, cx: &mut Context<'_>) -> Result<bool, CloseSummary> {
        let mut batch = BATCH.take().unwrap_or_else(|| Batch::new(MAX_SLICES, MAX_BYTES));
        let dry = self.fill_and_write(lease, &mut batch, cx);
        drop(batch.drain());
        BATCH.set(Some(batch));
        dry
    }

    fn fill_and_write(&mut self, lease: &Lease, batch: &mut Batch, cx: &mut Context<'_>) -> Result<bool, CloseSummary> {
        let connection = lease.connection();
        // From here on, news wakes this task: it comes before the look, or it is seen.
        connection.rest();
        let mut direct = 0;
        if let Some(queued) = connection.take_outbox() {
            direct = queued.len();
            batch.push(queued.into());
        }
        let sound = self.guard(|handler| handler.pull(cx, batch)).is_some();
        let dry = !batch.is_full();
        if !batch.is_empty() {
            self.write_batch(lease, batch, direct, cx)?;
        }
        if !sound {
            self.close_with(lease, internal_error(), ClosedBy::Server);
        }
        Ok(dry)
    }

    /// Writes the batch; what the peer does not take goes to `unsent`.
    fn write_batch(
        &mut self,
        lease: &Lease,
        batch: &mut Batch,
        direct: usize,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseSummary> {
        // The usual case leaves in one write and needs no memory.
        let written = match self.write_slices(batch.frames().iter().map(|frame| &frame[..]), cx)? {
            Poll::Ready(written) => written,
            Poll::Pending => 0,
        };
        if written == batch.bytes() {
            if direct > 0 {
                lease.connection().written(direct);
            }
            return Ok(());
        }
        let mut unsent = Unsent { frames: batch.drain().collect(), direct, at: 0 };
        unsent.advance(lease, written);
        self.unsent = Some(Box::new(unsent));
        self.write_unsent(lease, cx).map(drop)
    }

    /// Goes on writing `unsent`. Says whether all of it is written; it is `None` then.
    fn write_unsent(&mut self, lease: &Lease, cx: &mut Context<'_>) -> Result<bool, CloseSummary> {
        while let Some(mut unsent) = self.unsent.take() {
            let first = unsent.frames.front().map_or(&[][..], |first| &first[unsent.at..]);
            let rest = unsent.frames.iter().skip(1).map(|frame| &frame[..]);
            match self.write_slices(std::iter::once(first).chain(rest), cx)? {
                Poll::Ready(written) => {
                    unsent.advance(lease, written);
                    self.unsent = (!unsent.frames.is_empty()).then_some(unsent);
                }
                Poll::Pending => {
                    self.unsent = Some(unsent);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// One write, and the bookkeeping of its progress.
    fn write_slices<'b>(
        &mut self,
        mut bytes: impl Iterator<Item = &'b [u8]>,
        cx: &mut Context<'_>,
    ) -> Result<Poll<usize>, CloseSummary> {
        let io = Pin::new(&mut self.io);
        let (first, second) = (bytes.next().unwrap_or_default(), bytes.next());
        let polled = match second {
            // The usual case: a plain write costs the kernel less.
            None => io.poll_write(cx, first),
            Some(second) => {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let mut count = 0;
                for (slice, bytes) in slices.iter_mut().zip([first, second].into_iter().chain(bytes)) {
                    *slice = IoSlice::new(bytes);
                    count += 1;
                }
                io.poll_write_vectored(cx, &slices[..count])
            }
        };
        match polled {
            Poll::Pending => {
                self.stall();
                Ok(Poll::Pending)
            }
            Poll::Ready(Ok(0)) => Err(CloseSummary::peer_gone("write_zero")),
            Poll::Ready(Ok(written)) => {
                self.stalled = None;
                self.bytes_since_read =
                    self.bytes_since_read.saturating_add(u32::try_from(written).unwrap_or(u32::MAX));
                Ok(Poll::Ready(written))
            }
            Poll::Ready(Err(error)) => Err(self.on_write_error(&error)),
        }
    }

    /// Passes on what the stream itself may hold back. Says whether it has.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseSummary> {
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Pending => {
                self.stall();
                Ok(false)
            }
            Poll::Ready(Ok(())) => {
                self.stalled = None;
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(self.on_write_error(&error)),
        }
    }

    fn on_write_error(&self, error: &std::io::Error) -> CloseSummary {
        match self.phase {
            Phase::Closing { code, by } if self.peer_close.is_some() => unawaited(code, by, error),
            _ => CloseSummary::peer_gone(kind(error)),
        }
    }
}

impl Unsent {
    /// Takes off what was written.
    fn advance(&mut self, lease: &Lease, written: usize) {
        let direct = written.min(self.direct);
        if direct > 0 {
            self.direct -= direct;
            lease.connection().written(direct);
        }
        self.at += written;
        while let Some(first) = self.frames.front()
            && self.at >= first.remaining()
        {
            self.at -= first.remaining();
            self.frames.pop_front();
        }
    }
}
