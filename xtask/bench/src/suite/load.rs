//! A load on rooms: messages sent, their deliveries counted and timed, their order checked.

use crate::suite::fleet::{Fleet, FleetEvent, What};
use crate::suite::latency::Latencies;
use crate::suite::report::Measure;
use crate::suite::server::Server;
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// A room and its senders.
pub(crate) struct Room {
    pub(crate) name: String,
    pub(crate) sender: usize,
    /// How many get each message.
    pub(crate) members: usize,
}

/// When the next message is sent.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as fewer than this many of the room's messages have not been received by all.
    InFlight(usize),
    /// So many a second in all, whatever became of those before.
    PerSecond(u32),
}

/// A load in progress.
pub(crate) struct Load<'a> {
    rooms: &'a [Room],
    pace: Pace,
    body: String,
    messages: Vec<Sent>,
    /// The last `seq` that each client saw.
    seen: Vec<u64>,
    gaps: u64,
    deliveries: u64,
    /// How many reads brought them, and the last of these.
    reads: u64,
    last_read: Option<(usize, Instant)>,
    /// Of what was received since the measurement began, by client: `counted` says which count.
    latencies: Latencies,
    counted: fn(usize) -> bool,
    sending: bool,
}

struct Sent {
    room: usize,
    at: Instant,
    missing: usize,
}

/// What a load came to.
pub(crate) struct Outcome {
    pub(crate) latencies: Latencies,
    pub(crate) deliveries: u64,
    pub(crate) reads: u64,
    pub(crate) cpu: Duration,
    pub(crate) elapsed: Duration,
    pub(crate) gaps: u64,
    pub(crate) lost: usize,
}

impl<'a> Load<'a> {
    pub(crate) fn new(rooms: &'a [Room], pace: Pace, body_bytes: usize) -> Self {
        Self {
            rooms,
            pace,
            body: "x".repeat(body_bytes),
            messages: Vec::new(),
            seen: Vec::new(),
            gaps: 0,
            deliveries: 0,
            reads: 0,
            last_read: None,
            latencies: Latencies::default(),
            counted: |_| true,
            sending: true,
        }
    }

    /// Times only the deliveries to these clients.
    pub(crate) fn counting(mut self, counted: fn(usize) -> bool) -> Self {
        self.counted = counted;
        self
    }

    /// Runs for a while to warm up, then for as long as is measured, then until everything sent has arrived.
    pub(crate) fn run(
        mut self,
        fleet: &mut Fleet,
        server: &Server,
        warm_up: Duration,
        time: Duration,
    ) -> Result<Outcome> {
        self.run_for(fleet, warm_up, &mut |_, _| Ok(()))?;
        self.latencies = Latencies::default();
        let (cpu, began, deliveries, reads) = (server.cpu()?, Instant::now(), self.deliveries, self.reads);
        self.run_for(fleet, time, &mut |_, _| Ok(()))?;
        let (cpu, elapsed, deliveries) = (server.cpu()? - cpu, began.elapsed(), self.deliveries - deliveries);
        let reads = self.reads - reads;
        self.settle(fleet)?;
        let lost = self.missing();
        Ok(Outcome { latencies: self.latencies, deliveries, reads, cpu, elapsed, gaps: self.gaps, lost })
    }

