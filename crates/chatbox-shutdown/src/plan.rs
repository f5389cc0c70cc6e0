//! The time limits of a shutdown.

use std::time::Duration;

use crate::{Error, Stage, budget};

/// The time limits of a shutdown.
///
/// The default fits Kubernetes' 30 s between SIGTERM and SIGKILL: 5 s of lame duck, 15 s of draining,
/// 5 s of flushing, and 5 s to spare.
///
/// ```
/// use std::time::Duration;
/// use chatbox_shutdown::Plan;
///
/// let plan = Plan::default().with_drain(Duration::from_secs(60)).with_grace(Duration::from_secs(90));
/// assert!(plan.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a plan is used by Shutdown::on_signals or Shutdown::without_signals"]
pub struct Plan {
    pub(crate) lame_duck: Duration,
    pub(crate) drain: Duration,
    pub(crate) flush: Duration,
    pub(crate) grace: Duration,
}

impl Plan {
    /// How long the program serves on after SIGTERM while it is not ready. Default: 5 s.
    ///
    /// Load balancers need this time to stop sending new clients: if it is too short, new clients are
    /// refused. Zero leaves the phase out, and its participants are not started.
    pub const fn with_lame_duck(mut self, length: Duration) -> Self {
        self.lame_duck = length;
        self
    }

    /// How long the participants of [`Stage::Draining`] may take. Default: 15 s.
    ///
    /// The phase ends as soon as they have ended. Those that have not ended by then are dropped.
    pub const fn with_drain(mut self, length: Duration) -> Self {
        self.drain = length;
        self
    }

    /// How long the participants of [`Stage::Flushing`] may take. Default: 5 s.
    ///
    /// This time is reserved: neither a slow drain nor a second signal shortens it.
    pub const fn with_flush(mut self, length: Duration) -> Self {
        self.flush = length;
        self
    }

    /// How long the platform waits between the first signal and SIGKILL. Default: 30 s.
    ///
    /// Must be longer than the three phases together. In Kubernetes this is
    /// `terminationGracePeriodSeconds`, in systemd `TimeoutStopSec`.
    pub const fn with_grace(mut self, length: Duration) -> Self {
        self.grace = length;
        self
    }

    /// The length of the lame duck.
    #[must_use]
    pub const fn lame_duck(&self) -> Duration {
        self.lame_duck
    }

    /// The time limit of draining.
    #[must_use]
    pub const fn drain(&self) -> Duration {
        self.drain
    }

    /// The time limit of flushing.
    #[must_use]
    pub const fn flush(&self) -> Duration {
        self.flush
    }

    /// The time between the first signal and SIGKILL.
    #[must_use]
    pub const fn grace(&self) -> Duration {
        self.grace
    }

    /// Checks that the phases fit into the grace period, as [`Shutdown`](crate::Shutdown) does.
    ///
    /// # Errors
    ///
    /// [`Error::DoesNotFit`], which names all four values, unless `lame_duck + drain + flush < grace`.
    pub fn validate(&self) -> Result<(), Error> {
        if self.total() < self.grace { Ok(()) } else { Err(Error::DoesNotFit(*self)) }
    }

    /// The same plan for a caller that waits no longer than `deadline`.
    ///
    /// `grace` becomes `deadline` where that is shorter. If the phases do not fit into it any more,
    /// a tenth of it (at most 250 ms) is kept for returning to the caller. A quarter of the deadline is
    /// reserved for `flush`; the rest goes to `drain`, to what `flush` still lacks, and to `lame_duck`,
    /// in this order. [`Plan::shortened`] tells which phases were cut down. The result is valid, except
    /// for a `deadline` of zero.
    pub fn within(self, deadline: Duration) -> Self {
        if self.total() < deadline {
            return self.with_grace(self.grace.min(deadline));
        }
        let mut rest = deadline - budget::margin(deadline);
        let mut take = |wanted: Duration| {
            let granted = wanted.min(rest);
            rest -= granted;
            granted
        };
        let reserved = take(self.flush.min(deadline / 4));
        let drain = take(self.drain);
        let flush = reserved + take(self.flush - reserved);
        Self { flush, drain, lame_duck: take(self.lame_duck), grace: self.grace.min(deadline) }
    }

    /// The stages that have less time here than in `planned`, in order.
    ///
    /// ```
    /// use std::time::Duration;
    /// use chatbox_shutdown::{Plan, Stage};
    ///
    /// let plan = Plan::default();
    /// let shortened = plan.within(Duration::from_secs(15)).shortened(&plan);
    /// assert_eq!(shortened, [Stage::LameDuck, Stage::Draining, Stage::Flushing]);
    /// ```
    #[must_use]
    pub fn shortened(&self, planned: &Self) -> Vec<Stage> {
        let is_shorter = |stage: &Stage| match stage {
            Stage::LameDuck => self.lame_duck < planned.lame_duck,
            Stage::Draining => self.drain < planned.drain,
            Stage::Flushing => self.flush < planned.flush,
        };
        Stage::ALL.into_iter().filter(is_shorter).collect()
    }

    fn total(&self) -> Duration {
        self.lame_duck.saturating_add(self.drain).saturating_add(self.flush)
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            lame_duck: Duration::from_secs(5),
            drain: Duration::from_secs(15),
            flush: Duration::from_secs(5),
            grace: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests;
