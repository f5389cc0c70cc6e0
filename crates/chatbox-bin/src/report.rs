//! The shutdown report: the last line of the log, and the content of the termination log.

use chatbox_core::Tally;
use chatbox_rooms::Totals;
use serde::Serialize;

/// How a shutdown went: the phases, and the outcomes of connections and messages.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ServiceReport {
    /// Outcome, signal, phases and participants at fault.
    #[serde(flatten)]
    pub shutdown: chatbox_shutdown::Report,
    /// The connections that were open when the shutdown began: `at_signal == closed + peer_gone + timed_out + aborted`.
    pub connections: Connections,
    /// The messages of the whole run: `accepted == acked + rejected`.
    pub messages: Messages,
    /// Log lines that were dropped or could not be written.
    pub log_events_dropped: u64,
}

/// The outcomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Connections {
    /// Registered when the first signal came.
    pub at_signal: u64,
    /// Ended with a finished close handshake.
    pub closed: u64,
    /// Ended because the peer was gone.
    pub peer_gone: u64,
    /// Ended because the peer did not read or answer in time.
    pub timed_out: u64,
    /// Cut by the deadline or a second signal.
    pub aborted: u64,
    /// Refused since the first signal.
    pub refused: u64,
}

/// The outcomes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Messages {
    /// Taken from a client, to be stored.
    pub accepted: u64,
    /// Stored and acknowledged.
    pub acked: u64,
    /// Answered with an error because the store did not take them.
    pub rejected: u64,
}

impl ServiceReport {
    pub(crate) fn new(shutdown: chatbox_shutdown::Report, tally: Tally, totals: Totals) -> Self {
        let Tally { at_signal, closed, peer_gone, timed_out, aborted, refused, .. } = tally;
        let Totals { accepted, acked, rejected, .. } = totals;
        Self {
            shutdown,
            connections: Connections { at_signal, closed, peer_gone, timed_out, aborted, refused },
            messages: Messages { accepted, acked, rejected },
            log_events_dropped: 0,
        }
    }

    /// The same report with the number of log lines that were dropped.
    #[must_use]
    pub fn with_log_events_dropped(self, log_events_dropped: u64) -> Self {
        Self { log_events_dropped, ..self }
    }

    /// The exit code of the process: 0 for clean and for deadline, 3 for failed, 130 or 143 for forced.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.shutdown.exit_code()
    }

    /// The report as one JSON object in one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Structs of numbers and texts always encode.
        serde_json::to_string(self).unwrap_or_default()
    }
}
