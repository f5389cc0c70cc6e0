//! The driver in paused time, and helpers of its tests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::Signal::{Interrupt, Terminate};
use crate::{BoxError, Cause, Ending, FaultKind, Outcome, Phases, Plan, Stage};

mod faults;
mod phases;
mod signals;
mod suspended;
mod tasks;

const REQUEST: Event = Event::Request { within: None };

const fn signal(signal: crate::Signal) -> Event {
    Event::Signal(signal)
}

fn planned() -> Shutdown {
    Shutdown::without_signals(Plan::default()).unwrap()
}

/// Runs to the end, with events that each come that many seconds after the one before.
async fn run_with(shutdown: Shutdown, script: impl IntoIterator<Item = (f64, Event)>) -> Report {
    let trigger = shutdown.trigger();
    let script: Vec<_> = script.into_iter().collect();
    tokio::spawn(async move {
        for (pause, event) in script {
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            trigger.inject(event);
        }
    });
    shutdown.run().await
}

/// The phases as `name@seconds`, until the last one.
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

fn fault(report: &Report) -> (&str, Phase, FaultKind) {
    let [fault] = &report.faults[..] else { panic!("not one fault: {report:?}") };
    (&fault.name, fault.phase, fault.kind)
}

/// Becomes true when it is dropped.
#[derive(Clone, Default)]
struct Dropped(Arc<AtomicBool>);

impl Dropped {
    fn guard(&self) -> impl Drop + Send + use<> {
        struct OnDrop(Arc<AtomicBool>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        OnDrop(Arc::clone(&self.0))
    }

    fn is_dropped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A participant that never returns.
fn hang_in(shutdown: &mut Shutdown, stage: Stage) -> Dropped {
    let dropped = Dropped::default();
    let guard = dropped.guard();
    shutdown.during(stage, "hangs", |_| async move {
        let _guard = guard;
        std::future::pending::<Result<(), _>>().await
    });
    dropped
}
