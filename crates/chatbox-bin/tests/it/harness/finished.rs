//! A server that has ended: its exit code, its log, its report.

use super::Setup;
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    /// Every line of the log.
    pub(crate) lines: Vec<Value>,
    pub(crate) stderr: String,
    pub(crate) setup: Setup,
}

impl Finished {
    /// The exit code of a process that ended by itself.
    pub(crate) fn code(&self) -> i32 {
        let signal = self.status.signal();
        self.status.code().unwrap_or_else(|| panic!("killed by signal {signal:?}\n{}", self.stderr))
    }

    /// The report: the last line, whose books must add up.
    pub(crate) fn report(&self) -> &Value {
        let report = self.lines.last().unwrap();
        assert_eq!(report["message"], "Chatbox service shutdown complete", "{}", self.stderr);
        let connections = |key: &str| report["connections"][key].as_u64().unwrap();
        let ended = ["closed", "peer_gone", "timed_out", "aborted"].map(connections);
        assert_eq!(connections("at_signal"), ended.iter().sum::<u64>(), "{report}");
        let messages = |key: &str| report["messages"][key].as_u64().unwrap();
        assert_eq!(messages("accepted"), messages("acked") + messages("rejected"), "{report}");
        assert_eq!(report["log_events_dropped"], 0);
        report
    }

    /// The lines with this message.
    pub(crate) fn with_message(&self, message: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["message"] == message).collect()
    }

    /// Asserts that the four fixed kinds of lines are there, in their order, for `closing` connections; returns the
    /// `(user_id, connection_id)` of each, sorted.
    pub(crate) fn assert_log_of_a_drain(&self, closing: usize) -> Vec<(String, String)> {
        let position = |message: &str| {
            assert_eq!(self.with_message(message).len(), 1, "{message}");
            self.lines.iter().position(|line| line["message"] == message).unwrap()
        };
        let began = position("Shutting down WebSocket handler, closing all connections");
        let ended = position("All WebSocket connections closed");
        let complete = position("Chatbox service shutdown complete");
        assert!(began < ended && ended < complete && complete == self.lines.len() - 1);
        assert_eq!(self.lines[began]["connections"], closing);
        let turns = self.with_message("Closing WebSocket connection");
        assert_eq!(turns.len(), closing);
        let between = self.lines[began..ended].iter();
        assert_eq!(between.filter(|line| line["message"] == "Closing WebSocket connection").count(), closing);
        let report = &self.lines[complete];
        for key in ["at_signal", "closed", "peer_gone", "timed_out", "aborted"] {
            assert_eq!(self.lines[ended][key], report["connections"][key], "{key}");
        }
        let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        let mut names: Vec<_> = turns.iter().map(|line| (text(line, "user_id"), text(line, "connection_id"))).collect();
        names.sort();
        names
    }
}
