//! The receiving task of one client.

use crate::ledger::Seen;
use crate::observations::Observations;
use chatbox_client::{Event, Events, Reason};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Takes the events of one client and records what it saw. Ends with the client.
pub(super) async fn run(observations: Arc<Observations>, index: usize, mut events: Events) {
    let mut last_message: Option<Instant> = None;
    let mut is_connected = false;
    let mut lost_at: Option<Instant> = None;
    while let Some(event) = events.next().await {
        match event {
            Event::Message { seq, user, id, body, .. } => {
                record(&observations, index, &mut last_message, Seen { seq, user, id, body });
            }
            Event::Gap { gap, .. } => observations.violate("gap", format!("client {index}: {gap}")),
            Event::Connected { .. } => {
                is_connected = true;
                if let Some(lost_at) = lost_at.take() {
                    observations.notes().without_connection.push(lost_at.elapsed());
                }
            }
            Event::Disconnected { reason, .. } => {
                let was_connected = std::mem::take(&mut is_connected);
                if was_connected {
                    lost_at = Some(Instant::now());
                }
                *observations.notes().ends.entry(describe(&reason, was_connected)).or_default() += 1;
            }
            Event::Closed { reason, .. } if reason != Reason::Requested => {
                observations.violate("sent_away", format!("client {index} was refused for good: {reason}"));
            }
            _ => {}
        }
    }
}

fn record(observations: &Observations, index: usize, last_message: &mut Option<Instant>, message: Seen) {
    let now = Instant::now();
    observations.delivered.fetch_add(1, Ordering::AcqRel);
    if let Some(last) = last_message.replace(now)
        && !observations.is_stopping.load(Ordering::Acquire)
    {
        observations.longest_stall_ms.fetch_max((now - last).as_millis() as u64, Ordering::AcqRel);
    }
    let sent_at = message.body.trim_end().parse().map(Duration::from_micros).unwrap_or_default();
    let result = observations.stream(index).push(index, &message);
    let mut notes = observations.notes();
    notes.delivery.push(observations.started.elapsed().saturating_sub(sent_at));
    notes.violations.extend(result.err());
}

/// The end of a connection, or of an attempt, in a few words; 1006 is for a connection that was established.
fn describe(reason: &Reason, was_connected: bool) -> String {
    match reason {
        Reason::Close { code, text } => format!("close {code} {text}").trim_end().to_owned(),
        Reason::Refused { status, error, .. } => format!("refused {status} {error}").trim_end().to_owned(),
        Reason::Network(error) if error.contains("refused") => "connection refused".to_owned(),
        Reason::Network(_) | Reason::Silent(_) if !was_connected => "no connection".to_owned(),
        Reason::Network(error) if error.contains("reset") => "1006 connection reset".to_owned(),
        Reason::Network(_) => "1006 connection lost".to_owned(),
        Reason::Silent(_) => "1006 silent".to_owned(),
        other => other.to_string(),
    }
}
