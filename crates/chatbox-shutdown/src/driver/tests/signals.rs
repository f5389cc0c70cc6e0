//! Signals after the first signal or request.

use super::*;

#[tokio::test(start_paused = true)]
async fn sigint_after_a_request_cuts_the_lame_duck_without_forcing_the_end() {
    let report = run_with(planned(), [(0.0, REQUEST), (2.0, signal(Interrupt))]).await;
    assert_eq!(phases_of(&report), "lame_duck:2000 draining:0 flushing:0");
    assert_eq!((report.outcome, report.signal), (Outcome::Clean, Some(Cause::Request)));
}

#[tokio::test(start_paused = true)]
async fn sigterm_after_a_request_changes_nothing() {
    let report = run_with(planned(), [(0.0, REQUEST), (2.0, signal(Terminate)), (1.0, REQUEST)]).await;
    assert_eq!(phases_of(&report), "lame_duck:5000 draining:0 flushing:0");
    assert_eq!(report.outcome, Outcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn every_ordered_pair_of_signals_forces_the_end_by_the_second() {
    for first in crate::Signal::ALL {
        for second in crate::Signal::ALL {
            let mut shutdown = planned();
            let dropped = hang_in(&mut shutdown, Stage::Draining);
            shutdown.during(Stage::Flushing, "store", |budget| async move {
                assert!(!budget.is_forced());
                tokio::time::sleep_until(budget.deadline()).await;
                Ok(())
            });
            let script = [(0.0, signal(first)), (1.0, signal(second)), (1.0, signal(first)), (0.5, signal(second))];
            let report = run_with(shutdown, script).await;
            assert_eq!(report.outcome, Outcome::Forced { by: second });
            assert_eq!(report.exit_code(), second.exit_code());
            assert_eq!(report.faults, [], "what was cut by force is no fault");
            if first.skips_lame_duck() {
                assert_eq!(phases_of(&report), "draining:1250 flushing:4750");
                assert!(dropped.is_dropped());
            } else {
                assert_eq!(phases_of(&report), "lame_duck:1000 flushing:4750");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_lets_participants_settle() {
    let settled = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&settled);
    let mut shutdown = planned();
    shutdown.during(Stage::Draining, "connections", |budget| async move {
        budget.expired().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        *seen.lock().unwrap() = Some(budget.is_forced());
        Ok(Ending::CutShort)
    });
    let report = run_with(shutdown, [(0.0, signal(Interrupt)), (1.0, signal(Interrupt))]).await;
    assert_eq!(phases_of(&report), "draining:1100 flushing:0");
    assert_eq!(*settled.lock().unwrap(), Some(true));
    assert_eq!((report.outcome, report.exit_code()), (Outcome::Forced { by: Interrupt }, 130));
}

#[tokio::test(start_paused = true)]
async fn the_same_signal_again_within_a_second_is_the_same_request() {
    for first in crate::Signal::ALL {
        let mut shutdown = planned();
        shutdown.during(Stage::Draining, "connections", |budget| async move {
            budget.expired().await;
            Ok(Ending::CutShort)
        });
        let report = run_with(shutdown, [(0.0, signal(first)), (0.001, signal(first)), (0.9, signal(first))]).await;
        assert_eq!((report.outcome, report.signal), (Outcome::Deadline, Some(Cause::Signal(first))));
    }
}

#[tokio::test(start_paused = true)]
async fn repetitions_are_recognised_by_when_they_came_not_by_when_the_program_was_ready() {
    for (pause, outcome) in [(0.01, Outcome::Clean), (2.0, Outcome::Forced { by: Terminate })] {
        let shutdown = planned();
        let trigger = shutdown.trigger();
        trigger.inject(signal(Terminate));
        tokio::time::sleep(Duration::from_secs_f64(pause)).await;
        trigger.inject(signal(Terminate));
        // A slow start.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(shutdown.run().await.outcome, outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_forwards_its_second_signal_to_a_shutdown_inside_it_and_the_flush_still_runs() {
    let mut inner = planned();
    hang_in(&mut inner, Stage::Draining);
    inner.during(Stage::Flushing, "store", |_| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    });
    let (begin, force) = (inner.trigger(), inner.trigger());
    tokio::spawn(async move {
        begin.begin_within(Duration::from_secs(25));
        tokio::time::sleep(Duration::from_secs(7)).await;
        force.force();
    });
    let report = inner.run().await;
    assert_eq!(report.outcome, Outcome::Forced { by: Terminate });
    assert_eq!(phases_of(&report), "lame_duck:4750 draining:2500 flushing:2000");
    assert_eq!(report.faults, []);
}
