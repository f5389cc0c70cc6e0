//! The outbox of one connection: encoded frames addressed to it alone, bounded in bytes, allocated on first use.

/// Bytes queued for one connection, and bytes promised to it.
///
/// The bound is soft by one message: what arrives while there is room is taken whole, so that a message larger than the
/// bound can still be sent. The session stops reading from its peer while the outbox [is full](Self::is_full), which is what bounds it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Complete frames, one behind the other.
    queued: Vec<u8>,
    /// Bytes taken by the session and not yet written.
    in_flight: usize,
    /// Bytes that replies still owed will need.
    reserved: usize,
}

impl Outbox {
    /// Returns by how many bytes it has grown. What an `encode` that panics has written is taken back: half a frame would be the end of
    /// all that come after it.
    pub(crate) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> usize {
        let before = self.queued.len();
        let mut unfinished = Unfinished { queued: &mut self.queued, whole: before };
        encode(unfinished.queued);
        unfinished.whole = unfinished.queued.len();
        unfinished.whole - before
    }

    /// Everything that is queued; the buffer goes with it, so an idle outbox holds no memory.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let taken = std::mem::take(&mut self.queued);
        self.in_flight += taken.len();
        taken
    }

    /// Returns by how many bytes it has shrunk.
    pub(crate) fn written(&mut self, bytes: usize) -> usize {
        let written = bytes.min(self.in_flight);
        self.in_flight -= written;
        written
    }

    /// Bytes of memory: what is queued, and what was taken and not yet written.
    pub(crate) fn held(&self) -> usize {
        self.queued.len() + self.in_flight
    }

    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.reserved += bytes;
    }

    pub(crate) fn release(&mut self, bytes: usize) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Whether there is nothing to remember.
    pub(crate) fn is_idle(&self) -> bool {
        self.held() + self.reserved == 0
    }

    pub(crate) fn is_full(&self, limit: usize) -> bool {
        self.held() + self.reserved >= limit
    }
}

/// A buffer that is being appended to. Dropped, it is cut to what is whole.
struct Unfinished<'a> {
    queued: &'a mut Vec<u8>,
    whole: usize,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.queued.truncate(self.whole);
    }
}
