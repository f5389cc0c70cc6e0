//! The transition table, the effect of its cells, and properties of every sequence of events.

use std::fmt::Write;
use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;

use super::Signal::{Interrupt, Terminate};
use super::*;

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

/// Suspends the process from before the deadline of `phase` until `late` after it.
fn suspended_over_the_deadline_of(phase: Phase, late: Duration) -> (Machine, Option<Action>, Duration) {
    let (machine, _) = brought_to(phase, Event::Signal(Terminate));
    let now = machine.until().unwrap() + late;
    let (machine, action) = machine.step(Event::BudgetPassed, now).unwrap();
    (machine, action, now)
}

#[test]
fn participants_of_a_suspended_process_get_their_time_to_settle() {
    for phase in [Phase::LameDuck, Phase::Draining, Phase::Flushing] {
        for late in [LATE + Duration::from_millis(1), SETTLE, 60 * SECOND] {
            let (machine, action, now) = suspended_over_the_deadline_of(phase, late);
            let until = now + SETTLE;
            assert_eq!(action, Some(Action::Cut { until, forced: false }), "{phase}, {late:?} late");
            assert_eq!(machine.phase(), phase);
            // They have used it in time: the next phase begins.
            let (machine, _) = machine.step(Event::BudgetPassed, until).unwrap();
            assert!(machine.phase() > phase);
        }
    }
}

#[test]
fn a_process_that_is_suspended_while_its_participants_settle_gives_them_the_time_again() {
    let (mut machine, mut action, mut now) = suspended_over_the_deadline_of(Phase::Draining, 10 * SECOND);
    for _ in 0..EXTENSIONS {
        assert_eq!(action, Some(Action::Cut { until: now + SETTLE, forced: false }));
        now = machine.until().unwrap() + 10 * SECOND;
        (machine, action) = machine.step(Event::BudgetPassed, now).unwrap();
    }
    // A participant that blocks the only thread makes the driver late as well: there is an end to it.
    now = machine.until().unwrap() + 10 * SECOND;
    (machine, _) = machine.step(Event::BudgetPassed, now).unwrap();
    assert_eq!(machine.phase(), Phase::Flushing);
}

#[test]
fn a_process_that_was_suspended_beyond_its_grace_period_still_has_time_to_close() {
    let (machine, _, now) = suspended_over_the_deadline_of(Phase::LameDuck, 60 * SECOND);
    let (_, action) = machine.step(Event::BudgetPassed, now + SETTLE).unwrap();
    let until = now + SETTLE + SETTLE - margin(SETTLE);
    assert_eq!(action, Some(Action::Enter { phase: Phase::Draining, until }));
}

#[test]
fn a_suspended_process_without_open_work_goes_on_at_once() {
    let (machine, now) = brought_to(Phase::LameDuck, REQUEST);
    let (machine, _) = machine.step(Event::Complete, now).unwrap();
    let now = now + 60 * SECOND;
    let (machine, action) = machine.step(Event::BudgetPassed, now).unwrap();
    assert_eq!(action, Some(Action::Cut { until: now, forced: false }));
    let (machine, _) = machine.step(Event::BudgetPassed, now).unwrap();
    assert_eq!(machine.phase(), Phase::Draining);
}

fn event() -> impl Strategy<Value = Event> {
    let within = proptest::option::of((1..60_000_u64).prop_map(Duration::from_millis));
    prop_oneof![
        proptest::sample::select(&Signal::ALL[..]).prop_map(Event::Signal),
        within.prop_map(|within| Event::Request { within }),
        Just(Event::TaskEnded),
        Just(Event::Force),
        Just(Event::Complete),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    [0..8_000_u64, 0..20_000_u64, 0..8_000_u64, 1..10_000_u64].prop_map(|lengths| {
        let [lame_duck, drain, flush, spare] = lengths.map(Duration::from_millis);
        Plan { lame_duck, drain, flush, grace: lame_duck + drain + flush + spare }
    })
}

/// A driver that may be late, and that checks every step.
struct Simulation {
    machine: Machine,
    now: Duration,
    left_running: Option<Duration>,
}

impl Simulation {
    fn step(&mut self, event: Event, late: Duration) -> Result<(), TestCaseError> {
        let Ok((next, action)) = self.machine.step(event, self.now) else {
            prop_assert_ne!(event, Event::BudgetPassed, "never refused when due");
            return Ok(());
        };
        if next.phase() != Phase::Running {
            self.left_running.get_or_insert(self.now);
        }
        let began = self.left_running.unwrap_or_default();
        let Plan { flush, grace, drain, .. } = next.plan;
        match action {
            None => {}
            Some(Action::Cut { until, .. }) => {
                prop_assert!(until >= self.now);
                prop_assert!(until <= (self.now + SETTLE).max(self.machine.end));
                if late <= LATE {
                    prop_assert!(until <= self.machine.end.max(self.now) + late, "no extension without lateness");
                }
            }
            Some(Action::Enter { phase, until }) => {
                prop_assert!(phase > self.machine.phase(), "{} after {}", phase, self.machine.phase());
                prop_assert!(until >= self.now);
                match phase {
                    Phase::Flushing => prop_assert_eq!(next.end - self.now, flush),
                    Phase::Draining => {
                        let shortened = next.end - self.now <= drain.min(SETTLE);
                        prop_assert!(shortened || next.end + flush <= began + grace);
                        prop_assert!(next.end - self.now >= drain.min(SETTLE));
                    }
                    _ => {}
                }
            }
        }
        self.machine = next;
        Ok(())
    }

    /// Lets time pass; each deadline that passes meanwhile is seen that much too late.
    fn advance(&mut self, to: Duration, late: Duration) -> Result<(), TestCaseError> {
        while let Some(until) = self.machine.until().filter(|until| *until <= to) {
            self.now = self.now.max(until + late);
            self.step(Event::BudgetPassed, late)?;
        }
        self.now = self.now.max(to);
        Ok(())
    }
}

proptest! {
    #[test]
    fn any_sequence_of_events_goes_forward_keeps_the_flush_whole_and_ends(
        plan in plan(),
        events in vec((0..10_000_u64, event()), 0..12),
        late in prop_oneof![Just(0), 0..50_u64, 0..40_000_u64],
    ) {
        let late = Duration::from_millis(late);
        let mut simulation = Simulation { machine: Machine::new(plan), now: Duration::ZERO, left_running: None };
        for (pause, event) in events {
            simulation.advance(simulation.now + Duration::from_millis(pause), late)?;
            simulation.step(event, late)?;
        }
        simulation.step(REQUEST, late)?;
        simulation.advance(Duration::MAX, late)?;

        prop_assert_eq!(simulation.machine.phase(), Phase::Stopped);
        let began = simulation.left_running.expect("it left running");
        let took: Duration = simulation.machine.spans().skip(1).map(|(_, span)| span).sum();
        prop_assert_eq!(began + took, simulation.machine.entered[4].expect("it has stopped"));
        if late.is_zero() {
            prop_assert!(took < simulation.machine.plan.grace, "took {:?}", took);
        }
    }
}
