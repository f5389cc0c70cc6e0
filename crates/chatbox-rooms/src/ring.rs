//! The newest messages of one room, each encoded once. Pure: no locks, no clock.

use bytes::Bytes;
use chatbox_core::Batch;
use std::collections::VecDeque;

/// Consecutive messages as complete frames in one buffer: a member that needs all of them gets one slice.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    first: u64,
    frames: Bytes,
    /// Where each message ends within `frames`.
    ends: Box<[u32]>,
}

/// Collects consecutive messages into a [`Chunk`].
#[derive(Debug)]
pub(crate) struct ChunkBuilder {
    first: u64,
    frames: Vec<u8>,
    ends: Vec<u32>,
}

impl ChunkBuilder {
    /// The size from which a chunk is complete: about as much as a session writes at once.
    const ENOUGH: usize = 32 * 1024;

    pub(crate) fn new(first: u64) -> Self {
        Self { first, frames: Vec::new(), ends: Vec::new() }
    }

    /// Appends the next message: `encode` writes its frame.
    pub(crate) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(&mut self.frames);
        self.ends.push(u32::try_from(self.frames.len()).unwrap_or(u32::MAX));
    }

    /// The `seq` of the message that would be appended next.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.ends.len() as u64
    }

    pub(crate) fn is_enough(&self) -> bool {
        self.frames.len() >= Self::ENOUGH
    }

    pub(crate) fn build(mut self) -> Option<Chunk> {
        // Chunks are kept in rings: free the spare capacity.
        self.frames.shrink_to_fit();
        (!self.ends.is_empty()).then(|| Chunk { first: self.first, frames: self.frames.into(), ends: self.ends.into() })
    }
}

impl Chunk {
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn last(&self) -> u64 {
        self.first + self.ends.len() as u64 - 1
    }

    /// The part after `seq`.
    pub(crate) fn after(self, seq: u64) -> Option<Self> {
        if self.first > seq {
            return Some(self);
        }
        let passed = usize::try_from(seq - self.first + 1).ok()?;
        let begin = *self.ends.get(passed - 1)?;
        let ends: Box<[u32]> = self.ends[passed..].iter().map(|end| end - begin).collect();
        (!ends.is_empty()).then(|| Self { first: seq + 1, frames: self.frames.slice(begin as usize..), ends })
    }

    fn bytes(&self) -> usize {
        self.frames.len() + size_of_val::<[u32]>(&self.ends)
    }

    /// Pulls the messages after `cursor`, up to `until`, and moves the cursor behind them. Returns how many.
    pub(crate) fn pull(&self, cursor: &mut u64, until: u64, batch: &mut Batch) -> u64 {
        let (last, from) = (self.last().min(until), (*cursor + 1).max(self.first));
        if from > last {
            return 0;
        }
        let begin = from.checked_sub(self.first + 1).map_or(0, |before| self.ends[before as usize] as usize);
        let end = self.ends[(last - self.first) as usize] as usize;
        batch.push(self.frames.slice(begin..end));
        *cursor = last;
        last - from + 1
    }
}

/// The newest chunks of a room, without gaps. Every message in it is stored, too.
#[derive(Debug)]
pub(crate) struct Ring {
    chunks: VecDeque<Chunk>,
    /// The `seq` that the next message will have.
    next: u64,
    bytes: usize,
}

impl Ring {
    /// An empty ring of a room with this head.
    pub(crate) fn new(head: u64) -> Self {
        Self { chunks: VecDeque::new(), next: head + 1, bytes: 0 }
    }

    /// The `seq` of the oldest message in the ring; if it is empty, of the next one.
    pub(crate) fn first(&self) -> u64 {
        self.chunks.front().map_or(self.next, Chunk::first)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The mean size of a message with its frame. 0 if the ring is empty.
    pub(crate) fn mean_size(&self) -> usize {
        usize::try_from(self.next - self.first())
            .ok()
            .and_then(|messages| self.bytes.checked_div(messages))
            .unwrap_or(0)
    }

    /// Appends a chunk. If it does not follow the newest one, the ring is emptied first.
    pub(crate) fn push(&mut self, chunk: Chunk) {
        if chunk.first != self.next {
            self.clear();
        }
        self.next = chunk.last() + 1;
        self.bytes += chunk.bytes();
        self.chunks.push_back(chunk);
    }

    /// Drops the oldest chunks down to `max_bytes`, but never the newest one.
    pub(crate) fn trim(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes && self.chunks.len() > 1 {
            self.bytes -= self.chunks.pop_front().map_or(0, |chunk| chunk.bytes());
        }
    }

    /// Drops all chunks.
    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
        self.bytes = 0;
    }

