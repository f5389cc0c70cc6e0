//! The phases in order, and what ends each of them.

use super::*;

#[tokio::test(start_paused = true)]
async fn sigterm_goes_through_all_phases_and_draining_ends_when_nothing_is_left() {
    let mut shutdown = planned();
    shutdown.during(Stage::Draining, "connections", |_| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    });
    shutdown.during(Stage::Flushing, "store", |_| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    let timeline = tokio::spawn(timeline(shutdown.phases()));
    let report = run_with(shutdown, [(10.0, signal(Terminate))]).await;
    assert_eq!(timeline.await.unwrap(), "lame_duck@10 draining@15 flushing@17 stopped@18");
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "outcome": "clean",
      "signal": "SIGTERM",
      "duration_ms": 8000,
      "phases": [
        {
          "name": "lame_duck",
          "duration_ms": 5000
        },
        {
          "name": "draining",
          "duration_ms": 2000
        },
        {
          "name": "flushing",
          "duration_ms": 1000
        }
      ],
      "participants": []
    }
    "#);
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn sigint_skips_the_lame_duck_and_its_participants() {
    let mut shutdown = planned();
    shutdown.during(Stage::LameDuck, "never started", |_| async { Err::<(), _>("it was".into()) });
    let report = run_with(shutdown, [(0.0, signal(Interrupt))]).await;
    assert_eq!(phases_of(&report), "draining:0 flushing:0");
    assert_eq!((report.outcome, report.signal), (Outcome::Clean, Some(Cause::Signal(Interrupt))));
}

#[tokio::test(start_paused = true)]
async fn the_lame_duck_lasts_its_time_although_its_participants_have_returned() {
    let mut shutdown = planned();
    shutdown.during(Stage::LameDuck, "announcement", |_| async { Ok(()) });
    let report = run_with(shutdown, [(0.0, REQUEST)]).await;
    assert_eq!(phases_of(&report), "lame_duck:5000 draining:0 flushing:0");
    assert_eq!(report.outcome, Outcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn the_lame_duck_expires_the_budget_of_its_participants_before_its_end() {
    let mut shutdown = planned();
    shutdown.during(Stage::LameDuck, "farewell", |budget| async move {
        budget.expired().await;
        assert!(!budget.is_forced());
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(())
    });
    let report = run_with(shutdown, [(0.0, REQUEST)]).await;
    assert_eq!(phases_of(&report), "lame_duck:5000 draining:0 flushing:0");
    assert_eq!(report.faults, []);
}

#[tokio::test(start_paused = true)]
async fn a_phase_is_shown_before_its_participants_start() {
    let mut shutdown = planned();
    for stage in Stage::ALL {
        let phases = shutdown.phases();
        shutdown.during(stage, "looks", move |_| {
            assert_eq!(phases.current(), stage.phase());
            async { Ok(()) }
        });
    }
    assert_eq!(run_with(shutdown, [(0.0, REQUEST)]).await.faults, []);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_made_before_run_counts_from_then() {
    let mut shutdown = planned();
    shutdown.trigger().begin();
    assert_eq!(shutdown.requested().await, Cause::Request);
    assert_eq!(shutdown.requested().await, Cause::Request);
    shutdown.during(Stage::Draining, "registered late", |_| async { Ok(Ending::CutShort) });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let start = Instant::now();
    let report = shutdown.run().await;
    assert_eq!((report.outcome, report.signal), (Outcome::Deadline, Some(Cause::Request)));
    assert_eq!((start.elapsed().as_secs(), phases_of(&report).as_str()), (3, "lame_duck:5000 draining:0 flushing:0"));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_was_given_up_has_no_lame_duck() {
    let mut shutdown = planned();
    shutdown.trigger().begin();
    shutdown.requested().await;
    shutdown.skip_lame_duck();
    assert_eq!(phases_of(&shutdown.run().await), "draining:0 flushing:0");
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_set_the_time_within_which_everything_ends() {
    let mut shutdown = planned();
    hang_in(&mut shutdown, Stage::Draining);
    hang_in(&mut shutdown, Stage::Flushing);
    shutdown.trigger().begin_within(Duration::from_secs(10));
    let report = shutdown.run().await;
    assert_eq!(phases_of(&report), "draining:7250 flushing:2500");
    assert_eq!(report.shortened, Stage::ALL);
    assert_eq!(serde_json::json!(report)["shortened"], serde_json::json!(["lame_duck", "draining", "flushing"]));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_run_drops_the_participants_and_ends_every_wait() {
    let mut shutdown = planned();
    let dropped = hang_in(&mut shutdown, Stage::LameDuck);
    let phases = shutdown.phases();
    shutdown.trigger().begin();
    tokio::select! {
        _ = shutdown.run() => unreachable!("it hangs"),
        () = phases.reached(Stage::LameDuck) => {}
    }
    phases.reached(Phase::Stopped).await;
    tokio::task::yield_now().await;
    assert!(dropped.is_dropped());
}
