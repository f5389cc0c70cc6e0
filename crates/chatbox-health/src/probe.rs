//! One check with its timeout, its single flight, its cached result and its second try.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::hysteresis::Verdict;
use crate::{Check, CheckError, CheckReport, Gate, Hysteresis, Status};

/// Runs a check at most once at a time and remembers what came out.
pub(crate) struct Probe {
    check: Box<dyn Check>,
    hysteresis: Hysteresis,
    timeout: Duration,
    /// How long a result is used, from the completion of its run.
    cache: Duration,
    gate: Gate,
    known: watch::Sender<Known>,
}

impl Probe {
    pub(crate) fn new(
        check: Box<dyn Check>,
        hysteresis: Hysteresis,
        timeout: Duration,
        cache: Duration,
        gate: Gate,
    ) -> Self {
        let verdict = Verdict::default();
        let report = report(verdict, None, Err(CheckError::NotChecked));
        let known = Known { verdict, report, fresh_until: None, running: false, runs: 0 };
        Self { check, hysteresis, timeout, cache, gate, known: watch::Sender::new(known) }
    }

    /// What the latest completed run found.
    pub(crate) fn last_known(&self) -> CheckReport {
        self.known.borrow().report.clone()
    }

    /// Sees to it that a fresh result is on its way, and returns a future that waits for it.
    ///
    /// The run belongs to no caller: it goes on when the returned future is dropped.
    pub(crate) fn refresh(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let (mut start, mut wait_past) = (false, None);
        self.known.send_if_modified(|known| {
            if known.is_stale() {
                start = !mem::replace(&mut known.running, true);
                wait_past = Some(known.runs);
            }
            false // Nobody waits for a run to begin.
        });
        if start {
            tokio::spawn(run(Arc::clone(self)));
        }
        let mut known = self.known.subscribe();
        async move {
            if let Some(seen) = wait_past {
                // Any completion will do. Waiting for "not running" could miss it when the next
                // run begins before this task is polled again. An error would mean that the probe
                // is gone, and with it whoever asked.
                let _ = known.wait_for(|known| known.runs > seen).await;
            }
        }
    }
}

/// Runs the check, and again if it is suspect: a verdict must not wait for the next caller, who may come in ten seconds.
async fn run(probe: Arc<Probe>) {
    // On a task of its own: it may panic.
    let _ = tokio::spawn(Run::of(Arc::clone(&probe)).complete()).await;
    let retry = probe.known.borrow().retry();
    if let Some(retry) = retry {
        sleep_until(retry).await;
        if probe.gate.is_open() {
            // Nothing happens if somebody asked just before. The run that begins sees to the next one.
            drop(probe.refresh());
        }
    }
}

/// What a probe remembers.
struct Known {
    verdict: Verdict,
    report: CheckReport,
    fresh_until: Option<Instant>,
    running: bool,
    /// How many runs have completed.
    runs: u64,
}

impl Known {
    fn is_stale(&self) -> bool {
        self.fresh_until.is_none_or(|until| Instant::now() >= until)
    }

    /// When the check is to be run again although nobody asks.
    fn retry(&self) -> Option<Instant> {
        self.fresh_until.filter(|_| self.verdict.is_suspect())
    }

    /// Takes in the result of a run: the one place where results become a verdict.
    fn record(&mut self, latency: Duration, outcome: Result<(), CheckError>, cache: Duration, hysteresis: Hysteresis) {
        self.verdict.on_run(outcome.is_ok(), hysteresis.failure_threshold);
        self.report = report(self.verdict, Some(latency), outcome);
        let pause = if self.verdict.is_suspect() { hysteresis.retry_after } else { cache };
        self.fresh_until = Some(Instant::now() + pause);
        self.running = false;
        self.runs += 1;
    }
}

fn report(verdict: Verdict, latency: Option<Duration>, outcome: Result<(), CheckError>) -> CheckReport {
    CheckReport {
        status: Status::ready_if(verdict.is_ready()),
        latency_ms: latency.map(|latency| latency.as_millis().try_into().unwrap_or(u64::MAX)),
        error: outcome.err(),
    }
}

/// One run of the check. It is recorded on drop, so that no way for it to end, be it a panic or
/// the end of the runtime, leaves the probe waiting.
struct Run {
    probe: Arc<Probe>,
    began: Instant,
    outcome: Option<Result<(), CheckError>>,
}

impl Run {
    fn of(probe: Arc<Probe>) -> Self {
        Self { probe, began: Instant::now(), outcome: None }
    }

    async fn complete(mut self) {
        let suspect = self.probe.known.borrow().verdict.is_suspect();
        let limit =
            if suspect { self.probe.timeout.min(self.probe.hysteresis.retry_timeout) } else { self.probe.timeout };
        let outcome = timeout(limit, async { self.probe.check.check().await }).await;
        self.outcome = Some(match outcome {
            Ok(outcome) => outcome.map_err(|error| CheckError::failed(&error)),
            Err(_elapsed) => Err(CheckError::TimedOut(limit)),
        });
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let outcome = self
            .outcome
            .take()
            .unwrap_or_else(|| Err(if std::thread::panicking() { CheckError::Panicked } else { CheckError::Aborted }));
        let (latency, cache, hysteresis) = (self.began.elapsed(), self.probe.cache, self.probe.hysteresis);
        self.probe.known.send_modify(|known| known.record(latency, outcome, cache, hysteresis));
    }
}
