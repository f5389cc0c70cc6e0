//! The phase machine: `(state, event, now) -> (state, actions)`, without a clock, a task or I/O.
//!
//! [`Shutdown`](crate::Shutdown) drives it on tokio; it is public for programs that drive it by other
//! means. Every transition is a cell of one table, which `docs/shutdown.md` shows. `now` is the time
//! since a fixed moment of the caller's choice, and must not go back.
//!
//! ```
//! use std::time::Duration;
//! use chatbox_shutdown::{Phase, Plan, Signal};
//! use chatbox_shutdown::machine::{Action, Event, Machine};
//!
//! let now = Duration::from_secs(60);
//! let machine = Machine::new(Plan::default());
//! let (machine, action) = machine.step(Event::Signal(Signal::Interrupt), now)?;
//! // 15 s of draining; the last 250 ms are for cutting what is left.
//! let until = now + Duration::from_millis(14_750);
//! assert_eq!(action, Some(Action::Enter { phase: Phase::Draining, until }));
//! # Ok::<(), chatbox_shutdown::machine::Refused>(())
//! ```

use std::time::Duration;

use crate::budget::margin;
use crate::escalation::{Escalation, Meaning};
use crate::{Cause, Phase, Plan, Signal, Stage};

mod event;
mod table;

#[cfg(test)]
mod render;
#[cfg(test)]
mod tests;

pub use event::{Action, Event, Refused};
use table::{Input, Step};

/// How long the participants of a phase that was cut may take to return.
pub const SETTLE: Duration = Duration::from_millis(250);

/// How late [`Event::BudgetPassed`] may be before the process counts as having been suspended.
const LATE: Duration = Duration::from_millis(50);

/// How often a cut is extended because the process was suspended, in one phase.
const EXTENSIONS: u8 = 3;

/// The state of one shutdown.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    plan: Plan,
    /// The plan before a request shortened it.
    planned: Plan,
    phase: Phase,
    cause: Option<Cause>,
    escalation: Escalation,
    /// When [`Event::BudgetPassed`] is due.
    until: Option<Duration>,
    /// When this phase is over if the process is not suspended.
    end: Duration,
    cut: Option<Settling>,
    /// Whether everything that belongs to this phase has ended.
    complete: bool,
    /// When each phase was entered, if it was.
    entered: [Option<Duration>; 5],
}

/// A phase that was cut, while its participants settle.
#[derive(Clone, Copy, Debug)]
struct Settling {
    next: Phase,
    forced: bool,
    /// Whether the next phase begins as soon as everything has ended.
    early: bool,
    extensions: u8,
}

