//! When failed runs make a check not ready: pure, without a clock.

use std::num::NonZeroU32;
use std::time::Duration;

/// How many failures in a row a check that was passing may have before it is not ready, and how soon it is run again
/// meanwhile.
///
/// A check that has never passed, or is not ready, is judged by each run alone: one failure keeps it there, and one
/// success makes it ready. A check that is ready stays so until [`failure_threshold`](Self::failure_threshold) runs in a
/// row have failed. The runs after the first failure wait for nobody to ask: each begins
/// [`retry_after`](Self::retry_after) after the last one ended, unless the gate is closed.
///
/// ```
/// use chatbox_health::{Health, Hysteresis};
/// # let (ping, lag) = (|| async { std::io::Result::Ok(()) }, || async { std::io::Result::Ok(()) });
///
/// let health = Health::builder()
///     .check("database", ping) // not ready after two failures in a row
///     .check_with("lag", Hysteresis::NONE, lag) // not ready after one
///     .build();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hysteresis {
    /// Failures in a row that make a ready check not ready. Default: 2.
    pub failure_threshold: NonZeroU32,
    /// The pause between a failure and the next run, while the check is still ready. Default: 250 ms.
    pub retry_after: Duration,
    /// How long those further runs may take, at most the timeout of the check. Default: 1 s, which is less than the
    /// first run may take: so two of them fit into 5 s with everything else.
    pub retry_timeout: Duration,
}

impl Hysteresis {
    /// None: a check is what its latest run says. For checks that smooth by themselves, or must not be believed for
    /// longer.
    pub const NONE: Self = Self {
        failure_threshold: NonZeroU32::MIN,
        retry_after: Duration::from_millis(250),
        retry_timeout: Duration::from_secs(1),
    };
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self { failure_threshold: NonZeroU32::MIN.saturating_add(1), ..Self::NONE }
    }
}

/// What the runs of a check amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    ready: bool,
    failures: u32,
}

impl Verdict {
    pub(crate) fn on_run(&mut self, passed: bool, threshold: NonZeroU32) {
        self.failures = if passed { 0 } else { self.failures.saturating_add(1) };
        self.ready = passed || (self.ready && self.failures < threshold.get());
    }

    pub(crate) fn is_ready(self) -> bool {
        self.ready
    }

    /// Still ready, but the latest run failed.
    pub(crate) fn is_suspect(self) -> bool {
        self.ready && self.failures > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ready_is_what_passed_within_the_last_runs_and_never_failed_through_since(
            runs in prop::collection::vec(any::<bool>(), 0..40), threshold in 1u32..5,
        ) {
            let mut verdict = Verdict::default();
            for (index, &passed) in runs.iter().enumerate() {
                verdict.on_run(passed, NonZeroU32::new(threshold).unwrap());
                let failures = runs[..=index].iter().rev().take_while(|passed| !**passed).count();
                let ever_passed = failures <= index;
                prop_assert_eq!(verdict.is_ready(), ever_passed && failures < threshold as usize);
                prop_assert_eq!(verdict.is_suspect(), verdict.is_ready() && !passed);
            }
        }
    }
}
