//! Limits and timeouts.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Limits and timeouts of [`Rooms`](crate::Rooms).
///
/// Begin with [`Options::default`] and replace single values:
///
/// ```
/// use chatbox_rooms::Options;
/// use std::time::Duration;
///
/// let options = Options::default().with_store_timeout(Duration::from_secs(2)).with_ring_bytes(64 << 10);
/// assert_eq!(options.store_timeout(), Duration::from_secs(2));
/// assert_eq!(options.rooms_per_connection().get(), 64);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Options {
    heartbeat: Duration,
    max_message_bytes: usize,
    rooms_per_connection: NonZeroUsize,
    rooms_per_minute: NonZeroUsize,
    store_timeout: Duration,
    queue_messages: NonZeroUsize,
    queue_bytes: usize,
    ring_bytes: usize,
    rings_bytes: usize,
    on_rejected: fn(reason: &'static str),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(25),
            max_message_bytes: 65_536,
            rooms_per_connection: const { NonZeroUsize::new(64).unwrap() },
            rooms_per_minute: const { NonZeroUsize::new(1_000).unwrap() },
            store_timeout: Duration::from_secs(5),
            queue_messages: const { NonZeroUsize::new(65_536).unwrap() },
            queue_bytes: 64 << 20,
            ring_bytes: 256 << 10,
            rings_bytes: 128 << 20,
            on_rejected: |_| {},
        }
    }
}

impl Options {
    /// Interval of the transport's pings, told to clients in `welcome`. Default 25 s.
    ///
    /// Informs only: the transport has its own setting, and the two should agree.
    #[must_use]
    pub fn with_heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Bytes of one encoded `message`. Default 65,536.
    ///
    /// A `send` whose `message` would be longer is answered `too_long`, so a client with the same limit for what it receives can
    /// read everything that a room contains.
    #[must_use]
    pub fn with_max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Rooms that one connection has joined at the same time. Default 64.
    ///
    /// A `join` beyond it is answered `too_many_rooms`.
    #[must_use]
    pub fn with_rooms_per_connection(mut self, rooms: NonZeroUsize) -> Self {
        self.rooms_per_connection = rooms;
        self
    }

    /// Different rooms that one user joins or sends to within a minute, over all of the user's connections. Default 1,000.
    ///
    /// Each such room costs an entry in memory and a look-up in the store. A request beyond the limit is answered `rate_limited`.
    #[must_use]
    pub fn with_rooms_per_minute(mut self, rooms: NonZeroUsize) -> Self {
        self.rooms_per_minute = rooms;
        self
    }

    /// How long a `send` or a `join` waits for the store. Default 5 s.
    ///
    /// After that it is answered `store_unavailable`. A member that is being closed waits as long for a page of its backlog, then is
    /// closed without it.
    #[must_use]
    pub fn with_store_timeout(mut self, timeout: Duration) -> Self {
        self.store_timeout = timeout;
        self
    }

    /// Messages that are queued for the store. Default 65,536.
    ///
    /// While that many are queued, a `send` is answered `store_unavailable` at once.
    #[must_use]
    pub fn with_queue_messages(mut self, messages: NonZeroUsize) -> Self {
        self.queue_messages = messages;
        self
    }

    /// Bytes of the messages that are queued for the store. Default 64 MiB.
    ///
    /// While that many are queued, a `send` is answered `store_unavailable` at once.
    #[must_use]
    pub fn with_queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// Bytes of encoded messages that are kept in memory for one room. Default 256 KiB.
    ///
    /// A member further behind reads from the store. The newest messages stay in memory whatever the limit, up to about 32 KiB.
    #[must_use]
    pub fn with_ring_bytes(mut self, bytes: usize) -> Self {
        self.ring_bytes = bytes;
        self
    }

    /// Bytes of encoded messages that are kept in memory over all rooms. Default 128 MiB.
    ///
    /// Beyond it each room is cut down to its newest messages when it is published to.
    #[must_use]
    pub fn with_rings_bytes(mut self, bytes: usize) -> Self {
        self.rings_bytes = bytes;
        self
    }

    /// Called with the error code of each request that is answered with an error. Default: does nothing.
    ///
    /// Runs on the thread that handles the request and must not block. A caller that logs has to limit its own rate.
    #[must_use]
    pub fn with_on_rejected(mut self, on_rejected: fn(reason: &'static str)) -> Self {
        self.on_rejected = on_rejected;
        self
    }

    /// See [`with_heartbeat`](Self::with_heartbeat).
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// See [`with_max_message_bytes`](Self::with_max_message_bytes).
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    /// See [`with_rooms_per_connection`](Self::with_rooms_per_connection).
    #[must_use]
    pub fn rooms_per_connection(&self) -> NonZeroUsize {
        self.rooms_per_connection
    }

    /// See [`with_rooms_per_minute`](Self::with_rooms_per_minute).
    #[must_use]
    pub fn rooms_per_minute(&self) -> NonZeroUsize {
        self.rooms_per_minute
    }

    /// See [`with_store_timeout`](Self::with_store_timeout).
    #[must_use]
    pub fn store_timeout(&self) -> Duration {
        self.store_timeout
    }

    /// See [`with_queue_messages`](Self::with_queue_messages).
    #[must_use]
    pub fn queue_messages(&self) -> NonZeroUsize {
        self.queue_messages
    }

    /// See [`with_queue_bytes`](Self::with_queue_bytes).
    #[must_use]
    pub fn queue_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// See [`with_ring_bytes`](Self::with_ring_bytes).
    #[must_use]
    pub fn ring_bytes(&self) -> usize {
        self.ring_bytes
    }

    /// See [`with_rings_bytes`](Self::with_rings_bytes).
    #[must_use]
    pub fn rings_bytes(&self) -> usize {
        self.rings_bytes
    }

    pub(crate) fn on_rejected(&self) -> fn(reason: &'static str) {
        self.on_rejected
    }
}
