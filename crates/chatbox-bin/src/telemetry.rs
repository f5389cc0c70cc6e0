//! Metrics and log lines of connections and shutdowns, and the Prometheus exporter.

use chatbox_core::{CloseCode, CloseError, CloseSummary, Closing, Connection, Observer, Refused, Tally};
use chatbox_shutdown::Phase;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Every metric with its help text. `docs/metrics.md` describes them.
const METRICS: &[(Kind, &str, &str)] = &[
    (Kind::Gauge, "chatbox_connections_active", "WebSocket connections being served"),
    (Kind::Counter, "chatbox_connections_opened_total", "WebSocket connections opened"),
    (Kind::Counter, "chatbox_connections_refused_total", "Requests for a connection that were refused, by reason"),
    (
        Kind::Counter,
        "chatbox_connections_displaced_total",
        "Connections that did not answer a ping at their user's limit, and gave way to a new one",
    ),
    (
        Kind::Counter,
        "chatbox_connections_closed_total",
        "WebSocket connections ended, by close code and by the side that closed",
    ),
    (
        Kind::Counter,
        "chatbox_connection_close_errors_total",
        "Connections that ended without a finished close handshake",
    ),
    (Kind::Histogram, "chatbox_connection_duration_seconds", "How long connections lasted"),
    (Kind::Counter, "chatbox_messages_accepted_total", "Messages accepted from clients, to be stored"),
    (Kind::Counter, "chatbox_messages_acked_total", "Messages stored and acknowledged"),
    (Kind::Counter, "chatbox_messages_delivered_total", "Messages written to the connections of members"),
    (Kind::Counter, "chatbox_messages_rejected_total", "Requests answered with an error, by reason"),
    (Kind::Histogram, "chatbox_append_seconds", "How long one commit of messages took"),
    (Kind::Gauge, "chatbox_store_stream_lag_seconds", "How far this replica may be behind the appends of others"),
    (
        Kind::Counter,
        "chatbox_store_appends_outrun_total",
        "Appends that were repeated because another replica had appended first",
    ),
    (
        Kind::Counter,
        "chatbox_store_resyncs_total",
        "Reads of messages that neither an append nor the change stream had delivered",
    ),
    (Kind::Counter, "chatbox_slow_consumers_total", "Times a live member fell behind its room's ring"),
    (Kind::Gauge, "chatbox_lagging_members", "Members being served from the store, behind their room's ring"),
    (Kind::Gauge, "chatbox_outbox_bytes", "Bytes queued for connections, over all outboxes"),
    (Kind::Gauge, "chatbox_ring_bytes", "Bytes of the newest messages of all rooms, kept in memory"),
    (Kind::Counter, "chatbox_log_lines_dropped_total", "Log lines dropped because the log could not be written"),
    (Kind::Gauge, "chatbox_ready", "1 while the service is ready for traffic"),
    (Kind::Gauge, "chatbox_shutdown_phase", "0 running, 1 lame duck, 2 draining, 3 flushing, 4 stopped"),
    (Kind::Gauge, "chatbox_shutdown_phase_duration_seconds", "How long each finished phase of the shutdown took"),
    (Kind::Gauge, "chatbox_shutdown_duration_seconds", "How long the shutdown has taken so far"),
];

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Reasons for refusals besides those of [`Refused`]: each is counted from the start, so that a rate can be taken of the first one.
const REFUSALS: &[&str] = &[
    "authentication_unavailable",
    "bad_request",
    "bad_upgrade",
    "handshake_limit",
    "history_limit",
    "not_allowed",
    "origin_not_allowed",
    "unauthorized",
    "unsupported_version",
];

/// The target of the log lines of a shutdown, which are written even when others are dropped.
pub(crate) const SHUTDOWN_TARGET: &str = "chatbox::shutdown";

/// Between two lines about the same kind of refusal: a flood of requests must not become a flood of lines.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// Characters of a text from a request that are logged.
const LOGGED_CHARS: usize = 256;

