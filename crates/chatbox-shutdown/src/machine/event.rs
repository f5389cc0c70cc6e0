//! What goes into the phase machine and what comes out.

use std::time::Duration;

use crate::{Phase, Signal};

/// What happens to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A signal came.
    Signal(Signal),
    /// The program requests the shutdown.
    Request {
        /// What the phases must fit into, if that is less than planned: see [`Plan::within`](crate::Plan::within).
        within: Option<Duration>,
    },
    /// The program forces the end, as a second SIGTERM does.
    Force,
    /// A task that should have run until the shutdown has ended.
    TaskEnded,
    /// Everything that belongs to this phase has ended.
    Complete,
    /// The time given with the last [`Action`] has passed.
    BudgetPassed,
}

/// What the driver has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Expire the budgets of this phase's participants. The phase goes on.
    Cut {
        /// When those that have not returned are dropped.
        until: Duration,
        /// Whether a second signal is the reason.
        forced: bool,
    },
    /// Drop what is left of this phase's participants and start those of another.
    Enter {
        /// The phase that was entered.
        phase: Phase,
        /// The deadline of its participants.
        until: Duration,
    },
}

/// Why an event changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The event requests what was requested before: harmless.
    #[error("requested again in phase {0}")]
    Repeated(Phase),
    /// The event cannot happen in this phase: a mistake of the driver.
    #[error("impossible in phase {0}")]
    Illegal(Phase),
}
