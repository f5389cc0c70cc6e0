//! Clients that always have so many messages on their way, and how long these take to be acknowledged.

use crate::suite::fleet::{Fleet, FleetEvent, What};
use crate::suite::latency::Latencies;
use anyhow::{Result, bail};
use std::iter;
use std::time::{Duration, Instant};

/// What all of them send.
const BODY: usize = 128;

/// Acknowledgements, and the time in which they came.
pub(crate) struct Acknowledged {
    /// How many there were, with those of the warm-up.
    pub(crate) all: u64,
    pub(crate) latencies: Latencies,
    pub(crate) elapsed: Duration,
}

impl Acknowledged {
    pub(crate) fn a_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Every client of the fleet sends to its room as soon as it has fewer than `in_flight` messages on their way. A fifth of `time` is
/// added before it, to warm up.
pub(crate) fn acknowledged(
    fleet: &mut Fleet,
    room: impl Fn(usize) -> String,
    in_flight: usize,
    time: Duration,
) -> Result<Acknowledged> {
    let body = "x".repeat(BODY);
    let mut sent: Vec<Instant> = Vec::new();
    let send = |fleet: &mut Fleet, sent: &mut Vec<Instant>, client: usize| {
        sent.push(Instant::now());
        fleet.send(client, &room(client), sent.len() as u64 - 1, &body);
    };
    for client in iter::repeat_n(0..fleet.len(), in_flight).flatten() {
        send(fleet, &mut sent, client);
    }
    let warm_up = time / 5;
    let (began, mut news, mut latencies, mut all) = (Instant::now(), Vec::new(), Latencies::default(), 0);
    while began.elapsed() < warm_up + time {
        fleet.turn(Duration::from_millis(100), &mut news)?;
        for FleetEvent { client, at, what } in news.drain(..) {
            match what {
                What::Ack { number } => {
                    all += 1;
                    if at - began > warm_up {
                        latencies.record(at - sent[usize::try_from(number)?]);
                    }
                    send(fleet, &mut sent, client);
                }
                What::Gone { .. } | What::Close { .. } => bail!("client {client} was thrown out: {what:?}"),
                What::Ready | What::Message { .. } => {}
            }
        }
    }
    Ok(Acknowledged { all, latencies, elapsed: began.elapsed() - warm_up })
}
