//! The result of a run, as a table or as JSON.

use crate::observations::{Fleet, PodEnd, Report};
use crate::scenario::Scenario;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// The results of all scenarios.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
}

/// The result of one scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    scenario: &'static str,
    seconds: f64,
    pods: Vec<Pod>,
    /// Clients that saw 1001, and connections that ended without any Close.
    saw_1001: u64,
    saw_1006: u64,
    acked: u64,
    delivered: u64,
    pub(crate) misses: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Pod {
    name: String,
    exit_code: Option<i64>,
    seconds: f64,
    /// What was left of the grace period.
    margin_seconds: f64,
    outcome: Option<String>,
}

impl Row {
    pub(crate) fn new(
        scenario: Scenario,
        took: Duration,
        ends: &[PodEnd],
        fleet: &Fleet,
        grace: Duration,
        misses: Vec<String>,
    ) -> Self {
        let pod = |end: &PodEnd| Pod {
            name: end.pod.clone(),
            exit_code: end.exit_code,
            seconds: tenths(end.took.as_secs_f64()),
            margin_seconds: tenths(grace.as_secs_f64() - end.took.as_secs_f64()),
            outcome: serde_json::from_str::<Report>(&end.termination_message).ok().map(|report| report.outcome),
        };
        Self {
            scenario: scenario.name(),
            seconds: tenths(took.as_secs_f64()),
            pods: ends.iter().map(pod).collect(),
            saw_1001: fleet.ended("close 1001"),
            saw_1006: fleet.ended("1006"),
            acked: fleet.acked,
            delivered: fleet.delivered,
            misses,
        }
    }
}

impl Table {
    pub(crate) fn all_well(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.misses.is_empty())
    }

    pub(crate) fn to_json(&self) -> String {
        // Numbers and texts always encode.
        serde_json::json!({"ok": self.all_well(), "scenarios": self.rows}).to_string()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<20} {:>4}  {:<9} {:<18} {:>6} {:>6} {:>6} {:>8} {:>10}  verdict",
            "scenario", "pods", "exit", "outcome", "margin", "1001", "1006", "acked", "delivered"
        )?;
        for row in &self.rows {
            writeln!(f, "{row}")?;
            for miss in &row.misses {
                writeln!(f, "    {miss}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes =
            distinct(self.pods.iter().map(|pod| pod.exit_code.map_or("none".to_owned(), |code| code.to_string())));
        let outcomes = distinct(self.pods.iter().map(|pod| pod.outcome.clone().unwrap_or_else(|| "none".to_owned())));
        let margin = self.pods.iter().map(|pod| pod.margin_seconds).fold(f64::INFINITY, f64::min);
        write!(
            f,
            "{:<20} {:>4}  {:<9} {:<18} {:>4.1} s {:>6} {:>6} {:>8} {:>10}  {}",
            self.scenario,
            self.pods.len(),
            codes,
            outcomes,
            margin,
            self.saw_1001,
            self.saw_1006,
            self.acked,
            self.delivered,
            if self.misses.is_empty() { "as promised".to_owned() } else { format!("MISSED {}", self.misses.len()) }
        )
    }
}

fn distinct(values: impl Iterator<Item = String>) -> String {
    let mut values: Vec<String> = values.collect();
    values.sort();
    values.dedup();
    values.join("+")
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}
