//! The result of a soak.

use crate::ledger::Violation;
use crate::samples::Quantiles;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// How many violations are listed with their details.
const MAX_DETAILS: usize = 20;

/// What a soak found. Serialised, its fields are those of `chatbox soak --json`; its `Display` is a table for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SoakReport {
    /// Whether there is no violation.
    pub ok: bool,
    /// Clients of the fleet.
    pub clients: usize,
    /// Rooms that they were spread over.
    pub rooms: usize,
    /// From the start to the end of the checks, in milliseconds.
    pub duration_ms: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages acked.
    pub acked: u64,
    /// Messages neither acked nor rejected.
    pub unanswered: u64,
    /// Messages that a client's full buffer kept from being sent.
    pub not_sent: u64,
    /// Messages stored in the fleet's rooms.
    pub stored: u64,
    /// Messages received, by all clients together.
    pub delivered: u64,
    /// How often a message was sent again.
    pub resent: u64,
    /// Connections that were established.
    pub connects: u64,
    /// How often a client moved to a new connection without being without one.
    pub moves: u64,
    /// Connections that ended and attempts that failed; not those that a client moved away from.
    pub disconnects: u64,
    /// How often they ended, by close code or kind of error.
    pub ends: BTreeMap<String, u64>,
    /// From a `send` to its ack.
    pub ack_ms: Quantiles,
    /// From a `send` to each receipt.
    pub delivery_ms: Quantiles,
    /// From the end of a connection to the client's next one.
    pub without_connection_ms: Quantiles,
    /// The longest time that a client waited for the next message while its room was being sent to.
    pub longest_stall_ms: u64,
    /// The number of violations of each kind.
    pub violations: BTreeMap<&'static str, u64>,
    /// The first of them in detail.
    pub details: Vec<String>,
}

impl SoakReport {
    /// A report with these violations, and nothing else.
    pub(crate) fn of(violations: Vec<Violation>) -> Self {
        let mut report = Self { ok: violations.is_empty(), ..Self::default() };
        for violation in violations {
            *report.violations.entry(violation.kind).or_default() += 1;
            if report.details.len() < MAX_DETAILS {
                report.details.push(format!("{}: {}", violation.kind, violation.detail));
            }
        }
        report
    }
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |key: &str, value: fmt::Arguments<'_>| writeln!(f, "{key:<20} {value}");
        let Self { clients, rooms, sent, acked, unanswered, not_sent, stored, resent, .. } = self;
        let seconds = self.duration_ms as f64 / 1e3;
        line("clients", format_args!("{clients} in {rooms} rooms, for {seconds:.1} s"))?;
        line(
            "messages",
            format_args!(
                "{sent} sent, {acked} acked, {stored} stored, {resent} sent again, {unanswered} unanswered, {not_sent} held back by a full buffer"
            ),
        )?;
        line("deliveries", format_args!("{}", self.delivered))?;
        line(
            "connections",
            format_args!("{} established, {} moved, {} ended or failed", self.connects, self.moves, self.disconnects),
        )?;
        for (how, count) in &self.ends {
            line("", format_args!("{count} × {how}"))?;
        }
        let durations =
            [("ack", self.ack_ms), ("delivery", self.delivery_ms), ("without connection", self.without_connection_ms)];
        for (name, Quantiles { p50, p99, max }) in durations {
            line(name, format_args!("p50 {p50} ms, p99 {p99} ms, max {max} ms"))?;
        }
        line("longest stall", format_args!("{} ms", self.longest_stall_ms))?;
        for (kind, count) in &self.violations {
            line("VIOLATION", format_args!("{count} × {kind}"))?;
        }
        for detail in &self.details {
            line("", format_args!("{detail}"))?;
        }
        line("verdict", format_args!("{}", if self.ok { "every promise held" } else { "VIOLATED" }))
    }
}
