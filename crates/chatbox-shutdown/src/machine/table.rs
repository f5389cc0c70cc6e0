//! The transition table: what each event does in each phase.

use crate::Phase;

/// The rows of the table: events, with signals replaced by what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The program asks, or its server has ended.
    Request,
    /// The first signal is SIGTERM.
    Terminate,
    /// The first signal is SIGINT.
    Interrupt,
    /// The second signal.
    Force,
    /// Nothing is left to do in this phase.
    Complete,
    /// The phase's time has passed.
    BudgetPassed,
}

/// The cells of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Enter that phase now.
    To(Phase),
    /// Cut this phase, and enter that one when its participants have settled.
    CutTo(Phase),
    /// Remember that it came, and go on.
    Noted,
    /// Refuse with [`Refused::Repeated`](super::Refused::Repeated).
    Repeated,
    /// Refuse with [`Refused::Illegal`](super::Refused::Illegal).
    Illegal,
}

impl Input {
    /// Every row of the table, in order.
    pub const ALL: [Self; 6] =
        [Self::Request, Self::Terminate, Self::Interrupt, Self::Force, Self::Complete, Self::BudgetPassed];

    /// This row of the table: one cell for each phase, in the order of [`Phase::ALL`].
    #[must_use]
    #[rustfmt::skip]
    pub const fn row(self) -> [Step; 5] {
        use Phase::{Draining, Flushing, LameDuck, Stopped};
        use Step::{CutTo, Illegal, Noted, Repeated, To};
        match self {
            //                     running       lame_duck        draining         flushing     stopped
            Self::Request      => [To(LameDuck), Repeated,        Repeated,        Repeated,    Repeated],
            Self::Terminate    => [To(LameDuck), Noted,           Noted,           Noted,       Repeated],
            Self::Interrupt    => [To(Draining), CutTo(Draining), Noted,           Noted,       Repeated],
            Self::Force        => [Illegal,      CutTo(Flushing), CutTo(Flushing), Noted,       Illegal],
            Self::Complete     => [Illegal,      To(Draining),    To(Flushing),    To(Stopped), Illegal],
            Self::BudgetPassed => [Illegal,      To(Draining),    To(Flushing),    To(Stopped), Illegal],
        }
    }
}
