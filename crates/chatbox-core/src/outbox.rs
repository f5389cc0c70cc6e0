//! The outbox of one connection: encoded frames addressed to it alone, bounded in bytes, allocated on first use.

/// Bytes queued for one connection, and bytes reserved for replies.
///
/// The limit is soft by one message: a message that comes while there is room is queued whole, so that one larger than the limit can
/// still be sent. The session stops reading from its peer while the outbox [is full](Self::is_full).
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Complete frames, one after the other.
    queued: Vec<u8>,
    /// Bytes taken by the session and not yet written.
    in_flight: usize,
    /// Bytes reserved for replies that are still owed.
    reserved: usize,
}

impl Outbox {
    /// Appends frames and returns the bytes added. If `encode` panics, what it has appended is removed: half a frame would corrupt every
    /// later one.
    pub(crate) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> usize {
        let before = self.queued.len();
        let mut guard = TruncateOnDrop { queued: &mut self.queued, len: before };
        encode(guard.queued);
        guard.len = guard.queued.len();
        guard.len - before
    }

    /// Takes all queued frames. The buffer goes with them, so an idle outbox holds no memory.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let taken = std::mem::take(&mut self.queued);
        self.in_flight += taken.len();
        taken
    }

    /// Counts taken bytes as written, and returns how many fewer are held.
    pub(crate) fn written(&mut self, bytes: usize) -> usize {
        let written = bytes.min(self.in_flight);
        self.in_flight -= written;
        written
    }

    /// Bytes in memory: queued, or taken and not yet written.
    pub(crate) fn held(&self) -> usize {
        self.queued.len() + self.in_flight
    }

    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.reserved += bytes;
    }

    pub(crate) fn release(&mut self, bytes: usize) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// Whether no frame is queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Whether nothing is held and nothing reserved: the outbox can be dropped.
    pub(crate) fn is_idle(&self) -> bool {
        self.held() + self.reserved == 0
    }

    pub(crate) fn is_full(&self, limit: usize) -> bool {
        self.held() + self.reserved >= limit
    }
}

/// Cuts a buffer to `len` when it is dropped.
struct TruncateOnDrop<'a> {
    queued: &'a mut Vec<u8>,
    len: usize,
}

impl Drop for TruncateOnDrop<'_> {
    fn drop(&mut self) {
        self.queued.truncate(self.len);
    }
}
