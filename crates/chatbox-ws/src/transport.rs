//! The settings that all sessions share, and the way to run one over any stream.

use crate::decode::DecodeLimits;
use crate::handler::Handler;
use crate::session::{Heartbeat, SessionTask};
use crate::wheel::Wheel;
use bytes::Bytes;
use chatbox_core::{CloseReason, Lease};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How sessions behave. Time is kept in ticks of a tenth of the shortest of these durations, at least 2 ms and at most 100 ms:
/// nothing comes early, and nothing more than two ticks late.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Which messages are taken.
    pub accept: DecodeLimits,
    /// A peer that has been silent for this long is sent a ping. Default 25 s.
    pub heartbeat_interval: Duration,
    /// A peer that has been silent for this long is gone, and a second later for every 16 KiB that were written to it since it
    /// was last last_read: who reads slowly answers late. Default 60 s.
    pub heartbeat_timeout: Duration,
    /// A connection on which no write made progress for this long is closed with 1013. Default 30 s.
    pub write_timeout: Duration,
    /// How long a peer may take to answer our Close, counted from when it was written; and for how long the writes of a
    /// connection that is being closed may make no progress. Default 3 s.
    pub close_handshake: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            accept: DecodeLimits::default(),
            heartbeat_interval: Duration::from_secs(25),
            heartbeat_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            close_handshake: Duration::from_secs(3),
        }
    }
}

/// Runs sessions. Cheap to clone; one for all connections that share their settings.
#[derive(Clone, Debug)]
pub struct Transport {
    pub(crate) shared: Arc<Shared>,
}

/// What every session refers to.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) wheel: Arc<Wheel>,
    pub(crate) heartbeat: Heartbeat,
}

/// When a connection is closed whatever it does, for instance because its credentials expire.
#[derive(Clone, Debug)]
pub struct Expiry {
    /// From the beginning of the session.
    pub after: Duration,
    /// What its Close says.
    pub reason: CloseReason,
}

impl Transport {
    /// A transport with these settings. Must be called within a tokio runtime: one task keeps the time for all sessions.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let shortest = settings
            .heartbeat_interval
            .min(settings.heartbeat_timeout)
            .min(settings.write_timeout)
            .min(settings.close_handshake);
        let tick = (shortest / 10).clamp(Duration::from_millis(2), Duration::from_millis(100));
        let wheel = Wheel::start(tick);
        let heartbeat = Heartbeat::new(&wheel, &settings);
        Self { shared: Arc::new(Shared { settings, wheel, heartbeat }) }
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Serves a connection whose handshake is done, to its end. `buffered` is what has been read of its frames already.
    ///
    /// The future is small when boxed, wants to be a task of its own, and ends after the connection's [`Lease`] has. Dropping it
    /// cuts the connection.
    pub fn serve<S, H>(
        &self,
        io: S,
        buffered: Bytes,
        lease: Lease,
        handler: H,
        expiry: Option<Expiry>,
    ) -> impl Future<Output = ()> + Send + Unpin + use<S, H>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        H: Handler,
    {
        Box::new(SessionTask::new(io, &buffered, lease, handler, expiry, Arc::clone(&self.shared)))
    }
}
