//! Limits of a registry.

use std::num::NonZero;

/// Limits on connections, and on the bytes queued for them.
///
/// ```
/// use chatbox_core::Limits;
/// use std::num::NonZero;
///
/// let limits = Limits::default().with_max_per_user(NonZero::new(3).unwrap());
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    pub(crate) max_connections: NonZero<usize>,
    pub(crate) max_per_user: NonZero<u32>,
    pub(crate) outbox_bytes: NonZero<usize>,
    pub(crate) outboxes_bytes: NonZero<usize>,
}

impl Limits {
    /// Most connections that may be registered at the same time. Default: 100,000.
    ///
    /// The next one is refused with [`Refused::Full`](crate::Refused::Full).
    #[must_use]
    pub fn with_max_connections(mut self, connections: NonZero<usize>) -> Self {
        self.max_connections = connections;
        self
    }

    /// Most connections of one user that may be registered at the same time. Default: 10.
    ///
    /// The next one is refused with [`Refused::TooManyConnections`](crate::Refused::TooManyConnections).
    #[must_use]
    pub fn with_max_per_user(mut self, connections: NonZero<u32>) -> Self {
        self.max_per_user = connections;
        self
    }

    /// Bytes in the outbox of one connection at which it counts as full. Default: 65,536.
    ///
    /// While an outbox is full its session reads no message from the peer, so TCP slows the peer down. A smaller value costs throughput of
    /// peers with many answers under way; a larger one costs memory for each peer that sends without reading.
    #[must_use]
    pub fn with_outbox_bytes(mut self, bytes: NonZero<usize>) -> Self {
        self.outbox_bytes = bytes;
        self
    }

    /// Bytes in all outboxes together at which every outbox that is not empty counts as full. Default: 128 MiB.
    ///
    /// Bounds the memory that many peers can claim together by not reading. Peers that read their answers are still served.
    #[must_use]
    pub fn with_outboxes_bytes(mut self, bytes: NonZero<usize>) -> Self {
        self.outboxes_bytes = bytes;
        self
    }

    /// Most connections at the same time.
    #[must_use]
    pub const fn max_connections(&self) -> NonZero<usize> {
        self.max_connections
    }

    /// Most connections of one user at the same time.
    #[must_use]
    pub const fn max_per_user(&self) -> NonZero<u32> {
        self.max_per_user
    }

    /// Bytes at which one outbox counts as full.
    #[must_use]
    pub const fn outbox_bytes(&self) -> NonZero<usize> {
        self.outbox_bytes
    }

    /// Bytes in all outboxes together at which every outbox that is not empty counts as full.
    #[must_use]
    pub const fn outboxes_bytes(&self) -> NonZero<usize> {
        self.outboxes_bytes
    }
}

impl Default for Limits {
    fn default() -> Self {
        const fn nonzero(value: usize) -> NonZero<usize> {
            NonZero::new(value).expect("not zero")
        }
        Self {
            max_connections: const { nonzero(100_000) },
            max_per_user: const { NonZero::new(10).expect("not zero") },
            outbox_bytes: const { nonzero(65_536) },
            outboxes_bytes: const { nonzero(128 << 20) },
        }
    }
}
