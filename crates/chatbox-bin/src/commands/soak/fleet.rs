//! The clients of a soak, and what they write down.

use super::Plan;
use super::ledger::{Room, Seen, Stream, Violation};
use super::verdict::{Samples, Verdict};
use crate::fetch;
use chatbox_client::{BuildError, Client, Event, Events, JoinFrom, Reason, SendError};
use chatbox_protocol::{History, ServerMessage};
use http::StatusCode;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, JoinSet};

/// Messages of one history request.
const PAGE: usize = 1_000;

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// A running fleet.
pub(super) struct Fleet {
    shared: Arc<Shared>,
    clients: Vec<Client>,
    senders: Vec<JoinHandle<()>>,
    receivers: Vec<JoinHandle<()>>,
}

/// What all tasks of a fleet write to.
struct Shared {
    plan: Plan,
    begun: Instant,
    /// Nothing more is to be sent.
    enough: AtomicBool,
    sent: AtomicU64,
    not_sent: AtomicU64,
    delivered: AtomicU64,
    longest_stall_ms: AtomicU64,
    notes: Mutex<Notes>,
    rooms: Vec<Mutex<Room>>,
    streams: Vec<Mutex<Stream>>,
}

/// What is written down rarely, or once a message.
#[derive(Default)]
struct Notes {
    violations: Vec<Violation>,
    ends: BTreeMap<String, u64>,
    ack: Samples,
    delivery: Samples,
    rejected: u64,
}

impl Shared {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stream(&self, client: usize) -> MutexGuard<'_, Stream> {
        self.streams[client].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self, room: usize) -> MutexGuard<'_, Room> {
        self.rooms[room].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room_of(&self, client: usize) -> usize {
        client % self.rooms.len()
    }
}

impl Fleet {
    /// Starts every client: each is in one room, from its first message on, and sends to it.
    pub(super) fn launch(plan: Plan) -> Result<Self, BuildError> {
        let (clients, rooms) = (plan.options.clients as usize, plan.options.rooms as usize);
        let shared = Arc::new(Shared {
            begun: Instant::now(),
            enough: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            not_sent: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            longest_stall_ms: AtomicU64::new(0),
            notes: Mutex::default(),
            rooms: (0..rooms).map(|_| Mutex::default()).collect(),
            streams: (0..clients).map(|_| Mutex::default()).collect(),
            plan,
        });
        let mut fleet = Self { shared, clients: Vec::new(), senders: Vec::new(), receivers: Vec::new() };
        for index in 0..clients {
            let (client, events) = fleet.client(index)?;
            fleet.receivers.push(tokio::spawn(receive(Arc::clone(&fleet.shared), index, events)));
            fleet.senders.push(tokio::spawn(send(Arc::clone(&fleet.shared), index, client.clone())));
            fleet.clients.push(client);
        }
        Ok(fleet)
    }

    fn client(&self, index: usize) -> Result<(Client, Events), BuildError> {
        let plan = &self.shared.plan;
        let user = plan.user(index);
        let mut builder = Client::builder();
        for url in &plan.urls {
            builder = builder.server(url);
        }
        builder = match plan.token(&user) {
            Some(token) => builder.token(token),
            None => builder.user(&user),
        };
        let (client, events) = builder.connect()?;
        // The name is made of letters, digits and dashes.
        let _ = client.join(&plan.room(self.shared.room_of(index)), JoinFrom::After(0));
        Ok((client, events))
    }

    /// Lets the fleet run for its time, waits for the last answers, and compares everything.
    pub(super) async fn run(mut self, settle: Duration) -> Verdict {
        self.watch().await;
        self.shared.enough.store(true, Ordering::Release);
        let deadline = tokio::time::Instant::now() + settle;
        for sender in std::mem::take(&mut self.senders) {
            // A sender ends when its last message is answered; one that does not is counted as unanswered.
            let _ = tokio::time::timeout_at(deadline, sender).await;
        }
        let stored = self.stored(deadline).await;
        self.catch_up(&stored, deadline).await;
        let mut closing = JoinSet::new();
        for client in self.clients.clone() {
            closing.spawn(async move { client.close().await });
        }
        while closing.join_next().await.is_some() {}
        for receiver in std::mem::take(&mut self.receivers) {
            // It has failed only if it panicked, and then its stream is short.
            let _ = receiver.await;
        }
        self.verdict(stored)
    }

    /// Tells how it goes until the time is over, or somebody has seen enough.
    async fn watch(&self) {
        tokio::select! {
            () = tokio::time::sleep(self.shared.plan.options.lasting) => {}
            () = told_to_end() => {}
            () = self.tell() => {}
        }
    }

