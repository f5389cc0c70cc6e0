//! Metrics of this crate, and the totals of the shutdown report.

use chatbox_protocol::ErrorCode;
use metrics::{Counter, Gauge, Histogram};
use std::sync::atomic::{AtomicU64, Ordering};

/// Messages accepted so far, and their outcomes.
///
/// After [`Rooms::close`](crate::Rooms::close) has returned, `accepted == acked + rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Taken from a client, to be stored.
    pub accepted: u64,
    /// Stored and acknowledged, even if the connection had ended by then.
    pub acked: u64,
    /// Accepted, then answered with an error because the store did not take them.
    pub rejected: u64,
}

/// Cached handles of the metrics. Created after the recorder is installed.
pub(crate) struct Metrics {
    accepted: (AtomicU64, Counter),
    acked: (AtomicU64, Counter),
    unstored: (AtomicU64, Counter),
    pub(crate) delivered: Counter,
    pub(crate) append_seconds: Histogram,
    pub(crate) slow_consumers: Counter,
    pub(crate) lagging: Gauge,
    on_rejected: fn(&'static str),
}

impl Metrics {
    pub(crate) fn new(on_rejected: fn(&'static str)) -> Self {
        let counted = |counter| (AtomicU64::new(0), counter);
        Self {
            accepted: counted(metrics::counter!("chatbox_messages_accepted_total")),
            acked: counted(metrics::counter!("chatbox_messages_acked_total")),
            unstored: counted(
                metrics::counter!("chatbox_messages_rejected_total", "reason" => ErrorCode::StoreUnavailable.as_str()),
            ),
            delivered: metrics::counter!("chatbox_messages_delivered_total"),
            append_seconds: metrics::histogram!("chatbox_append_seconds"),
            slow_consumers: metrics::counter!("chatbox_slow_consumers_total"),
            lagging: metrics::gauge!("chatbox_lagging_members"),
            on_rejected,
        }
    }

    pub(crate) fn accepted(&self) {
        count(&self.accepted);
    }

    pub(crate) fn acked(&self) {
        count(&self.acked);
    }

    /// Counts an accepted message that could not be stored.
    pub(crate) fn unstored(&self) {
        count(&self.unstored);
        (self.on_rejected)(ErrorCode::StoreUnavailable.as_str());
    }

    /// Counts a request that is answered with an error.
    pub(crate) fn refused(&self, reason: &'static str) {
        metrics::counter!("chatbox_messages_rejected_total", "reason" => reason).increment(1);
        (self.on_rejected)(reason);
    }

    pub(crate) fn totals(&self) -> Totals {
        let read = |counter: &(AtomicU64, Counter)| counter.0.load(Ordering::Acquire);
        Totals { accepted: read(&self.accepted), acked: read(&self.acked), rejected: read(&self.unstored) }
    }
}

fn count((sum, counter): &(AtomicU64, Counter)) {
    sum.fetch_add(1, Ordering::AcqRel);
    counter.increment(1);
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("totals", &self.totals()).finish_non_exhaustive()
    }
}
