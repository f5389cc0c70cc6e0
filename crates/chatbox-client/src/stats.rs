//! Counters of a client.

/// What a client has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Whether there is a connection now.
    pub is_connected: bool,
    /// Connections that were established: their `welcome` was received.
    pub connects: u64,
    /// How often the client moved to a new connection without being without one.
    pub moves: u64,
    /// Connections that ended and attempts that failed; not those that the client moved away from.
    pub disconnects: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Messages that a server sent again and that were not delivered again.
    pub duplicates: u64,
    /// Messages that were not received and never will be: the total of [`Gap::Removed`](crate::Gap::Removed) and
    /// [`Gap::Missing`](crate::Gap::Missing).
    pub lost: u64,
    /// Gaps that a server must not make: [`Gap::Missing`](crate::Gap::Missing).
    pub violations: u64,
    /// Rooms whose log was replaced by another: [`Gap::LogReplaced`](crate::Gap::LogReplaced).
    pub replaced_logs: u64,
    /// Messages that wait for their ack.
    pub unacked: usize,
    /// Messages that were acked.
    pub acked: u64,
    /// How often a message was sent again.
    pub resent: u64,
}
