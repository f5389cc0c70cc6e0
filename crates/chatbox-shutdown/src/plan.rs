//! How long each phase may take.

use std::time::Duration;

use crate::{Error, budget};

/// The time limits of one shutdown.
///
/// The default is made for Kubernetes' 30 s between SIGTERM and SIGKILL: 5 s of lame duck, 15 s of
/// draining, 5 s of flushing, and 5 s to spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How long to serve on, not ready any more, while load balancers notice. Default 5 s.
    ///
    /// Zero leaves the phase out, together with its participants.
    pub lame_duck: Duration,
    /// How long the participants of [`Phase::Draining`](crate::Phase::Draining) may take. Default 15 s.
    pub drain: Duration,
    /// How long the participants of [`Phase::Flushing`](crate::Phase::Flushing) may take. Default 5 s.
    pub flush: Duration,
    /// What the platform allows between the first signal and SIGKILL. Default 30 s.
    pub grace: Duration,
}

impl Plan {
    /// Checks that the phases fit into the grace period, as [`Shutdown::plan`](crate::Shutdown::plan) does.
    ///
    /// # Errors
    ///
    /// [`Error::DoesNotFit`], which names all four values, unless `lame_duck + drain + flush < grace`.
    pub fn validate(&self) -> Result<(), Error> {
        if self.phases() < self.grace { Ok(()) } else { Err(Error::DoesNotFit(*self)) }
    }

    /// The same plan for a caller who waits no longer than `deadline`.
    ///
    /// `grace` becomes `deadline` where that is shorter. If the phases do not fit into it any more,
    /// a tenth of it (at most 250 ms) is kept for returning to the caller. From the rest `flush` is
    /// sure of a quarter of the deadline; then come `drain`, what `flush` still lacks, and
    /// `lame_duck`, which is the first to shrink to zero. So no phase starves another that the
    /// clients need. The result is valid, except for a `deadline` of zero.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        if self.phases() < deadline {
            let grace = self.grace.min(deadline);
            return Self { grace, ..self };
        }
        let mut rest = deadline - budget::margin(deadline);
        let mut take = |wanted: Duration| {
            let granted = wanted.min(rest);
            rest -= granted;
            granted
        };
        let sure = take(self.flush.min(deadline / 4));
        let drain = take(self.drain);
        let flush = sure + take(self.flush - sure);
        Self { flush, drain, lame_duck: take(self.lame_duck), grace: self.grace.min(deadline) }
    }

    fn phases(&self) -> Duration {
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(lame_duck: u64, drain: u64, flush: u64, grace: u64) -> Plan {
        Plan {
            lame_duck: Duration::from_secs(lame_duck),
            drain: Duration::from_secs(drain),
            flush: Duration::from_secs(flush),
            grace: Duration::from_secs(grace),
        }
    }

    #[test]
    fn the_default_fits() {
        Plan::default().validate().expect("the default is valid");
    }

    #[test]
    fn a_sum_that_equals_the_grace_is_refused_with_all_four_values() {
        let error = seconds(6, 16, 8, 30).validate().expect_err("6 + 16 + 8 is not shorter than 30");
        insta::assert_snapshot!(error, @"lame_duck 6s + drain 16s + flush 8s must be shorter than grace 30s");
    }

    #[test]
    fn a_sum_that_overflows_is_refused() {
        let endless = Plan { lame_duck: Duration::MAX, ..Plan::default() };
        endless.validate().expect_err("no grace is longer than that");
    }

    #[test]
    fn a_deadline_shrinks_the_lame_duck_first_and_leaves_the_flush_a_quarter() {
        let plan = seconds(5, 15, 5, 30);
        let within = |deadline| plan.within(Duration::from_secs(deadline));
        let milliseconds = Duration::from_millis;

        assert_eq!(within(60), plan);
        assert_eq!(within(26), Plan { grace: milliseconds(26_000), ..plan });
        assert_eq!(within(22).lame_duck, milliseconds(1_750));
        assert_eq!((within(22).drain, within(22).flush), (plan.drain, plan.flush));
        assert_eq!((within(15).lame_duck, within(15).drain), (Duration::ZERO, milliseconds(11_000)));
        assert_eq!(within(15).flush, milliseconds(3_750));
        assert_eq!((within(4).drain, within(4).flush), (milliseconds(2_750), milliseconds(1_000)));
    }

    proptest! {
        #[test]
        fn a_plan_within_any_deadline_is_valid(
            lame_duck in 0..100_u64, drain in 0..100_u64, flush in 0..100_u64, spare in 1..100_u64,
            deadline in 1..1_000_000_000_000_u64,
        ) {
            let plan = seconds(lame_duck, drain, flush, lame_duck + drain + flush + spare);
            let deadline = Duration::from_nanos(deadline);
            let within = plan.within(deadline);
            prop_assert!(within.grace <= deadline);
            prop_assert!(within.lame_duck <= plan.lame_duck && within.drain <= plan.drain && within.flush <= plan.flush);
            prop_assert!(within.flush >= plan.flush.min(deadline / 4));
            if deadline >= Duration::from_nanos(10) {
                prop_assert!(within.validate().is_ok(), "{:?}", within);
            }
        }
    }
}
