//! Time in ticks of a coarse clock.

use std::time::Duration;

/// A moment, in ticks since the clock started.
pub(crate) type Tick = u32;

/// The length of a tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickLength(Duration);

impl TickLength {
    pub(crate) const fn new(length: Duration) -> Self {
        Self(length)
    }

    /// A duration in ticks, rounded up; cut to what can still be added to the present tick.
    pub(crate) fn ticks(self, duration: Duration) -> Tick {
        /// At least a month, and years at the usual tick.
        const FOREVER: Tick = u32::MAX / 4;
        // Computed in every poll of every session: in 64 bits the division costs a tenth of what it costs in 128.
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        u32::try_from(nanos(duration).div_ceil(nanos(self.0))).unwrap_or(FOREVER).min(FOREVER)
    }

    /// The first tick, counted from `now`, at which `duration` has surely passed. `now` is rounded down to its tick, hence one more.
    pub(crate) fn after(self, now: Tick, duration: Duration) -> Tick {
        now + self.ticks(duration) + 1
    }
}
