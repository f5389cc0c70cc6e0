//! Deadlines: heartbeat, stalled writes, the close handshake, expiry. All of them in ticks of the shared wheel.

use super::Session;
use super::phase::Phase;
use crate::frame;
use crate::handler::Handler;
use crate::transport::Settings;
use crate::wheel::{Tick, Wheel};
use chatbox_core::{CloseCode, CloseReason, CloseSummary, ClosedBy, Lease};
use std::num::NonZero;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes a second: the slowest that a peer may read without being taken for gone. Its answer to a ping comes after it has read
/// what was written before, which lies in buffers that may hold minutes of it.
const SLOWEST: u32 = 16 * 1024;

/// How silence is measured, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    /// From the peer's last sign of life, or the last ping, to the next ping.
    interval: Tick,
    /// How many pings fit into the time after which silence is too long.
    pings: u16,
    /// What is left of that time after the last of them.
    grace: Tick,
}

impl Heartbeat {
    pub(crate) fn new(wheel: &Wheel, settings: &Settings) -> Self {
        // A moment is rounded down to its tick; one more keeps the time after it whole.
        let [interval, timeout] =
            [settings.heartbeat_interval, settings.heartbeat_timeout].map(|duration| wheel.ticks(duration) + 1);
        let pings = u16::try_from((timeout - 1) / interval).unwrap_or(u16::MAX);
        Self { interval, pings, grace: timeout - u32::from(pings) * interval }
    }
}

impl<S, H> Session<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    /// Does what has come due. To be called when the wheel has.
    pub(super) fn on_time(&mut self, lease: &Lease) -> Result<(), CloseSummary> {
        let now = self.shared.wheel.now();
        // A wake-up that an earlier one has replaced comes all the same; booking again for it would never end.
        self.booked = self.booked.filter(|booked| now < booked.get());
        self.check_stall(lease, now)?;
        match self.phase {
            Phase::Open | Phase::Settling(_) => self.check_peer(lease, now),
            Phase::AwaitingEcho { deadline, .. } if now >= deadline => Err(self.timed_out("close_timeout")),
            Phase::Lingering { code, by, deadline, .. } if now >= deadline => {
                // With both Closes exchanged the handshake is complete; the peer only keeps its socket.
                Err(if self.peer_close.is_some() {
                    CloseSummary::closed(code, by)
                } else {
                    self.timed_out("close_timeout")
                })
            }
            _ => Ok(()),
        }
    }

    /// Books the next wake-up, unless an earlier one is booked.
    pub(super) fn book(&mut self, lease: &Lease) {
        let due = self.due();
        if self.booked.is_none_or(|booked| due < booked.get()) {
            self.booked = NonZero::new(self.shared.wheel.book(lease.connection(), due));
        }
    }

    fn due(&self) -> Tick {
        let phase = match self.phase {
            Phase::Open | Phase::Settling(_) => {
                let heartbeat = self.next_ping().min(self.peer_deadline());
                self.expiry.as_ref().map_or(heartbeat, |expiry| heartbeat.min(expiry.0))
            }
            Phase::AwaitingEcho { deadline, .. } | Phase::Lingering { deadline, .. } => deadline,
            Phase::Closing { .. } => Tick::MAX,
        };
        phase.min(self.stall_deadline().unwrap_or(Tick::MAX))
    }

    fn next_ping(&self) -> Tick {
        self.last_read.max(self.last_ping) + self.shared.heartbeat.interval
    }

    /// When the peer's silence has lasted too long. `last_read` is rounded down to its tick, which must not shorten the time. A peer that has
    /// not been asked as often as it should have been, because this process was stopped for a while, is asked first.
    fn peer_deadline(&self) -> Tick {
        let Heartbeat { pings, grace, .. } = self.shared.heartbeat;
        if self.unanswered < pings {
            return Tick::MAX;
        }
        let reading = Duration::from_millis(u64::from(self.bytes_since_read) * 1_000 / u64::from(SLOWEST));
        let timeout = self.shared.settings.heartbeat_timeout.saturating_add(reading);
        (self.last_read + self.shared.wheel.ticks(timeout) + 1).max(self.last_ping + grace)
    }

    /// The peer has shown that it lives.
    pub(super) fn hear(&mut self) {
        self.last_read = self.shared.wheel.now();
        self.bytes_since_read = 0;
        self.unanswered = 0;
    }

    /// When a write that makes no progress has lasted too long. A peer that is being closed has the time of a close handshake.
    fn stall_deadline(&self) -> Option<Tick> {
        let settings = &self.shared.settings;
        let bound = if matches!(self.phase, Phase::Open) { settings.write_timeout } else { settings.close_handshake };
        Some(self.stalled?.get() + self.shared.wheel.ticks(bound) + 1)
    }

    /// A write makes no progress, now or for some time already.
    pub(super) fn stall(&mut self) {
        self.stalled = self.stalled.or(NonZero::new(self.shared.wheel.now()));
    }

    /// Gives a peer that does not read its time anew: what it is allowed has changed.
    pub(super) fn restart_stall(&mut self) {
        self.stalled = self.stalled.and(NonZero::new(self.shared.wheel.now()));
    }

    fn check_stall(&mut self, lease: &Lease, now: Tick) -> Result<(), CloseSummary> {
        if self.stall_deadline().is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        if !matches!(self.phase, Phase::Open) {
            return Err(self.timed_out("write_timeout"));
        }
        // The Close waits behind the one frame that is half written; the rest would only keep it from arriving.
        self.forget_unsent();
        drop(lease.connection().take_outbox());
        self.close_with(lease, CloseReason::new(CloseCode::TRY_AGAIN, "too slow"), ClosedBy::Server);
        Ok(())
    }

    fn check_peer(&mut self, lease: &Lease, now: Tick) -> Result<(), CloseSummary> {
        if let Some(expiry) = self.expiry.take_if(|expiry| now >= expiry.0) {
            self.close_with(lease, expiry.1, ClosedBy::Server);
            return Ok(());
        }
        if now >= self.peer_deadline() {
            return Err(CloseSummary::peer_gone("heartbeat_timeout"));
        }
        if now >= self.next_ping() {
            self.last_ping = now;
            self.unanswered = self.unanswered.saturating_add(1);
            lease.connection().push(frame::ping);
        }
        Ok(())
    }
}
