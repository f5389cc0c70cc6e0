//! What holds for every sequence of events.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

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
