//! The whole table, what its cells do, and what holds for every sequence of events.

use std::fmt::Write;
use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;

use super::Signal::{Interrupt, Terminate};
use super::*;

const REQUEST: Event = Event::Request { within: None };

#[test]
fn the_table() {
    insta::assert_snapshot!(render::table(), @r"
    | event | `running` | `lame_duck` | `draining` | `flushing` | `stopped` |
    |---|---|---|---|---|---|
    | request or server ended | → `lame_duck` | repeated | repeated | repeated | repeated |
    | first signal SIGTERM | → `lame_duck` | noted | noted | noted | repeated |
    | first signal SIGINT | → `draining` | cut → `draining` | noted | noted | repeated |
    | second signal | – | cut → `flushing` | cut → `flushing` | noted | – |
    | complete | – | → `draining` | → `flushing` | → `stopped` | – |
    | time passed | – | → `draining` | → `flushing` | → `stopped` | – |
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

/// A machine that was brought to `phase` one second after another, beginning with `first`.
fn brought_to(phase: Phase, first: Event) -> (Machine, Duration) {
    let mut machine = Machine::new(Plan::default());
    let mut now = Duration::ZERO;
    while machine.phase() < phase {
        now += Duration::from_secs(1);
        let event = if machine.phase() == Phase::Running { first } else { Event::Complete };
        (machine, _) = machine.step(event, now).unwrap();
    }
    (machine, now)
}

#[test]
fn every_cell_does_what_the_table_says() {
    let by_request = [REQUEST, Event::ServerEnded, Event::Signal(Terminate), Event::Signal(Interrupt)];
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
                    Ok((_, actions)) => format!("{actions:?}"),
                    Err(refused) => format!("{refused:?}"),
                };
                writeln!(text, "{phase} at {now:?}, {event:?}: {done}").unwrap();
            }
        }
    }
    insta::assert_snapshot!(text, @r"
    running at 1s, Request { within: None }: [Enter { phase: LameDuck, until: 6s }]
    running at 1s, ServerEnded: [Enter { phase: LameDuck, until: 6s }]
    running at 1s, Signal(Terminate): [Enter { phase: LameDuck, until: 6s }]
    running at 1s, Signal(Interrupt): [Enter { phase: Draining, until: 16s }]
    lame_duck at 2s, Request { within: None }: Repeated(LameDuck)
    lame_duck at 2s, ServerEnded: Repeated(LameDuck)
    lame_duck at 2s, Signal(Terminate): []
    lame_duck at 2s, Signal(Interrupt): [Cut { until: 2.25s, forced: false }]
    draining at 3s, Request { within: None }: Repeated(Draining)
    draining at 3s, ServerEnded: Repeated(Draining)
    draining at 3s, Signal(Terminate): []
    draining at 3s, Signal(Interrupt): []
    flushing at 4s, Request { within: None }: Repeated(Flushing)
    flushing at 4s, ServerEnded: Repeated(Flushing)
    flushing at 4s, Signal(Terminate): []
    flushing at 4s, Signal(Interrupt): []
    stopped at 5s, Request { within: None }: Repeated(Stopped)
    stopped at 5s, ServerEnded: Repeated(Stopped)
    stopped at 5s, Signal(Terminate): Repeated(Stopped)
    stopped at 5s, Signal(Interrupt): Repeated(Stopped)
    running at 1s, Complete: Illegal(Running)
    running at 1s, BudgetPassed: Illegal(Running)
    lame_duck at 2s, Signal(Terminate): [Cut { until: 2.25s, forced: true }]
    lame_duck at 2s, Complete: [Enter { phase: Draining, until: 17s }]
    lame_duck at 2s, BudgetPassed: [Enter { phase: Draining, until: 17s }]
    draining at 3s, Signal(Terminate): [Cut { until: 3.25s, forced: true }]
    draining at 3s, Complete: [Enter { phase: Flushing, until: 8s }]
    draining at 3s, BudgetPassed: [Enter { phase: Flushing, until: 8s }]
    flushing at 4s, Signal(Terminate): []
    flushing at 4s, Complete: [Enter { phase: Stopped, until: 4s }]
    flushing at 4s, BudgetPassed: [Enter { phase: Stopped, until: 4s }]
    stopped at 5s, Signal(Terminate): Illegal(Stopped)
    stopped at 5s, Complete: Illegal(Stopped)
    stopped at 5s, BudgetPassed: Illegal(Stopped)
    ");
}

#[test]
fn the_second_signal_goes_to_flushing_when_the_cut_phase_has_settled() {
    for phase in [Phase::LameDuck, Phase::Draining] {
        for settled in [Event::Complete, Event::BudgetPassed] {
            let (machine, now) = brought_to(phase, Event::Signal(Terminate));
            let (machine, actions) = machine.step(Event::Signal(Interrupt), now).unwrap();
            let until = now + SETTLE;
            assert_eq!(actions, [Action::Cut { until, forced: true }]);
            assert_eq!((machine.phase(), machine.until()), (phase, Some(until)));
            let (machine, actions) = machine.step(settled, until).unwrap();
            let until = until + Plan::default().flush;
            assert_eq!(actions, [Action::Enter { phase: Phase::Flushing, until }]);
            assert_eq!(machine.forced_by(), Some(Interrupt));
        }
    }
}

#[test]
fn settling_does_not_outlast_the_phase() {
    let (machine, now) = brought_to(Phase::Draining, Event::Signal(Terminate));
    let end = machine.until().unwrap();
    let just_before = end - Duration::from_millis(1);
    let (machine, actions) = machine.step(Event::Signal(Terminate), just_before).unwrap();
    assert!(now < just_before);
    assert_eq!(actions, [Action::Cut { until: end, forced: true }]);
    assert_eq!(machine.until(), Some(end));
}

