//! What goes wrong with participants, and what the report makes of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_condition_that_panics_leaves_the_lame_duck_its_full_time() {
    let mut shutdown = planned();
    shutdown.lame_duck_until(|| async { panic!("lost count") });
    let report = told(shutdown, [(0.0, REQUEST)]).await;
    assert_eq!(phases_of(&report), "lame_duck:5000 draining:0 flushing:0");
    let [fault] = &report.participants[..] else { panic!("{report:?}") };
    assert_eq!((fault.participant.as_str(), fault.kind), ("lame_duck_until", FaultKind::Panic));
    assert_eq!(fault.message, "lost count");
}

#[tokio::test(start_paused = true)]
async fn faults_are_named_and_the_next_phase_begins() {
    let mut shutdown = planned();
    shutdown.during(Phase::LameDuck, "announcer", |_| async { Err::<(), _>("nobody listens".into()) });
    shutdown.during(Phase::Draining, "panics early", |_| -> std::future::Ready<Result<(), BoxError>> {
        panic!("before the first await")
    });
    shutdown.during(Phase::Draining, "panics late", |_| async {
        tokio::task::yield_now().await;
        assert_eq!(1, 2, "after {}", "it");
        Ok(())
    });
    let dropped = hang_in(&mut shutdown, Phase::Draining);
    let seen = Arc::clone(&dropped);
    shutdown.during(Phase::Flushing, "store", move |budget| async move {
        assert!(seen.load(Ordering::SeqCst), "what overran is dropped before the next phase");
        assert_eq!(budget.remaining(), Duration::from_millis(4_750));
        Err::<(), _>(CouldNotSync(std::io::Error::other("disk full")).into())
    });
    let report = told(shutdown, [(0.0, signal(Terminate))]).await;
    assert_eq!(phases_of(&report), "lame_duck:5000 draining:15000 flushing:0");
    assert_eq!((report.outcome, report.exit_code()), (Outcome::Failed, 3));
    insta::assert_snapshot!(serde_json::to_string_pretty(&report.participants).unwrap(), @r#"
    [
      {
        "name": "announcer",
        "phase": "lame_duck",
        "kind": "error",
        "message": "nobody listens"
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
    let plan = Plan { drain: Duration::from_millis(20), ..Plan::default() };
    let mut shutdown = Shutdown::plan(plan).unwrap();
    shutdown.during(Phase::Draining, "blocks", |_| async move { Ok(released.recv()?) });
    shutdown.during(Phase::Flushing, "releases it", |_| async move { Ok(release.send(())?) });
    let report = told(shutdown, [(0.0, signal(Interrupt))]).await;
    let [fault] = &report.participants[..] else { panic!("{report:?}") };
    assert_eq!((fault.participant.as_str(), fault.kind), ("blocks", FaultKind::Overrun));
}

#[tokio::test(start_paused = true)]
async fn a_participant_that_cuts_what_is_left_at_its_deadline_is_no_fault() {
    let mut shutdown = planned();
    shutdown.during(Phase::Draining, "connections", |budget| async move {
        budget.expired().await;
        Ok(Ending::CutShort)
    });
    let report = told(shutdown, [(0.0, signal(Interrupt))]).await;
    assert_eq!(phases_of(&report), "draining:14750 flushing:0");
    assert_eq!((report.outcome, report.exit_code()), (Outcome::Deadline, 0));
    assert_eq!(report.participants, []);
}

#[tokio::test(start_paused = true)]
async fn the_worst_outcome_wins() {
    let outcome =
        async |cut_short: bool, fails: bool, script: &[(f64, ShutdownRequest)]| {
            let mut shutdown = planned();
            let ending = if cut_short { Ending::CutShort } else { Ending::Complete };
            shutdown.during(Phase::Draining, "a", move |_| async move { Ok(ending) });
            shutdown.during(Phase::Draining, "b", move |_| async move {
                if fails { Err("it failed".into()) } else { Ok(()) }
            });
            shutdown.during(Phase::Flushing, "c", |_| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(())
            });
            let report = told(shutdown, script.to_vec()).await;
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
    hang_in(&mut shutdown, Phase::Flushing);
    let report = told(shutdown, [(0.0, signal(Interrupt)), (1.0, signal(Interrupt))]).await;
    assert_eq!(phases_of(&report), "draining:0 flushing:5000");
    assert_eq!(report.outcome, Outcome::Forced { by: Interrupt });
    assert_eq!(report.participants.len(), 1);
}

#[test]
#[should_panic(expected = "phase running has no participants")]
fn a_participant_of_running_is_a_mistake() {
    planned().during(Phase::Running, "?", |_| async { Ok(()) });
}
