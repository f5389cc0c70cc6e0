//! How far a retention sweep may go, decided from two clocks.

use std::time::Duration;

/// The bounds of one sweep, by the clock that dates messages ([`Store::now_ms`](crate::Store::now_ms)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoff {
    /// Messages dated before this are past their retention. In milliseconds since the Unix epoch.
    pub before_ms: i64,
    /// The current time: messages dated after this have a wrong date, and do not stop a sweep. In the same unit.
    pub now_ms: i64,
}

/// The answer of [`Retention::sweep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sweep {
    /// Remove what the cutoff allows.
    Remove(Cutoff),
    /// The clock that dates messages has just been set forward: the full sweep is refused. Log it, and remove what the
    /// cutoff allows, which is what the clock would say had it not been set.
    Jumped {
        /// How far ahead of the monotonic clock it is.
        ahead: Duration,
        /// The bounds without the jump.
        cutoff: Cutoff,
    },
    /// Remove nothing yet: the clock of a machine that has just started may still be set.
    Wait,
}

/// Decides how far each retention sweep may go, so that a clock that is set does not remove young messages.
///
/// Pure: it is given the clock that dates messages and a monotonic clock. When the first runs ahead of the second, the
/// messages that were dated before the jump look older than they are. For as long as the retention lasts, sweeps then go by
/// the clock as it was; after that, every message from before the jump is past its retention by any clock. A process that
/// has just started has no earlier reading to compare with, and waits a minute (or the retention, if that is shorter) before
/// its first sweep.
///
/// ```
/// use chatbox_store::{Cutoff, Retention, Sweep};
/// use std::time::Duration;
///
/// let mut retention = Retention::new(Duration::from_secs(3600));
/// let minute = Duration::from_secs(60);
/// assert_eq!(retention.sweep(10_000_000, Duration::ZERO), Sweep::Wait);
/// let cutoff = Cutoff { before_ms: 6_460_000, now_ms: 10_060_000 };
/// assert_eq!(retention.sweep(10_060_000, minute), Sweep::Remove(cutoff));
/// ```
#[derive(Debug)]
pub struct Retention {
    keep: Duration,
    /// The readings of both clocks at the latest sweep.
    latest: Option<(i64, Duration)>,
    /// Before this reading of the monotonic clock nothing is removed.
    first: Duration,
    /// The jumps that are still discounted.
    jump: Option<Jump>,
}

#[derive(Clone, Copy, Debug)]
struct Jump {
    ahead_ms: i64,
    /// Up to which reading of the monotonic clock.
    until: Duration,
}

/// How long a process that has just started waits for its clock to be set.
const SETTLE: Duration = Duration::from_secs(60);

/// The largest difference between the two clocks that is not taken for a jump: they are not read in one instant.
const TOLERANCE: Duration = Duration::from_secs(30);

impl Retention {
    /// Keeps messages for that long.
    #[must_use]
    pub fn new(keep: Duration) -> Self {
        Self { keep, latest: None, first: Duration::ZERO, jump: None }
    }

    /// The bounds of a sweep now. `now_ms` is the clock that dates messages, in milliseconds since the Unix epoch; `uptime` a
    /// monotonic clock that is read at the same time, from any origin.
    pub fn sweep(&mut self, now_ms: i64, uptime: Duration) -> Sweep {
        let Some((before_ms, before)) = self.latest.replace((now_ms, uptime)) else {
            self.first = uptime + SETTLE.min(self.keep);
            return Sweep::Wait;
        };
        let drift = now_ms.saturating_sub(before_ms).saturating_sub(millis(uptime.saturating_sub(before)));
        let jumped = self.note(drift, uptime);
        let behind = self.jump.map_or(0, |jump| jump.ahead_ms);
        let cutoff = Cutoff { before_ms: now_ms.saturating_sub(behind).saturating_sub(millis(self.keep)), now_ms };
        match jumped {
            _ if uptime < self.first => Sweep::Wait,
            Some(ahead) => Sweep::Jumped { ahead, cutoff },
            None => Sweep::Remove(cutoff),
        }
    }

    /// Takes a difference between the clocks into account. Returns it if it is a jump forward.
    fn note(&mut self, drift_ms: i64, uptime: Duration) -> Option<Duration> {
        self.jump = self.jump.filter(|jump| uptime < jump.until);
        let tolerance = millis(TOLERANCE.min(self.keep / 2));
        if drift_ms.unsigned_abs() <= tolerance.unsigned_abs() {
            return None;
        }
        let ahead_ms = self.jump.map_or(0, |jump| jump.ahead_ms).saturating_add(drift_ms);
        if drift_ms < 0 {
            // Set back: an earlier jump may be undone with it.
            self.jump = self.jump.map(|jump| Jump { ahead_ms, ..jump }).filter(|jump| jump.ahead_ms > 0);
            return None;
        }
        self.jump = Some(Jump { ahead_ms, until: uptime.saturating_add(self.keep) });
        Some(Duration::from_millis(drift_ms.unsigned_abs()))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