impl Machine {
    /// A machine in phase running, for a plan that is [valid](Plan::validate).
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self {
            plan,
            planned: plan,
            phase: Phase::Running,
            cause: None,
            escalation: Escalation::None,
            until: None,
            end: Duration::ZERO,
            cut: None,
            complete: false,
            entered: [Some(Duration::ZERO), None, None, None, None],
        }
    }

    /// Takes an event, and returns the next state and what is to be done about it.
    ///
    /// # Errors
    ///
    /// [`Refused::Repeated`] if the event requests what was requested before, [`Refused::Illegal`]
    /// if it cannot happen in this phase. The state stays what it was.
    pub fn step(mut self, event: Event, now: Duration) -> Result<(Self, Option<Action>), Refused> {
        let (input, cause) = self.interpret(event, now).ok_or(Refused::Repeated(self.phase))?;
        if self.phase == Phase::Running {
            self.cause = cause;
            if let Event::Request { within: Some(deadline) } = event {
                self.plan = self.plan.within(deadline);
            }
        }
        let action = match (input, self.cut) {
            (Input::Complete, Some(Settling { next, early: true, .. })) => Some(self.enter(next, now)),
            (Input::BudgetPassed, Some(settling)) => Some(self.settled(settling, now)),
            _ => match input.row()[self.phase.index()] {
                Step::To(phase) => Some(self.enter(phase, now)),
                Step::CutTo(phase) => Some(self.cut(input, phase, now)),
                Step::Noted => None,
                Step::Repeated => return Err(Refused::Repeated(self.phase)),
                Step::Illegal => return Err(Refused::Illegal(self.phase)),
            },
        };
        self.complete = match action {
            None => self.complete || input == Input::Complete,
            // The driver looks again after a cut.
            Some(_) => false,
        };
        Ok((self, action))
    }

    /// The phase that the machine is in.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// When [`Event::BudgetPassed`] is due; `None` while running and once stopped.
    #[must_use]
    pub const fn until(&self) -> Option<Duration> {
        self.until
    }

    /// Whether [`Event::Complete`] is due once everything has ended: it was not given since the last action.
    #[must_use]
    pub const fn awaits_completion(&self) -> bool {
        !self.complete && !matches!(self.phase, Phase::Running | Phase::Stopped)
    }

    /// What requested the shutdown first: `None` while running, or if a task ended by itself.
    #[must_use]
    pub const fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// The second signal, if one came.
    #[must_use]
    pub const fn forced_by(&self) -> Option<Signal> {
        match self.escalation {
            Escalation::Forced(signal) => Some(signal),
            Escalation::None | Escalation::Requested { .. } => None,
        }
    }

    /// The stages that a deadline has shortened: see [`Plan::shortened`].
    #[must_use]
    pub fn shortened(&self) -> Vec<Stage> {
        self.plan.shortened(&self.planned)
    }

    /// The phases that were entered and left again, in order, each with the time spent in it.
    pub fn spans(&self) -> impl Iterator<Item = (Phase, Duration)> {
        let entered = Phase::ALL.into_iter().filter_map(|phase| Some((phase, self.entered[phase.index()]?)));
        entered.clone().zip(entered.skip(1)).map(|((phase, from), (_, to))| (phase, to.saturating_sub(from)))
    }

    /// Replaces a signal by what it means now; `None` if it means nothing any more.
    fn interpret(&mut self, event: Event, now: Duration) -> Option<(Input, Option<Cause>)> {
        Some(match event {
            Event::Request { .. } => (Input::Request, Some(Cause::Request)),
            Event::TaskEnded => (Input::Request, None),
            Event::Complete => (Input::Complete, None),
            Event::BudgetPassed => (Input::BudgetPassed, None),
            Event::Force if self.forced_by().is_some() => return None,
            Event::Force => {
                self.escalation = Escalation::Forced(Signal::Terminate);
                (Input::Force, Some(Cause::Request))
            }
            Event::Signal(signal) => {
                let (escalation, meaning) = self.escalation.on(signal, now);
                self.escalation = escalation;
                match meaning {
                    Meaning::Request(_) if signal.skips_lame_duck() => (Input::Interrupt, Some(Cause::Signal(signal))),
                    Meaning::Request(_) => (Input::Terminate, Some(Cause::Signal(signal))),
                    Meaning::Force => (Input::Force, None),
                    Meaning::Nothing => return None,
                }
            }
        })
    }

    fn enter(&mut self, phase: Phase, now: Duration) -> Action {
        let Plan { lame_duck, drain, flush, grace } = self.plan;
        let phase = if phase == Phase::LameDuck && lame_duck.is_zero() { Phase::Draining } else { phase };
        let began = *self.entered[1..].iter().flatten().next().unwrap_or(&now);
        let length = match phase {
            Phase::LameDuck => lame_duck,
            // What flushing needs of the grace period is not for draining, however late the driver is; but a
            // process that was suspended for longer still closes in an orderly way.
            Phase::Draining => {
                let reserved = began.saturating_add(grace).saturating_sub(flush).saturating_sub(now);
                drain.min(reserved.max(SETTLE))
            }
            Phase::Flushing => flush,
            Phase::Running | Phase::Stopped => Duration::ZERO,
        };
        self.end = now.saturating_add(length);
        let until = self.end - margin(length);
        self.phase = phase;
        self.cut = None;
        self.until = (phase != Phase::Stopped).then_some(until);
        self.entered[phase.index()] = Some(now);
        Action::Enter { phase, until }
    }

    fn cut(&mut self, input: Input, next: Phase, now: Duration) -> Action {
        let by_time = input == Input::BudgetPassed;
        let until = if by_time && self.complete {
            self.end.max(now)
        } else if by_time {
            // In full from the moment at which the deadline was seen, however late that was.
            let settle = if self.is_late(now) { SETTLE } else { self.end - self.until.unwrap_or(self.end) };
            self.end.max(now.saturating_add(settle))
        } else {
            let bound = self.until.filter(|_| self.cut.is_some()).unwrap_or(self.end);
            now.saturating_add(SETTLE).min(bound.max(now))
        };
        let forced = input == Input::Force;
        // The lame duck lasts its time although all of its participants have ended.
        let early = !by_time || self.phase != Phase::LameDuck;
        self.cut = Some(Settling { next, forced, early, extensions: EXTENSIONS });
        self.until = Some(until);
        Action::Cut { until, forced }
    }

    /// The settling time has passed: the next phase begins, unless the process was suspended meanwhile.
    fn settled(&mut self, settling: Settling, now: Duration) -> Action {
        let Settling { next, forced, extensions, .. } = settling;
        let Some(extensions) = extensions.checked_sub(1).filter(|_| self.is_late(now) && !self.complete) else {
            return self.enter(next, now);
        };
        let until = now.saturating_add(SETTLE);
        self.cut = Some(Settling { extensions, ..settling });
        self.until = Some(until);
        Action::Cut { until, forced }
    }

    /// Whether the process was probably suspended when the current deadline passed.
    fn is_late(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now.saturating_sub(until) > LATE)
    }
}
