//! The phase machine: `(state, event, now) -> (state, actions)`, without a clock, a task or I/O.
//!
//! [`Shutdown`](crate::Shutdown) drives it on tokio; it is public for those who drive it themselves.
//! Every transition stands in one table, [`Step`] by [`Input`] and [`Phase`]; `docs/shutdown.md`
//! shows it as a diagram. `now` is the time since any moment that the caller chose, and must not go back.
//!
//! ```
//! use std::time::Duration;
//! use chatbox_shutdown::{Phase, Plan, Signal};
//! use chatbox_shutdown::machine::{Action, Event, Machine};
//!
//! let (now, drain) = (Duration::from_secs(60), Plan::default().drain);
//! let machine = Machine::new(Plan::default());
//! let (machine, actions) = machine.step(Event::Signal(Signal::Interrupt), now)?;
//! assert_eq!(actions, [Action::Enter { phase: Phase::Draining, until: now + drain }]);
//! # Ok::<(), chatbox_shutdown::machine::Refused>(())
//! ```

use std::time::Duration;

use serde::Serialize;

use crate::escalation::{Escalation, Meaning};
use crate::{Phase, Plan, Signal};

mod table;

#[cfg(test)]
mod render;
#[cfg(test)]
mod tests;

pub use table::{Input, Step};

/// How long the participants of a phase that was cut may take to end by themselves.
pub const SETTLE: Duration = Duration::from_millis(250);

/// What asked for the shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Cause {
    /// SIGTERM.
    #[serde(rename = "SIGTERM")]
    Sigterm,
    /// SIGINT.
    #[serde(rename = "SIGINT")]
    Sigint,
    /// The program itself, through a [`Trigger`](crate::Trigger).
    #[serde(rename = "request")]
    Request,
}

/// What happens to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A signal came.
    Signal(Signal),
    /// The program itself asked for the end.
    Request {
        /// What the phases must fit into, if that is less than planned: see [`Plan::within`].
        within: Option<Duration>,
    },
    /// What the program served with has ended by itself.
    ServerEnded,
    /// Nothing is left to do in this phase.
    Complete,
    /// The time given with [`Action::Enter`] or [`Action::Cut`] has passed.
    BudgetPassed,
}

/// What the driver has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell the participants of this phase to end by themselves until then. The phase goes on.
    Cut {
        /// When those that have not ended are dropped.
        until: Duration,
        /// Whether a second signal is the reason.
        forced: bool,
    },
    /// Drop what is left of this phase's participants and start those of another.
    Enter {
        /// The phase that has been entered.
        phase: Phase,
        /// When its time will have passed.
        until: Duration,
    },
}

/// Why an event changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What the event asks for has been asked for before: harmless.
    #[error("asked for again in phase {0}")]
    Repeated(Phase),
    /// The event makes no sense in this phase: a mistake of the driver.
    #[error("impossible in phase {0}")]
    Illegal(Phase),
}

/// The state of one shutdown.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    plan: Plan,
    phase: Phase,
    cause: Option<Cause>,
    escalation: Escalation,
    /// Where to go when the participants of a phase that was cut have settled.
    cut_to: Option<Phase>,
    /// When this phase's time will have passed.
    until: Option<Duration>,
    /// When each phase was entered, if it was.
    entered: [Option<Duration>; 5],
}

