//! Frames that were taken and are not written yet. Pure: the session does the writing.

#[cfg(test)]
mod tests;

use crate::frame;
use bytes::Bytes;
use chatbox_core::Batch;
use std::collections::VecDeque;

/// Frames that were taken and could not be written at once: at most one batch and a Close.
///
/// One pointer while it is empty, which it is in nearly every session.
#[derive(Debug, Default)]
pub(super) struct SendBuffer(Option<Box<Unsent>>);

#[derive(Debug, Default)]
struct Unsent {
    frames: VecDeque<Bytes>,
    /// How many of the first bytes came from the outbox.
    direct: usize,
    /// How much of the first element is written already. The element is kept whole, so that the ends of its frames can be found.
    at: usize,
}

impl SendBuffer {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Takes what a write has left of a batch. The first `direct` bytes of the batch came from the outbox. Returns how many of those are
    /// written.
    pub(super) fn fill(&mut self, batch: &mut Batch, direct: usize, written: usize) -> usize {
        self.0 = Some(Box::new(Unsent { frames: batch.drain().collect(), direct, at: 0 }));
        self.advance(written)
    }

    /// Appends frames.
    pub(super) fn push(&mut self, frames: Bytes) {
        self.0.get_or_insert_default().frames.push_back(frames);
    }

    /// What is to be written, in order.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let unsent = self.0.as_deref();
        let at = unsent.map_or(0, |unsent| unsent.at);
        let frames = unsent.into_iter().flat_map(|unsent| &unsent.frames);
        frames.enumerate().map(move |(index, frame)| if index == 0 { &frame[at..] } else { &frame[..] })
    }

    /// Removes bytes that were written. Returns how many of them came from the outbox.
    pub(super) fn advance(&mut self, written: usize) -> usize {
        let Some(unsent) = &mut self.0 else { return 0 };
        let direct = written.min(unsent.direct);
        unsent.direct -= direct;
        unsent.at += written;
        while let Some(first) = unsent.frames.front()
            && unsent.at >= first.len()
        {
            unsent.at -= first.len();
            unsent.frames.pop_front();
        }
        if unsent.frames.is_empty() {
            self.0 = None;
        }
        direct
    }

    /// Discards the frames of which nothing is written yet, so that a Close can follow the one that is partly written. Returns how many
    /// of the discarded bytes came from the outbox.
    pub(super) fn truncate(&mut self) -> usize {
        let Some(unsent) = &mut self.0 else { return 0 };
        let before = unsent.direct;
        unsent.frames.truncate(1);
        let end = unsent.frames.front_mut().map_or(0, |first| {
            let end = frame::boundary(first, unsent.at);
            first.truncate(end);
            end
        });
        let rest = end.saturating_sub(unsent.at);
        unsent.direct = unsent.direct.min(rest);
        let discarded = before - unsent.direct;
        if rest == 0 {
            self.0 = None;
        }
        discarded
    }
}
