//! The transition table: what each event does in each phase.

use crate::Phase;

/// The rows of the table: events, with signals replaced by what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The program requests the shutdown, or one of its tasks has ended.
    Request,
    /// The first signal is SIGTERM or SIGQUIT.
    Terminate,
    /// The first signal is SIGINT or SIGHUP.
    Interrupt,
    /// A second signal, or the program forces the end.
    Force,
    /// Everything that belongs to this phase has ended.
    Complete,
    /// The phase's deadline has passed.
    BudgetPassed,
}

/// The cells of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Enter that phase now.
    To(Phase),
    /// Cut this phase, and enter that one when its participants have settled.
    CutTo(Phase),
    /// The event counts, and the phase goes on.
    Noted,
    /// Refuse with [`Refused::Repeated`](super::Refused::Repeated).
    Repeated,
    /// Refuse with [`Refused::Illegal`](super::Refused::Illegal).
    Illegal,
}

impl Input {
    /// Every row of the table, in order.
    #[cfg(test)]
    pub(super) const ALL: [Self; 6] =
        [Self::Request, Self::Terminate, Self::Interrupt, Self::Force, Self::Complete, Self::BudgetPassed];

    /// This row of the table: one cell for each phase, in the order of [`Phase::ALL`].
    #[rustfmt::skip]
    pub(super) const fn row(self) -> [Step; 5] {
        use Phase::{Draining, Flushing, LameDuck, Stopped};
        use Step::{CutTo, Illegal, Noted, Repeated, To};
        match self {
            //                     running       lame_duck        draining         flushing        stopped
            Self::Request      => [To(LameDuck), Repeated,        Repeated,        Repeated,       Repeated],
            Self::Terminate    => [To(LameDuck), Noted,           Noted,           Noted,          Repeated],
            Self::Interrupt    => [To(Draining), CutTo(Draining), Noted,           Noted,          Repeated],
            Self::Force        => [To(Flushing), CutTo(Flushing), CutTo(Flushing), Noted,          Repeated],
            Self::Complete     => [Illegal,      Noted,           To(Flushing),    To(Stopped),    Illegal],
            Self::BudgetPassed => [Illegal,      CutTo(Draining), CutTo(Flushing), CutTo(Stopped), Illegal],
        }
    }
}
