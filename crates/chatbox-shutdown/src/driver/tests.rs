//! The driver in paused time, and what its tests share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::Signal::{Interrupt, Terminate};
use crate::requests::ShutdownRequest;
use crate::{Cause, Ending, FaultKind, Outcome, Phases, Plan};

mod faults;
mod phases;
mod server;
mod signals;

const REQUEST: ShutdownRequest = ShutdownRequest::Request { by: None };

const fn signal(signal: crate::Signal) -> ShutdownRequest {
    ShutdownRequest::Signal(signal)
}

fn planned() -> Shutdown {
    Shutdown::plan(Plan::default()).unwrap()
}

async fn serve_for_ever() -> Result<(), BoxError> {
    std::future::pending().await
}

/// Runs to the end, and tells each thing that many seconds after the one before.
async fn told(shutdown: Shutdown, script: impl IntoIterator<Item = (f64, ShutdownRequest)> + Send) -> Report {
    let teller: mpsc::Sender<ShutdownRequest> = shutdown.inbox.teller();
    let script: Vec<_> = script.into_iter().collect();
    tokio::spawn(async move {
        for (pause, told) in script {
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            // Whatever comes after the end finds nobody.
            let _ = teller.send(told).await;
        }
    });
    shutdown.without_signals().run(serve_for_ever()).await
}

/// What was seen of the phases, as `name@seconds`, until the last one.
async fn timeline(mut phases: Phases) -> String {
    let start = Instant::now();
    let mut seen = Vec::new();
    while let Some(phase) = phases.changed().await {
        seen.push(format!("{phase}@{}", start.elapsed().as_secs_f64()));
    }
    seen.join(" ")
}

fn phases_of(report: &Report) -> String {
    let phases = report.phases.iter().map(|phase| format!("{}:{}", phase.name, phase.duration_ms));
    phases.collect::<Vec<_>>().join(" ")
}

/// A participant that never ends, and the news that it was dropped.
fn hang_in(shutdown: &mut Shutdown, phase: Phase) -> Arc<AtomicBool> {
    struct OnDrop(Arc<AtomicBool>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let guard = OnDrop(Arc::clone(&dropped));
    shutdown.during(phase, "hangs", |_| async move {
        let _guard = guard;
        std::future::pending::<Result<(), _>>().await
    });
    dropped
}
