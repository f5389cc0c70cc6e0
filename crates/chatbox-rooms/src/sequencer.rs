//! The one task that appends and publishes: whatever arrives while a batch is being written goes into the next one.
//!
//! It waits for several things at once and for none of them alone: the store's answer, messages, reads of rooms in doubt, and
//! the news of what others have appended. Only this task moves a room's head, so a member sees each `seq` once and in
//! order, from whichever of them it comes first.

mod batch;
mod feed;
mod pending;
mod queue;
mod resync;

use crate::room::Room;
use crate::rooms::Shared;
pub(crate) use batch::reject;
use batch::{Batch, Committed};
use chatbox_store::{Appended, BoxFuture, FeedEvent, StoreError};
use feed::FeedReader;
use pending::{MAX_BATCH, PendingAppends};
use queue::CatchUp;
pub(crate) use queue::{Submission, SubmitQueue, SubmitReceiver, queue};
use resync::{Found, Read, Resync};
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::Instant;

/// How often overdue messages are looked for while some wait.
const CHECK: Duration = Duration::from_millis(100);

/// The longest that a room rests after an append.
const MAX_REST: Duration = Duration::from_millis(50);

/// The shortest that a room rests after somebody else was faster.
const MIN_REST: Duration = Duration::from_millis(1);

/// Appends until the queue is closed and empty.
pub(crate) async fn run(shared: Arc<Shared>, outlet: SubmitReceiver) {
    let follower = shared.store.follow().map(FeedReader::new);
    let waiting = PendingAppends::new(Arc::clone(&outlet.bytes));
    Sequencer {
        shared,
        outlet,
        follower,
        waiting,
        doubts: Resync::default(),
        appending: None,
        settled: Committed::default(),
        check_at: Instant::now(),
        closed: false,
    }
    .run()
    .await;
}

struct Sequencer {
    shared: Arc<Shared>,
    outlet: SubmitReceiver,
    /// Where others may append, too.
    follower: Option<FeedReader>,
    waiting: PendingAppends,
    doubts: Resync,
    appending: Option<Appending>,
    /// What the last commit brought, to be published as soon as the next one is on its way.
    settled: Committed,
    check_at: Instant,
    /// Nothing more will be received.
    closed: bool,
}

/// A batch on its way to the store.
struct Appending {
    batch: Batch,
    answer: BoxFuture<'static, Answer>,
    since: Instant,
}

type Answer = Result<Vec<Appended>, StoreError>;

/// What the sequencer waits for.
enum Event {
    Answered(Answer),
    Read(Read),
    Received(Vec<Submission>),
    Asked(CatchUp),
    FeedEvent(Option<Vec<FeedEvent>>),
    Closing,
    Woken,
}

impl Sequencer {
    async fn run(mut self) {
        loop {
            self.receive_now();
            let answer = self.append().await;
            // The store is at work: now the members.
            std::mem::take(&mut self.settled).publish(&self.shared);
            if let Some(answer) = answer {
                self.on_answer(answer);
                continue;
            }
            if self.closed && self.appending.is_none() && self.waiting.is_empty() {
                return;
            }
            let now = Instant::now();
            self.doubts.start(&self.shared, now);
            match self.event(now).await {
                Event::Answered(answer) => self.on_answer(answer),
                Event::Read((room, Ok(found))) => self.on_read(room, found),
                Event::Read((room, Err(error))) => {
                    let messages = self.waiting.reject_room(&room, &self.shared);
                    if messages > 0 {
                        tracing::warn!(room = &**room.name(), messages, %error, "store unavailable");
                    }
                    self.doubts.on_error(room, &error, Instant::now());
                }
                Event::Received(received) => {
                    self.closed |= received.is_empty();
                    received.into_iter().for_each(|submission| self.waiting.push(submission));
                }
                Event::Asked(request) => self.doubts.catch_up(request),
                Event::FeedEvent(Some(news)) => self.on_news(news),
                Event::FeedEvent(None) => self.follower = None,
                Event::Closing => self.outlet.receiver.close(),
                Event::Woken => {}
            }
            self.check();
        }
    }

    /// Whatever comes next. Cancel safe.
    async fn event(&mut self, now: Instant) -> Event {
        let wake_at = self.wake_at(now);
        let has_room = self.waiting.len() < self.shared.options.queue_messages;
        let mut received = Vec::new();
        tokio::select! {
            biased;
            () = self.outlet.closing.notified() => Event::Closing,
            answer = answer(&mut self.appending) => Event::Answered(answer),
            read = self.doubts.next() => Event::Read(read),
            // While a batch is being written, what comes stays where it is.
            _ = self.outlet.receiver.recv_many(&mut received, MAX_BATCH), if self.appending.is_none() && !self.closed && has_room => {
                Event::Received(received)
            }
            () = sleep_until(wake_at) => Event::Woken,
            Some(request) = self.outlet.requests.recv() => Event::Asked(request),
            news = feed::next(&mut self.follower) => Event::FeedEvent(news),
        }
    }

