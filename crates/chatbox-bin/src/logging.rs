//! Log lines that do not get lost: written by a thread of their own, none dropped, all of them out before the process ends.

use crate::config::{LogConfig, LogFormat};
use crate::report::ServiceReport;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// Holds the log open. [`finish`](Self::finish) it last of all, outside the runtime.
#[must_use = "dropping this loses the last lines"]
pub(crate) struct Logging {
    sinks: Vec<Sink>,
}

/// One destination: how many lines went in, and how many came out.
struct Sink {
    _guard: WorkerGuard,
    dropped: ErrorCounter,
    queued: Counted<NonBlocking>,
    tally: Arc<Tally>,
    pretty: bool,
}

/// The message of the last line.
const LAST: &str = "Chatbox service shutdown complete";

impl Logging {
    /// Installs the subscriber for the process.
    ///
    /// # Errors
    /// A line for the operator: the directory cannot be written to, or a subscriber is installed already.
    pub(crate) fn start(config: &LogConfig, filter: EnvFilter) -> Result<Self, String> {
        let pretty = match config.format {
            LogFormat::Auto => io::stdout().is_terminal(),
            LogFormat::Pretty => true,
            LogFormat::Json => false,
        };
        let (stdout, stdout_sink) = sink(io::stdout(), pretty);
        let mut sinks = vec![stdout_sink];
        let mut layers = vec![layer(stdout, pretty, io::stdout().is_terminal())];
        if let Some(directory) = &config.directory {
            let file = tracing_appender::rolling::Builder::new()
                .rotation(tracing_appender::rolling::Rotation::DAILY)
                .filename_prefix("chatbox")
                .filename_suffix("log")
                .build(directory)
                .map_err(|error| format!("log.directory: cannot write to {}: {error}", directory.display()))?;
            let (file, file_sink) = sink(file, false);
            sinks.push(file_sink);
            layers.push(layer(file, false, false));
        }
        tracing_subscriber::registry()
            .with(layers.with_filter(filter))
            .try_init()
            .map_err(|error| error.to_string())?;
        Ok(Self { sinks })
    }

    /// How many lines were dropped: none, unless the writing thread has died, or they could not be written.
    #[must_use]
    pub(crate) fn dropped(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.dropped.dropped_lines() as u64 + sink.lost()).sum()
    }

    /// Writes the report as the last line, and waits until every line is out, at most this long. The guards' own wait is
    /// shorter than a busy terminal is slow, and they give up silently; so what is left is said on stderr.
    pub(crate) fn finish(mut self, report: Option<&ServiceReport>, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        if let Some(report) = report {
            for sink in &mut self.sinks {
                // A log that cannot be written to has nowhere to say so.
                let _ = sink.queued.write_all(last_line(report, sink.pretty).as_bytes());
            }
        }
        let missing = || self.sinks.iter().map(Sink::missing).sum::<u64>();
        while missing() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        let lost = missing() + self.sinks.iter().map(Sink::lost).sum::<u64>();
        if lost > 0 {
            let _ = writeln!(io::stderr(), "chatbox: {lost} log lines could not be written, or not within {at_most:?}");
        }
    }
}

/// The report as a line of the log: not an event, because an event's fields are flat and the report is not.
fn last_line(report: &ServiceReport, pretty: bool) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        timestamp: String,
        level: &'static str,
        message: &'static str,
        #[serde(flatten)]
        report: &'a ServiceReport,
    }
    let timestamp = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    if pretty {
        return format!("{timestamp}  INFO {LAST} report={}\n", report.to_json());
    }
    // Structs of numbers and texts always encode.
    let line = Line { timestamp, level: "INFO", message: LAST, report };
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

impl Sink {
    fn missing(&self) -> u64 {
        // In this order: a line that is counted as done was counted as queued before.
        let done = self.tally.done.load(Ordering::Acquire);
        self.queued.count.load(Ordering::Acquire).saturating_sub(done)
    }

    fn lost(&self) -> u64 {
        self.tally.lost.load(Ordering::Acquire)
    }
}

fn sink(writer: impl Write + Send + 'static, pretty: bool) -> (Counted<NonBlocking>, Sink) {
    let (queued, tally) = (Arc::<AtomicU64>::default(), Arc::<Tally>::default());
    let writer = Gathered::new(writer, Arc::clone(&tally));
    let (writer, guard) = NonBlockingBuilder::default().lossy(false).thread_name("chatbox-log").finish(writer);
    let dropped = writer.error_counter();
    let writer = Counted { inner: writer, count: queued };
    (writer.clone(), Sink { _guard: guard, dropped, queued: writer, tally, pretty })
}

