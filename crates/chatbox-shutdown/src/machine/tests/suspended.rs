//! A process that was suspended over a deadline: events that come too late.

use super::*;

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
