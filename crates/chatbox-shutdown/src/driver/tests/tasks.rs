//! Tasks that run from the start.

use tokio::sync::{mpsc, oneshot};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_task_runs_from_the_start_and_its_stage_waits_for_it() {
    let mut shutdown = planned();
    let (asked, mut answers) = mpsc::channel::<oneshot::Sender<()>>(1);
    let (phases, trigger) = (shutdown.phases(), shutdown.trigger());
    shutdown.task(Stage::Flushing, "server", async move {
        loop {
            tokio::select! {
                Some(answer) = answers.recv() => answer.send(()).unwrap(),
                () = phases.reached(Stage::Flushing) => break,
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    });
    let probe = asked.clone();
    shutdown.during(Stage::Draining, "probe", |_| async move {
        let (answer, answered) = oneshot::channel();
        probe.send(answer).await?;
        Ok(answered.await?)
    });
    // Before `run`.
    let (answer, answered) = oneshot::channel();
    asked.send(answer).await.unwrap();
    answered.await.unwrap();
    trigger.begin();
    trigger.begin();
    let report = shutdown.run().await;
    assert_eq!((report.outcome, report.signal), (Outcome::Clean, Some(Cause::Request)));
    assert_eq!(phases_of(&report), "lame_duck:5000 draining:0 flushing:1000");
    assert!(asked.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_fails_or_panics_while_running_begins_the_shutdown_under_its_name() {
    let ends = |how: fn() -> Result<(), BoxError>| async move {
        let mut shutdown = planned();
        shutdown.task(Stage::Draining, "other", shutdown.reached(Stage::Draining));
        shutdown.task(Stage::Draining, "worker", async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            how()
        });
        shutdown.run().await
    };
    for (how, kind, message) in [
        ((|| Ok(())) as fn() -> _, FaultKind::Ended, "ended before a shutdown was requested"),
        (|| Err("no more files".into()), FaultKind::Error, "no more files"),
        (|| panic!("index out of range"), FaultKind::Panic, "index out of range"),
    ] {
        let report = ends(how).await;
        assert_eq!((report.outcome, report.signal, report.exit_code()), (Outcome::Failed, None, 3));
        assert_eq!(phases_of(&report), "lame_duck:5000 draining:0 flushing:0");
        assert_eq!(fault(&report), ("worker", Phase::Running, kind));
        assert_eq!(report.faults[0].message, message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_requests_the_shutdown_may_end() {
    let mut shutdown = planned();
    let trigger = shutdown.trigger();
    shutdown.task(Stage::Draining, "batch", async move { trigger.begin() });
    let report = shutdown.run().await;
    assert_eq!((report.outcome, report.signal), (Outcome::Clean, Some(Cause::Request)));
}

#[tokio::test(start_paused = true)]
async fn a_task_may_fail_in_any_phase() {
    for stage in Stage::ALL {
        let mut shutdown = planned();
        hang_in(&mut shutdown, Stage::Draining);
        let reached = shutdown.reached(stage);
        shutdown.task(Stage::Flushing, "worker", async move {
            reached.await;
            assert_eq!(stage.phase(), Phase::Stopped, "too early")
        });
        let report = run_with(shutdown, [(0.0, REQUEST)]).await;
        let fault = report.faults.iter().find(|fault| fault.name == "worker").unwrap();
        assert_eq!((fault.phase, fault.kind), (stage.phase(), FaultKind::Panic));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_never_stopped_is_an_overrun_of_its_stage() {
    for stage in Stage::ALL {
        let (mut shutdown, dropped) = (planned(), Dropped::default());
        let guard = dropped.guard();
        shutdown.task(stage, "http", async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        let report = run_with(shutdown, [(0.0, REQUEST)]).await;
        assert_eq!((report.outcome, report.exit_code()), (Outcome::Failed, 3));
        assert_eq!(fault(&report), ("http", stage.phase(), FaultKind::Overrun));
        assert!(dropped.is_dropped());
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_of_a_stage_that_is_left_out_is_waited_for_in_the_next() {
    let mut shutdown = planned();
    let reached = shutdown.reached(Stage::LameDuck);
    shutdown.task(Stage::LameDuck, "consumer", async move {
        reached.await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    });
    let report = run_with(shutdown, [(0.0, signal(Interrupt))]).await;
    assert_eq!((report.outcome, phases_of(&report).as_str()), (Outcome::Clean, "draining:2000 flushing:0"));
}

#[tokio::test(start_paused = true)]
async fn after_a_second_signal_a_task_has_a_moment_and_the_flush_is_whole() {
    for ends_in_time in [true, false] {
        let mut shutdown = planned();
        let reached = shutdown.reached(Stage::Draining);
        shutdown.task(Stage::Draining, "http", async move {
            reached.await;
            tokio::time::sleep(Duration::from_millis(if ends_in_time { 100 } else { 60_000 })).await;
        });
        shutdown.during(Stage::Flushing, "store", |_| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(())
        });
        let report = run_with(shutdown, [(0.0, signal(Terminate)), (2.0, signal(Terminate))]).await;
        let flush = if ends_in_time { 100 } else { 250 };
        assert_eq!(phases_of(&report), format!("lame_duck:2000 flushing:{flush}"));
        assert_eq!((report.outcome, report.faults.len()), (Outcome::Forced { by: Terminate }, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_dropped_aborts_its_tasks() {
    let (mut shutdown, dropped) = (planned(), Dropped::default());
    let guard = dropped.guard();
    shutdown.task(Stage::Draining, "http", async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    drop(shutdown);
    tokio::task::yield_now().await;
    assert!(dropped.is_dropped());
}