#[test]
fn a_second_signal_while_flushing_marks_the_end_and_takes_no_time_from_the_flush() {
    let (machine, now) = brought_to(Phase::Flushing, Event::Signal(Terminate));
    let (forced, actions) = machine.step(Event::Signal(Terminate), now).unwrap();
    assert_eq!(actions, []);
    assert_eq!(forced.until(), machine.until());
    assert_eq!(forced.forced_by(), Some(Terminate));
}

#[test]
fn a_signal_after_a_request_is_the_first_one() {
    let (machine, now) = brought_to(Phase::LameDuck, REQUEST);
    let (machine, actions) = machine.step(Event::Signal(Terminate), now).unwrap();
    assert_eq!((actions.as_slice(), machine.forced_by()), (&[][..], None));
    assert_eq!(machine.cause(), Some(Cause::Request));
}

#[test]
fn a_second_signal_while_sigint_cuts_the_lame_duck_leads_to_flushing() {
    let (machine, now) = brought_to(Phase::LameDuck, REQUEST);
    let (machine, _) = machine.step(Event::Signal(Interrupt), now).unwrap();
    let (machine, _) = machine.step(Event::Signal(Interrupt), now).unwrap();
    let (machine, _) = machine.step(Event::Complete, now).unwrap();
    assert_eq!(machine.phase(), Phase::Flushing);
}

#[test]
fn third_and_later_signals_are_repetitions() {
    let (mut machine, now) = brought_to(Phase::Draining, Event::Signal(Terminate));
    (machine, _) = machine.step(Event::Signal(Interrupt), now).unwrap();
    for signal in [Terminate, Interrupt] {
        let refused = machine.step(Event::Signal(signal), now).unwrap_err();
        assert_eq!(refused, Refused::Repeated(Phase::Draining));
    }
    assert_eq!(machine.forced_by(), Some(Interrupt));
}

#[test]
fn a_lame_duck_of_no_length_is_left_out() {
    let plan = Plan { lame_duck: Duration::ZERO, ..Plan::default() };
    let (machine, _) = Machine::new(plan).step(REQUEST, Duration::ZERO).unwrap();
    assert_eq!(machine.phase(), Phase::Draining);
}

#[test]
fn a_request_may_bring_its_own_deadline() {
    let within = Some(Duration::from_secs(10));
    let (machine, _) = Machine::new(Plan::default()).step(Event::Request { within }, Duration::ZERO).unwrap();
    assert_eq!(machine.plan, Plan::default().within(Duration::from_secs(10)));
    assert_eq!(machine.phase(), Phase::Draining);
}

#[test]
fn the_server_ending_by_itself_is_nobodys_request() {
    let (machine, _) = Machine::new(Plan::default()).step(Event::ServerEnded, Duration::ZERO).unwrap();
    assert_eq!((machine.phase(), machine.cause()), (Phase::LameDuck, None));
}

fn event() -> impl Strategy<Value = Event> {
    let within = proptest::option::of((1..60_000_u64).prop_map(Duration::from_millis));
    prop_oneof![
        Just(Event::Signal(Terminate)),
        Just(Event::Signal(Interrupt)),
        within.prop_map(|within| Event::Request { within }),
        Just(Event::ServerEnded),
        Just(Event::Complete),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    [0..8_000_u64, 0..20_000_u64, 0..8_000_u64, 1..10_000_u64].prop_map(|lengths| {
        let [lame_duck, drain, flush, spare] = lengths.map(Duration::from_millis);
        Plan { lame_duck, drain, flush, grace: lame_duck + drain + flush + spare }
    })
}

/// A driver that may be late, and checks what must hold of every step.
struct Simulation {
    machine: Machine,
    now: Duration,
    left_running: Option<Duration>,
}

impl Simulation {
    fn step(&mut self, event: Event) -> Result<(), TestCaseError> {
        let Ok((next, actions)) = self.machine.step(event, self.now) else {
            prop_assert_ne!(event, Event::BudgetPassed, "never refused when due");
            return Ok(());
        };
        for action in actions {
            let began = *self.left_running.get_or_insert(self.now);
            let Plan { flush, grace, .. } = next.plan;
            match action {
                Action::Cut { until, .. } => prop_assert!(Some(until) <= self.machine.until()),
                Action::Enter { phase, until } => {
                    prop_assert!(phase > self.machine.phase(), "{} after {}", phase, self.machine.phase());
                    prop_assert!(until >= self.now);
                    match phase {
                        Phase::Flushing => prop_assert_eq!(until - self.now, flush),
                        Phase::Draining => prop_assert!(until == self.now || until + flush <= began + grace),
                        _ => {}
                    }
                }
            }
        }
        self.machine = next;
        Ok(())
    }

    /// Lets time pass; each phase that is over meanwhile is ended that much too late.
    fn advance(&mut self, to: Duration, late: Duration) -> Result<(), TestCaseError> {
        while let Some(until) = self.machine.until().filter(|until| *until <= to) {
            self.now = self.now.max(until + late);
            self.step(Event::BudgetPassed)?;
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
        late in prop_oneof![Just(0), 0..40_000_u64],
    ) {
        let late = Duration::from_millis(late);
        let mut simulation = Simulation { machine: Machine::new(plan), now: Duration::ZERO, left_running: None };
        for (pause, event) in events {
            simulation.advance(simulation.now + Duration::from_millis(pause), late)?;
            simulation.step(event)?;
        }
        simulation.step(REQUEST)?;
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