    /// Sends and receives for so long; `meanwhile` is called again and again, at least every 20 ms, and may add news.
    pub(crate) fn run_for(
        &mut self,
        fleet: &mut Fleet,
        time: Duration,
        meanwhile: &mut dyn FnMut(&mut Fleet, &mut Vec<FleetEvent>) -> Result<()>,
    ) -> Result<()> {
        self.seen.resize(fleet.len(), 0);
        let (began, first) = (Instant::now(), self.messages.len());
        if self.messages.is_empty()
            && let Pace::InFlight(count) = self.pace
        {
            for room in (0..self.rooms.len()).flat_map(|room| std::iter::repeat_n(room, count)) {
                self.send(fleet, room, Instant::now());
            }
        }
        let mut news = Vec::new();
        while began.elapsed() < time {
            let mut wait = Duration::from_millis(20).min(time.saturating_sub(began.elapsed()));
            if let Pace::PerSecond(rate) = self.pace {
                let due =
                    |index: usize| began + Duration::from_secs(1).mul_f64((index - first) as f64 / f64::from(rate));
                while due(self.messages.len()) <= Instant::now() {
                    // Timed from when it was due: a client that is late must not hide that the server was.
                    let index = self.messages.len();
                    self.send(fleet, index % self.rooms.len(), due(index));
                }
                wait = wait.min(due(self.messages.len()).saturating_duration_since(Instant::now()));
            }
            fleet.turn(wait, &mut news)?;
            meanwhile(fleet, &mut news)?;
            self.take(fleet, &mut news)?;
        }
        Ok(())
    }

    /// Sends nothing more, and waits until everything sent has been received, or nothing has come for a while.
    pub(crate) fn settle(&mut self, fleet: &mut Fleet) -> Result<()> {
        const SILENCE: Duration = Duration::from_secs(5);
        self.sending = false;
        let (mut last, mut news) = (Instant::now(), Vec::new());
        while self.missing() > 0 && last.elapsed() < SILENCE {
            fleet.turn(Duration::from_millis(100), &mut news)?;
            last = news.last().map_or(last, |news| news.at);
            self.take(fleet, &mut news)?;
        }
        Ok(())
    }

    /// How many deliveries are still missing.
    pub(crate) fn missing(&self) -> usize {
        self.messages.iter().map(|message| message.missing).sum()
    }

    pub(crate) fn gaps(&self) -> u64 {
        self.gaps
    }

    pub(crate) fn latencies(&mut self) -> &mut Latencies {
        &mut self.latencies
    }

    pub(crate) fn take(&mut self, fleet: &mut Fleet, news: &mut Vec<FleetEvent>) -> Result<()> {
        for FleetEvent { client, at, what } in news.drain(..) {
            match what {
                What::Message { seq, number } => {
                    let seen = std::mem::replace(&mut self.seen[client], seq);
                    self.gaps += u64::from(seq != seen + 1);
                    self.deliveries += 1;
                    self.reads += u64::from(self.last_read.replace((client, at)) != Some((client, at)));
                    let message = &mut self.messages[usize::try_from(number)?];
                    message.missing -= 1;
                    if (self.counted)(client) {
                        self.latencies.record(at.saturating_duration_since(message.at));
                    }
                    let (room, complete) = (message.room, message.missing == 0);
                    if complete && self.sending && matches!(self.pace, Pace::InFlight(_)) {
                        self.send(fleet, room, Instant::now());
                    }
                }
                What::Ack { .. } | What::Ready => {}
                What::Close { .. } | What::Gone { .. } => bail!("client {client} was thrown out: {what:?}"),
            }
        }
        Ok(())
    }

    fn send(&mut self, fleet: &mut Fleet, room: usize, at: Instant) {
        let Room { name, sender, members } = &self.rooms[room];
        let number = self.messages.len() as u64;
        self.messages.push(Sent { room, at, missing: *members });
        fleet.send(*sender, name, number, &self.body);
    }
}

impl Outcome {
    pub(crate) fn measures(mut self) -> Vec<Measure> {
        let million = self.deliveries as f64 / 1e6;
        let mut measures = vec![
            Measure::compared("CPU per million deliveries", self.cpu.as_secs_f64() / million, "s"),
            Measure::compared("deliveries a second", self.deliveries as f64 / self.elapsed.as_secs_f64(), ""),
        ];
        measures.extend(self.latencies.measures());
        measures.push(Measure::plain("messages in a read", self.deliveries as f64 / self.reads as f64, ""));
        measures.push(Measure::plain("gaps", self.gaps as f64, ""));
        measures.push(Measure::plain("lost", self.lost as f64, ""));
        measures
    }
}
