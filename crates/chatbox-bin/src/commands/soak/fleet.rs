//! The clients of a soak, and what they write down.

mod tasks;

use super::Plan;
use super::ledger::{Room, Seen, Stream, Violation};
use super::verdict::{Samples, Verdict};
use crate::http_get;
use chatbox_client::{BuildError, Client, Events, JoinFrom};
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
            fleet.receivers.push(tokio::spawn(tasks::receive(Arc::clone(&fleet.shared), index, events)));
            fleet.senders.push(tokio::spawn(tasks::send(Arc::clone(&fleet.shared), index, client.clone())));
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

/// All stored messages of a room, from whichever server answers.
async fn read_room(plan: &Plan, room: &str) -> anyhow::Result<Vec<Seen>> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let token = plan.token(&plan.user(0));
    let mut messages: Vec<Seen> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |message| message.seq);
        let mut answer = Err(anyhow::anyhow!("no server is named"));
        for uri in plan.history(room, after, PAGE) {
            answer = tokio::time::timeout(PATIENCE, http_get::get(&uri?, token.as_deref()))
                .await
                .map_err(Into::into)
                .flatten();
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
