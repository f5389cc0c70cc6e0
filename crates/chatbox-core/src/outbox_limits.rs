//! Limits on queued bytes: for one connection, and for all of them together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The limits that all connections of a registry share, and the bytes that they hold together.
///
/// While `all` is reached, a connection counts as full as soon as it holds anything at all: peers that read their answers are still served,
/// the others are read no further, and the sum grows by at most one answer for each connection.
#[derive(Debug)]
pub(crate) struct OutboxLimits {
    each: usize,
    all: usize,
    used: AtomicUsize,
}

impl OutboxLimits {
    pub(crate) fn new(each: usize, all: usize) -> Self {
        Self { each, all, used: AtomicUsize::new(0) }
    }

    /// The bytes at which one connection counts as full now.
    pub(crate) fn of_one(&self) -> usize {
        if self.used() < self.all { self.each } else { 1 }
    }

    /// The bytes at which no more frames are queued for one connection.
    pub(crate) fn overflow(&self) -> usize {
        /// A limit of a few bytes must not close a connection for two answers in a row.
        const LEAST: usize = 256 * 1024;
        self.each.saturating_mul(4).max(LEAST)
    }

    /// Bytes that all connections hold together.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