fn layer(writer: Counted<NonBlocking>, pretty: bool, colours: bool) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = fmt::layer().with_writer(writer).with_ansi(colours);
    if pretty {
        layer.with_target(false).boxed()
    } else {
        layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    }
}

/// Counts the lines that are handed in.
#[derive(Clone)]
struct Counted<W> {
    inner: W,
    count: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The subscriber hands over whole lines; on an error the line is gone.
        let result = self.inner.write_all(line);
        self.count.fetch_add(1, Ordering::AcqRel);
        result.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Gathers the lines that have come by the time that they are written: in a drain there is one for each connection, and a write for
/// each would be a twentieth of its processor time. The writing thread flushes whenever it finds no more.
struct Gathered<W> {
    inner: W,
    buffer: Vec<u8>,
    /// Lines in the buffer.
    lines: u64,
    tally: Arc<Tally>,
}

/// What became of the lines.
#[derive(Default)]
struct Tally {
    /// Out, or lost: nobody is to wait for what cannot be written.
    done: AtomicU64,
    lost: AtomicU64,
}

impl<W: Write> Gathered<W> {
    /// So many bytes are written without waiting for the end of what there is.
    const ENOUGH: usize = 8 * 1024;

    fn new(inner: W, tally: Arc<Tally>) -> Self {
        Self { inner, buffer: Vec::new(), lines: 0, tally }
    }

    fn write_out(&mut self) {
        let written = self.inner.write_all(&self.buffer).and_then(|()| self.inner.flush());
        let lines = std::mem::take(&mut self.lines);
        self.buffer.clear();
        // Before a waiting `finish` learns that they are done.
        self.tally.lost.fetch_add(if written.is_ok() { 0 } else { lines }, Ordering::AcqRel);
        self.tally.done.fetch_add(lines, Ordering::AcqRel);
    }
}

/// Never fails: the writing thread could do nothing about it, and has more to write.
impl<W: Write> Write for Gathered<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The writing thread hands over whole lines.
        self.buffer.extend_from_slice(line);
        self.lines += 1;
        if self.buffer.len() >= Self::ENOUGH {
            self.write_out();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.lines > 0 {
            self.write_out();
        }
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Counted<NonBlocking> {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A destination that remembers each write, and fails after so many bytes.
    struct Destination {
        writes: Vec<Vec<u8>>,
        room: usize,
    }

    impl Write for &mut Destination {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.room = self.room.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            self.writes.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn counts(tally: &Tally) -> (u64, u64) {
        (tally.done.load(Ordering::Relaxed), tally.lost.load(Ordering::Relaxed))
    }

    #[test]
    fn lines_leave_together_and_count_once_they_are_out() {
        let mut destination = Destination { writes: Vec::new(), room: 100_000 };
        let tally = Arc::<Tally>::default();
        let mut lines = Gathered::new(&mut destination, Arc::clone(&tally));
        for line in ["one\n", "two\n", "three\n"] {
            lines.write_all(line.as_bytes()).expect("a line is taken");
        }
        assert_eq!(counts(&tally), (0, 0));
        lines.flush().expect("there is room");
        assert_eq!(counts(&tally), (3, 0));
        // What is enough for a write does not wait for the end.
        let long = [b'x'; 9_000];
        lines.write_all(&long).expect("a line is taken");
        assert_eq!(counts(&tally), (4, 0));
        lines.flush().expect("nothing is left");
        assert_eq!(destination.writes, [&b"one\ntwo\nthree\n"[..], &long]);
    }

    #[test]
    fn lines_that_cannot_be_written_are_lost_and_said_to_be_and_not_waited_for() {
        let mut destination = Destination { writes: Vec::new(), room: 10 };
        let tally = Arc::<Tally>::default();
        let mut lines = Gathered::new(&mut destination, Arc::clone(&tally));
        lines.write_all(b"far too long\n").expect("a line is taken");
        lines.flush().expect("it never fails");
        assert_eq!(counts(&tally), (1, 1));
        // They are not in the way of the next.
        lines.write_all(b"short\n").expect("a line is taken");
        lines.flush().expect("it never fails");
        assert_eq!(counts(&tally), (2, 1));
        assert_eq!(destination.writes, [b"short\n"]);
    }
}
