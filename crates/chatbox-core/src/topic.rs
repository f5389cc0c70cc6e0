//! A topic: a bounded log of frames that any number of connections read, each at its own position.

#[cfg(test)]
mod tests;

use crate::close::CloseReason;
use crate::connection::{Connection, notify_all};
use crate::source::{Batch, Source};
use bytes::Bytes;
use slab::Slab;
use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

/// Bytes that a frame in the log takes beside its own: what bounds a log of very small frames.
const OVERHEAD: usize = size_of::<Bytes>();

/// A bounded log of frames for many connections, each encoded once.
///
/// A reader is a position in the log and holds no frames, so publishing costs the same however slow the readers are, and the memory of
/// the log is bounded by its size alone: at most `max_bytes`, or the newest frame if that is larger. Beside it, a connection whose peer
/// does not read holds at most one batch of its session (128 KiB or one frame in `chatbox-ws`). Cheap to clone.
///
/// ```
/// use bytes::Bytes;
/// use chatbox_core::{Batch, Lag, Limits, Registry, Source, Topic};
/// use std::num::NonZero;
/// use std::task::{Context, Waker};
///
/// let lease = Registry::new(Limits::default(), ()).admit("alice")?;
/// let topic = Topic::new(NonZero::new(1 << 20).unwrap());
/// // A handler keeps the subscription and pulls from it.
/// let mut subscription = topic.subscribe(lease.connection(), Lag::Skip);
/// topic.publish(Bytes::from_static(b"\x81\x05Hello"));
/// let mut batch = Batch::new(64, 128 * 1024);
/// subscription.pull(&mut Context::from_waker(Waker::noop()), &mut batch);
/// assert_eq!(batch.frames(), [&b"\x81\x05Hello"[..]]);
/// # Ok::<(), chatbox_core::Refused>(())
/// ```
#[derive(Clone, Debug)]
pub struct Topic {
    shared: Arc<Mutex<Log>>,
}

/// What happens to a reader whose position the log has dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lag {
    /// Its connection is closed with this reason, and it reads nothing more.
    Close(CloseReason),
    /// It goes on with the oldest frame in the log, and misses those before it.
    Skip,
}

#[derive(Debug)]
struct Log {
    max_bytes: usize,
    frames: VecDeque<Bytes>,
    /// The position of the first frame.
    first: u64,
    bytes: usize,
    readers: Slab<Arc<Connection>>,
}

impl Topic {
    /// An empty topic whose log holds up to `max_bytes`.
    ///
    /// A reader that is further behind than that [lags](Lag). The size bounds the memory, and the time that a reader may pause.
    #[must_use]
    pub fn new(max_bytes: NonZero<usize>) -> Self {
        let log = Log { max_bytes: max_bytes.get(), frames: VecDeque::new(), first: 0, bytes: 0, readers: Slab::new() };
        Self { shared: Arc::new(Mutex::new(log)) }
    }

    /// Appends one or more complete encoded frames, and wakes the readers that have caught up. The oldest frames beyond the size of the
    /// log are dropped.
    pub fn publish(&self, frames: Bytes) {
        if frames.is_empty() {
            return;
        }
        let mut log = lock(&self.shared);
        log.bytes += frames.len() + OVERHEAD;
        log.frames.push_back(frames);
        while log.bytes > log.max_bytes && log.frames.len() > 1 {
            if let Some(oldest) = log.frames.pop_front() {
                log.bytes -= oldest.len() + OVERHEAD;
                log.first += 1;
            }
        }
        notify_all(log.readers.iter().map(|(_, connection)| connection));
    }

    /// A source for `connection`, of what is published from now on.
    ///
    /// The subscription ends by itself when the connection is closed: what was published until then is still delivered.
    #[must_use]
    pub fn subscribe(&self, connection: &Arc<Connection>, lag: Lag) -> Subscription {
        let mut log = lock(&self.shared);
        Subscription {
            reader: log.readers.insert(Arc::clone(connection)),
            next: log.end(),
            end: u64::MAX,
            skipped: 0,
            connection: Arc::clone(connection),
            lag,
            topic: Arc::clone(&self.shared),
        }
    }

    /// Bytes that the log holds, with those of its own.
    #[must_use]
    pub fn bytes(&self) -> usize {
        lock(&self.shared).bytes
    }

    /// The number of subscriptions.
    #[must_use]
    pub fn readers(&self) -> usize {
        lock(&self.shared).readers.len()
    }
}

impl Log {
    /// The position of the frame that is published next.
    fn end(&self) -> u64 {
        self.first + self.frames.len() as u64
    }
}

fn lock(shared: &Mutex<Log>) -> MutexGuard<'_, Log> {
    // Nothing under this lock can panic but an allocation and a waker, before or after which the log is consistent.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The position of one connection in a [`Topic`]. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    topic: Arc<Mutex<Log>>,
    connection: Arc<Connection>,
    reader: usize,
    lag: Lag,
    /// The position of the frame that is pulled next.
    next: u64,
    /// No frame from here on is pulled.
    end: u64,
    skipped: u64,
}

impl Subscription {
    /// The number of publications that were skipped because of [`Lag::Skip`].
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl Source for Subscription {
    fn pull(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        let log = lock(&self.topic);
        if self.end == u64::MAX && self.connection.is_commanded() {
            // A topic that is always published to would never be dry.
            self.end = log.end();
        }
        let behind = log.first.saturating_sub(self.next);
        if behind > 0 && self.next < self.end {
            match &self.lag {
                Lag::Skip => {
                    self.skipped += behind;
                    self.next = log.first;
                }
                Lag::Close(reason) => {
                    let reason = reason.clone();
                    drop(log);
                    self.end = self.next;
                    self.connection.close(reason);
                    return;
                }
            }
        }
        while self.next < self.end.min(log.end()) && !batch.is_full() {
            let Some(frames) = usize::try_from(self.next - log.first).ok().and_then(|at| log.frames.get(at)) else {
                return;
            };
            batch.push(frames.clone());
            self.next += 1;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let connection = lock(&self.topic).readers.try_remove(self.reader);
        // After the lock: this can be the last reference.
        drop(connection);
    }
}
