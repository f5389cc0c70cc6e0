//! Liveness of a peer: when to send a ping, and when to give the connection up. Pure; time is passed in.

#[cfg(test)]
mod tests;

use crate::ticks::{Tick, TickLength};
use std::num::NonZero;
use std::time::Duration;

/// Bytes per second: the slowest rate at which a live peer is assumed to read. Its pong comes after it has read what was written before
/// the ping, and buffers on the way may hold minutes of that.
const SLOWEST: u32 = 16 * 1024;

/// The parameters of the heartbeat, for all sessions of a transport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    length: TickLength,
    timeout: Duration,
    /// From the last read, or the last ping, to the next ping.
    interval: Tick,
    /// Pings that fit into the timeout.
    pings: u16,
    /// What remains of the timeout after the last of them.
    grace: Tick,
}

impl Heartbeat {
    pub(crate) fn new(length: TickLength, interval: Duration, timeout: Duration) -> Self {
        // A moment is rounded down to its tick; one more tick keeps the time after it whole.
        let [interval_ticks, timeout_ticks] = [interval, timeout].map(|duration| length.ticks(duration) + 1);
        let pings = u16::try_from((timeout_ticks - 1) / interval_ticks).unwrap_or(u16::MAX);
        let grace = timeout_ticks - u32::from(pings) * interval_ticks;
        Self { length, timeout, interval: interval_ticks, pings, grace }
    }
}

/// When the peer was last read from, and what was sent since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    last_read: Tick,
    last_ping: Tick,
    bytes_since_read: u32,
    /// When a probe of the registry expires, if one is pending.
    probe: Option<NonZero<Tick>>,
    /// Pings since the last read.
    unanswered: u16,
}

impl Liveness {
    pub(super) const fn new(now: Tick) -> Self {
        Self { last_read: now, last_ping: now, bytes_since_read: 0, probe: None, unanswered: 0 }
    }

    /// The peer was read from, or could not be because reading is blocked here: silence is counted from now. Returns whether that
    /// answers a probe.
    #[must_use]
    pub(super) const fn on_read(&mut self, now: Tick) -> bool {
        self.last_read = now;
        self.bytes_since_read = 0;
        self.unanswered = 0;
        self.probe.take().is_some()
    }

    pub(super) fn on_written(&mut self, bytes: usize) {
        self.bytes_since_read = self.bytes_since_read.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    pub(super) const fn on_ping(&mut self, now: Tick) {
        self.last_ping = now;
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// The registry probes the peer, which has until `deadline` to send something.
    pub(super) fn on_probe(&mut self, deadline: Tick) {
        self.probe = NonZero::new(deadline);
    }

    /// When the pending probe expires.
    pub(super) fn probe_deadline(&self) -> Option<Tick> {
        self.probe.map(NonZero::get)
    }

    /// The pending probe has expired.
    pub(super) const fn on_probe_expired(&mut self) {
        self.probe = None;
    }

    pub(super) fn next_ping(&self, heartbeat: &Heartbeat) -> Tick {
        self.last_read.max(self.last_ping) + heartbeat.interval
    }

    /// When the silence has lasted too long. `None` while fewer pings were sent than the timeout allows for: a process that was stopped for
    /// a while sends the missing ones before it gives a peer up.
    pub(super) fn deadline(&self, heartbeat: &Heartbeat) -> Option<Tick> {
        if self.unanswered < heartbeat.pings {
            return None;
        }
        let reading = Duration::from_millis(u64::from(self.bytes_since_read) * 1_000 / u64::from(SLOWEST));
        let silence = heartbeat.length.after(self.last_read, heartbeat.timeout.saturating_add(reading));
        Some(silence.max(self.last_ping + heartbeat.grace))
    }
}
