//! Settings of a transport.

use crate::decode::DecodeLimits;
use chatbox_core::CloseReason;
use std::time::Duration;

/// Limits and timeouts of the sessions of a [`Transport`](crate::Transport).
///
/// Time is kept in ticks of a tenth of the shortest of the four durations, at least 2 ms and at most 100 ms:
/// no timeout comes early, and none more than two ticks late.
///
/// ```
/// use chatbox_ws::Settings;
/// use std::time::Duration;
///
/// let settings = Settings::default().with_max_message(1 << 20).with_heartbeat_timeout(Duration::from_secs(90));
/// assert_eq!(settings.close_handshake(), Duration::from_secs(3));
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) decode: DecodeLimits,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) close_handshake: Duration,
}

impl Settings {
    /// Largest message in bytes, over all its fragments. Default: 65,536.
    ///
    /// A larger one closes the connection with 1009 as soon as its header shows the size. While a message arrives it is held in memory, so
    /// this bounds what one peer can claim.
    #[must_use]
    pub fn with_max_message(mut self, bytes: usize) -> Self {
        self.decode = self.decode.with_max_message(bytes);
        self
    }

    /// Whether binary messages are accepted. Default: no; one closes the connection with 1003.
    #[must_use]
    pub fn with_binary(mut self, accepted: bool) -> Self {
        self.decode = self.decode.with_binary(accepted);
        self
    }

    /// Silence of the peer after which it is sent a ping. Default: 25 s.
    ///
    /// Proxies and NAT gateways drop idle connections, often after 60 s: keep it below half of that. A shorter interval finds dead peers
    /// no sooner (see [`with_heartbeat_timeout`](Self::with_heartbeat_timeout)) and costs a write and a read each time.
    #[must_use]
    pub fn with_heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval;
        self
    }

    /// Silence of the peer after which its connection is ended, without a Close. Default: 60 s.
    ///
    /// A second is added for every 16 KiB written since the peer was last read from: a pong waits behind what was written before. With less
    /// than two intervals a single lost ping ends the connection.
    #[must_use]
    pub fn with_heartbeat_timeout(mut self, timeout: Duration) -> Self {
        self.heartbeat_timeout = timeout;
        self
    }

    /// Time without write progress after which a connection is closed with 1013. Default: 30 s.
    ///
    /// What was queued is discarded then, but for the frame that is partly written. Shorter values release memory sooner; longer ones
    /// tolerate peers that sleep.
    #[must_use]
    pub fn with_write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Time in which a peer must answer a Close, counted from when it was written, and in which the writes of a connection that is being
    /// closed must make progress. Default: 3 s.
    ///
    /// A drain lasts at least as long as this when one peer does not answer.
    #[must_use]
    pub fn with_close_handshake(mut self, time: Duration) -> Self {
        self.close_handshake = time;
        self
    }

    /// Largest message in bytes.
    #[must_use]
    pub const fn max_message(&self) -> usize {
        self.decode.max_message()
    }

    /// Silence of the peer after which it is sent a ping.
    #[must_use]
    pub const fn heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval
    }

    /// Silence of the peer after which its connection is ended.
    #[must_use]
    pub const fn heartbeat_timeout(&self) -> Duration {
        self.heartbeat_timeout
    }

    /// Time without write progress after which a connection is closed.
    #[must_use]
    pub const fn write_timeout(&self) -> Duration {
        self.write_timeout
    }

    /// Time in which a peer must answer a Close; what a drain should leave for its last connection.
    #[must_use]
    pub const fn close_handshake(&self) -> Duration {
        self.close_handshake
    }

    /// The length of a tick of the sessions' clock.
    pub(crate) fn tick(&self) -> Duration {
        let shortest =
            self.heartbeat_interval.min(self.heartbeat_timeout).min(self.write_timeout).min(self.close_handshake);
        (shortest / 10).clamp(Duration::from_millis(2), Duration::from_millis(100))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            decode: DecodeLimits::default(),
            heartbeat_interval: Duration::from_secs(25),
            heartbeat_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            close_handshake: Duration::from_secs(3),
        }
    }
}

/// A time after which a connection is closed in any case, for instance because its credentials expire.
#[derive(Clone, Debug)]
pub struct Expiry {
    pub(crate) after: Duration,
    pub(crate) reason: CloseReason,
}

impl Expiry {
    /// Closes the connection with `reason` once `after` has passed since the beginning of its session.
    #[must_use]
    pub const fn new(after: Duration, reason: CloseReason) -> Self {
        Self { after, reason }
    }
}
