//! The schedule of a drain: when each connection is closed, and when its client should reconnect. No clock.

use std::time::Duration;

/// The first reconnect slot: a client needs a moment to finish its close handshake.
const FIRST_SLOT: Duration = Duration::from_millis(100);

/// The least time over which reconnect slots are spread.
const LEAST_SPREAD: Duration = Duration::from_secs(1);

/// The least distance of two slots, so that they differ in whole milliseconds.
const LEAST_STEP: Duration = Duration::from_millis(1);

/// The most that slots are spread to keep their distance; from 30,000 clients on, some share a millisecond.
const MOST_SPREAD: Duration = Duration::from_secs(30);

/// The schedule of one drain.
///
/// Connection `i` is closed at `i / rate`. The rate is raised when the last connection would otherwise have no time for its close
/// handshake: the turns then fill the budget less one handshake, and at least half of the budget.
///
/// ```
/// use chatbox_core::Pace;
/// use std::time::Duration;
///
/// let secs = Duration::from_secs;
/// let gentle = Pace::new(4_000, 2_000, secs(15), secs(3));
/// assert_eq!(gentle.turn(3_999), Duration::from_micros(1_999_500));
///
/// // 100,000 connections at 2,000 a second would take 50 s: raised so that they fit in 12 s.
/// let hurried = Pace::new(100_000, 2_000, secs(15), secs(3));
/// assert!(hurried.turn(99_999) < secs(12));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    connections: usize,
    /// The time from the first turn to the last.
    span: Duration,
}

impl Pace {
    /// The schedule for `connections`, closing `rate` a second (0: all at once) within `budget`, of which the last
    /// connection keeps `close_handshake` for itself where that leaves at least half.
    #[must_use]
    pub fn new(connections: usize, rate: u32, budget: Duration, close_handshake: Duration) -> Self {
        let span = if rate == 0 {
            Duration::ZERO
        } else {
            let window = budget.saturating_sub(close_handshake).max(budget / 2);
            Duration::from_secs_f64(connections as f64 / f64::from(rate)).min(window)
        };
        Self { connections, span }
    }

    /// The turn of connection `index`, from the beginning of the drain.
    #[must_use]
    pub fn turn(&self, index: usize) -> Duration {
        self.share(self.span, index)
    }

    /// The reconnect slot of connection `index`: the time that its client should wait after the Close. The slots are evenly
    /// spread over the time that the closes take, at least over a second, and over up to 30 s where they would come closer together
    /// than a millisecond.
    #[must_use]
    pub fn reconnect_after(&self, index: usize) -> Duration {
        let apart = LEAST_STEP.saturating_mul(u32::try_from(self.connections).unwrap_or(u32::MAX)).min(MOST_SPREAD);
        FIRST_SLOT + self.share(self.span.max(LEAST_SPREAD).max(apart), index)
    }

    /// The position of connection `index` when all are evenly spread over `whole`.
    fn share(&self, whole: Duration, index: usize) -> Duration {
        whole.mul_f64(index as f64 / self.connections.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_turn_leaves_time_for_a_close_handshake(
            n in 1usize..200_000, rate in 0u32..10_000, budget in 1u64..60_000, handshake in 0u64..10_000,
        ) {
            let (budget, handshake) = (Duration::from_millis(budget), Duration::from_millis(handshake));
            let pace = Pace::new(n, rate, budget, handshake);
            let last = pace.turn(n - 1);
            prop_assert!(last <= budget.saturating_sub(handshake).max(budget / 2));
            prop_assert!(pace.turn(0) == Duration::ZERO);
        }

        #[test]
        fn the_configured_rate_is_kept_when_it_fits(n in 1usize..2_000, rate in 1_000u32..10_000) {
            let pace = Pace::new(n, rate, Duration::from_secs(15), Duration::from_secs(3));
            let asked = Duration::from_secs_f64((n - 1) as f64 / f64::from(rate));
            prop_assert!(pace.turn(n - 1).abs_diff(asked) < Duration::from_millis(1));
        }

        #[test]
        fn slots_are_distinct_in_milliseconds_and_in_order(n in 2usize..5_000, rate in 0u32..5_000) {
            let pace = Pace::new(n, rate, Duration::from_secs(15), Duration::from_secs(3));
            for index in 1..n {
                prop_assert!(pace.reconnect_after(index).as_millis() > pace.reconnect_after(index - 1).as_millis());
            }
        }
    }
}
