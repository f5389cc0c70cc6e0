//! Writing: what the outbox holds first, then what the source offers, as much as the peer takes.

use super::input::kind;
use super::phase::Phase;
use super::{Session, internal_error};
use crate::frame;
use crate::handler::Handler;
use bytes::{Buf, Bytes};
use chatbox_core::{Batch, CloseReason, ClosedBy, Ended, Lease};
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

/// What writing came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// Everything is written, and there was nothing more to pull.
    pub(super) dry: bool,
    /// Something was written.
    pub(super) wrote: bool,
}

impl<S, H> Session<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    /// Writes until nothing is left or the peer takes no more.
    pub(super) fn poll_output(&mut self, lease: &Lease, cx: &mut Context<'_>) -> Result<Output, Ended> {
        let mut output = Output { dry: false, wrote: false };
        for _ in 0..BATCHES {
            if self.unsent.is_some() {
                output.wrote |= self.write_unsent(lease, cx)?;
                if self.unsent.is_some() {
                    return Ok(output);
                }
            }
            if self.phase.is_sealed() {
                output.dry = true;
                return Ok(output);
            }
            let Pulled { dry, wrote } = self.pull_and_write(lease, cx)?;
            output.wrote |= wrote;
            if dry {
                output.dry = self.unsent.is_none() && !self.phase.is_sealed();
                return Ok(output);
            }
        }
        // The others have waited long enough; this session goes on when it is polled again.
        cx.waker().wake_by_ref();
        Ok(output)
    }

    /// Puts a Close behind what was taken and what the outbox holds.
    pub(super) fn seal(&mut self, lease: &Lease, reason: &CloseReason) {
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

    fn pull_and_write(&mut self, lease: &Lease, cx: &mut Context<'_>) -> Result<Pulled, Ended> {
        let mut batch = BATCH.take().unwrap_or_else(|| Batch::new(MAX_SLICES, MAX_BYTES));
        let pulled = self.fill_and_write(lease, &mut batch, cx);
        drop(batch.drain());
        BATCH.set(Some(batch));
        pulled
    }

    fn fill_and_write(&mut self, lease: &Lease, batch: &mut Batch, cx: &mut Context<'_>) -> Result<Pulled, Ended> {
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
        let wrote = !batch.is_empty() && self.write_batch(lease, batch, direct, cx)?;
        if !sound {
            self.close_with(lease, internal_error(), ClosedBy::Server);
        }
        Ok(Pulled { dry, wrote })
    }

    /// Writes the batch; what the peer does not take goes to `unsent`. Says whether anything was written.
    fn write_batch(
        &mut self,
        lease: &Lease,
        batch: &mut Batch,
        direct: usize,
        cx: &mut Context<'_>,
    ) -> Result<bool, Ended> {
        // The usual case leaves in one write and needs no memory.
        let written = match self.write_slices(batch.frames().iter().map(|frame| &frame[..]), cx)? {
            Poll::Ready(written) => written,
            Poll::Pending => 0,
        };
        if written == batch.bytes() {
            if direct > 0 {
                lease.connection().written(direct);
            }
            return Ok(true);
        }
        let mut unsent = Unsent { frames: batch.drain().collect(), direct, at: 0 };
        unsent.advance(lease, written);
        self.unsent = Some(Box::new(unsent));
        Ok(self.write_unsent(lease, cx)? || written > 0)
    }

    /// Goes on writing `unsent`; it is `None` afterwards if all of it is written.
    fn write_unsent(&mut self, lease: &Lease, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let mut wrote = false;
        while let Some(mut unsent) = self.unsent.take() {
            let first = unsent.frames.front().map_or(&[][..], |first| &first[unsent.at..]);
            let rest = unsent.frames.iter().skip(1).map(|frame| &frame[..]);
            match self.write_slices(std::iter::once(first).chain(rest), cx) {
                Ok(Poll::Ready(written)) => {
                    wrote = true;
                    unsent.advance(lease, written);
                    self.unsent = (!unsent.frames.is_empty()).then_some(unsent);
                }
                Ok(Poll::Pending) => {
                    self.unsent = Some(unsent);
                    break;
                }
                Err(ended) => return Err(ended),
            }
        }
        Ok(wrote)
    }

    /// One vectored write, and the bookkeeping of its progress.
    fn write_slices<'b>(
        &mut self,
        bytes: impl Iterator<Item = &'b [u8]>,
        cx: &mut Context<'_>,
    ) -> Result<Poll<usize>, Ended> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(bytes) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        match Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count]) {
            Poll::Pending => {
                self.stalled.get_or_insert(self.shared.wheel.now());
                Ok(Poll::Pending)
            }
            Poll::Ready(Ok(0)) => Err(Ended::peer_gone("write_zero")),
            Poll::Ready(Ok(written)) => {
                self.stalled = None;
                Ok(Poll::Ready(written))
            }
            Poll::Ready(Err(error)) => Err(self.on_write_error(&error)),
        }
    }

    fn on_write_error(&self, error: &std::io::Error) -> Ended {
        match self.phase {
            // The peer asked to close and did not wait for the answer.
            Phase::Closing { code, by } if self.peer_close.is_some() => {
                Ended { error: Some(kind(error)), ..Ended::closed(code, by) }
            }
            _ => Ended::peer_gone(kind(error)),
        }
    }
}

/// What pulling came to.
struct Pulled {
    /// The source had no more than was pulled.
    dry: bool,
    wrote: bool,
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