    fn wake_at(&self, now: Instant) -> Option<Instant> {
        let check_at = (self.appending.is_some() || !self.waiting.is_empty()).then_some(self.check_at);
        // What waits for the store's answer rests at least as long.
        let rested = if self.appending.is_none() { self.waiting.rested(now) } else { None };
        let measure_at = self.follower.as_ref().map(FeedReader::measure_at);
        [check_at, rested, measure_at, self.doubts.retry_at()].into_iter().flatten().min()
    }

    fn receive_now(&mut self) {
        let mut count = 0;
        while count < MAX_BATCH && !self.closed && self.waiting.len() < self.shared.options.queue_messages {
            match self.outlet.receiver.try_recv() {
                Ok(submission) => self.waiting.push(submission),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.closed = true,
            }
            count += 1;
        }
    }

    /// Hands to the store what is ready, unless it is busy with the last batch. Returns its answer if that is there at once.
    async fn append(&mut self) -> Option<Answer> {
        if self.appending.is_some() || self.waiting.is_empty() {
            return None;
        }
        let since = Instant::now();
        let groups = self.waiting.take(since, |room| self.doubts.is_clear(room));
        if groups.is_empty() {
            return None;
        }
        let batch = Batch::new(groups);
        let (store, appends) = (Arc::clone(&self.shared.store), Arc::clone(batch.appends()));
        let answer = Box::pin(async move { store.append(appends).await });
        let appending = self.appending.insert(Appending { batch, answer, since });
        match poll_fn(|cx| Poll::Ready(appending.answer.as_mut().poll(cx))).await {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    fn on_answer(&mut self, answer: Answer) {
        let Some(Appending { batch, since, .. }) = self.appending.take() else { return };
        let (now, took) = (Instant::now(), since.elapsed());
        self.shared.meters.append_seconds.record(took.as_secs_f64());
        let appended = match answer {
            Ok(appended) => appended,
            Err(error) => {
                tracing::warn!(messages = batch.len(), %error, "store unavailable");
                batch.rooms().for_each(|room| self.doubts.begin(room, None));
                return batch.reject_all(&self.shared);
            }
        };
        let lost = batch.settle(appended, &mut self.settled);
        if let Some(follower) = &self.follower {
            follower.conflict(lost.len());
            // Who has just been first leaves the others a chance: they have to read before they can try again.
            for room in self.settled.rooms() {
                self.waiting.rest(room, now + rest(took, 1));
            }
        }
        for (mut group, head) in lost {
            if head > group.room.committed() {
                self.doubts.begin(&group.room, Some(head));
            }
            // The more often it was beaten, the sooner it is there again.
            group.backoff_until = Some(now + rest(took, group.lost).max(MIN_REST));
            self.waiting.put_back(group);
        }
    }

    fn on_read(&mut self, room: Arc<Room>, found: Found) {
        let exhausted = match found {
            Found::Head { heard } => {
                self.doubts.begin(&room, Some(heard));
                false
            }
            Found::Messages(stored) => {
                batch::publish_stored(&self.shared, &room, &stored);
                if let (Some(follower), false) = (&self.follower, stored.is_empty()) {
                    follower.resynced();
                }
                stored.is_empty()
            }
            Found::Gone(seq) => {
                room.skip_to(seq, &self.shared.ring_budget);
                false
            }
        };
        self.doubts.on_read(room, exhausted);
    }

    /// Answers those who have waited for too long. What is on its way to the store is awaited all the same, so that its end
    /// is known.
    fn check(&mut self) {
        let now = Instant::now();
        if now >= self.check_at {
            self.check_at = now + CHECK;
            if let Some(appending) = &mut self.appending {
                appending.batch.reject_overdue(now, &self.shared);
            }
            self.waiting.reject_overdue(now, &self.shared);
        }
        if let Some(follower) = &mut self.follower {
            follower.measure(now, &*self.shared.store);
        }
    }
}

/// A random part of the time that an append takes, or of a fraction of it.
fn rest(took: Duration, fraction: u32) -> Duration {
    took.min(MAX_REST).mul_f64(rand::random()) / fraction.max(1)
}

async fn answer(appending: &mut Option<Appending>) -> Answer {
    match appending {
        Some(appending) => appending.answer.as_mut().await,
        None => pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => pending().await,
    }
}
