//! Drives the phase machine on tokio: real time, real signals, tasks.

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use crate::budget::after;
use crate::machine::{Action, Event, Machine};
use crate::phase_tasks::{ABORT, PhaseTasks};
use crate::{BoxError, Fault, Phase, Report, Shutdown};

#[cfg(test)]
mod tests;

pub(crate) async fn run<S>(shutdown: Shutdown, server: S) -> Report
where
    S: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let Shutdown { plan, mut roster, setter, mut inbox } = shutdown;
    let start = Instant::now();
    let mut machine = Machine::new(plan);
    let mut crew = PhaseTasks::idle();
    let (mut faults, mut cut_short) = (Vec::new(), false);
    let mut serving = JoinSet::new();
    serving.spawn(server);

    while machine.phase() != Phase::Stopped {
        let until = machine.until().map(|until| after(start, until));
        let event = tokio::select! {
            biased;
            told = inbox.next() => told.event(),
            Some(ended) = serving.join_next() => {
                faults.extend(server_fault(ended, machine.phase()));
                Event::ServerEnded
            }
            () = crew.complete() => Event::Complete,
            () = sleep_until(until.unwrap_or(start)), if until.is_some() => Event::BudgetPassed,
        };
        if event == Event::BudgetPassed {
            crew.stop().await;
        }
        // A refused event is one that came again, or too late: there is nothing to do about it.
        let Ok((next, actions)) = machine.step(event, start.elapsed()) else { continue };
        for action in actions {
            match action {
                Action::Cut { forced, .. } => crew.cut(forced),
                Action::Enter { phase, until } => {
                    debug!(from = %machine.phase(), to = %phase, "shutdown phase changed");
                    setter.set(phase);
                    let next = PhaseTasks::start(phase, &mut roster, after(start, until));
                    let record = std::mem::replace(&mut crew, next).into_record();
                    faults.extend(record.faults);
                    cut_short |= record.cut_short;
                }
            }
        }
        machine = next;
    }

    serving.abort_all();
    if let Ok(Some(ended)) = timeout(ABORT, serving.join_next()).await {
        faults.extend(server_fault(ended, Phase::Stopped));
    }
    Report::new(&machine, faults, cut_short)
}

fn server_fault(ended: Result<Result<(), BoxError>, JoinError>, phase: Phase) -> Option<Fault> {
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(Fault::error("server".into(), phase, &error)),
        Err(error) => Fault::panic("server".into(), phase, error),
    }
}
