//! The names of `src/sync.rs`, with loom's primitives.

pub(crate) use loom::sync::Mutex;
pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};

use std::cell::Cell;
use std::task::Waker;

thread_local! {
    /// Whether fences have no effect, to show that a model fails without them. Loom runs all threads of a model on one thread, so this
    /// affects one test.
    static FENCELESS: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn without_fences(model: impl FnOnce()) {
    FENCELESS.set(true);
    model();
}

pub(crate) fn fence(order: Ordering) {
    if !FENCELESS.get() {
        loom::sync::atomic::fence(order);
    }
}

/// A waker behind a lock, with the guarantees of `atomic_waker`. (Loom's own prints each step.)
#[derive(Debug)]
pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn register(&self, waker: &Waker) {
        *self.0.lock().unwrap() = Some(waker.clone());
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
