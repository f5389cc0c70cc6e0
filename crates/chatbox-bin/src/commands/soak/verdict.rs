//! What a soak found.

use super::ledger::Violation;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// How many violations are told in full.
const TOLD: usize = 20;

/// The result of a soak.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) ok: bool,
    pub(super) clients: usize,
    pub(super) rooms: usize,
    pub(super) duration_ms: u64,
    /// Messages handed to the clients, acknowledged, never answered, and those that a full buffer kept from being sent.
    pub(super) sent: u64,
    pub(super) acked: u64,
    pub(super) unanswered: u64,
    pub(super) not_sent: u64,
    pub(super) stored: u64,
    pub(super) delivered: u64,
    pub(super) resent: u64,
    /// Connections that were up, those that ended, and how: by close code or kind of error.
    pub(super) connects: u64,
    pub(super) disconnects: u64,
    pub(super) ends: BTreeMap<String, u64>,
    pub(super) ack_ms: Quantiles,
    pub(super) delivery_ms: Quantiles,
    /// The longest time that a client waited for the next message while its room was being sent to.
    pub(super) longest_stall_ms: u64,
    /// How many violations of each kind.
    pub(super) violations: BTreeMap<&'static str, u64>,
    /// The first of them.
    pub(super) details: Vec<String>,
}

/// Quantiles of a duration, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// Durations, of which a bounded number is kept: every one at first, then every second, every fourth … The longest is
/// never forgotten.
#[derive(Debug)]
pub(super) struct Samples {
    kept: Vec<Duration>,
    every: u64,
    seen: u64,
    max: Duration,
}

impl Default for Samples {
    fn default() -> Self {
        Self { kept: Vec::new(), every: 1, seen: 0, max: Duration::ZERO }
    }
}

impl Samples {
    const MOST: usize = 1 << 18;

    pub(super) fn take(&mut self, sample: Duration) {
        self.max = self.max.max(sample);
        if self.seen.is_multiple_of(self.every) {
            self.kept.push(sample);
        }
        self.seen += 1;
        if self.kept.len() == Self::MOST {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.every *= 2;
        }
    }

    pub(super) fn quantiles(mut self) -> Quantiles {
        self.kept.sort_unstable();
        let ms = |sample: Duration| (sample.as_secs_f64() * 1e5).round() / 100.0;
        let at = |quantile: f64| {
            let index = ((self.kept.len() as f64 * quantile) as usize).min(self.kept.len().saturating_sub(1));
            self.kept.get(index).copied().map_or(0.0, ms)
        };
        Quantiles { p50: at(0.50), p99: at(0.99), max: ms(self.max) }
    }
}

impl Verdict {
    pub(super) fn with(mut self, violations: Vec<Violation>) -> Self {
        for violation in violations {
            *self.violations.entry(violation.kind).or_default() += 1;
            if self.details.len() < TOLD {
                self.details.push(format!("{}: {}", violation.kind, violation.detail));
            }
        }
        self.ok = self.violations.is_empty();
        self
    }

    /// Whether every promise held.
    pub(super) fn holds(&self) -> bool {
        self.ok
    }

    pub(super) fn to_json(&self) -> String {
        // Numbers and texts always encode.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: String| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{key:<16} {value}");
        };
        line(
            "clients",
            format!("{} in {} rooms, for {:.1} s", self.clients, self.rooms, self.duration_ms as f64 / 1e3),
        );
        line(
            "messages",
            format!(
                "{} sent, {} acked, {} stored, {} sent again, {} unanswered, {} held back by a full buffer",
                self.sent, self.acked, self.stored, self.resent, self.unanswered, self.not_sent
            ),
        );
        line("deliveries", self.delivered.to_string());
        line("connections", format!("{} up, {} ended or failed", self.connects, self.disconnects));
        for (how, count) in &self.ends {
            line("", format!("{count} × {how}"));
        }
        let quantiles = |q: &Quantiles| format!("p50 {} ms, p99 {} ms, max {} ms", q.p50, q.p99, q.max);
        line("ack", quantiles(&self.ack_ms));
        line("delivery", quantiles(&self.delivery_ms));
        line("longest stall", format!("{} ms", self.longest_stall_ms));
        for (kind, count) in &self.violations {
            line("VIOLATION", format!("{count} × {kind}"));
        }
        for detail in &self.details {
            line("", detail.clone());
        }
        line("verdict", if self.ok { "every promise held".to_owned() } else { "VIOLATED".to_owned() });
        text
    }
}
