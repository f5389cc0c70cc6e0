//! When failed runs make a check not ready: pure, without a clock.

use std::num::NonZeroU32;
use std::time::Duration;

/// How many failures in a row make a ready check not ready, and how soon it is run again meanwhile.
///
/// A check that is not ready, or has never passed, follows its latest run: one success makes it ready.
/// A ready check stays ready until [`with_failure_threshold`](Self::with_failure_threshold) runs in a row have
/// failed. After the first failure, further runs need no probe: each begins
/// [`with_retry_after`](Self::with_retry_after) after the last one ended, unless the gate is closed.
///
/// ```
/// use chatbox_health::{Health, Hysteresis};
/// # let (ping, lag) = (async || std::io::Result::Ok(()), async || std::io::Result::Ok(()));
///
/// let health = Health::builder()
///     .check("database", ping) // not ready after two failures in a row
///     .check_with("lag", Hysteresis::NONE, lag) // not ready after one
///     .build();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "pass it to Builder::check_with"]
pub struct Hysteresis {
    pub(crate) failure_threshold: NonZeroU32,
    pub(crate) retry_after: Duration,
    pub(crate) retry_timeout: Duration,
}

impl Hysteresis {
    /// No hysteresis: a check is what its latest run says. For checks that are smooth by themselves, or
    /// whose failure must count at once.
    pub const NONE: Self = Self {
        failure_threshold: NonZeroU32::MIN,
        retry_after: Duration::from_millis(250),
        retry_timeout: Duration::from_secs(1),
    };

    /// Failures in a row that make a ready check not ready. Default: 2.
    ///
    /// More of them hide longer outages; one lets a single slow ping take the service out of rotation.
    pub const fn with_failure_threshold(mut self, failures: NonZeroU32) -> Self {
        self.failure_threshold = failures;
        self
    }

    /// The pause between a failure and the next run while the check is still ready. Default: 250 ms.
    pub const fn with_retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = pause;
        self
    }

    /// How long these further runs may take, at most the timeout of the check. Default: 1 s.
    ///
    /// That is less than the first run may take, so that an outage is reported within 5 s.
    pub const fn with_retry_timeout(mut self, timeout: Duration) -> Self {
        self.retry_timeout = timeout;
        self
    }
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self::NONE.with_failure_threshold(NonZeroU32::MIN.saturating_add(1))
    }
}

/// The status of a check that follows from its runs.
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
