//! A destination of the log, with the thread that writes to it.

use super::queue::{LineQueue, Priority, QueueLimits};
use crate::telemetry::SHUTDOWN_TARGET;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait for a destination that cannot be written to.
const LIMITS: QueueLimits = QueueLimits { details: 8 << 20, important: 10 << 20 };

/// Bytes in one write at most: progress is counted in between.
const WRITE_BYTES: usize = 64 << 10;

/// A buffer that has grown beyond this is freed when it is empty.
const KEPT_BYTES: usize = 1 << 20;

/// The pause before the next write to a destination that is not ready: a pipe that was inherited in non-blocking mode.
const NOT_READY_PAUSE: Duration = Duration::from_millis(5);

/// A destination of the log. The threads that log put lines into its queue, and never wait: one thread, which lives as long as the process,
/// writes them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Sink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<LineQueue>,
    /// Lines have arrived in an empty queue.
    arrived: Condvar,
    /// Taken lines are out, or could not be written.
    done: Condvar,
}

impl Sink {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system refuses it.
    pub(super) fn start(destination: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Mutex::new(LineQueue::new(LIMITS));
        let shared = Arc::new(Shared { queue, arrived: Condvar::new(), done: Condvar::new() });
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("chatbox-log".to_owned()).spawn(move || writer.write_to(destination))?;
        Ok(Self(shared))
    }

    /// Adds a line to the queue, or drops it. Does not wait.
    pub(super) fn push(&self, line: &[u8], priority: Priority) {
        let mut queue = self.0.queue();
        let was_empty = queue.is_empty();
        queue.push(line, priority);
        drop(queue);
        if was_empty {
            self.0.arrived.notify_one();
        }
    }

    /// Waits until every line is out, at most until `deadline`. Returns how many are not.
    pub(super) fn wait_until_written(&self, deadline: Instant) -> u64 {
        let mut queue = self.0.queue();
        loop {
            let (unwritten, left) = (queue.unwritten(), deadline.saturating_duration_since(Instant::now()));
            if unwritten == 0 || left.is_zero() {
                return unwritten;
            }
            queue = self.0.done.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lines that were dropped, or could not be written.
    pub(super) fn dropped(&self) -> u64 {
        self.0.queue().dropped()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, LineQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: writes what has gathered while the last write took its time, for as long as the process lives.
    fn write_to(&self, mut destination: impl Write) {
        let mut buffer = Vec::new();
        loop {
            let queue = self.queue();
            let mut queue =
                self.arrived.wait_while(queue, |queue| queue.is_empty()).unwrap_or_else(PoisonError::into_inner);
            queue.take(&mut buffer);
            drop(queue);
            let failed = self.write(&mut destination, &buffer);
            self.queue().on_done(failed);
            self.done.notify_all();
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
    }

    /// Writes lines; returns how many could not be written.
    fn write(&self, destination: &mut impl Write, mut lines: &[u8]) -> u64 {
        while !lines.is_empty() {
            match destination.write(&lines[..lines.len().min(WRITE_BYTES)]) {
                Ok(0) => return count(lines),
                Ok(written) => {
                    lines = &lines[written..];
                    self.queue().on_written(written);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(NOT_READY_PAUSE),
                // The next lines are tried again: a disk may have room by then.
                Err(_) => return count(lines),
            }
        }
        // What a buffered destination could not write is reported by its next write.
        let _ = destination.flush();
        0
    }
}

/// How many lines there are, the first of which may be incomplete.
fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// Writes one event to a sink.
pub(super) struct EventWriter {
    sink: Sink,
    priority: Priority,
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = EventWriter;

    fn make_writer(&'a self) -> EventWriter {
        EventWriter { sink: self.clone(), priority: Priority::Important }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> EventWriter {
        EventWriter { sink: self.clone(), priority: priority(event) }
    }
}

fn priority(event: &Metadata<'_>) -> Priority {
    if event.target() == SHUTDOWN_TARGET {
        Priority::Shutdown
    } else if *event.level() <= Level::WARN {
        Priority::Important
    } else {
        Priority::Detail
    }
}

impl Write for EventWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The subscriber writes an event in one call.
        self.sink.push(line, self.priority);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn soon() -> Instant {
        Instant::now() + PATIENCE
    }

    /// Performs each write as the test orders, and reports what was written.
    struct Ordered {
        orders: mpsc::Receiver<io::Result<usize>>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Ordered {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = self.orders.recv().unwrap()?.min(bytes.len());
            self.written.send(bytes[..length].to_vec()).unwrap();
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ordered() -> (Sink, mpsc::Sender<io::Result<usize>>, mpsc::Receiver<Vec<u8>>) {
        let ((order, orders), (written, writes)) = (mpsc::channel(), mpsc::channel());
        (Sink::start(Ordered { orders, written }).unwrap(), order, writes)
    }

    #[test]
    fn lines_that_arrive_during_a_write_leave_together() {
        let (sink, order, writes) = ordered();
        sink.push(b"one\n", Priority::Detail);
        order.send(Ok(2)).unwrap();
        assert_eq!(writes.recv_timeout(PATIENCE).unwrap(), b"on");
        sink.push(b"two\n", Priority::Detail);
        sink.push(b"three\n", Priority::Detail);
        assert_eq!(sink.wait_until_written(Instant::now()), 3);
        order.send(Ok(100)).unwrap();
        order.send(Ok(100)).unwrap();
        assert_eq!(sink.wait_until_written(soon()), 0);
        assert_eq!(writes.try_iter().collect::<Vec<_>>(), [&b"e\n"[..], b"two\nthree\n"]);
        assert_eq!(sink.dropped(), 0);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_do_not_block_the_next() {
        let (sink, order, writes) = ordered();
        sink.push(b"one\n", Priority::Shutdown);
        order.send(Err(ErrorKind::StorageFull.into())).unwrap();
        assert_eq!(sink.wait_until_written(soon()), 0);
        assert_eq!(sink.dropped(), 1);
        sink.push(b"two\n", Priority::Shutdown);
        order.send(Err(ErrorKind::WouldBlock.into())).unwrap();
        order.send(Err(ErrorKind::Interrupted.into())).unwrap();
        order.send(Ok(100)).unwrap();
        assert_eq!(sink.wait_until_written(soon()), 0);
        assert_eq!((writes.recv().unwrap(), sink.dropped()), (b"two\n".to_vec(), 1));
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_no_time() {
        let (mut reader, writer) = io::pipe().unwrap();
        let sink = Sink::start(writer).unwrap();
        let detail = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..2 * LIMITS.details / detail.len() {
            sink.push(&detail, Priority::Detail);
        }
        assert!(sink.dropped() > 0);
        let dropped = sink.dropped();
        sink.push(b"important\n", Priority::Important);
        sink.push(b"the end\n", Priority::Shutdown);
        assert_eq!(sink.dropped(), dropped);
        assert_ne!(sink.wait_until_written(Instant::now()), 0);
        // Once it reads again, everything that was not dropped arrives.
        let reading = thread::spawn(move || {
            let mut lines = Vec::new();
            while !lines.ends_with(b"important\nthe end\n") {
                let mut buffer = [0; 1 << 16];
                let read = reader.read(&mut buffer).unwrap();
                lines.extend_from_slice(&buffer[..read]);
            }
            count(&lines)
        });
        assert_eq!(sink.wait_until_written(soon()), 0);
        assert_eq!(reading.join().unwrap() + dropped, (2 * LIMITS.details / detail.len() + 2) as u64);
    }
}