/// How often recorded samples are folded into histograms; until then each takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder of the process, and spawns the task that bounds its memory. Must be called within a tokio runtime.
///
/// # Errors
/// When another recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
    const LIFETIMES: &[f64] = &[1.0, 10.0, 60.0, 300.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0];
    let handle = PrometheusBuilder::new()
        .set_buckets(SECONDS)?
        .set_buckets_for_metric(Matcher::Full("chatbox_connection_duration_seconds".to_owned()), LIFETIMES)?
        .install_recorder()?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(UPKEEP);
        loop {
            interval.tick().await;
            upkeep.run_upkeep();
        }
    });
    for &(kind, name, help) in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, help),
            Kind::Gauge => metrics::describe_gauge!(name, help),
            Kind::Histogram => metrics::describe_histogram!(name, help),
        }
    }
    metrics_process::Collector::default().describe();
    Ok(handle)
}

/// The metrics as Prometheus text.
pub(crate) fn render(handle: &PrometheusHandle) -> String {
    metrics_process::Collector::default().collect();
    handle.render()
}

/// Records the phases of a shutdown.
pub(crate) fn on_phase(phase: Phase) {
    gauge!("chatbox_shutdown_phase").set(phase.index() as f64);
}

/// Records how long a phase took, once it is over.
pub(crate) fn on_phase_ended(phase: Phase, lasted: Duration) {
    gauge!("chatbox_shutdown_phase_duration_seconds", "phase" => phase.as_str()).set(lasted.as_secs_f64());
}

/// Records how long the shutdown took so far.
pub(crate) fn on_shutdown(lasted: Duration) {
    gauge!("chatbox_shutdown_duration_seconds").set(lasted.as_secs_f64());
}

/// Logs the outcome of a drain.
pub(crate) fn on_drained(tally: &Tally) {
    let Tally { at_signal, closed, peer_gone, timed_out, aborted, refused, .. } = *tally;
    tracing::info!(target: SHUTDOWN_TARGET, at_signal, closed, peer_gone, timed_out, aborted, refused, "All WebSocket connections closed");
}

/// Records whether the service is ready.
pub(crate) fn on_readiness(ready: bool) {
    gauge!("chatbox_ready").set(f64::from(u8::from(ready)));
}

/// Records how many log lines were dropped so far.
pub(crate) fn on_log_lines_dropped(lines: u64) {
    counter!("chatbox_log_lines_dropped_total").absolute(lines);
}

/// Records how much memory the outboxes and the rings use.
pub(crate) fn on_memory(outboxes: usize, rings: usize) {
    gauge!("chatbox_outbox_bytes").set(outboxes as f64);
    gauge!("chatbox_ring_bytes").set(rings as f64);
}

/// Records the connections, and logs the drain.
pub(crate) struct ConnectionMetrics {
    active: Gauge,
    opened: Counter,
    duration: Histogram,
}

impl ConnectionMetrics {
    pub(crate) fn new() -> Self {
        for reason in REFUSALS.iter().copied().chain(Refused::ALL.map(Refused::as_str)) {
            counter!("chatbox_connections_refused_total", "reason" => reason).increment(0);
        }
        Self {
            active: gauge!("chatbox_connections_active"),
            opened: counter!("chatbox_connections_opened_total"),
            duration: histogram!("chatbox_connection_duration_seconds"),
        }
    }
}

/// Counts a refused request, and logs it at most once a second for each reason.
pub(crate) fn on_refused(reason: &'static str) {
    static LINES: Throttle = Throttle::new();
    counter!("chatbox_connections_refused_total", "reason" => reason).increment(1);
    if let Some(suppressed) = LINES.pass(reason, Instant::now()) {
        tracing::info!(reason, suppressed, "Refusing connections");
    }
}

/// Counts an upgrade from a page of a foreign origin, and logs the origin and the hosts that it was compared with.
pub(crate) fn on_origin_refused(reason: &'static str, origin: &str, hosts: &str) {
    static LINES: Throttle = Throttle::new();
    counter!("chatbox_connections_refused_total", "reason" => reason).increment(1);
    if let Some(suppressed) = LINES.pass(reason, Instant::now()) {
        let [origin, hosts] = [origin, hosts].map(|text| text.chars().take(LOGGED_CHARS).collect::<String>());
        tracing::info!(reason, origin, hosts, suppressed, "Refusing connections");
    }
}

