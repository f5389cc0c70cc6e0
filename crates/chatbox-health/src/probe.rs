//! One check with its timeout, its single flight, its cached result and its retries.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::hysteresis::Verdict;
use crate::{BoxError, Check, CheckError, CheckReport, Gate, Hysteresis, Status};

/// How long an aborted run may take to end before it counts as blocking its thread.
const ABORT: Duration = Duration::from_millis(10);

/// Runs a check at most once at a time, and keeps its result.
pub(crate) struct Probe {
    check: Box<dyn Check>,
    hysteresis: Hysteresis,
    timeout: Duration,
    /// How long a result is reused, from the end of its run.
    cache: Duration,
    gate: Gate,
    known: watch::Sender<Known>,
}

/// The result of one run.
type Outcome = Result<(), CheckError>;

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
        let known = Known { verdict, report, fresh_until: None, run: None, results: 0 };
        Self { check, hysteresis, timeout, cache, gate, known: watch::Sender::new(known) }
    }

    /// The latest result.
    pub(crate) fn last_known(&self) -> CheckReport {
        self.known.borrow().report.clone()
    }

    /// Starts a run if the result is stale and none is in progress, and returns a future that waits
    /// for the result. A run that has exceeded its limit already is not waited for.
    ///
    /// The run does not depend on the returned future.
    pub(crate) fn refresh(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let (mut start, mut wait_past) = (false, None);
        self.known.send_if_modified(|known| {
            if known.is_stale() {
                start = known.run.is_none();
                let run = *known.run.get_or_insert(InProgress::InTime);
                wait_past = (run == InProgress::InTime).then_some(known.results);
            }
            false // The start of a run changes nothing for those that wait for a result.
        });
        if start {
            tokio::spawn(supervise(Arc::clone(self)));
        }
        let mut known = self.known.subscribe();
        async move {
            if let Some(seen) = wait_past {
                // Any later result will do. Waiting for "no run in progress" could miss it when the next
                // run begins before this task is polled again. An error means that the probe was dropped.
                let _ = known.wait_for(|known| known.results > seen).await;
            }
        }
    }

    /// The time limit of the next run.
    fn limit(&self) -> Duration {
        if self.known.borrow().verdict.is_suspect() {
            self.timeout.min(self.hysteresis.retry_timeout)
        } else {
            self.timeout
        }
    }

    fn record(&self, latency: Duration, outcome: Outcome, run: Option<InProgress>) {
        let (cache, hysteresis) = (self.cache, self.hysteresis);
        self.known.send_modify(|known| known.record(latency, outcome, run, cache, hysteresis));
    }
}

/// Runs the check, and again if it is suspect: the verdict must not wait for the next probe, which may come in ten seconds.
async fn supervise(probe: Arc<Probe>) {
    run(&probe).await;
    let retry = probe.known.borrow().retry();
    if let Some(retry) = retry {
        sleep_until(retry).await;
        if probe.gate.is_open() {
            // Starts nothing if a probe did so just before. The new run's supervisor does the next retry.
            drop(probe.refresh());
        }
    }
}

/// Runs the check once, on a task of its own: it may panic, or block its thread.
async fn run(probe: &Arc<Probe>) {
    let run = Run { probe, began: Instant::now(), state: RunState::Pending };
    let limit = probe.limit();
    let mut task = tokio::spawn(time(Arc::clone(probe)));
    match timeout(limit, &mut task).await {
        Ok(Ok((latency, outcome))) if latency <= limit => run.end(latency, outcome),
        // It blocked the only thread that could have noticed.
        Ok(Ok((latency, _))) => run.end(latency, Err(CheckError::TimedOut(limit))),
        Ok(Err(error)) => run.end_by(&error),
        Err(_elapsed) => {
            task.abort();
            if timeout(ABORT, &mut task).await.is_ok() {
                run.end(limit, Err(CheckError::TimedOut(limit)));
            } else {
                run.blocked(limit, task).await;
            }
        }
    }
}

/// Runs the check and measures it.
async fn time(probe: Arc<Probe>) -> (Duration, Outcome) {
    let began = Instant::now();
    let outcome = probe.check.check().await;
    (began.elapsed(), outcome.map_err(|error: BoxError| CheckError::failed(&error)))
}

/// A run in progress. Whatever ends it, be it the end of the runtime, the next probe can start another
/// run: dropping it records a result if there is none yet.
struct Run<'a> {
    probe: &'a Probe,
    began: Instant,
    state: RunState,
}

enum RunState {
    Pending,
    Blocked,
    Recorded,
}

impl Run<'_> {
    fn end(mut self, latency: Duration, outcome: Outcome) {
        self.state = RunState::Recorded;
        self.probe.record(latency, outcome, None);
    }

    fn end_by(self, error: &JoinError) {
        let latency = self.began.elapsed();
        self.end(latency, Err(if error.is_panic() { CheckError::Panicked } else { CheckError::Aborted }));
    }

    /// Waits for a check that blocks its thread. Its time-out is recorded at once, and again as often as
    /// retries would fail while the check is suspect.
    async fn blocked(mut self, limit: Duration, mut task: JoinHandle<(Duration, Outcome)>) {
        self.probe.record(limit, Err(CheckError::TimedOut(limit)), Some(InProgress::TimedOut));
        self.state = RunState::Blocked;
        loop {
            let (suspect, limit) = (self.probe.known.borrow().verdict.is_suspect(), self.probe.limit());
            tokio::select! {
                _ = &mut task => return,
                () = sleep(self.probe.hysteresis.retry_after + limit), if suspect => {
                    let latency = self.began.elapsed();
                    self.probe.record(latency, Err(CheckError::TimedOut(limit)), Some(InProgress::TimedOut));
                }
            }
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        match self.state {
            RunState::Recorded => {}
            RunState::Pending => self.probe.record(self.began.elapsed(), Err(CheckError::Aborted), None),
            RunState::Blocked => self.probe.known.send_modify(|known| known.run = None),
        }
    }
}

/// What a probe keeps.
struct Known {
    verdict: Verdict,
    report: CheckReport,
    fresh_until: Option<Instant>,
    run: Option<InProgress>,
    /// The number of recorded results.
    results: u64,
}

/// A run that has not ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InProgress {
    InTime,
    /// Its time-out was recorded, but it blocks its thread.
    TimedOut,
}

impl Known {
    fn is_stale(&self) -> bool {
        self.fresh_until.is_none_or(|until| Instant::now() >= until)
    }

    /// When the check is to be run again without a probe.
    fn retry(&self) -> Option<Instant> {
        self.fresh_until.filter(|_| self.verdict.is_suspect())
    }

    fn record(
        &mut self,
        latency: Duration,
        outcome: Outcome,
        run: Option<InProgress>,
        cache: Duration,
        hysteresis: Hysteresis,
    ) {
        self.verdict.on_run(outcome.is_ok(), hysteresis.failure_threshold);
        self.report = report(self.verdict, Some(latency), outcome);
        let pause = if self.verdict.is_suspect() { hysteresis.retry_after } else { cache };
        self.fresh_until = Some(Instant::now() + pause);
        self.run = run;
        self.results += 1;
    }
}

fn report(verdict: Verdict, latency: Option<Duration>, outcome: Outcome) -> CheckReport {
    CheckReport {
        status: Status::ready_if(verdict.is_ready()),
        latency_ms: latency.map(|latency| latency.as_millis().try_into().unwrap_or(u64::MAX)),
        error: outcome.err(),
    }
}
