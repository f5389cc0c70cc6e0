//! `chatbox serve`: the service with its listener, its signals, its log and its exit code.

mod process;
mod servers;

use super::Failure;
use crate::config::{Checked, Loaded};
use crate::logging::{DroppedLines, Logging};
use crate::report::ServiceReport;
use crate::server::Listener;
use crate::service::Service;
use crate::{systemd, telemetry};
use chatbox_shutdown::Signal::Hangup;
use chatbox_shutdown::{EarlySignals, Phase, Report, Shutdown};
use process::{raise_file_limit, survive_size_limit, write_termination_log};
use servers::{Servers, metrics_route};
use std::net::SocketAddr;
use std::num::NonZero;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// How long the last requests may take after everything is flushed.
const LAST_REQUESTS: Duration = Duration::from_millis(250);

/// How long the runtime may take to end.
const LAST_TASKS: Duration = Duration::from_millis(100);

/// How long the log may take after a start that failed.
const LAST_LINES: Duration = Duration::from_secs(3);

/// Serves until a shutdown is requested.
pub(super) fn run(loaded: &Loaded, signals: EarlySignals) -> Result<ExitCode, Failure> {
    let mut checked = loaded.check()?;
    let filter = std::mem::take(&mut checked.log_filter);
    let termination_log = checked.config.shutdown.termination_log.clone();
    let logging = Logging::start(&checked.config.log, filter).map_err(Failure::at_run_time)?;
    let runtime = runtime(checked.config.server.workers.map(NonZero::get))
        .map_err(|error| Failure::at_run_time(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(serve(loaded, checked, signals, &logging));
    let end =
        result.as_ref().ok().and_then(Option::as_ref).map_or_else(|| Instant::now() + LAST_LINES, |ended| ended.by);
    // What still runs does not delay the end. The log is outside the runtime, and ends last.
    runtime.shutdown_timeout(LAST_TASKS.min(end.saturating_duration_since(Instant::now())));
    let report = match result {
        Ok(ended) => ended.map(|ended| ended.report),
        Err(failure) => {
            logging.finish(None, end);
            return Err(failure);
        }
    };
    if let Some(report) = &report {
        write_termination_log(report, &termination_log);
    }
    logging.finish(report.as_ref(), end);
    Ok(report.map_or(ExitCode::SUCCESS, |report| ExitCode::from(report.exit_code())))
}

/// A runtime for many sockets with little to do each: a thread takes few events at a time and serves all of them before it polls for more, so
/// that no socket waits behind a thousand others.
fn runtime(workers: Option<usize>) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    builder.enable_all().event_interval(4_000).max_io_events_per_tick(64).build()
}

/// A shutdown that has run, and the moment by which its flush must be over, the last lines of the log included.
struct Ended {
    report: ServiceReport,
    by: Instant,
}

/// Starts, serves, shuts down. `None`: a shutdown was requested before there was anything to shut down.
async fn serve(
    loaded: &Loaded,
    checked: Checked,
    signals: EarlySignals,
    logging: &Logging,
) -> Result<Option<Ended>, Failure> {
    let flush = FlushTime::of(checked.plan.flush());
    let reloads = checked.keys.as_ref().is_some_and(|keys| keys.has_files());
    let signals = if reloads { signals.without(Hangup) } else { signals };
    let hangups = reloads.then(hangups).flatten();
    let mut shutdown = Shutdown::on_early_signals(checked.plan.with_flush(flush.participants), signals)?;
    systemd::announce_stop(&shutdown.phases(), checked.plan.grace());
    raise_file_limit(checked.config.limits.max_connections.get());
    survive_size_limit();
    warn_of_anonymity(&checked);
    let listener = bind("listen", checked.config.listen)?;
    let ops = checked.config.ops_listen.map(|at| bind("ops_listen", at)).transpose()?;
    let metrics = telemetry::install().map_err(|error| Failure::at_run_time(format!("metrics: {error}")))?;
    let config = checked.config.clone();
    let mut starting = pin!(Service::start_checked(checked, None));
    let (started, requested) = tokio::select! {
        started = &mut starting => (Some(started), false),
        cause = shutdown.requested() => {
            tracing::info!(?cause, "Told to stop before the start was complete");
            // A store that is being opened is opened, so that it can be closed in order, unless that takes too long.
            (timeout(config.shutdown.flush, starting).await.ok(), true)
        }
    };
    let service = match started {
        Some(Ok(service)) => service,
        Some(Err(error)) if !requested => return Err(Failure::to_start(loaded, &error)),
        Some(Err(_)) | None => return Ok(None),
    };
    service.register(&mut shutdown);
    if let Some(hangups) = hangups {
        tokio::spawn(reload_keys_on(hangups, service.clone()));
    }
    let servers = if requested {
        shutdown.skip_lame_duck();
        Servers::none()
    } else {
        let metrics = metrics_route(service.clone(), metrics, logging.dropped().clone());
        Servers::start(&service, &config, metrics, shutdown.phases(), listener, ops)?
    };
    if !requested {
        systemd::ready();
    }
    Ok(Some(run_to_the_end(&service, shutdown, servers, flush, logging.dropped()).await))
}

async fn run_to_the_end(
    service: &Service,
    shutdown: Shutdown,
    servers: Servers,
    flush: FlushTime,
    dropped: &DroppedLines,
) -> Ended {
    let report = shutdown.run().await;
    let left = flush.left(&report);
    let by = Instant::now() + left;
    servers.stop(LAST_REQUESTS.min(left / 2)).await;
    Ended { report: service.report(report).with_log_events_dropped(dropped.count()), by }
}

/// How the budget of the flush is divided: between the participants of the shutdown, and what follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FlushTime {
    participants: Duration,
    /// For the last requests and the last lines of the log.
    reserve: Duration,
}

impl FlushTime {
    fn of(flush: Duration) -> Self {
        let reserve = (flush / 5).min(Duration::from_secs(1));
        Self { participants: flush - reserve, reserve }
    }

    /// What is left when the participants have ended.
    fn left(self, report: &Report) -> Duration {
        let flushing = report.phases.iter().find(|phase| phase.name == Phase::Flushing);
        let took = flushing.map_or(Duration::ZERO, |phase| Duration::from_millis(phase.duration_ms));
        self.reserve + self.participants.saturating_sub(took)
    }
}

fn bind(key: &str, at: SocketAddr) -> Result<Listener, Failure> {
    Listener::bind(at).map_err(|error| Failure::at_run_time(format!("{key}: cannot listen on {at}: {error}")))
}

/// SIGHUP where keys come from files: they are read again. Elsewhere it ends the program, as SIGINT does.
fn hangups() -> Option<Signal> {
    let hangups = signal(SignalKind::hangup());
    hangups.inspect_err(|error| tracing::warn!(%error, "Cannot listen for SIGHUP")).ok()
}

async fn reload_keys_on(mut hangups: Signal, service: Service) {
    while hangups.recv().await.is_some() {
        service.reload_keys();
    }
}

fn warn_of_anonymity(checked: &Checked) {
    if let Some(warning) = checked.anonymity_warning() {
        tracing::warn!("{warning}");
    }
}