    /// Tells that all are connected as soon as they are, and then from time to time how it goes.
    async fn tell(&self) {
        let connected = || self.clients.iter().filter(|client| client.stats().is_connected).count();
        let mut next = tokio::time::Instant::now() + PROGRESS;
        while connected() < self.clients.len() && tokio::time::Instant::now() < next {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        loop {
            let connected = connected();
            eprintln!(
                "{:>6.1} s  {connected}/{} connected  {} sent  {} delivered  longest stall {} ms",
                self.shared.begun.elapsed().as_secs_f64(),
                self.clients.len(),
                self.shared.sent.load(Ordering::Relaxed),
                self.shared.delivered.load(Ordering::Relaxed),
                self.shared.longest_stall_ms.load(Ordering::Relaxed),
            );
            tokio::time::sleep_until(next).await;
            next += PROGRESS;
        }
    }

    /// Everything that is stored in the fleet's rooms; `None` for a room that could not be read.
    async fn stored(&self, deadline: tokio::time::Instant) -> Vec<Option<Vec<Seen>>> {
        let mut stored = Vec::new();
        for index in 0..self.shared.rooms.len() {
            let room = self.shared.plan.room(index);
            let read = async {
                loop {
                    match read_room(&self.shared.plan, &room).await {
                        Ok(messages) => return messages,
                        Err(error) => eprintln!("reading {room}: {error:#}; trying again"),
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            };
            stored.push(tokio::time::timeout_at(deadline, read).await.ok());
        }
        stored
    }

    /// Waits until every client has seen its room to the end.
    async fn catch_up(&self, stored: &[Option<Vec<Seen>>], deadline: tokio::time::Instant) {
        for client in 0..self.clients.len() {
            let Some(messages) = &stored[self.shared.room_of(client)] else { continue };
            while self.shared.stream(client).last < messages.len() as u64 && tokio::time::Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn verdict(self, stored: Vec<Option<Vec<Seen>>>) -> Verdict {
        let shared = &self.shared;
        let mut notes = std::mem::take(&mut *shared.notes());
        let mut violations = std::mem::take(&mut notes.violations);
        for client in 0..self.clients.len() {
            let stream = shared.stream(client).clone();
            shared.room(shared.room_of(client)).streams.push((client, stream));
        }
        let prefix = shared.plan.user(0);
        let prefix = prefix.trim_end_matches('0').to_owned();
        let mut count = 0;
        let mut acked = 0;
        for (index, messages) in stored.into_iter().enumerate() {
            let (name, room) = (shared.plan.room(index), std::mem::take(&mut *shared.room(index)));
            acked += room.acked.len() as u64;
            match messages {
                Some(messages) => {
                    count += messages.len() as u64;
                    let user = |user: &str| user.strip_prefix(&prefix)?.parse().ok();
                    violations.extend(room.check(&name, &messages, user));
                }
                None => violations.push(Violation::new("unreadable", format!("{name}: its messages cannot be read"))),
            }
        }
        let stats: Vec<_> = self.clients.iter().map(Client::stats).collect();
        let sum = |field: fn(&chatbox_client::Stats) -> u64| stats.iter().map(field).sum::<u64>();
        let duplicates = sum(|stats| stats.duplicates);
        if duplicates > 0 {
            violations
                .push(Violation::new("sent_twice", format!("{duplicates} messages came twice over a connection")));
        }
        let sent = shared.sent.load(Ordering::Acquire);
        let unanswered = sent.saturating_sub(acked + notes.rejected);
        if unanswered > 0 {
            violations.push(Violation::new("unanswered", format!("{unanswered} messages were never answered")));
        }
        Verdict {
            ok: true,
            clients: self.clients.len(),
            rooms: shared.rooms.len(),
            duration_ms: shared.begun.elapsed().as_millis() as u64,
            sent,
            acked,
            unanswered,
            not_sent: shared.not_sent.load(Ordering::Acquire),
            stored: count,
            delivered: shared.delivered.load(Ordering::Acquire),
            resent: sum(|stats| stats.resent),
            connects: sum(|stats| stats.connects),
            disconnects: sum(|stats| stats.disconnects),
            ends: notes.ends,
            ack_ms: notes.ack.quantiles(),
            delivery_ms: notes.delivery.quantiles(),
            longest_stall_ms: shared.longest_stall_ms.load(Ordering::Acquire),
            violations: BTreeMap::new(),
            details: Vec::new(),
        }
        .with(violations)
    }
}

/// Ctrl-C, or the SIGTERM of a platform.
async fn told_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Sends at the fleet's rate, and writes down every acknowledgement. Ends when all are in.
async fn send(shared: Arc<Shared>, index: usize, client: Client) {
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
async fn receive(shared: Arc<Shared>, index: usize, mut events: Events) {
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
            Event::Gap { from, to, .. } => {
                let detail = format!("client {index} missed {from} to {to}");
                shared.notes().violations.push(Violation::new("gap", detail));
            }
            Event::Connected { .. } => was_up = true,
            Event::Disconnected { reason, .. } => {
                let how = end(&reason, std::mem::take(&mut was_up));
                *shared.notes().ends.entry(how).or_default() += 1;
            }
            Event::Closed { reason } if reason != Reason::Requested => {
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

/// All stored messages of a room, from whichever server answers.
async fn read_room(plan: &Plan, room: &str) -> anyhow::Result<Vec<Seen>> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let token = plan.token(&plan.user(0));
    let mut messages: Vec<Seen> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |message| message.seq);
        let mut answer = Err(anyhow::anyhow!("no server is named"));
        for uri in plan.history(room, after, PAGE) {
            answer =
                tokio::time::timeout(PATIENCE, fetch::get(&uri?, token.as_deref())).await.map_err(Into::into).flatten();
            if matches!(&answer, Ok((StatusCode::OK, _))) {
                break;
            }
        }
        let (status, body) = answer?;
        anyhow::ensure!(status == StatusCode::OK, "the service answered {status}");
        let page: History<'_> = serde_json::from_slice(&body)?;
        let whole = page.messages.is_empty();
        for message in page.messages {
            if let ServerMessage::Message { seq, user, id, body, .. } = message {
                messages.push(Seen { seq, user: user.into(), id: id.into(), body: body.into() });
            }
        }
        if whole {
            return Ok(messages);
        }
    }
}
