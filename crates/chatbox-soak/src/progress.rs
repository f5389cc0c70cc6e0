//! Progress of a running soak.

use std::fmt;
use std::time::Duration;

/// A report of progress; its `Display` is one line.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Progress {
    /// The state of the fleet: when all clients are connected, and every five seconds.
    #[non_exhaustive]
    Running {
        /// Time since the start.
        elapsed: Duration,
        /// Clients of the fleet.
        clients: usize,
        /// Clients that are connected now.
        connected: usize,
        /// Messages sent so far.
        sent: u64,
        /// Messages received so far, by all clients together.
        delivered: u64,
        /// The longest time that a client waited for the next message.
        longest_stall: Duration,
    },
    /// The stored messages of a room could not be read; they are read again.
    #[non_exhaustive]
    HistoryFailed {
        /// The room.
        room: String,
        /// The fault.
        error: String,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { elapsed, clients, connected, sent, delivered, longest_stall } => write!(
                f,
                "{:>6.1} s  {connected}/{clients} connected  {sent} sent  {delivered} delivered  longest stall {} ms",
                elapsed.as_secs_f64(),
                longest_stall.as_millis(),
            ),
            Self::HistoryFailed { room, error } => write!(f, "reading {room}: {error}; trying again"),
        }
    }
}
