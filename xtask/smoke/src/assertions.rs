//! Assertions: what is promised about the end of a pod, checked against the observations. Pure functions.

use crate::observations::{Ended, Fleet, PodEnd, Report, message};
use crate::scenario::Scenario;
use std::time::Duration;

/// The documented log lines, in their order; the second comes once a connection.
const LINES: [&str; 4] = [
    "Shutting down WebSocket handler, closing all connections",
    CLOSING,
    "All WebSocket connections closed",
    "Chatbox service shutdown complete",
];
pub(crate) const CLOSING: &str = "Closing WebSocket connection";

/// Ends of connections, or of tries to get one, that a client may meet beside 1001.
const HARMLESS: [&str; 3] = ["refused 503", "connection refused", "no connection"];

/// What is expected of the pods of one scenario.
pub(crate) struct Expected {
    pub(crate) scenario: Scenario,
    pub(crate) clients: u64,
    /// Connections that never answer a Close.
    pub(crate) stubborn: u64,
    pub(crate) grace: Duration,
}

/// Everything that was not as promised, a sentence each.
pub(crate) fn misses(expected: &Expected, ended: &Ended, fleet: &Fleet) -> Vec<String> {
    let mut misses = Vec::new();
    let mut reports = Vec::new();
    for end in &ended.pods {
        let (found, report) = of_pod(expected, end);
        misses.extend(found.into_iter().map(|miss| format!("{}: {miss}", end.pod)));
        reports.extend(report);
    }
    if ended.pods.is_empty() {
        misses.push("no pod ended".to_owned());
    }
    let restarted = |(pod, count): (&String, &i32)| format!("{pod}: its container was restarted {count} times");
    misses.extend(ended.restarts.iter().map(restarted));
    misses.extend(of_fleet(expected, &reports, fleet));
    misses
}

fn of_pod(expected: &Expected, end: &PodEnd) -> (Vec<String>, Option<Report>) {
    let mut misses = Vec::new();
    match end.exit_code {
        Some(0) => {}
        Some(137) => misses.push("exit code 137: it was killed at the end of its grace period".to_owned()),
        Some(code) => misses.push(format!("exit code {code}")),
        None => misses.push("it did not end".to_owned()),
    }
    if end.took >= expected.grace {
        misses.push(format!(
            "it took {:.1} s of a grace period of {:.1} s",
            seconds(end.took),
            seconds(expected.grace)
        ));
    }
    for (what, when) in &end.notices {
        match (when, end.first_close) {
            (None, _) => misses.push(format!("{what}: never seen")),
            (Some(when), Some(close)) if *when >= close => {
                let late = close.duration_until(*when).unsigned_abs();
                misses.push(format!("{what}: only {:.1} s after the first Close", seconds(late)));
            }
            _ => {}
        }
    }
    let report = match serde_json::from_str::<Report>(&end.termination_message) {
        Ok(report) => Some(report),
        Err(_) if end.termination_message.is_empty() => {
            misses.push("the termination message is empty".to_owned());
            None
        }
        Err(error) => {
            misses.push(format!("the termination message is no report: {error}"));
            None
        }
    };
    if let Some(report) = &report {
        misses.extend(of_report(report, expected.scenario));
    }
    misses.extend(of_log(end, report.as_ref()));
    (misses, report)
}

fn of_report(report: &Report, scenario: Scenario) -> Vec<String> {
    let mut misses = Vec::new();
    let connections = &report.connections;
    // A client that never answers is cut in time: that is not a loss.
    let outcome = if scenario == Scenario::Stubborn && connections.timed_out > 0 { "deadline" } else { "clean" };
    if report.outcome != outcome {
        misses.push(format!("the report's outcome is `{}`, not `{outcome}`", report.outcome));
    }
    if connections.aborted > 0 {
        misses.push(format!("{} connections were aborted", connections.aborted));
    }
    if connections.at_signal != connections.closed + connections.peer_gone + connections.timed_out + connections.aborted
    {
        misses.push(format!("the report's connections do not add up: {connections:?}"));
    }
    let messages = &report.messages;
    if messages.accepted != messages.acked + messages.rejected {
        misses.push(format!("the report's messages do not add up: {messages:?}"));
    }
    misses
}

fn of_log(end: &PodEnd, report: Option<&Report>) -> Vec<String> {
    let mut misses = Vec::new();
    let lines: Vec<_> = end.lines().collect();
    let places = LINES.map(|text| lines.iter().position(|line| message(line) == text));
    let closings = lines.iter().filter(|line| message(line) == CLOSING).count() as u64;
    for (text, place) in LINES.iter().zip(places) {
        if place.is_none() && (*text != CLOSING || report.is_some_and(|report| report.connections.closed > 0)) {
            misses.push(format!("its log lacks `{text}`"));
        }
    }
    let found: Vec<usize> = places.into_iter().flatten().collect();
    if !found.is_sorted() {
        misses.push("its log lines are out of order".to_owned());
    }
    if let Some(report) = report {
        let connections = &report.connections;
        let left = connections.closed + connections.timed_out + connections.aborted;
        if !(connections.closed..=left).contains(&closings) {
            misses.push(format!("{closings} lines `{CLOSING}` for {left} connections"));
        }
        // The last line is the report, the same as in the termination message.
        let same = |line| serde_json::from_value::<Report>(line).is_ok_and(|logged| logged == *report);
        if !lines.last().cloned().is_some_and(same) {
            misses.push("the last line of its log is not the report of the termination message".to_owned());
        }
    }
    misses
}

fn of_fleet(expected: &Expected, reports: &[Report], fleet: &Fleet) -> Vec<String> {
    let mut misses = Vec::new();
    for (how, count) in &fleet.ends {
        if !how.starts_with("close 1001") && !HARMLESS.iter().any(|harmless| how.starts_with(harmless)) {
            misses.push(format!("fleet: {count} connections ended with `{how}`"));
        }
    }
    if !fleet.ok {
        let kinds: Vec<String> = fleet.violations.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
        let first = fleet.details.first().map(|detail| format!(" ({detail})")).unwrap_or_default();
        misses.push(format!("fleet: {}{first}", kinds.join(", ")));
    }
    if fleet.acked == 0 || fleet.delivered == 0 {
        misses.push("fleet: no message was sent and delivered".to_owned());
    }
    let (goodbyes, closed) = (fleet.ended("close 1001"), sum(reports, |report| report.connections.closed));
    if goodbyes != closed {
        misses.push(format!("fleet: {goodbyes} clients saw 1001, and the pods closed {closed} connections"));
    }
    let at_least = if expected.scenario.ends_every_pod() { expected.clients } else { 1 };
    if goodbyes < at_least {
        misses.push(format!("fleet: {goodbyes} clients saw 1001 of at least {at_least}"));
    }
    let cut = sum(reports, |report| report.connections.timed_out);
    if expected.stubborn > 0 && cut == 0 || cut > expected.stubborn {
        misses.push(format!("{cut} of {} stubborn clients were cut", expected.stubborn));
    }
    misses
}

fn sum(reports: &[Report], field: fn(&Report) -> u64) -> u64 {
    reports.iter().map(field).sum()
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests;
