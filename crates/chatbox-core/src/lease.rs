//! The session's side of a registered connection.

use crate::close_error::CloseError;
use crate::close_summary::CloseSummary;
use crate::command::Command;
use crate::connection::Connection;
use crate::probe;
use crate::registry::Inner;
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// A registered connection, owned by the session that serves it. Dropping the lease removes the connection from the registry.
///
/// [`end`](Self::end) records how the connection ended. A lease dropped before [`begin`](Self::begin) counts as a peer that
/// disconnected during the handshake; one dropped after it counts as aborted, so a panicking session is counted, too.
///
/// What only the session may do to a connection is here, and takes `&mut self`: the shared [`Connection`] cannot take frames out of the
/// outbox or consume a wake-up.
#[must_use = "dropping a lease ends the connection"]
pub struct Lease {
    /// `None` once the connection is removed from the registry.
    registry: Option<Arc<Inner>>,
    connection: Arc<Connection>,
    /// Start of the session, in microseconds since that of the registry: half the size of an `Option<Instant>` in every session.
    opened: Option<NonZero<u64>>,
}

impl Lease {
    pub(crate) fn new(registry: Arc<Inner>, connection: Arc<Connection>) -> Self {
        Self { registry: Some(registry), connection, opened: None }
    }

    /// Marks the beginning of the session, once the opening handshake is done.
    pub fn begin(&mut self) {
        if let Some(registry) = &self.registry {
            self.opened = NonZero::new(micros(registry.began.elapsed()).max(1));
            registry.observer.on_opened(&self.connection);
        }
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Sets the waker of the session's task. Call at the beginning of every poll.
    pub fn register(&mut self, waker: &Waker) {
        self.connection.wake.register(waker);
    }

    /// The strongest command given so far. Costs one atomic load while there is none.
    #[must_use]
    pub fn command(&mut self) -> Command {
        self.connection.command()
    }

    /// Whether [`command`](Self::command) is anything but [`Command::Serve`].
    #[must_use]
    pub fn is_commanded(&mut self) -> bool {
        self.connection.is_commanded()
    }

    /// Whether [`Connection::tick`] was called since the last call.
    #[must_use]
    pub fn take_tick(&mut self) -> bool {
        self.connection.take_tick()
    }

    /// Arms the wake-up: the next [`Connection::notify`] wakes the task again. Call before looking at the outbox and the source.
    ///
    /// A session that could not write everything does not call this: its transport wakes it, and notifications cost one atomic load
    /// meanwhile.
    pub fn rearm(&mut self) {
        self.connection.wake.lower();
    }

    /// Takes all frames out of the outbox, oldest first. They count as held by it until they are reported with
    /// [`written`](Self::written).
    #[must_use]
    pub fn take_outbox(&mut self) -> Option<Vec<u8>> {
        self.connection.take_outbox()
    }

    /// Reports that the transport has taken bytes that came from the outbox, or that they were discarded. Makes room in the outbox.
    pub fn written(&mut self, bytes: usize) {
        self.connection.written(bytes);
    }

    /// Records when the peer was last read from, on a clock that all sessions of the registry share. The registry compares these times to
    /// find the longest silent connection of a user.
    pub fn record_read(&mut self, now: u32) {
        self.connection.probe.record_read(now);
    }

    /// Whether the peer is to be probed: sent a ping, to which it must answer within [`PROBE_TIMEOUT`](Self::PROBE_TIMEOUT). Check after
    /// each [tick](Self::take_tick). Then [`answered`](Self::answered) or [`displaced`](Self::displaced) must be called.
    #[must_use]
    pub fn take_probe(&mut self) -> bool {
        self.connection.probe.take_request()
    }

    /// The time in which a probed peer must send something.
    pub const PROBE_TIMEOUT: Duration = probe::TIMEOUT;

    /// Settles a probe: the peer has sent something.
    pub fn answered(&mut self) {
        self.connection.probe.settle();
        if let Some(registry) = &self.registry {
            registry.admission.notify_waiters();
        }
    }

    /// Settles a probe: the peer has sent nothing. The connection no longer counts against the limit of its user, and is to be closed.
    pub fn displaced(&mut self) {
        if let Some(registry) = &self.registry {
            registry.displace(&self.connection);
        }
    }

    /// Removes the connection from the registry, and records how it ended. Sets [`CloseSummary::owed`].
    pub fn end(mut self, summary: CloseSummary) {
        self.leave(&summary);
    }

    fn leave(&mut self, summary: &CloseSummary) {
        let Some(registry) = self.registry.take() else { return };
        // Other owners may keep the connection for a while; its queue is released now.
        self.connection.retire();
        let summary = summary.with_owed(self.connection.owed());
        if let Some(opened) = self.opened {
            let lasted = Duration::from_micros(micros(registry.began.elapsed()).saturating_sub(opened.get()));
            registry.observer.on_ended(&self.connection, &summary, lasted);
        }
        registry.leave(&self.connection, &summary);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Drop for Lease {
    fn drop(&mut self) {
        let summary = match self.opened {
            Some(_) => CloseSummary::aborted(CloseError::Dropped),
            None => CloseSummary::peer_gone(CloseError::Handshake),
        };
        self.leave(&summary);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("connection", &self.connection.id()).finish_non_exhaustive()
    }
}
