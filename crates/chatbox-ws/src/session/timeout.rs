//! The deadlines of a session, and what happens when one has come.

use super::Session;
use super::timer::{Timer, TimerTable};
use crate::frame;
use crate::handler::Handler;
use crate::ticks::Tick;
use chatbox_core::{CloseCode, CloseError, CloseReason, CloseSummary, ClosedBy, Lease};
use std::num::NonZero;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S, H> Session<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    /// Handles every timer whose deadline has come. Call after the wheel has woken the session.
    pub(super) fn on_tick(&mut self, lease: &mut Lease) -> Result<(), CloseSummary> {
        let now = self.shared.now();
        // A wake-up that an earlier one has replaced comes all the same; scheduling it again would never end.
        self.scheduled = self.scheduled.filter(|scheduled| now < scheduled.get());
        if lease.take_probe() {
            self.begin_probe(now, lease);
        }
        while let Some(timer) = self.timers().expired(now) {
            self.on_timeout(timer, now, lease)?;
        }
        Ok(())
    }

    /// Another connection of the user waits for this one's place.
    fn begin_probe(&mut self, now: Tick, lease: &mut Lease) {
        if self.handshake.is_sealed() {
            // It is being closed already.
            lease.displaced();
        } else {
            self.liveness.on_probe(self.shared.after(Lease::PROBE_TIMEOUT));
            self.ping(now, lease);
        }
    }

    fn ping(&mut self, now: Tick, lease: &Lease) {
        self.liveness.on_ping(now);
        lease.connection().push(frame::ping);
    }

    /// Handles one timer, and moves its deadline beyond `now`.
    fn on_timeout(&mut self, timer: Timer, now: Tick, lease: &mut Lease) -> Result<(), CloseSummary> {
        match timer {
            Timer::Stall if self.handshake.is_open() => {
                // The Close follows the one frame that is partly written; the others would only delay it.
                let mut discarded = self.send_buffer.truncate();
                discarded += lease.take_outbox().map_or(0, |queued| queued.len());
                lease.written(discarded);
                self.close_with(lease, CloseReason::new(CloseCode::TRY_AGAIN, "too slow"), ClosedBy::Server);
                Ok(())
            }
            Timer::Stall => Err(self.handshake.timed_out(CloseError::WriteTimeout)),
            Timer::Expiry => {
                if let Some(expiry) = self.expiry.take() {
                    self.close_with(lease, expiry.1, ClosedBy::Server);
                }
                Ok(())
            }
            Timer::Probe => {
                self.liveness.on_probe_expired();
                lease.displaced();
                self.close_with(lease, CloseReason::new(CloseCode::GOING_AWAY, "unresponsive"), ClosedBy::Server);
                Ok(())
            }
            Timer::Silence => Err(CloseSummary::peer_gone(CloseError::HeartbeatTimeout)),
            Timer::Ping => {
                self.on_heartbeat(lease);
                if self.handshake.is_sealed() {
                    self.liveness.on_ping(now);
                } else {
                    self.ping(now, lease);
                }
                Ok(())
            }
            Timer::CloseHandshake => Err(self.handshake.on_deadline()),
        }
    }

    fn timers(&self) -> TimerTable {
        let mut timers = TimerTable::new();
        timers.set(Timer::Stall, self.stall_deadline());
        timers.set(Timer::CloseHandshake, self.handshake.deadline());
        // Once our Close is queued, the close handshake bounds the time of the peer.
        if !self.handshake.is_sealed() {
            timers.set(Timer::Expiry, self.expiry.as_ref().map(|expiry| expiry.0));
            timers.set(Timer::Probe, self.liveness.probe_deadline());
            timers.set(Timer::Silence, self.liveness.deadline(&self.shared.heartbeat));
            timers.set(Timer::Ping, Some(self.liveness.next_ping(&self.shared.heartbeat)));
        }
        timers
    }

    /// Schedules a wake-up at the earliest deadline, unless an earlier one is scheduled.
    pub(super) fn schedule(&mut self, lease: &Lease) {
        let earliest = self.timers().earliest();
        if self.scheduled.is_none_or(|scheduled| earliest < scheduled.get()) {
            self.scheduled = NonZero::new(self.shared.wheel.schedule(lease.connection(), earliest));
        }
    }

    /// When a write without progress has lasted too long. A peer that is being closed has the time of a close handshake.
    fn stall_deadline(&self) -> Option<Tick> {
        let settings = &self.shared.settings;
        let limit = if self.handshake.is_open() { settings.write_timeout } else { settings.close_handshake };
        Some(self.shared.wheel.tick_length().after(self.stalled?.get(), limit))
    }
}
