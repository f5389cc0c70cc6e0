//! The transition table, and the effect of its cells.

use std::fmt::Write;
use std::fs;

use super::Signal::{Interrupt, Terminate};
use super::*;

mod properties;
mod suspended;

const SECOND: Duration = Duration::from_secs(1);
const REQUEST: Event = Event::Request { within: None };

#[test]
fn the_table() {
    insta::assert_snapshot!(render::table(), @r"
    | event | `running` | `lame_duck` | `draining` | `flushing` | `stopped` |
    |---|---|---|---|---|---|
    | request, or a task ended | → `lame_duck` | repeated | repeated | repeated | repeated |
    | first signal SIGTERM, SIGQUIT | → `lame_duck` | noted | noted | noted | repeated |
    | first signal SIGINT, SIGHUP | → `draining` | cut → `draining` | noted | noted | repeated |
    | second signal, or force | → `flushing` | cut → `flushing` | cut → `flushing` | noted | repeated |
    | complete | – | noted | → `flushing` | → `stopped` | – |
    | time passed | – | cut → `draining` | cut → `flushing` | cut → `stopped` | – |
    ");
}

#[test]
fn the_diagram_in_the_documentation_is_that_of_the_table() {
    const BEGIN: &str = "<!-- generated: phase table -->\n";
    const END: &str = "<!-- end -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/shutdown.md");
    let document = fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the begin marker");
    let (current, after) = rest.split_once(END).expect("the end marker");
    let wanted = render::markdown();
    if current != wanted && std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    } else {
        assert_eq!(current, wanted, "run this test with UPDATE_DOCS=1 to rewrite the document");
    }
}

/// A machine in `phase` one second after another, beginning with `first`; the lame duck lasts its time.
fn brought_to(phase: Phase, first: Event) -> (Machine, Duration) {
    let mut machine = Machine::new(Plan::default());
    let mut now = Duration::ZERO;
    while machine.phase() < phase {
        let event = match machine.phase() {
            Phase::Running => first,
            Phase::LameDuck => Event::BudgetPassed,
            _ => Event::Complete,
        };
        now = machine.until().filter(|_| event == Event::BudgetPassed).unwrap_or(now + Duration::from_secs(1));
        (machine, _) = machine.step(event, now).unwrap();
    }
    (machine, now)
}

