//! The read buffer of each thread, and bytes that are kept for later.

use std::cell::Cell;

/// Bytes of one read. A larger buffer saves calls for large messages; all sessions of a thread share it.
const SIZE: usize = 64 * 1024;

thread_local! {
    /// The buffer that this thread's sessions read into: no session holds one while its peer is silent.
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Lends this thread's read buffer; a nested call allocates one of its own.
pub(super) fn with_buffer<R>(read: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = BUFFER.take().unwrap_or_else(|| vec![0; SIZE].into());
    let result = read(&mut buffer);
    BUFFER.set(Some(buffer));
    result
}

/// Bytes that were read and could not be decoded yet. A struct, so that a session holds a thin pointer: hardly any has a backlog.
pub(super) struct Backlog(pub(super) Box<[u8]>);

impl Backlog {
    pub(super) fn new(bytes: &[u8]) -> Box<Self> {
        Box::new(Self(bytes.into()))
    }
}
