//! A wake-up that costs one atomic load while the task is awake.

use crate::sync::{AtomicBool, AtomicWaker, Ordering, fence};
use std::task::Waker;

/// A flag and a waker: the flag is raised from the first [`notify`](Self::notify_published) until the session has begun to look again.
///
/// No wake-up can be lost because of the order of steps: the session registers its waker, lowers the flag, and only then
/// looks for work; a notifier publishes the work, and only then looks at the flag. A sequentially consistent fence stands
/// between the two steps on either side, so whichever comes second sees the other.
#[derive(Debug)]
pub(crate) struct Wake {
    raised: AtomicBool,
    waker: AtomicWaker,
}

impl Wake {
    /// Raised from the start, since a session begins by looking.
    pub(crate) fn new() -> Self {
        Self { raised: AtomicBool::new(true), waker: AtomicWaker::new() }
    }

    /// Orders what was published before the [`notify_published`](Self::notify_published) calls that follow: one fence for all of them.
    pub(crate) fn publish() {
        fence(Ordering::SeqCst);
    }

    /// Wakes the session unless it is awake already. Call [`publish`](Self::publish) before.
    pub(crate) fn notify_published(&self) {
        // The load keeps the cache line shared while a busy room notifies a member that is already awake.
        if !self.raised.load(Ordering::Relaxed) && !self.raised.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Wakes the session even when it is awake: for commands, which it must see while it cannot write.
    pub(crate) fn force(&self) {
        self.waker.wake();
    }

    /// Sets the waker. Call at the beginning of every poll.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Lowers the flag; the caller looks for work after this, not before.
    pub(crate) fn lower(&self) {
        self.raised.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}
