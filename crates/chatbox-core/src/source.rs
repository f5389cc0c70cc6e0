//! The source that a session pulls frames from, and the batch it pulls into.

use bytes::Bytes;
use std::task::Context;

/// Frames for one vectored write.
///
/// A batch is limited in bytes, so that one connection does not hold the processor or much memory, and in
/// frames, because a vectored write takes only so many slices. Both limits are soft by one frame.
#[derive(Debug)]
pub struct Batch {
    frames: Vec<Bytes>,
    bytes: usize,
    max_frames: usize,
    max_bytes: usize,
}

impl Batch {
    /// An empty batch with these limits.
    #[must_use]
    pub fn new(max_frames: usize, max_bytes: usize) -> Self {
        Self { frames: Vec::with_capacity(max_frames.min(1024)), bytes: 0, max_frames, max_bytes }
    }

    /// Adds one or more complete WebSocket frames, encoded. Cheap to share: a [`Bytes`] is counted, not copied.
    pub fn push(&mut self, frames: Bytes) {
        if !frames.is_empty() {
            self.bytes += frames.len();
            self.frames.push(frames);
        }
    }

    /// Whether a source should stop adding.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.frames.len() >= self.max_frames || self.bytes >= self.max_bytes
    }

    /// Bytes that may still be added; 0 when the batch is full in bytes.
    #[must_use]
    pub fn room(&self) -> usize {
        self.max_bytes.saturating_sub(self.bytes)
    }

    /// Whether the batch has no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The size of all frames in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The frames in the order in which they were added.
    #[must_use]
    pub fn frames(&self) -> &[Bytes] {
        &self.frames
    }

    /// Removes the frames and returns them; the batch keeps its own memory.
    pub fn drain(&mut self) -> impl Iterator<Item = Bytes> + '_ {
        self.bytes = 0;
        self.frames.drain(..)
    }
}

/// A stream of frames that a session pulls: a cursor into a log, a queue, a subscription.
///
/// A publisher does not push to sessions. It calls [`Connection::notify`](crate::Connection::notify) (or
/// [`notify_all`](crate::notify_all)), and each session pulls as much as its peer takes. A slow peer therefore costs no
/// queue: its source stays where it is.
///
/// Frames for one connection alone need no source: [`Connection::push`](crate::Connection::push) queues them in the
/// connection's outbox, which a session empties before it pulls.
///
/// ```
/// use bytes::Bytes;
/// use chatbox_core::{Batch, Source};
/// use std::task::{Context, Waker};
///
/// /// Counts down in text frames of one digit (RFC 6455 section 5.2: FIN and opcode, length, payload).
/// struct Countdown(u8);
///
/// impl Source for Countdown {
///     fn pull(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
///         while self.0 > 0 && !batch.is_full() {
///             self.0 -= 1;
///             batch.push(Bytes::copy_from_slice(&[0x81, 1, b'0' + self.0]));
///         }
///     }
/// }
///
/// let mut batch = Batch::new(2, 1024);
/// Countdown(3).pull(&mut Context::from_waker(Waker::noop()), &mut batch);
/// assert_eq!(batch.frames().len(), 2);
/// ```
pub trait Source: Send + 'static {
    /// Moves frames that are ready into `batch` until it [is full](Batch::is_full) or nothing is ready.
    ///
    /// Returning with a batch that is not full means that nothing more is ready, and that a notification (or a wake-up of the waker
    /// in `cx`, which stays the same for the whole life of a session's task) will follow when there is.
    ///
    /// Default: nothing is ever ready.
    fn pull(&mut self, _cx: &mut Context<'_>, _batch: &mut Batch) {}
}

/// An empty source.
impl Source for () {}
