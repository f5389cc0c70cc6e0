//! The two tasks of each client: one sends, one receives, and both write down what they saw.

use super::{Seen, Shared, Violation};
use chatbox_client::{Client, Event, Events, Reason, SendError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Sends at the fleet's rate, and writes down every acknowledgement. Ends when all are in.
pub(super) async fn send(shared: Arc<Shared>, index: usize, client: Client) {
    let options = &shared.plan.options;
    let room_index = shared.room_of(index);
    let room = shared.plan.room(room_index);
    let period = Duration::from_secs_f64(1.0 / options.rate);
    // The clients' turns are spread over a period.
    let first = period.mul_f64(index as f64 / f64::from(options.clients));
    let mut turns = tokio::time::interval_at(tokio::time::Instant::now() + first, period);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut answers: JoinSet<(String, Instant, Result<u64, SendError>)> = JoinSet::new();
    loop {
        tokio::select! {
            _ = turns.tick() => {
                if shared.enough.load(Ordering::Acquire) {
                    break;
                }
                let body = format!("{:<width$}", shared.begun.elapsed().as_micros(), width = options.bytes);
                let sending = client.send(&room, &body);
                shared.sent.fetch_add(1, Ordering::AcqRel);
                answers.spawn(async move {
                    let (id, begun) = (sending.id().to_owned(), Instant::now());
                    (id, begun, sending.await.map(|acked| acked.seq))
                });
            }
            Some(Ok(answer)) = answers.join_next() => note(&shared, index, room_index, answer),
        }
    }
    while let Some(Ok(answer)) = answers.join_next().await {
        note(&shared, index, room_index, answer);
    }
}

fn note(shared: &Shared, index: usize, room: usize, (id, begun, answer): (String, Instant, Result<u64, SendError>)) {
    match answer {
        Ok(seq) => {
            if let Some(before) = shared.room(room).acked.insert((index, id.clone()), seq) {
                let detail = format!("client {index}: {id} was acknowledged as {before} and as {seq}");
                shared.notes().violations.push(Violation::new("acked_twice", detail));
            }
            shared.notes().ack.take(begun.elapsed());
        }
        // The client's own bound: nothing was sent.
        Err(SendError::Full) => {
            shared.sent.fetch_sub(1, Ordering::AcqRel);
            shared.not_sent.fetch_add(1, Ordering::AcqRel);
        }
        Err(SendError::Closed) => {}
        Err(error) => {
            let mut notes = shared.notes();
            notes.rejected += 1;
            notes.violations.push(Violation::new("rejected", format!("client {index}: {error}")));
        }
    }
}

/// Takes the events of one client, and writes down what it saw.
pub(super) async fn receive(shared: Arc<Shared>, index: usize, mut events: Events) {
    let mut last: Option<Instant> = None;
    let mut was_up = false;
    while let Some(event) = events.next().await {
        match event {
            Event::Message { seq, user, id, body, .. } => {
                let now = Instant::now();
                shared.delivered.fetch_add(1, Ordering::AcqRel);
                if let Some(last) = last.replace(now)
                    && !shared.enough.load(Ordering::Acquire)
                {
                    shared.longest_stall_ms.fetch_max((now - last).as_millis() as u64, Ordering::AcqRel);
                }
                let sent = body.trim_end().parse().map(Duration::from_micros).unwrap_or_default();
                let taken = shared.stream(index).take(index, &Seen { seq, user, id, body });
                let mut notes = shared.notes();
                notes.delivery.take(shared.begun.elapsed().saturating_sub(sent));
                notes.violations.extend(taken.err());
            }
            Event::Gap { gap, .. } => {
                let detail = format!("client {index}: {gap}");
                shared.notes().violations.push(Violation::new("gap", detail));
            }
            Event::Connected { .. } => was_up = true,
            Event::Disconnected { reason, .. } => {
                let how = end(&reason, std::mem::take(&mut was_up));
                *shared.notes().ends.entry(how).or_default() += 1;
            }
            Event::Closed { reason, .. } if reason != Reason::Requested => {
                let detail = format!("client {index} was sent away: {reason}");
                shared.notes().violations.push(Violation::new("sent_away", detail));
            }
            _ => {}
        }
    }
}

/// A word for how a connection ended, or a try to get one: 1006 is for a connection that was up.
fn end(reason: &Reason, was_up: bool) -> String {
    match reason {
        Reason::Close { code, text } => format!("close {code} {text}").trim_end().to_owned(),
        Reason::Refused { status, error, .. } => format!("refused {status} {error}").trim_end().to_owned(),
        Reason::Network(error) if error.contains("refused") => "connection refused".to_owned(),
        Reason::Network(_) | Reason::Silent(_) if !was_up => "no connection".to_owned(),
        Reason::Network(error) if error.contains("reset") => "1006 connection reset".to_owned(),
        Reason::Network(_) => "1006 connection lost".to_owned(),
        Reason::Silent(_) => "1006 silent".to_owned(),
        other => other.to_string(),
    }
}
