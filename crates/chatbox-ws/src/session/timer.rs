//! The deadlines of a session.

use crate::ticks::Tick;

/// A deadline of a session, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A write has made no progress for too long.
    Stall,
    /// The connection's time is over, whatever it does.
    Expiry,
    /// The peer has not answered a probe of the registry.
    Probe,
    /// The peer has been silent for too long.
    Silence,
    /// The peer is to be sent a ping.
    Ping,
    /// The peer has not finished the close handshake in time.
    CloseHandshake,
}

impl Timer {
    pub(super) const ALL: [Self; 6] =
        [Self::Stall, Self::Expiry, Self::Probe, Self::Silence, Self::Ping, Self::CloseHandshake];
}

/// The deadline of each [`Timer`]. Derived from the state of a session when needed, because storing it would enlarge every session.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimerTable([Tick; Timer::ALL.len()]);

impl TimerTable {
    /// A table without deadlines.
    pub(super) const fn new() -> Self {
        Self([Tick::MAX; Timer::ALL.len()])
    }

    pub(super) fn set(&mut self, timer: Timer, deadline: Option<Tick>) {
        self.0[timer as usize] = deadline.unwrap_or(Tick::MAX);
    }

    /// The earliest deadline; [`Tick::MAX`] when there is none.
    pub(super) fn earliest(&self) -> Tick {
        self.0.into_iter().min().unwrap_or(Tick::MAX)
    }

    /// The first timer, in order of precedence, whose deadline has come.
    pub(super) fn expired(&self, now: Tick) -> Option<Timer> {
        Timer::ALL.into_iter().find(|timer| self.0[*timer as usize] <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_expire_in_order_of_precedence() {
        for (index, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, index);
        }
        let mut table = TimerTable::new();
        assert_eq!((table.earliest(), table.expired(Tick::MAX - 1)), (Tick::MAX, None));
        table.set(Timer::Ping, Some(5));
        table.set(Timer::Expiry, Some(7));
        assert_eq!(table.earliest(), 5);
        assert_eq!([4, 5, 7].map(|now| table.expired(now)), [None, Some(Timer::Ping), Some(Timer::Expiry)]);
        table.set(Timer::Expiry, None);
        assert_eq!(table.expired(9), Some(Timer::Ping));
    }
}
