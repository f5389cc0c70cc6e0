//! Participants that fail, and what is reported about them.

use super::*;

#[tokio::test(start_paused = true)]
async fn faults_are_named_and_the_next_phase_begins() {
    let mut shutdown = planned();
    shutdown.during(Stage::LameDuck, "announcer", |_| async { Err::<(), _>("not connected".into()) });
    shutdown.during(Stage::Draining, "panics early", |_| -> std::future::Ready<Result<(), BoxError>> {
        panic!("before the first await")
    });
    shutdown.during(Stage::Draining, "panics late", |_| async {
        tokio::task::yield_now().await;
        assert_eq!(1, 2, "after {}", "it");
        Ok(())
    });
    let dropped = hang_in(&mut shutdown, Stage::Draining);
    let seen = dropped.clone();
    shutdown.during(Stage::Flushing, "store", move |budget| async move {
        assert!(seen.is_dropped(), "what overran is dropped before the next phase");
        assert_eq!(budget.remaining(), Duration::from_millis(4_750));
        Err::<(), _>(CouldNotSync(std::io::Error::other("disk full")).into())
    });
    let report = run_with(shutdown, [(0.0, signal(Terminate))]).await;
    assert_eq!(phases_of(&report), "lame_duck:5000 draining:15000 flushing:0");
    assert_eq!((report.outcome, report.exit_code()), (Outcome::Failed, 3));
    insta::assert_snapshot!(serde_json::to_string_pretty(&report.faults).unwrap(), @r#"
    [
      {
        "name": "announcer",
        "phase": "lame_duck",
        "kind": "error",
        "message": "not connected"
      },
      {
        "name": "panics early",
        "phase": "draining",
        "kind": "panic",
        "message": "before the first await"
      },
      {
        "name": "panics late",
        "phase": "draining",
        "kind": "panic",
        "message": "assertion `left == right` failed: after it\n  left: 1\n right: 2"
      },
      {
        "name": "hangs",
        "phase": "draining",
        "kind": "overrun",
        "message": "had not ended after 15000 ms"
      },
      {
        "name": "store",
        "phase": "flushing",
        "kind": "error",
        "message": "could not sync: disk full"
      }
    ]
    "#);
}

#[derive(Debug, thiserror::Error)]
#[error("could not sync")]
struct CouldNotSync(#[source] std::io::Error);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_participant_that_blocks_its_thread_does_not_hold_up_the_next_phase() {
    let (release, released) = std::sync::mpsc::channel();
    let mut shutdown = Shutdown::without_signals(Plan::default().with_drain(Duration::from_millis(20))).unwrap();
    shutdown.during(Stage::Draining, "blocks", |_| async move { Ok(released.recv()?) });
    shutdown.during(Stage::Flushing, "releases it", |_| async move { Ok(release.send(())?) });
    let report = run_with(shutdown, [(0.0, signal(Interrupt))]).await;
    assert_eq!(fault(&report), ("blocks", Phase::Draining, FaultKind::Overrun));
}

#[tokio::test(start_paused = true)]
async fn a_participant_that_cuts_what_is_left_at_its_deadline_is_no_fault() {
    let mut shutdown = planned();
    shutdown.during(Stage::Draining, "connections", |budget| async move {
        budget.expired().await;
        Ok(Ending::CutShort)
    });
    let report = run_with(shutdown, [(0.0, signal(Interrupt))]).await;
    assert_eq!(phases_of(&report), "draining:14750 flushing:0");
    assert_eq!((report.outcome, report.exit_code()), (Outcome::Deadline, 0));
    assert_eq!(report.faults, []);
}

#[tokio::test(start_paused = true)]
async fn the_worst_outcome_wins() {
    let outcome =
        async |cut_short: bool, fails: bool, script: &[(f64, Event)]| {
            let mut shutdown = planned();
            let ending = if cut_short { Ending::CutShort } else { Ending::Complete };
            shutdown.during(Stage::Draining, "a", move |_| async move { Ok(ending) });
            shutdown.during(Stage::Draining, "b", move |_| async move {
                if fails { Err("it failed".into()) } else { Ok(()) }
            });
            shutdown.during(Stage::Flushing, "c", |_| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(())
            });
            let report = run_with(shutdown, script.to_vec()).await;
            (report.outcome.as_str(), report.exit_code())
        };
    let once = [(0.0, signal(Interrupt))];
    let twice = [(0.0, signal(Interrupt)), (0.5, signal(Terminate))];
    assert_eq!(outcome(false, false, &once).await, ("clean", 0));
    assert_eq!(outcome(true, false, &once).await, ("deadline", 0));
    assert_eq!(outcome(true, true, &once).await, ("failed", 3));
    assert_eq!(outcome(true, true, &twice).await, ("forced", 143));
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_overruns_is_a_fault_even_when_forced() {
    let mut shutdown = planned();
    hang_in(&mut shutdown, Stage::Flushing);
    let report = run_with(shutdown, [(0.0, signal(Interrupt)), (1.0, signal(Interrupt))]).await;
    assert_eq!(phases_of(&report), "draining:0 flushing:5000");
    assert_eq!(report.outcome, Outcome::Forced { by: Interrupt });
    assert_eq!(report.faults.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_of_a_participant_that_panicked_is_reported_as_a_panic() {
    #[derive(Debug, thiserror::Error)]
    #[error("could not close")]
    struct CouldNotClose(#[source] tokio::task::JoinError);

    let mut shutdown = planned();
    shutdown.during(Stage::Draining, "directly", |_| async {
        tokio::spawn(async { panic!("lost {}", "count") }).await?;
        Ok(())
    });
    shutdown.during(Stage::Flushing, "as a source", |_| async {
        let closing = tokio::spawn(async { panic!("no file") });
        closing.await.map_err(CouldNotClose)?;
        Ok(())
    });
    let report = run_with(shutdown, [(0.0, signal(Interrupt))]).await;
    let [directly, source] = &report.faults[..] else { panic!("{report:?}") };
    assert_eq!((directly.kind, directly.message.as_str()), (FaultKind::Panic, "lost count"));
    assert_eq!(source.kind, FaultKind::Panic);
    assert!(source.message.starts_with("could not close: task ") && source.message.contains("no file"), "{source:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_open_at_the_end_makes_the_outcome_failed() {
    for (left, outcome) in [(0, Outcome::Clean), (3, Outcome::Failed)] {
        let mut shutdown = planned();
        shutdown.expect_none("connections", move || left);
        let report = run_with(shutdown, [(0.0, signal(Interrupt))]).await;
        assert_eq!(report.outcome, outcome);
        if left > 0 {
            assert_eq!(fault(&report), ("connections", Phase::Stopped, FaultKind::LeftOpen));
            assert_eq!(report.faults[0].message, "3 still open");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_open_after_a_second_signal_is_no_fault() {
    let mut shutdown = planned();
    hang_in(&mut shutdown, Stage::Draining);
    shutdown.expect_none("connections", || 3);
    let report = run_with(shutdown, [(0.0, signal(Interrupt)), (1.0, signal(Interrupt))]).await;
    assert_eq!((report.outcome, report.faults.len()), (Outcome::Forced { by: Interrupt }, 0));
}
