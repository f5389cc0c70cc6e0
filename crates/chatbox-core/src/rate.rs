//! Message rate limits, per user over all of that user's connections.

use governor::clock::{Clock, DefaultClock};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A token bucket for each user: `per_second` in the long run, `burst` at once.
///
/// A user is remembered while the bucket is not full again; memory is proportional to the users that sent lately.
///
/// ```
/// use chatbox_core::RateLimits;
/// use std::num::NonZeroU32;
///
/// let limits = RateLimits::new(NonZeroU32::new(50).unwrap(), NonZeroU32::new(2).unwrap());
/// let alice = "alice".into();
/// assert!(limits.check(&alice).is_ok());
/// assert!(limits.check(&alice).is_ok());
/// let retry_after = limits.check(&alice).unwrap_err();
/// assert!(retry_after.as_millis() <= 20);
/// assert!(limits.check(&"bob".into()).is_ok());
/// ```
#[derive(Debug)]
pub struct RateLimits {
    limiter: RateLimiter<Arc<str>, governor::state::keyed::HashMapStateStore<Arc<str>>, DefaultClock>,
    clock: DefaultClock,
    checks: AtomicUsize,
}

impl RateLimits {
    /// Checks between two sweeps of full buckets; a sweep costs as much as one check for each user.
    const SWEEP_EVERY: usize = 65_536;

    /// A bucket of `burst` tokens for every user, refilled at `per_second`.
    #[must_use]
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self { limiter: RateLimiter::hashmap(quota), clock: DefaultClock::default(), checks: AtomicUsize::new(0) }
    }

    /// Takes a token of `user`.
    ///
    /// # Errors
    /// The time until there will be one.
    pub fn check(&self, user: &Arc<str>) -> Result<(), Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % Self::SWEEP_EVERY == Self::SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(user).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    /// Releases the memory of users whose buckets are full again. [`check`](Self::check) does so once in 65,536 calls; call this now and
    /// then for the case that messages stop.
    pub fn forget_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}
