//! What comes after a first signal or request.

use super::*;

#[tokio::test(start_paused = true)]
async fn sigint_after_a_request_cuts_the_lame_duck_without_forcing_the_end() {
    let report = told(planned(), [(0.0, REQUEST), (2.0, signal(Interrupt))]).await;
    assert_eq!(phases_of(&report), "lame_duck:2000 draining:0 flushing:0");
    assert_eq!((report.outcome, report.signal), (Outcome::Clean, Some(Cause::Request)));
}

#[tokio::test(start_paused = true)]
async fn sigterm_after_a_request_changes_nothing() {
    let report = told(planned(), [(0.0, REQUEST), (2.0, signal(Terminate)), (1.0, REQUEST)]).await;
    assert_eq!(phases_of(&report), "lame_duck:5000 draining:0 flushing:0");
    assert_eq!(report.outcome, Outcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn every_ordered_pair_of_signals_forces_the_end_by_the_second() {
    for first in [Terminate, Interrupt] {
        for second in [Terminate, Interrupt] {
            let mut shutdown = planned();
            let dropped = hang_in(&mut shutdown, Phase::Draining);
            shutdown.during(Phase::Flushing, "store", |budget| async move {
                assert!(!budget.is_forced());
                tokio::time::sleep_until(budget.deadline()).await;
                Ok(())
            });
            let script = [(0.0, signal(first)), (1.0, signal(second)), (1.0, signal(first)), (0.5, signal(second))];
            let report = told(shutdown, script).await;
            assert_eq!(report.outcome, Outcome::Forced { by: second });
            assert_eq!(report.exit_code(), second.exit_code());
            assert_eq!(report.participants, [], "what was cut by force is no fault");
            match first {
                Terminate => assert_eq!(phases_of(&report), "lame_duck:1000 flushing:4750"),
                Interrupt => {
                    assert_eq!(phases_of(&report), "draining:1250 flushing:4750");
                    assert!(dropped.load(Ordering::SeqCst));
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_lets_participants_settle() {
    let settled = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&settled);
    let mut shutdown = planned();
    shutdown.during(Phase::Draining, "connections", |budget| async move {
        budget.expired().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        *seen.lock().unwrap() = Some(budget.is_forced());
        Ok(Ending::CutShort)
    });
    let report = told(shutdown, [(0.0, signal(Interrupt)), (1.0, signal(Interrupt))]).await;
    assert_eq!(phases_of(&report), "draining:1100 flushing:0");
    assert_eq!(*settled.lock().unwrap(), Some(true));
    assert_eq!((report.outcome, report.exit_code()), (Outcome::Forced { by: Interrupt }, 130));
}
