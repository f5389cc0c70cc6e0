//! Observations of a scenario: the pods' ends and the clients' result, as a runtime collects them and `assertions` checks them.

use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a scenario did to the pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    /// The pods that ended.
    pub(crate) pods: Vec<PodEnd>,
    /// Containers that ended and were started again in their pod: by the name of the pod, and how often.
    pub(crate) restarts: BTreeMap<String, i32>,
}

/// How one pod ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodEnd {
    pub(crate) pod: String,
    /// Of the container; `None` if its end was not observed.
    pub(crate) exit_code: Option<i64>,
    /// From the request to stop to the end of the container.
    pub(crate) took: Duration,
    /// How often its container was started again before.
    pub(crate) restarts: i32,
    pub(crate) termination_message: String,
    pub(crate) log: String,
    /// What the platform must notice before the first Close (that the pod is not ready, for one), and when it did.
    pub(crate) notices: Vec<(&'static str, Option<Timestamp>)>,
    /// When the first connection was closed, by the clock of `notices`; `None` if there was none.
    pub(crate) first_close: Option<Timestamp>,
}

impl PodEnd {
    /// The log as JSON objects, with what is not JSON left out.
    pub(crate) fn lines(&self) -> impl Iterator<Item = serde_json::Value> {
        self.log.lines().filter_map(|line| serde_json::from_str(line).ok())
    }
}

/// The message of a log line.
pub(crate) fn message(line: &serde_json::Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

/// The result of `chatbox soak --json`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Fleet {
    pub(crate) ok: bool,
    pub(crate) acked: u64,
    pub(crate) delivered: u64,
    /// How connections ended, by close code or kind of error, and how often.
    pub(crate) ends: BTreeMap<String, u64>,
    pub(crate) violations: BTreeMap<String, u64>,
    pub(crate) details: Vec<String>,
}

impl Fleet {
    /// The number of connections whose end begins with `how`.
    pub(crate) fn ended(&self, how: &str) -> u64 {
        self.ends.iter().filter(|(end, _)| end.starts_with(how)).map(|(_, count)| count).sum()
    }
}

/// The shutdown report of a pod, as far as it is checked.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(crate) struct Report {
    pub(crate) outcome: String,
    pub(crate) duration_ms: u64,
    pub(crate) connections: Connections,
    pub(crate) messages: Messages,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(crate) struct Connections {
    pub(crate) at_signal: u64,
    pub(crate) closed: u64,
    pub(crate) peer_gone: u64,
    pub(crate) timed_out: u64,
    pub(crate) aborted: u64,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(crate) struct Messages {
    pub(crate) accepted: u64,
    pub(crate) acked: u64,
    pub(crate) rejected: u64,
}