/// Warns of forwarding headers from a peer that is not a trusted proxy, at most once a minute.
pub(crate) fn on_untrusted_proxy(peer: IpAddr) {
    static LINES: Throttle = Throttle::every(Duration::from_secs(60));
    if let Some(suppressed) = LINES.pass("untrusted_proxy", Instant::now()) {
        tracing::warn!(
            %peer, suppressed,
            "Ignoring forwarding headers of a peer that is not in server.trusted_proxies"
        );
    }
}

/// Logs a message that is answered with an error, at most once a second for each reason. The rooms count it.
pub(crate) fn on_rejected(reason: &'static str) {
    static LINES: Throttle = Throttle::new();
    if let Some(suppressed) = LINES.pass(reason, Instant::now()) {
        tracing::info!(reason, suppressed, "Rejecting messages");
    }
}

/// Limits the log lines of each kind, and counts those that are suppressed.
struct Throttle {
    interval: Duration,
    lines: Mutex<BTreeMap<&'static str, (Instant, u64)>>,
}

impl Throttle {
    const fn new() -> Self {
        Self::every(BETWEEN_LINES)
    }

    const fn every(interval: Duration) -> Self {
        Self { interval, lines: Mutex::new(BTreeMap::new()) }
    }

    /// Whether a line of this kind may be written: if so, how many were suppressed since the last one.
    fn pass(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.get_mut(kind) {
            Some((last, suppressed)) if now.duration_since(*last) < self.interval => {
                *suppressed += 1;
                None
            }
            last => {
                let suppressed = last.map_or(0, |(_, suppressed)| *suppressed);
                lines.insert(kind, (now, 0));
                Some(suppressed)
            }
        }
    }
}

impl Observer for ConnectionMetrics {
    fn on_opened(&self, connection: &Connection) {
        self.active.increment(1.0);
        self.opened.increment(1);
        tracing::debug!(user_id = &**connection.user(), connection_id = %connection.id(), "WebSocket connection opened");
    }

    fn on_refused(&self, refusal: Refused) {
        on_refused(refusal.as_str());
    }

    fn on_displaced(&self, connection: &Connection) {
        counter!("chatbox_connections_displaced_total").increment(1);
        tracing::debug!(
            user_id = &**connection.user(),
            connection_id = %connection.id(),
            "Unresponsive connection gives way to a new one of its user"
        );
    }

    fn on_drain(&self, connections: usize) {
        tracing::info!(target: SHUTDOWN_TARGET, connections, "Shutting down WebSocket handler, closing all connections");
    }

    fn on_closing(&self, connection: &Connection, _: &Closing) {
        tracing::info!(
            target: SHUTDOWN_TARGET,
            user_id = &**connection.user(),
            connection_id = %connection.id(),
            "Closing WebSocket connection"
        );
    }

    fn on_ended(&self, connection: &Connection, ended: &CloseSummary, lasted: Duration) {
        self.active.decrement(1.0);
        self.duration.record(lasted.as_secs_f64());
        let code = code_label(ended.code);
        counter!("chatbox_connections_closed_total", "code" => code, "by" => ended.by.as_str()).increment(1);
        if let Some(kind) = ended.error {
            counter!("chatbox_connection_close_errors_total", "kind" => kind.as_str()).increment(1);
        }
        tracing::debug!(
            user_id = &**connection.user(),
            connection_id = %connection.id(),
            code = ended.code.value(),
            by = ended.by.as_str(),
            outcome = ended.outcome.as_str(),
            error = ended.error.map(CloseError::as_str),
            owed = ended.owed,
            "WebSocket connection ended"
        );
    }
}

/// A label for a close code: clients choose among thousands, and each label costs memory for good.
fn code_label(code: CloseCode) -> String {
    match code.value() {
        1000..=1015 => code.to_string(),
        3000..=3999 => "3xxx".to_owned(),
        4000..=4999 => "4xxx".to_owned(),
        _ => "other".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_one_line_a_second_and_hides_no_other() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(throttle.pass("full", at(0)), Some(0));
        assert_eq!(throttle.pass("full", at(1)), None);
        assert_eq!(throttle.pass("unauthorized", at(2)), Some(0));
        assert_eq!(throttle.pass("full", at(999)), None);
        assert_eq!(throttle.pass("full", at(1_000)), Some(2));
        assert_eq!(throttle.pass("full", at(2_000)), Some(0));
    }
}
