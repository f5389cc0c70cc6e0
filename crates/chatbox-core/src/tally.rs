//! Counts of how connections ended in a drain.

use crate::close_summary::Outcome;

/// How the connections ended that were open when the gate closed.
///
/// Once a drain has returned, `at_signal == closed + peer_gone + timed_out + aborted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Connections registered at the instant the gate closed.
    pub at_signal: u64,
    /// Ended with a finished close handshake.
    pub closed: u64,
    /// Ended because the peer disconnected.
    pub peer_gone: u64,
    /// Ended because the peer did not read or answer in time.
    pub timed_out: u64,
    /// Cut.
    pub aborted: u64,
    /// Connections refused since the gate closed.
    pub refused: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Closed => self.closed += 1,
            Outcome::PeerGone => self.peer_gone += 1,
            Outcome::TimedOut => self.timed_out += 1,
            Outcome::Aborted => self.aborted += 1,
        }
    }
}
