//! The sending task of one client.

use crate::observations::Observations;
use chatbox_client::{Client, SendError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// The outcome of one message.
struct Answer {
    id: String,
    sent_at: Instant,
    result: Result<u64, SendError>,
}

/// Sends at the plan's rate and records every ack. Ends when all messages are answered.
pub(super) async fn run(observations: Arc<Observations>, index: usize, client: Client) {
    let plan = &observations.plan;
    let room = plan.room(plan.room_of(index));
    let period = Duration::from_secs_f64(1.0 / plan.rate);
    // The clients' turns are spread over a period.
    let first = period.mul_f64(index as f64 / f64::from(plan.clients.get()));
    let mut turns = tokio::time::interval_at(tokio::time::Instant::now() + first, period);
    turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut answers: JoinSet<Answer> = JoinSet::new();
    loop {
        tokio::select! {
            _ = turns.tick() => {
                if observations.is_stopping.load(Ordering::Acquire) {
                    break;
                }
                // The time of sending, from which the receivers compute the delay.
                let body = format!("{:<width$}", observations.started.elapsed().as_micros(), width = plan.body_bytes);
                let sending = client.send(&room, &body);
                observations.sent.fetch_add(1, Ordering::AcqRel);
                answers.spawn(async move {
                    let (id, sent_at) = (sending.id().to_owned(), Instant::now());
                    Answer { id, sent_at, result: sending.await.map(|acked| acked.seq) }
                });
            }
            Some(Ok(answer)) = answers.join_next() => record(&observations, index, answer),
        }
    }
    while let Some(Ok(answer)) = answers.join_next().await {
        record(&observations, index, answer);
    }
}

fn record(observations: &Observations, index: usize, Answer { id, sent_at, result }: Answer) {
    match result {
        Ok(seq) => {
            let room = observations.plan.room_of(index);
            if let Some(before) = observations.room(room).acked.insert((index, id.clone()), seq) {
                observations.violate("acked_twice", format!("client {index}: {id} was acked as {before} and as {seq}"));
            }
            observations.notes().ack.push(sent_at.elapsed());
        }
        // The client's own bound: nothing was sent.
        Err(SendError::Full) => {
            observations.sent.fetch_sub(1, Ordering::AcqRel);
            observations.not_sent.fetch_add(1, Ordering::AcqRel);
        }
        // Counted as unanswered.
        Err(SendError::Closed) => {}
        Err(error) => {
            observations.notes().rejected += 1;
            observations.violate("rejected", format!("client {index}: {error}"));
        }
    }
}