#[test]
fn every_cell_does_what_the_table_says() {
    let by_request = [REQUEST, Event::TaskEnded, Event::Signal(Terminate), Event::Signal(Interrupt)];
    let by_signal = [Event::Signal(Terminate), Event::Complete, Event::BudgetPassed];
    let mut text = String::new();
    for (first, events) in [(REQUEST, &by_request[..]), (Event::Signal(Terminate), &by_signal[..])] {
        for phase in Phase::ALL {
            let (machine, now) = brought_to(phase, first);
            for &event in events {
                // The first signal is seen here only after a request; after a signal, the second.
                if phase == Phase::Running && first != REQUEST && matches!(event, Event::Signal(_)) {
                    continue;
                }
                let now = now + Duration::from_secs(1);
                let done = match machine.step(event, now) {
                    Ok((_, Some(action))) => format!("{action:?}"),
                    Ok((_, None)) => "noted".into(),
                    Err(refused) => format!("{refused:?}"),
                };
                writeln!(text, "{phase} at {now:?}, {event:?}: {done}").unwrap();
            }
        }
    }
    insta::assert_snapshot!(text, @r"
    running at 1s, Request { within: None }: Enter { phase: LameDuck, until: 5.75s }
    running at 1s, TaskEnded: Enter { phase: LameDuck, until: 5.75s }
    running at 1s, Signal(Terminate): Enter { phase: LameDuck, until: 5.75s }
    running at 1s, Signal(Interrupt): Enter { phase: Draining, until: 15.75s }
    lame_duck at 2s, Request { within: None }: Repeated(LameDuck)
    lame_duck at 2s, TaskEnded: Repeated(LameDuck)
    lame_duck at 2s, Signal(Terminate): noted
    lame_duck at 2s, Signal(Interrupt): Cut { until: 2.25s, forced: false }
    draining at 7s, Request { within: None }: Repeated(Draining)
    draining at 7s, TaskEnded: Repeated(Draining)
    draining at 7s, Signal(Terminate): noted
    draining at 7s, Signal(Interrupt): noted
    flushing at 8s, Request { within: None }: Repeated(Flushing)
    flushing at 8s, TaskEnded: Repeated(Flushing)
    flushing at 8s, Signal(Terminate): noted
    flushing at 8s, Signal(Interrupt): noted
    stopped at 9s, Request { within: None }: Repeated(Stopped)
    stopped at 9s, TaskEnded: Repeated(Stopped)
    stopped at 9s, Signal(Terminate): Repeated(Stopped)
    stopped at 9s, Signal(Interrupt): Repeated(Stopped)
    running at 1s, Complete: Illegal(Running)
    running at 1s, BudgetPassed: Illegal(Running)
    lame_duck at 2s, Signal(Terminate): Cut { until: 2.25s, forced: true }
    lame_duck at 2s, Complete: noted
    lame_duck at 2s, BudgetPassed: Cut { until: 6s, forced: false }
    draining at 7s, Signal(Terminate): Cut { until: 7.25s, forced: true }
    draining at 7s, Complete: Enter { phase: Flushing, until: 11.75s }
    draining at 7s, BudgetPassed: Cut { until: 21s, forced: false }
    flushing at 8s, Signal(Terminate): noted
    flushing at 8s, Complete: Enter { phase: Stopped, until: 8s }
    flushing at 8s, BudgetPassed: Cut { until: 12s, forced: false }
    stopped at 9s, Signal(Terminate): Repeated(Stopped)
    stopped at 9s, Complete: Illegal(Stopped)
    stopped at 9s, BudgetPassed: Illegal(Stopped)
    ");
}

#[test]
fn the_second_signal_goes_to_flushing_when_the_cut_phase_has_settled() {
    for phase in [Phase::LameDuck, Phase::Draining] {
        for settled in [Event::Complete, Event::BudgetPassed] {
            let (machine, now) = brought_to(phase, Event::Signal(Terminate));
            let (machine, action) = machine.step(Event::Signal(Interrupt), now).unwrap();
            let until = now + SETTLE;
            assert_eq!(action, Some(Action::Cut { until, forced: true }));
            assert_eq!((machine.phase(), machine.until()), (phase, Some(until)));
            let (machine, action) = machine.step(settled, until).unwrap();
            let until = until + Plan::default().flush - SETTLE;
            assert_eq!(action, Some(Action::Enter { phase: Phase::Flushing, until }));
            assert_eq!(machine.forced_by(), Some(Interrupt));
        }
    }
}

#[test]
fn settling_after_a_signal_does_not_outlast_the_phase() {
    let (machine, now) = brought_to(Phase::Draining, Event::Signal(Terminate));
    let (end, deadline) = (machine.end, machine.until().unwrap());
    assert_eq!(end, now + Plan::default().drain);
    assert_eq!(deadline, end - SETTLE);
    let just_before = end - Duration::from_millis(1);
    // Before the deadline was seen, and after it.
    for machine in [machine, machine.step(Event::BudgetPassed, deadline).unwrap().0] {
        let (machine, action) = machine.step(Event::Signal(Interrupt), just_before).unwrap();
        assert_eq!(action, Some(Action::Cut { until: end, forced: true }));
        assert_eq!(machine.until(), Some(end));
    }
}

#[test]
fn a_second_signal_while_flushing_marks_the_end_and_takes_no_time_from_the_flush() {
    let (machine, now) = brought_to(Phase::Flushing, Event::Signal(Terminate));
    let (forced, action) = machine.step(Event::Signal(Interrupt), now).unwrap();
    assert_eq!(action, None);
    assert_eq!(forced.until(), machine.until());
    assert_eq!(forced.forced_by(), Some(Interrupt));
}

#[test]
fn the_same_signal_within_a_second_is_a_repetition() {
    for signal in Signal::ALL {
        let (machine, _) = Machine::new(Plan::default()).step(Event::Signal(signal), SECOND).unwrap();
        let again = |after| machine.step(Event::Signal(signal), SECOND + after);
        let repeated = again(Duration::from_millis(999)).unwrap_err();
        assert_eq!(repeated, Refused::Repeated(machine.phase()));
        let (forced, _) = again(SECOND).unwrap();
        assert_eq!(forced.forced_by(), Some(signal));
    }
}

#[test]
fn a_signal_after_a_request_is_the_first_one() {
    let (machine, now) = brought_to(Phase::LameDuck, REQUEST);
    let (machine, action) = machine.step(Event::Signal(Terminate), now).unwrap();
    assert_eq!((action, machine.forced_by()), (None, None));
    assert_eq!(machine.cause(), Some(Cause::Request));
}

#[test]
fn a_second_signal_while_sigint_cuts_the_lame_duck_leads_to_flushing() {
    let (machine, now) = brought_to(Phase::LameDuck, REQUEST);
    let (machine, _) = machine.step(Event::Signal(Interrupt), now).unwrap();
    let (machine, _) = machine.step(Event::Signal(Terminate), now).unwrap();
    let (machine, _) = machine.step(Event::Complete, now).unwrap();
    assert_eq!(machine.phase(), Phase::Flushing);
}

#[test]
fn third_and_later_signals_are_repetitions() {
    let (mut machine, now) = brought_to(Phase::Draining, Event::Signal(Terminate));
    (machine, _) = machine.step(Event::Signal(Interrupt), now).unwrap();
    for event in [Event::Signal(Terminate), Event::Signal(Interrupt), Event::Force] {
        let refused = machine.step(event, now + SECOND).unwrap_err();
        assert_eq!(refused, Refused::Repeated(Phase::Draining));
    }
    assert_eq!(machine.forced_by(), Some(Interrupt));
}

#[test]
fn the_program_forces_the_end_as_a_second_sigterm_does() {
    let (machine, now) = brought_to(Phase::Draining, REQUEST);
    let (machine, action) = machine.step(Event::Force, now).unwrap();
    assert_eq!(action, Some(Action::Cut { until: now + SETTLE, forced: true }));
    assert_eq!(machine.forced_by(), Some(Terminate));

    let (machine, _) = Machine::new(Plan::default()).step(Event::Force, now).unwrap();
    assert_eq!((machine.phase(), machine.cause()), (Phase::Flushing, Some(Cause::Request)));
}

#[test]
fn a_lame_duck_of_no_length_is_left_out() {
    let plan = Plan { lame_duck: Duration::ZERO, ..Plan::default() };
    let (machine, _) = Machine::new(plan).step(REQUEST, Duration::ZERO).unwrap();
    assert_eq!(machine.phase(), Phase::Draining);
}

#[test]
fn the_lame_duck_lasts_its_time_although_its_participants_have_ended() {
    let (machine, began) = brought_to(Phase::LameDuck, REQUEST);
    let end = began + Plan::default().lame_duck;
    assert!(machine.awaits_completion());
    let (machine, action) = machine.step(Event::Complete, began).unwrap();
    assert_eq!((action, machine.awaits_completion()), (None, false));
    let (machine, action) = machine.step(Event::BudgetPassed, machine.until().unwrap()).unwrap();
    assert_eq!(action, Some(Action::Cut { until: end, forced: false }));
    let (machine, action) = machine.step(Event::Complete, end - SETTLE).unwrap();
    assert_eq!((action, machine.until()), (None, Some(end)));
    let (machine, _) = machine.step(Event::BudgetPassed, end).unwrap();
    assert_eq!(machine.phase(), Phase::Draining);
}

#[test]
fn a_request_may_bring_its_own_deadline() {
    let within = Some(Duration::from_secs(10));
    let (machine, _) = Machine::new(Plan::default()).step(Event::Request { within }, Duration::ZERO).unwrap();
    assert_eq!(machine.plan, Plan::default().within(Duration::from_secs(10)));
    assert_eq!(machine.phase(), Phase::Draining);
    assert_eq!(machine.shortened(), Stage::ALL);
}

#[test]
fn a_task_that_ends_by_itself_is_no_request() {
    let (machine, _) = Machine::new(Plan::default()).step(Event::TaskEnded, Duration::ZERO).unwrap();
    assert_eq!((machine.phase(), machine.cause()), (Phase::LameDuck, None));
}
