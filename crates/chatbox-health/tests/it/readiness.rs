//! Gate, timeouts, cache and single flight, in paused time.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use chatbox_health::{CheckError, Gate, Health};
use tokio::time::{Instant, advance, sleep};

use crate::support::{Held, error_of, json, poll_once, settle};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_service_without_checks_is_as_ready_as_its_gate() {
    let gate = Gate::new("starting");
    let health = Health::builder().gate(gate.clone()).build();
    let closed = r#"{"status":"not ready","phase":"starting","checks":{}}"#;
    assert_eq!(json(&health.readiness().await), closed);
    gate.open("running");
    let open = r#"{"status":"ready","phase":"running","checks":{}}"#;
    assert_eq!(json(&health.readiness().await), open);
}

#[tokio::test]
async fn a_service_without_a_gate_is_running() {
    let readiness = Health::builder().build().readiness().await;
    assert!(readiness.is_ready());
    assert_eq!(readiness.phase, "running");
}

#[tokio::test(start_paused = true)]
async fn one_failing_check_makes_the_service_not_ready() {
    let health = Health::builder()
        .check("queue", || async { Err("no broker") })
        .check("mongodb", || async {
            sleep(Duration::from_millis(2)).await;
            io::Result::Ok(())
        })
        .build();
    assert_eq!(
        json(&health.readiness().await),
        r#"{"status":"not ready","phase":"running","checks":{"#.to_owned()
            + r#""mongodb":{"status":"ready","latency_ms":2},"#
            + r#""queue":{"status":"not ready","latency_ms":0,"error":"no broker"}}}"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_does_not_answer_fails_after_its_timeout() {
    let health = Health::builder().check("mongodb", Held::new()).build();
    let asked = Instant::now();
    assert_eq!(
        json(&health.readiness().await),
        r#"{"status":"not ready","phase":"running","checks":{"#.to_owned()
            + r#""mongodb":{"status":"not ready","latency_ms":2000,"error":"timed out after 2s"}}}"#
    );
    assert_eq!(asked.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn checks_run_at_the_same_time_each_with_its_own_timeout() {
    let health = Health::builder()
        .timeout(3 * SECOND)
        .check("quick", || async { io::Result::Ok(()) })
        .check("slow", || async {
            sleep(2 * SECOND).await;
            io::Result::Ok(())
        })
        .check("stuck", Held::new())
        .check("stuck too", Held::new())
        .build();
    let asked = Instant::now();
    let readiness = health.readiness().await;
    assert_eq!(asked.elapsed(), 3 * SECOND);
    assert_eq!(error_of(&readiness, "quick"), None);
    assert_eq!(error_of(&readiness, "slow"), None);
    for stuck in ["stuck", "stuck too"] {
        let error = readiness.checks[stuck].error.clone();
        assert_eq!(error, Some(CheckError::TimedOut(3 * SECOND)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_is_used_again_for_half_a_second_from_the_end_of_its_run() {
    for passes in [true, false] {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let health = Health::builder()
            .check("slow", move || {
                counted.fetch_add(1, Ordering::SeqCst);
                async move {
                    sleep(SECOND / 2).await;
                    if passes { Ok(()) } else { Err("down") }
                }
            })
            .build();
        let first = health.readiness().await;
        assert_eq!(first.is_ready(), passes);
        advance(SECOND / 2 - Duration::from_millis(1)).await;
        assert_eq!(health.readiness().await, first);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        advance(Duration::from_millis(1)).await;
        assert_eq!(health.readiness().await, first);
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_probes_share_one_run_of_each_check() {
    let (one, other) = (Held::new(), Held::new());
    let health = Health::builder().check("one", one.clone()).check("other", other.clone()).build();
    let ask = || {
        let health = health.clone();
        tokio::spawn(async move { health.readiness().await })
    };
    let probes: Vec<_> = (0..10_000).map(|_| ask()).collect();
    settle().await;
    one.release();
    other.release();
    for probe in probes {
        assert!(probe.await.unwrap().is_ready());
    }
    assert_eq!((one.runs(), other.runs()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_answered_although_the_next_run_has_begun() {
    let check = Held::new();
    let health = Health::builder().cache(Duration::ZERO).check("held", check.clone()).build();
    let mut late = pin!(health.readiness());
    assert!(poll_once(late.as_mut()).is_pending());
    check.release();
    settle().await;
    let mut next = pin!(health.readiness());
    assert!(poll_once(next.as_mut()).is_pending());
    settle().await;
    assert_eq!(check.runs(), 2);
    let Poll::Ready(readiness) = poll_once(late) else {
        panic!("the first run has completed");
    };
    assert!(readiness.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_goes_away_takes_no_run_with_it() {
    let check = Held::new();
    let health = Health::builder().check("held", check.clone()).build();
    {
        let mut dropped = pin!(health.readiness());
        assert!(poll_once(dropped.as_mut()).is_pending());
    }
    let mut stays = pin!(health.readiness());
    assert!(poll_once(stays.as_mut()).is_pending());
    check.release();
    assert!(stays.await.is_ready());
    assert_eq!(check.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_neither_runs_nor_waits_for_checks() {
    let (gate, check) = (Gate::new("starting"), Held::new());
    let health = Health::builder().gate(gate.clone()).check("held", check.clone()).build();
    let not_checked = r#"{"held":{"status":"not ready","error":"not checked yet"}}"#;
    let expected = format!(r#"{{"status":"not ready","phase":"starting","checks":{not_checked}}}"#);
    assert_eq!(json(&health.readiness().await), expected);
    assert_eq!(check.runs(), 0);

    gate.open("running");
    check.release();
    let open = health.readiness().await;
    assert!(open.is_ready());

    gate.close("lame_duck");
    advance(10 * SECOND).await;
    let closed = health.readiness().await;
    assert!(!closed.is_ready());
    assert_eq!((closed.phase, closed.checks), ("lame_duck", open.checks));
    assert_eq!(check.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_the_gate_answers_probes_that_wait_for_a_check() {
    let (gate, check) = (Gate::new("starting"), Held::new());
    gate.open("running");
    let health = Health::builder().gate(gate.clone()).check("held", check.clone()).build();
    let waiting = tokio::spawn({
        let health = health.clone();
        async move { health.readiness().await }
    });
    settle().await;
    assert_eq!(check.runs(), 1);
    let before = Instant::now();
    gate.close("lame_duck");
    let readiness = waiting.await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!((readiness.is_ready(), readiness.phase), (false, "lame_duck"));
    assert_eq!(error_of(&readiness, "held").unwrap(), "not checked yet");

    // The run went on, and its result counts.
    check.release();
    settle().await;
    assert_eq!(health.readiness().await.checks["held"].error, None);
    gate.open("running");
    assert!(health.readiness().await.is_ready());
    assert_eq!(check.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_check_fails_and_may_pass_the_next_time() {
    let runs = Arc::new(AtomicUsize::new(0));
    let health = Health::builder()
        .check("fragile", move || {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            assert_ne!(run, 0, "before there is a future");
            async move {
                assert_ne!(run, 1, "while it is polled");
                io::Result::Ok(())
            }
        })
        .build();
    for _ in 0..2 {
        let readiness = health.readiness().await;
        assert_eq!(error_of(&readiness, "fragile").unwrap(), "panicked");
        advance(SECOND).await;
    }
    assert!(health.readiness().await.is_ready());
}

#[test]
fn a_run_that_ended_with_its_runtime_does_not_block_the_next() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let check = Held::new();
    let health = Health::builder().cache(Duration::ZERO).check("held", check.clone()).build();
    runtime().block_on(async {
        assert!(poll_once(pin!(health.readiness())).is_pending());
        settle().await;
    });
    check.release();
    assert!(runtime().block_on(health.readiness()).is_ready());
    assert_eq!(check.runs(), 2);
}

#[test]
#[should_panic(expected = "a check named \"store\" already")]
fn two_checks_of_one_name_are_refused() {
    let _ = Health::builder().check("store", Held::new()).check("store", Held::new());
}
