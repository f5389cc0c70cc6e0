//! The phases in order, and what ends each of them.

use super::*;

#[tokio::test(start_paused = true)]
async fn sigterm_goes_through_all_phases_and_draining_ends_when_nothing_is_left() {
    let mut shutdown = planned();
    shutdown.during(Phase::Draining, "connections", |_| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    });
    shutdown.during(Phase::Flushing, "store", |_| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    let timeline = tokio::spawn(timeline(shutdown.phases()));
    let report = told(shutdown, [(10.0, signal(Terminate))]).await;
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
    shutdown.during(Phase::LameDuck, "never started", |_| async { Err::<(), _>("it was".into()) });
    let report = told(shutdown, [(0.0, signal(Interrupt))]).await;
    assert_eq!(phases_of(&report), "draining:0 flushing:0");
    assert_eq!((report.outcome, report.signal), (Outcome::Clean, Some(Cause::Sigint)));
}

#[tokio::test(start_paused = true)]
async fn the_lame_duck_ends_when_every_condition_holds() {
    let mut shutdown = planned();
    shutdown.lame_duck_until(|| tokio::time::sleep(Duration::from_secs(1)));
    shutdown.lame_duck_until(|| tokio::time::sleep(Duration::from_secs(3)));
    assert_eq!(phases_of(&told(shutdown, [(0.0, REQUEST)]).await), "lame_duck:3000 draining:0 flushing:0");
}

#[tokio::test(start_paused = true)]
async fn the_lame_duck_ends_in_time_when_its_condition_never_holds() {
    let mut shutdown = planned();
    shutdown.lame_duck_until(std::future::pending);
    let report = told(shutdown, [(0.0, REQUEST)]).await;
    assert_eq!(phases_of(&report), "lame_duck:5000 draining:0 flushing:0");
    assert_eq!(report.outcome, Outcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn the_lame_duck_waits_for_its_participants_and_tells_them_that_it_is_over() {
    let mut shutdown = planned();
    shutdown.lame_duck_until(|| tokio::time::sleep(Duration::from_secs(1)));
    shutdown.during(Phase::LameDuck, "farewell", |budget| async move {
        budget.expired().await;
        assert!(!budget.is_forced());
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    let report = told(shutdown, [(0.0, REQUEST)]).await;
    assert_eq!(phases_of(&report), "lame_duck:2000 draining:0 flushing:0");
    assert_eq!(report.participants, []);
}

#[tokio::test(start_paused = true)]
async fn a_phase_is_shown_before_its_participants_start() {
    let mut shutdown = planned();
    for phase in [Phase::LameDuck, Phase::Draining, Phase::Flushing] {
        let phases = shutdown.phases();
        shutdown.during(phase, "looks", move |_| {
            assert_eq!(phases.current(), phase);
            async { Ok(()) }
        });
    }
    assert_eq!(told(shutdown, [(0.0, REQUEST)]).await.participants, []);
}
