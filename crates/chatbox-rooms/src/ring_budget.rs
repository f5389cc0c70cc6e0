//! The memory of all rings.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of all rings, and its limits in bytes.
#[derive(Debug)]
pub(crate) struct RingBudget {
    per_room: usize,
    total: usize,
    used: AtomicUsize,
}

impl RingBudget {
    pub(crate) fn new(per_room: usize, total: usize) -> Self {
        Self { per_room, total, used: AtomicUsize::new(0) }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The bytes that a ring may keep now. While all rings together exceed their limit, it keeps its newest chunk only.
    pub(crate) fn allowance(&self) -> usize {
        if self.used() > self.total { 0 } else { self.per_room }
    }

    /// The size of a ring has changed.
    pub(crate) fn account(&self, before: usize, after: usize) {
        self.used.fetch_add(after, Ordering::Relaxed);
        self.used.fetch_sub(before, Ordering::Relaxed);
    }
}