impl Machine {
    /// A machine that is running, for a plan that is [valid](Plan::validate).
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self {
            plan,
            phase: Phase::Running,
            cause: None,
            escalation: Escalation::None,
            cut_to: None,
            until: None,
            entered: [Some(Duration::ZERO), None, None, None, None],
        }
    }

    /// Takes an event, and returns the next state and what is to be done about it.
    ///
    /// # Errors
    ///
    /// [`Refused::Repeated`] if what the event asks for was asked for before, [`Refused::Illegal`]
    /// if it makes no sense in this phase. The state stays what it was.
    pub fn step(mut self, event: Event, now: Duration) -> Result<(Self, Vec<Action>), Refused> {
        let (input, cause) = self.interpret(event).ok_or(Refused::Repeated(self.phase))?;
        let step = match (input, self.cut_to) {
            (Input::Complete | Input::BudgetPassed, Some(phase)) => Step::To(phase),
            _ => input.row()[self.phase.index()],
        };
        if self.phase == Phase::Running {
            self.cause = cause;
            if let Event::Request { within: Some(deadline) } = event {
                self.plan = self.plan.within(deadline);
            }
        }
        let actions = match step {
            Step::To(phase) => vec![self.enter(phase, now)],
            Step::CutTo(phase) => vec![self.cut_to(phase, now)],
            Step::Noted => Vec::new(),
            Step::Repeated => return Err(Refused::Repeated(self.phase)),
            Step::Illegal => return Err(Refused::Illegal(self.phase)),
        };
        Ok((self, actions))
    }

    /// The phase that the machine is in.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// When [`Event::BudgetPassed`] is due; never while running, nor once stopped.
    #[must_use]
    pub const fn until(&self) -> Option<Duration> {
        self.until
    }

    /// What asked for the shutdown first: nothing while running, or if the server ended by itself.
    #[must_use]
    pub const fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// The second signal, if one came.
    #[must_use]
    pub const fn forced_by(&self) -> Option<Signal> {
        match self.escalation {
            Escalation::Forced(signal) => Some(signal),
            Escalation::None | Escalation::Asked => None,
        }
    }

    /// The phases that were entered and left again, in order, each with the time spent in it.
    pub fn spans(&self) -> impl Iterator<Item = (Phase, Duration)> {
        let entered = Phase::ALL.into_iter().filter_map(|phase| Some((phase, self.entered[phase.index()]?)));
        entered.clone().zip(entered.skip(1)).map(|((phase, from), (_, to))| (phase, to.saturating_sub(from)))
    }

    /// Replaces a signal by what it means now; a third one means nothing any more.
    fn interpret(&mut self, event: Event) -> Option<(Input, Option<Cause>)> {
        Some(match event {
            Event::Request { .. } => (Input::Request, Some(Cause::Request)),
            Event::ServerEnded => (Input::Request, None),
            Event::Complete => (Input::Complete, None),
            Event::BudgetPassed => (Input::BudgetPassed, None),
            Event::Signal(signal) => {
                let (escalation, meaning) = self.escalation.on(signal);
                self.escalation = escalation;
                match meaning {
                    Meaning::Ask(Signal::Terminate) => (Input::Terminate, Some(Cause::Sigterm)),
                    Meaning::Ask(Signal::Interrupt) => (Input::Interrupt, Some(Cause::Sigint)),
                    Meaning::Force => (Input::Force, None),
                    Meaning::Nothing => return None,
                }
            }
        })
    }

    fn enter(&mut self, phase: Phase, now: Duration) -> Action {
        let Plan { lame_duck, drain, flush, grace } = self.plan;
        let phase = if phase == Phase::LameDuck && lame_duck.is_zero() { Phase::Draining } else { phase };
        let running_until = *self.entered[1..].iter().flatten().next().unwrap_or(&now);
        let until = match phase {
            Phase::LameDuck => now.saturating_add(lame_duck),
            // However late the driver was: what flushing needs of the grace period is not for draining.
            Phase::Draining => {
                now.saturating_add(drain).min(running_until.saturating_add(grace).saturating_sub(flush)).max(now)
            }
            Phase::Flushing => now.saturating_add(flush),
            Phase::Running | Phase::Stopped => now,
        };
        self.phase = phase;
        self.cut_to = None;
        self.until = (phase != Phase::Stopped).then_some(until);
        self.entered[phase.index()] = Some(now);
        Action::Enter { phase, until }
    }

    fn cut_to(&mut self, phase: Phase, now: Duration) -> Action {
        let settled = now.saturating_add(SETTLE);
        let until = self.until.map_or(settled, |until| until.min(settled));
        self.cut_to = Some(phase);
        self.until = Some(until);
        Action::Cut { until, forced: phase == Phase::Flushing }
    }
}
