//! The wall-clock moment at which an authentication expires.

use std::num::NonZeroU64;
use std::time::{Duration, SystemTime};

/// The wall-clock moment at which an authentication expires, or none.
///
/// A session's own timer counts monotonic time, which stands still while the machine sleeps and ignores a corrected clock. So the moment is
/// compared with the wall clock again whenever the connection shows activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuthDeadline(
    /// Milliseconds since the Unix epoch.
    Option<NonZeroU64>,
);

impl AuthDeadline {
    pub(crate) fn new(expires: Option<SystemTime>) -> Self {
        let at_least_one = |time: Duration| NonZeroU64::new(milliseconds(time)).unwrap_or(NonZeroU64::MIN);
        Self(expires.map(|at| at_least_one(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())))
    }

    /// Whether the moment is reached at `now`.
    pub(crate) fn has_passed(self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.0.is_some_and(|at| milliseconds(now) >= at.get())
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_has_passed_from_its_millisecond_on(at in 1..10_u64.pow(13), now in 0..10_u64.pow(13), near in -2..3_i64) {
            let moment = |ms: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
            let deadline = AuthDeadline::new(Some(moment(at)));
            for now in [now, at.saturating_add_signed(near)] {
                prop_assert_eq!(deadline.has_passed(moment(now)), now >= at);
                prop_assert!(!AuthDeadline::new(None).has_passed(moment(now)));
            }
        }
    }

    #[test]
    fn a_moment_before_the_unix_epoch_has_passed() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert!(AuthDeadline::new(Some(before)).has_passed(SystemTime::now()));
    }
}
