//! A process that was suspended over the end of a phase: the clock jumps while no task runs.

use super::*;

/// A participant that works until its budget expires, then takes a moment to close what is left.
fn closes_at_its_deadline(shutdown: &mut Shutdown, stage: Stage, takes_ms: u64) {
    shutdown.during(stage, "connections", move |budget| async move {
        budget.expired().await;
        tokio::time::sleep(Duration::from_millis(takes_ms)).await;
        Ok(Ending::CutShort)
    });
}

#[tokio::test(start_paused = true)]
async fn late_waking_is_no_overrun() {
    for stage in [Stage::Draining, Stage::Flushing] {
        // From well before the deadline to well after the end, and over the last milliseconds only.
        for (from_ms, to_ms) in [(1_000, 60_000), (1_000, 14_800), (14_749, 15_001), (14_760, 20_000), (14_900, 15_100)]
        {
            let plan = Plan::default().with_drain(Duration::from_secs(15)).with_flush(Duration::from_secs(15));
            let mut shutdown = Shutdown::without_signals(plan.with_grace(Duration::from_secs(60))).unwrap();
            closes_at_its_deadline(&mut shutdown, stage, 200);
            let reached = shutdown.reached(stage);
            tokio::spawn(async move {
                reached.await;
                tokio::time::sleep(Duration::from_millis(from_ms)).await;
                tokio::time::advance(Duration::from_millis(to_ms - from_ms)).await;
            });
            let report = run_with(shutdown, [(0.0, signal(Interrupt))]).await;
            assert_eq!(report.faults, [], "{stage}, from {from_ms} to {to_ms}");
            assert_eq!((report.outcome, report.exit_code()), (Outcome::Deadline, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_suspended_beyond_its_grace_period_still_closes_and_flushes() {
    let mut shutdown = planned();
    closes_at_its_deadline(&mut shutdown, Stage::Draining, 20);
    shutdown.during(Stage::Flushing, "store", |budget| async move {
        assert_eq!(budget.remaining(), Duration::from_millis(4_750));
        Ok(())
    });
    let reached = shutdown.reached(Stage::LameDuck);
    tokio::spawn(async move {
        reached.await;
        tokio::time::advance(Duration::from_secs(300)).await;
    });
    let report = run_with(shutdown, [(0.0, signal(Terminate))]).await;
    assert_eq!((report.outcome, report.faults.len()), (Outcome::Deadline, 0));
}

#[tokio::test(start_paused = true)]
async fn a_participant_that_ignores_its_budget_is_an_overrun_all_the_same() {
    let mut shutdown = planned();
    let dropped = hang_in(&mut shutdown, Stage::Draining);
    let reached = shutdown.reached(Stage::Draining);
    tokio::spawn(async move {
        reached.await;
        tokio::time::advance(Duration::from_secs(300)).await;
    });
    let report = run_with(shutdown, [(0.0, signal(Terminate))]).await;
    assert_eq!(fault(&report), ("hangs", Phase::Draining, FaultKind::Overrun));
    assert!(dropped.is_dropped());
}
