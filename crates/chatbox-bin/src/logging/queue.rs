//! The bounded queue between the threads that log and the thread that writes.

/// How important a line is, which decides whether it is dropped when lines cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// Below WARN.
    Detail,
    /// WARN and above.
    Important,
    /// The lines of a shutdown: one for each connection and a few more. Never dropped.
    Shutdown,
}

/// How many bytes may wait before lines are dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    /// Lines of [`Priority::Detail`] are dropped from here on.
    pub(super) details: usize,
    /// Lines of [`Priority::Important`] are dropped from here on. Higher than `details`: the difference is kept for them.
    pub(super) important: usize,
}

/// Lines that wait to be written, and the numbers of those that never are.
#[derive(Debug)]
pub(super) struct LineQueue {
    limits: QueueLimits,
    pending: Vec<u8>,
    pending_lines: u64,
    /// Bytes and lines that were taken and are not written yet.
    taken: usize,
    taken_lines: u64,
    /// Lines that were not accepted, or could not be written.
    dropped: u64,
}

impl LineQueue {
    /// An empty queue.
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self { limits, pending: Vec::new(), pending_lines: 0, taken: 0, taken_lines: 0, dropped: 0 }
    }

    /// Adds a line, or drops it and counts it as dropped.
    pub(super) fn push(&mut self, line: &[u8], priority: Priority) {
        let limit = match priority {
            Priority::Detail => self.limits.details,
            Priority::Important => self.limits.important,
            Priority::Shutdown => usize::MAX,
        };
        let waiting = self.pending.len() + self.taken;
        if waiting.saturating_add(line.len()) > limit {
            self.dropped += 1;
        } else {
            self.pending.extend_from_slice(line);
            self.pending_lines += 1;
        }
    }

    /// Moves the lines into an empty buffer. They count as waiting until they are [written](Self::on_written).
    pub(super) fn take(&mut self, buffer: &mut Vec<u8>) {
        debug_assert!(buffer.is_empty() && self.taken == 0, "one buffer at a time");
        std::mem::swap(&mut self.pending, buffer);
        self.taken = buffer.len();
        self.taken_lines = std::mem::take(&mut self.pending_lines);
    }

    /// So many bytes of the taken ones are out.
    pub(super) fn on_written(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_sub(bytes);
    }

    /// All taken lines are out, but for those that could not be written.
    pub(super) fn on_done(&mut self, failed_lines: u64) {
        (self.taken, self.taken_lines) = (0, 0);
        self.dropped += failed_lines;
    }

    /// Whether no line waits to be taken.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Lines that are not written yet.
    pub(super) fn unwritten(&self) -> u64 {
        self.pending_lines + self.taken_lines
    }

    /// Lines that were dropped, or could not be written.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queue() -> LineQueue {
        LineQueue::new(QueueLimits { details: 20, important: 30 })
    }

    #[test]
    fn a_full_queue_drops_details_first_and_lines_of_a_shutdown_never() {
        let mut queue = queue();
        queue.push(&[b'a'; 20], Priority::Detail);
        queue.push(b"b", Priority::Detail);
        assert_eq!((queue.unwritten(), queue.dropped()), (1, 1));
        queue.push(&[b'c'; 10], Priority::Important);
        queue.push(b"d", Priority::Important);
        assert_eq!((queue.unwritten(), queue.dropped()), (2, 2));
        queue.push(&[b'e'; 100], Priority::Shutdown);
        assert_eq!((queue.unwritten(), queue.dropped()), (3, 2));
        let mut buffer = Vec::new();
        queue.take(&mut buffer);
        assert_eq!(buffer, [&[b'a'; 20][..], &[b'c'; 10], &[b'e'; 100]].concat());
    }

    #[test]
    fn what_is_taken_occupies_the_queue_until_it_is_written() {
        let (mut queue, mut buffer) = (queue(), Vec::new());
        queue.push(&[b'a'; 15], Priority::Detail);
        queue.take(&mut buffer);
        assert!(queue.is_empty());
        queue.push(&[b'b'; 15], Priority::Detail);
        assert_eq!(queue.dropped(), 1);
        queue.on_written(10);
        queue.push(&[b'c'; 15], Priority::Detail);
        assert_eq!((queue.unwritten(), queue.dropped()), (2, 1));
        queue.on_done(1);
        assert_eq!((queue.unwritten(), queue.dropped()), (1, 2));
    }

    proptest! {
        #[test]
        fn every_line_is_taken_once_in_order_or_counted_as_dropped(
            steps in prop::collection::vec((0..4_usize, 1..12_usize), 1..60),
        ) {
            let (mut queue, mut written, mut expected, mut pushed) = (queue(), Vec::new(), Vec::new(), 0);
            for (step, (kind, length)) in steps.into_iter().enumerate() {
                let line = vec![u8::try_from(step).unwrap(); length];
                let Some(priority) = [Priority::Detail, Priority::Important, Priority::Shutdown].get(kind).copied() else {
                    let mut buffer = Vec::new();
                    queue.take(&mut buffer);
                    queue.on_written(length.min(buffer.len()));
                    written.extend(buffer);
                    queue.on_done(0);
                    continue;
                };
                let dropped = queue.dropped();
                queue.push(&line, priority);
                pushed += 1;
                prop_assert!(priority != Priority::Shutdown || queue.dropped() == dropped);
                if queue.dropped() == dropped {
                    expected.extend(line);
                }
            }
            let mut buffer = Vec::new();
            queue.take(&mut buffer);
            written.extend(buffer);
            prop_assert_eq!(&written, &expected);
            let lines = written.chunk_by(|a, b| a == b).count() as u64;
            prop_assert_eq!(lines + queue.dropped(), pushed);
        }
    }
}
