//! Exponential backoff with full jitter, as a pure function.

use std::time::Duration;

/// The delay after the n-th failure in a row: random, from 0 to `base` × 2ⁿ, at most `cap`.
///
/// Full jitter spreads the clients of a server that failed evenly over the whole window; after a fixed delay they would all
/// reconnect at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) base: Duration,
    pub(crate) cap: Duration,
}

impl Backoff {
    /// The delay after `failures` earlier failures; `fraction`, from 0 to 1, is the jitter.
    pub(crate) fn delay(self, failures: u32, fraction: f64) -> Duration {
        let window = 2_u32.checked_pow(failures).map_or(self.cap, |factor| self.base.saturating_mul(factor));
        window.min(self.cap).mul_f64(fraction.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use proptest::prelude::*;
    use std::time::Duration;

    const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(20) };

    #[test]
    fn the_window_doubles_up_to_the_cap() {
        let windows: Vec<_> = (0..7).map(|failures| BACKOFF.delay(failures, 1.0).as_secs()).collect();
        assert_eq!(windows, [1, 2, 4, 8, 16, 20, 20]);
    }

    proptest! {
        #[test]
        fn a_delay_is_between_zero_and_its_window(
            base in 0..100_000_u64, cap in 0..100_000_u64, failures: u32, fraction in 0.0..=1.0_f64,
        ) {
            let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            let window = backoff.delay(failures, 1.0);
            prop_assert!(window <= backoff.cap);
            prop_assert!(window <= backoff.base.saturating_mul(2_u32.saturating_pow(failures)));
            prop_assert!(backoff.delay(failures.saturating_add(1), 1.0) >= window);
            prop_assert_eq!(backoff.delay(failures, 0.0), Duration::ZERO);
            let delay = backoff.delay(failures, fraction);
            prop_assert!(delay.abs_diff(window.mul_f64(fraction)) < Duration::from_micros(1));
        }
    }
}
