//! The log of the program: lines on stdout, and in daily files beside it, written by threads of their own.
//!
//! Nothing waits for the log. What cannot be written is dropped, the least important lines first, and counted.

mod files;
mod queue;
mod sink;

use crate::config::{LogConfig, LogFormat};
use crate::report::ServiceReport;
use files::DailyFiles;
use queue::Priority;
use serde::Serialize;
use sink::Sink;
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// How long a line on stderr may take.
const STDERR_TIME: Duration = Duration::from_millis(100);

/// The message of the last line.
const LAST: &str = "Chatbox service shutdown complete";

/// The destinations of the log. [`finish`](Self::finish) it last of all, outside the runtime.
#[must_use = "dropping this loses the last lines"]
pub(crate) struct Logging {
    sinks: Vec<Destination>,
    dropped: DroppedLines,
}

/// A destination, and the format of its lines.
struct Destination {
    sink: Sink,
    pretty: bool,
}

/// Counts the log lines that were dropped, or could not be written. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct DroppedLines(Vec<Sink>);

impl DroppedLines {
    /// The count, over all destinations.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(Sink::dropped).sum()
    }
}

impl Logging {
    /// Installs the subscriber, and the panic hook of the process.
    ///
    /// # Errors
    /// A line for the operator: the directory cannot be written to, no thread can be started, or a subscriber is installed already.
    pub(crate) fn start(config: &LogConfig, filter: EnvFilter) -> Result<Self, String> {
        let is_terminal = io::stdout().is_terminal();
        let pretty = match config.format {
            LogFormat::Auto => is_terminal,
            LogFormat::Pretty => true,
            LogFormat::Json => false,
        };
        let start = |error| format!("cannot start the thread that writes the log: {error}");
        let stdout = Destination { sink: Sink::start(io::stdout()).map_err(start)?, pretty };
        let mut layers = vec![layer(&stdout, is_terminal)];
        let mut sinks = vec![stdout];
        if let Some(directory) = &config.directory {
            let files = DailyFiles::open(directory, config.keep_days)
                .map_err(|error| format!("log.directory: cannot write to {}: {error}", directory.display()))?;
            let files = Destination { sink: Sink::start(files).map_err(start)?, pretty: false };
            layers.push(layer(&files, false));
            sinks.push(files);
        }
        tracing_subscriber::registry()
            .with(layers.with_filter(filter))
            .try_init()
            .map_err(|error| error.to_string())?;
        log_panics();
        let dropped = DroppedLines(sinks.iter().map(|destination| destination.sink.clone()).collect());
        Ok(Self { sinks, dropped })
    }

    /// The counter of dropped lines.
    pub(crate) fn dropped(&self) -> &DroppedLines {
        &self.dropped
    }

    /// Writes the report as the last line, and waits until every line is out, at most until `deadline`. Lines that are not are
    /// counted on stderr.
    pub(crate) fn finish(self, report: Option<&ServiceReport>, deadline: Instant) {
        if let Some(report) = report {
            for Destination { sink, pretty } in &self.sinks {
                sink.push(last_line(report, *pretty).as_bytes(), Priority::Shutdown);
            }
        }
        let unwritten: u64 = self.sinks.iter().map(|destination| destination.sink.wait_until_written(deadline)).sum();
        let lost = unwritten + self.dropped.count();
        if lost > 0 {
            complain(format!("chatbox: {lost} log lines could not be written, or not in time"));
        }
    }
}

/// Writes a line to stderr, which may be as blocked as the log.
fn complain(line: String) {
    let (written, is_written) = mpsc::channel();
    thread::spawn(move || {
        let _ = writeln!(io::stderr(), "{line}");
        let _ = written.send(());
    });
    let _ = is_written.recv_timeout(STDERR_TIME);
}

/// Has panics of all threads but the main one logged: the standard hook writes to stderr, which can block the thread.
fn log_panics() {
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        // The main thread panics outside the runtime, after which nothing writes the log any more.
        if thread::current().name() == Some("main") {
            return standard(panic);
        }
        let message = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(ToString::to_string);
        tracing::error!(message = "Panic", panic = message, location);
    }));
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

fn layer(destination: &Destination, colours: bool) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = fmt::layer().with_writer(destination.sink.clone()).with_ansi(colours);
    if destination.pretty {
        layer.with_target(false).boxed()
    } else {
        layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    }
}