    /// Whether the message after `cursor` is in the ring, or is the next one to be published.
    pub(crate) fn covers(&self, cursor: u64) -> bool {
        cursor + 1 >= self.first()
    }

    /// Pulls the messages after `cursor`, up to `until` or until the batch is full, and moves the cursor behind them. Returns how
    /// many. The ring must [cover](Self::covers) the cursor.
    pub(crate) fn pull(&self, cursor: &mut u64, until: u64, batch: &mut Batch) -> u64 {
        let mut pulled = 0;
        // Nearly every member is at the newest chunk, so search from that end.
        let behind = self.chunks.iter().rev().take_while(|chunk| chunk.last() > *cursor).count();
        for chunk in self.chunks.iter().skip(self.chunks.len() - behind) {
            if batch.is_full() || *cursor >= until {
                break;
            }
            pulled += chunk.pull(cursor, until, batch);
        }
        pulled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ring of messages from `first` on, in chunks of these sizes. The frame of a message is its `seq` as one byte.
    fn ring(first: u64, sizes: &[u8]) -> Ring {
        let mut ring = Ring::new(first - 1);
        let mut builder = ChunkBuilder::new(first);
        for &size in sizes {
            for _ in 0..size {
                let seq = builder.next();
                builder.push(|out| out.push(seq as u8));
            }
            let next = builder.next();
            if let Some(chunk) = std::mem::replace(&mut builder, ChunkBuilder::new(next)).build() {
                ring.push(chunk);
            }
        }
        ring
    }

    fn seqs(batch: &Batch) -> Vec<u64> {
        batch.frames().iter().flat_map(|frame| frame.iter().map(|&byte| u64::from(byte))).collect()
    }

    proptest! {
        #[test]
        fn a_cursor_gets_all_later_messages_in_order_in_batches_of_any_size(
            sizes in prop::collection::vec(1u8..5, 0..12), from in 0u64..60, max_frames in 1usize..5, back in 0u64..60,
        ) {
            let ring = ring(1, &sizes);
            let head = sizes.iter().map(|&size| u64::from(size)).sum::<u64>();
            let until = head.saturating_sub(back);
            let mut cursor = from.min(head);
            let begin = cursor;
            let mut seen = Vec::new();
            loop {
                let mut batch = Batch::new(max_frames, 1024);
                let pulled = ring.pull(&mut cursor, until, &mut batch);
                prop_assert_eq!(pulled as usize, seqs(&batch).len());
                if pulled == 0 { break }
                seen.extend(seqs(&batch));
            }
            prop_assert_eq!(seen, (begin + 1..=until).collect::<Vec<_>>());
        }

        /// Own appends, the feed and reads may bring overlapping chunks.
        #[test]
        fn a_chunk_is_cut_after_any_seq(first in 1u64..20, size in 1u8..10, seq in 0u64..40) {
            let whole = ring(first, &[size]).chunks.remove(0).expect("one chunk");
            let last = whole.last();
            let cut = whole.after(seq);
            prop_assert_eq!(cut.is_some(), seq < last);
            if let Some(cut) = cut {
                prop_assert_eq!((cut.first(), cut.last()), (first.max(seq + 1), last));
                let (mut cursor, mut batch) = (0, Batch::new(9, 1024));
                cut.pull(&mut cursor, u64::MAX, &mut batch);
                prop_assert_eq!(seqs(&batch), (first.max(seq + 1)..=last).collect::<Vec<_>>());
            }
        }

        #[test]
        fn trimming_keeps_the_newest_chunk_and_covers_what_is_left(sizes in prop::collection::vec(1u8..5, 1..12), max in 0usize..60) {
            let mut ring = ring(1, &sizes);
            ring.trim(max);
            prop_assert!(ring.bytes() <= max || ring.chunks.len() == 1);
            let first = ring.first();
            prop_assert!(ring.covers(first - 1) && (first == 1 || !ring.covers(first - 2)));
        }
    }

    #[test]
    fn a_chunk_behind_a_gap_empties_the_ring_first() {
        let mut first = ring(1, &[2]);
        let later = ring(9, &[1]);
        first.push(later.chunks[0].clone());
        assert_eq!((first.first(), first.next), (9, 10));
    }
}
