//! A single failure does not change readiness, and an outage is reported in time: in paused time.

use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatbox_health::{Gate, Health, Hysteresis};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};

use crate::support::{error_of, settle};

const RETRY_AFTER: Duration = Duration::from_millis(250);

/// The result of one run of the check, and its duration.
#[derive(Clone, Copy, Debug)]
struct Run {
    passes: bool,
    takes: Duration,
}

const PASSES: Run = Run { passes: true, takes: Duration::ZERO };
const FAILS: Run = Run { passes: false, takes: Duration::ZERO };
/// Longer than any timeout.
const HANGS: Run = Run { passes: true, takes: Duration::from_secs(3600) };

/// A dependency whose behaviour the test sets, and which counts the runs.
#[derive(Clone)]
struct Dependency {
    now: Arc<Mutex<Run>>,
    runs: Arc<AtomicUsize>,
}

impl Dependency {
    fn new(run: Run) -> Self {
        Self { now: Arc::new(Mutex::new(run)), runs: Arc::default() }
    }

    fn becomes(&self, run: Run) {
        *self.now.lock().unwrap() = run;
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    fn health(&self, gate: &Gate, hysteresis: Hysteresis) -> Health {
        let dependency = self.clone();
        let check = move || {
            dependency.runs.fetch_add(1, Ordering::SeqCst);
            let run = *dependency.now.lock().unwrap();
            async move {
                sleep(run.takes).await;
                if run.passes { Ok(()) } else { Err(io::Error::other("down")) }
            }
        };
        Health::builder().gate(gate.clone()).check_with("mongodb", hysteresis, check).build()
    }
}

fn open() -> Gate {
    let gate = Gate::new("starting");
    gate.open("running");
    gate
}

#[tokio::test(start_paused = true)]
async fn one_failure_is_shown_but_does_not_flip_and_the_check_is_run_again_without_a_probe() {
    for failure in [FAILS, HANGS] {
        let dependency = Dependency::new(PASSES);
        let health = dependency.health(&open(), Hysteresis::default());
        assert!(health.readiness().await.is_ready());
        sleep(Duration::from_secs(1)).await;
        dependency.becomes(failure);
        let suspect = health.readiness().await;
        assert!(suspect.is_ready());
        assert!(error_of(&suspect, "mongodb").is_some());
        dependency.becomes(PASSES);
        // A probe within the pause starts no run.
        assert_eq!((health.readiness().await, dependency.runs()), (suspect, 2));
        sleep(RETRY_AFTER).await;
        settle().await;
        assert_eq!(dependency.runs(), 3);
        assert_eq!(error_of(&health.readiness().await, "mongodb"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_flip_and_one_success_flips_back() {
    let threshold = NonZeroU32::new(4).unwrap();
    let dependency = Dependency::new(PASSES);
    let health = dependency.health(&open(), Hysteresis::default().with_failure_threshold(threshold));
    assert!(health.readiness().await.is_ready());
    sleep(Duration::from_secs(1)).await;
    dependency.becomes(FAILS);
    for failures in 1..4 {
        assert!(health.readiness().await.is_ready());
        sleep(RETRY_AFTER).await;
        settle().await;
        assert_eq!(dependency.runs(), failures + 2, "by itself");
    }
    assert!(!health.readiness().await.is_ready());
    // From here on only probes start runs.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(dependency.runs(), 5);
    dependency.becomes(PASSES);
    assert!(health.readiness().await.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_check_that_never_passed_or_has_no_hysteresis_follows_its_latest_run() {
    let dependency = Dependency::new(FAILS);
    assert!(!dependency.health(&open(), Hysteresis::default()).readiness().await.is_ready());
    dependency.becomes(PASSES);
    let health = dependency.health(&open(), Hysteresis::NONE);
    assert!(health.readiness().await.is_ready());
    sleep(Duration::from_secs(1)).await;
    dependency.becomes(FAILS);
    assert!(!health.readiness().await.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_is_tried_again_too() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let check = move || {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_eq!(run, 0, "only the first run passes");
            io::Result::Ok(())
        }
    };
    let health = Health::builder().check("fragile", check).build();
    assert!(health.readiness().await.is_ready());
    sleep(Duration::from_secs(1)).await;
    assert!(health.readiness().await.is_ready());
    sleep(RETRY_AFTER).await;
    settle().await;
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    assert!(!health.readiness().await.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_closes_meanwhile_starts_no_second_try() {
    let (gate, dependency) = (open(), Dependency::new(PASSES));
    let health = dependency.health(&gate, Hysteresis::default());
    assert!(health.readiness().await.is_ready());
    sleep(Duration::from_secs(1)).await;
    dependency.becomes(FAILS);
    assert!(health.readiness().await.is_ready());
    gate.close("lame_duck");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(dependency.runs(), 2);
    gate.open("running");
    assert!(!health.readiness().await.is_ready());
}

/// Probes every `period`, from before the dependency becomes `dead` until a probe is answered with not ready. Returns the
/// time from the failure to that answer.
async fn told_after(period: Duration, dead: Run, dies_after: Duration) -> Duration {
    let dependency = Dependency::new(PASSES);
    let health = dependency.health(&open(), Hysteresis::default());
    let died = Instant::now() + dies_after;
    let mut probes = JoinSet::new();
    tokio::spawn(async move {
        tokio::time::sleep_until(died).await;
        dependency.becomes(dead);
    });
    loop {
        // A prober does not wait for the previous answer.
        let health = health.clone();
        probes.spawn(async move { health.readiness().await.is_ready() });
        let next = sleep(period);
        tokio::pin!(next);
        loop {
            tokio::select! {
                biased;
                Some(ready) = probes.join_next() => if !ready.unwrap() {
                    assert!(Instant::now() >= died, "nothing had failed yet");
                    return died.elapsed();
                },
                () = &mut next => break,
            }
        }
    }
}

proptest! {
    /// The default bound, as the README states it.
    #[test]
    fn a_dead_dependency_is_told_in_time(
        period_ms in prop_oneof![20u64..1_000, Just(1_000), 1_000u64..12_000], takes_ms in 0u64..4_000, dies_after_ms in 0u64..15_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let period = Duration::from_millis(period_ms);
        let dead = Run { passes: false, takes: Duration::from_millis(takes_ms) };
        let told = runtime.block_on(told_after(period, dead, Duration::from_millis(dies_after_ms)));
        let bound = if period_ms <= 1_000 { Duration::from_secs(5) } else { Duration::from_millis(4_750) + 2 * period };
        prop_assert!(told <= bound, "{told:?}");
    }

    /// The service is never not ready unless two runs in a row failed.
    #[test]
    fn single_failures_never_flip(
        runs in prop::collection::vec((any::<bool>(), 0u64..3_000), 1..60), pause_ms in 0u64..3_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (begun, script) = (Arc::new(AtomicUsize::new(0)), runs);
            let counted = Arc::clone(&begun);
            let check = move || {
                let run = counted.fetch_add(1, Ordering::SeqCst);
                // Every other run passes at once.
                let (passes, takes_ms) = if run % 2 == 0 { (true, 0) } else { script[run % script.len()] };
                async move {
                    sleep(Duration::from_millis(takes_ms)).await;
                    if passes { Ok(()) } else { Err("down") }
                }
            };
            let health = Health::builder().check("mongodb", check).build();
            for _ in 0..60 {
                assert!(health.readiness().await.is_ready());
                advance(Duration::from_millis(pause_ms)).await;
            }
            assert!(begun.load(Ordering::SeqCst) > 0);
        });
    }
}
