//! Drives the phase machine on tokio: real time, real signals, tasks.

use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::budget::after;
use crate::machine::{Action, Event, Machine, SETTLE};
use crate::{Fault, Phase, Report, Shutdown};

#[cfg(test)]
mod tests;

pub(crate) async fn run(shutdown: Shutdown) -> Report {
    let Shutdown { plan, created, mut participants, mut tasks, probes, setter, mut requests } = shutdown;
    let mut machine = Machine::new(plan);
    // When tasks of stages that a second signal has skipped are dropped.
    let mut skipped_until: Option<Instant> = None;
    let mut last = created;

    while machine.phase() != Phase::Stopped {
        let phase = machine.phase();
        let until = machine.until().map(|until| after(created, until));
        let mut at = None;
        let event = tokio::select! {
            biased;
            request = requests.next() => {
                at = Some(request.at);
                request.event
            }
            ended = tasks.next_ended() => {
                tasks.record(ended, phase);
                if phase != Phase::Running {
                    continue;
                }
                Event::TaskEnded
            }
            () = std::future::ready(()), if machine.awaits_completion() && tasks.is_complete(phase) => Event::Complete,
            () = sleep_until(skipped_until.unwrap_or(created)), if skipped_until.is_some() => {
                skipped_until = None;
                tasks.drop_until(Phase::Draining, true).await;
                continue;
            }
            () = sleep_until(until.unwrap_or(created)), if until.is_some() => Event::BudgetPassed,
        };
        // A request counts from when it was made, even if the program was slow to start.
        last = at.unwrap_or_else(Instant::now).max(last);
        // A refused event is one that came again, or too late: there is nothing to do about it.
        let Ok((next, action)) = machine.step(event, last - created) else { continue };
        let forced = next.forced_by().is_some() && phase != Phase::Flushing;
        match action {
            None => {}
            Some(Action::Cut { forced, .. }) => tasks.cut(forced),
            Some(Action::Enter { phase: entered, until }) => {
                debug!(from = %phase, to = %entered, "shutdown phase changed");
                tasks.drop_until(phase, forced).await;
                setter.set(entered);
                tasks.start(entered, &mut participants, after(created, until));
                skipped_until = forced.then(|| Instant::now() + SETTLE);
            }
        }
        if phase == Phase::Running && !next.shortened().is_empty() {
            warn!(stages = ?next.shortened(), "the deadline of the caller shortens the shutdown");
        }
        machine = next;
    }

    let (mut faults, cut_short) = tasks.into_record();
    if machine.forced_by().is_none() {
        let left = probes.into_iter().map(|probe| ((probe.left)(), probe.name));
        faults.extend(left.filter(|(count, _)| *count > 0).map(|(count, name)| Fault::left_open(name, count)));
    }
    Report::new(&machine, faults, cut_short)
}
