//! The clients of a soak: launched, run, and compared with the store.

mod receiver;
mod sender;

use crate::ledger::{Seen, Violation};
use crate::observations::Observations;
use crate::plan::Plan;
use crate::{Progress, SoakReport, history};
use chatbox_client::{BuildError, Client, JoinFrom, Stats};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// Between two reports of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(20);

/// The time to close all clients: their own close timeout, and some more.
const CLOSE: Duration = Duration::from_secs(10);

type OnProgress = dyn Fn(&Progress) + Send + Sync;

/// A running fleet. Dropping it ends its tasks and clients.
pub(crate) struct Fleet {
    observations: Arc<Observations>,
    clients: Vec<Client>,
    senders: JoinSet<()>,
    receivers: JoinSet<()>,
}

impl Fleet {
    /// Starts every client.
    pub(crate) fn launch(plan: Plan) -> Result<Self, BuildError> {
        let observations = Arc::new(Observations::new(plan));
        let plan = &observations.plan;
        let (mut clients, mut senders, mut receivers) = (Vec::new(), JoinSet::new(), JoinSet::new());
        for index in 0..plan.clients.get() as usize {
            let (client, events) = plan.builder(&plan.user(index)).connect()?;
            client
                .join(&plan.room(plan.room_of(index)), JoinFrom::After(0))
                .expect("the name is made of letters, digits and dashes");
            receivers.spawn(receiver::run(Arc::clone(&observations), index, events));
            senders.spawn(sender::run(Arc::clone(&observations), index, client.clone()));
            clients.push(client);
        }
        Ok(Self { observations, clients, senders, receivers })
    }

    /// Runs the fleet until its time is over or `stop` completes, waits for the last answers, and checks everything.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>, on_progress: &OnProgress) -> SoakReport {
        tokio::select! {
            () = sleep(self.observations.plan.duration) => {}
            () = stop => {}
            () = self.report_progress(on_progress) => {}
        }
        self.observations.is_stopping.store(true, Ordering::Release);
        let deadline = Instant::now() + self.observations.plan.settle;
        // A sender ends when its last message is answered; messages of one that does not are counted as unanswered.
        while let Ok(Some(_)) = timeout_at(deadline, self.senders.join_next()).await {}
        let stored = self.stored(deadline, on_progress).await;
        self.catch_up(&stored, deadline).await;
        let mut closing: JoinSet<()> =
            self.clients.iter().cloned().map(|client| async move { client.close().await }).collect();
        while closing.join_next().await.is_some() {}
        // A receiver that panicked has a short stream, which is a violation.
        let _ = timeout(CLOSE, async { while self.receivers.join_next().await.is_some() {} }).await;
        self.report(stored)
    }

    /// Reports that all clients are connected as soon as they are, and then the state from time to time; never returns.
    async fn report_progress(&self, on_progress: &OnProgress) {
        let connected = || self.clients.iter().filter(|client| client.stats().is_connected).count();
        let mut next = Instant::now() + PROGRESS;
        while connected() < self.clients.len() && Instant::now() < next {
            sleep(POLL).await;
        }
        loop {
            on_progress(&Progress::Running {
                elapsed: self.observations.started.elapsed(),
                clients: self.clients.len(),
                connected: connected(),
                sent: self.observations.sent.load(Ordering::Relaxed),
                delivered: self.observations.delivered.load(Ordering::Relaxed),
                longest_stall: Duration::from_millis(self.observations.longest_stall_ms.load(Ordering::Relaxed)),
            });
            sleep_until(next).await;
            next += PROGRESS;
        }
    }

    /// The stored messages of every room; `None` for a room that could not be read in time.
    async fn stored(&self, deadline: Instant, on_progress: &OnProgress) -> Vec<Option<Vec<Seen>>> {
        const RETRY: Duration = Duration::from_millis(500);
        let plan = &self.observations.plan;
        let mut stored = Vec::new();
        for index in 0..plan.room_count() {
            let room = plan.room(index);
            let read = async {
                loop {
                    match history::read(plan, &room).await {
                        Ok(messages) => return messages,
                        Err(error) => {
                            let error = error.to_string();
                            on_progress(&Progress::HistoryFailed { room: room.clone(), error });
                        }
                    }
                    sleep(RETRY).await;
                }
            };
            stored.push(timeout_at(deadline, read).await.ok());
        }
        stored
    }

    /// Waits until every client has received its room to the end.
    async fn catch_up(&self, stored: &[Option<Vec<Seen>>], deadline: Instant) {
        for client in 0..self.clients.len() {
            let Some(messages) = &stored[self.observations.plan.room_of(client)] else { continue };
            while self.observations.stream(client).last < messages.len() as u64 && Instant::now() < deadline {
                sleep(POLL).await;
            }
        }
    }

    fn report(self, stored: Vec<Option<Vec<Seen>>>) -> SoakReport {
        let observations = &self.observations;
        let plan = &observations.plan;
        let mut notes = std::mem::take(&mut *observations.notes());
        let mut violations = std::mem::take(&mut notes.violations);
        for client in 0..self.clients.len() {
            let stream = observations.stream(client).clone();
            observations.room(plan.room_of(client)).streams.push((client, stream));
        }
        let (mut count, mut acked) = (0, 0);
        for (index, messages) in stored.into_iter().enumerate() {
            let (name, room) = (plan.room(index), std::mem::take(&mut *observations.room(index)));
            acked += room.acked.len() as u64;
            match messages {
                Some(messages) => {
                    count += messages.len() as u64;
                    violations.extend(room.check(&name, &messages, |user| plan.client_of(user)));
                }
                None => violations.push(Violation::new("unreadable", format!("{name}: its messages cannot be read"))),
            }
        }
        let stats: Vec<Stats> = self.clients.iter().map(Client::stats).collect();
        let sum = |field: fn(&Stats) -> u64| stats.iter().map(field).sum::<u64>();
        let duplicates = sum(|stats| stats.duplicates);
        if duplicates > 0 {
            let detail = format!("{duplicates} messages were sent twice over a connection");
            violations.push(Violation::new("sent_twice", detail));
        }
        let sent = observations.sent.load(Ordering::Acquire);
        let unanswered = sent.saturating_sub(acked + notes.rejected);
        if unanswered > 0 {
            violations.push(Violation::new("unanswered", format!("{unanswered} messages were never answered")));
        }
        SoakReport {
            clients: self.clients.len(),
            rooms: plan.room_count(),
            duration_ms: observations.started.elapsed().as_millis() as u64,
            sent,
            acked,
            unanswered,
            not_sent: observations.not_sent.load(Ordering::Acquire),
            stored: count,
            delivered: observations.delivered.load(Ordering::Acquire),
            resent: sum(|stats| stats.resent),
            connects: sum(|stats| stats.connects),
            moves: sum(|stats| stats.moves),
            disconnects: sum(|stats| stats.disconnects),
            ends: notes.ends,
            ack_ms: notes.ack.quantiles(),
            delivery_ms: notes.delivery.quantiles(),
            without_connection_ms: notes.without_connection.quantiles(),
            longest_stall_ms: observations.longest_stall_ms.load(Ordering::Acquire),
            ..SoakReport::of(violations)
        }
    }
}
