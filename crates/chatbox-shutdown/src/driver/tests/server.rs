//! The server, and what the embedding program does with the run.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_server_is_polled_through_all_phases_and_dropped_at_the_end() {
    let mut shutdown = planned();
    let (asked, mut answers) = mpsc::channel::<tokio::sync::oneshot::Sender<()>>(1);
    let probe = asked.clone();
    shutdown.during(Phase::Flushing, "probe", |_| async move {
        let (answer, answered) = tokio::sync::oneshot::channel();
        probe.send(answer).await?;
        Ok(answered.await?)
    });
    let trigger = shutdown.trigger();
    let server = async move {
        trigger.begin();
        trigger.begin();
        while let Some(answer) = answers.recv().await {
            let _ = answer.send(());
        }
        Ok(())
    };
    let report = shutdown.without_signals().run(server).await;
    assert_eq!((report.outcome, report.signal), (Outcome::Clean, Some(Cause::Request)));
    assert!(asked.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_by_itself_begins_the_shutdown() {
    let report = planned().without_signals().run(async { Ok(()) }).await;
    assert_eq!(phases_of(&report), "lame_duck:5000 draining:0 flushing:0");
    assert_eq!((report.outcome, report.signal), (Outcome::Clean, None));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_or_panics_is_a_fault() {
    let fails = async { Err("no more files".into()) };
    let report = planned().without_signals().run(fails).await;
    assert_eq!((report.outcome, report.signal), (Outcome::Failed, None));
    let fault = &report.participants[0];
    assert_eq!((fault.participant.as_str(), fault.phase, fault.kind), ("server", Phase::Running, FaultKind::Error));

    let mut shutdown = planned();
    hang_in(&mut shutdown, Phase::Draining);
    let phases = shutdown.phases();
    shutdown.trigger().begin();
    let panics = async move {
        phases.reached(Phase::Draining).await;
        panic!("while draining")
    };
    let report = shutdown.without_signals().run(panics).await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(report.participants[0].kind, FaultKind::Panic);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_before_run_is_seen_and_kept() {
    let mut armed = planned().without_signals();
    armed.trigger().begin();
    assert_eq!(armed.requested().await, Cause::Request);
    assert_eq!(armed.requested().await, Cause::Request);
    armed.during(Phase::Draining, "registered late", |_| async { Ok(Ending::CutShort) });
    let report = armed.run(serve_for_ever()).await;
    assert_eq!((report.outcome, report.signal), (Outcome::Deadline, Some(Cause::Request)));
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_set_the_time_within_which_all_must_be_over() {
    let mut shutdown = planned();
    hang_in(&mut shutdown, Phase::Draining);
    hang_in(&mut shutdown, Phase::Flushing);
    shutdown.trigger().begin_within(Duration::from_secs(10));
    let report = shutdown.without_signals().run(serve_for_ever()).await;
    assert_eq!(phases_of(&report), "draining:7250 flushing:2500");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_run_drops_the_participants_and_releases_who_waits() {
    let mut shutdown = planned();
    let dropped = hang_in(&mut shutdown, Phase::LameDuck);
    let phases = shutdown.phases();
    shutdown.trigger().begin();
    tokio::select! {
        _ = shutdown.without_signals().run(serve_for_ever()) => unreachable!("it hangs"),
        () = phases.reached(Phase::LameDuck) => {}
    }
    phases.reached(Phase::Stopped).await;
    tokio::task::yield_now().await;
    assert!(dropped.load(Ordering::SeqCst));
}
