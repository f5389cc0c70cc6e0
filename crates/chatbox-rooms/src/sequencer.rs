//! The task that appends to the store and publishes to the rooms. Messages that arrive while a batch is being written form the next one.
//!
//! The task waits for several things at once: the store's answer to an append, new messages, reads of rooms that are being
//! resynchronised, and the store's feed of what other processes append. It alone moves a room's head, so a member gets
//! each `seq` once and in order, whichever of these sources it comes from first.

mod batch;
mod feed;
mod pending;
mod resync;

use crate::context::Context;
use crate::page::Page;
use crate::queue::{CatchUp, Submission, SubmitReceiver};
use crate::room::Room;
use batch::{Batch, Committed};
use chatbox_store::{Appended, BoxFuture, FeedEvent, StoreError};
use feed::FeedReader;
use pending::{MAX_BATCH, PendingAppends};
use resync::{Found, Read, Resync};
use std::cmp::Ordering;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::Instant;

/// How often overdue messages are looked for while any are pending.
const CHECK: Duration = Duration::from_millis(100);

/// The longest pause of a room between two appends.
const MAX_BACKOFF: Duration = Duration::from_millis(50);

/// For how long further rooms that start over are not logged.
const REPLACED_LOG: Duration = Duration::from_secs(60);

/// The shortest pause of a room after a conflict.
const MIN_BACKOFF: Duration = Duration::from_millis(1);

/// Appends until the queue is closed or dropped, and everything that was in it is stored or rejected.
pub(crate) async fn run(context: Arc<Context>, queue: SubmitReceiver) {
    let feed = context.store.follow().map(FeedReader::new);
    let pending = PendingAppends::new(Arc::clone(&queue.bytes));
    Sequencer {
        context,
        queue,
        feed,
        pending,
        resync: Resync::default(),
        appending: None,
        committed: Committed::default(),
        check_at: Instant::now(),
        replaced_at: None,
        closed: false,
    }
    .run()
    .await;
}

struct Sequencer {
    context: Arc<Context>,
    queue: SubmitReceiver,
    /// `None` if no other process can append to the store.
    feed: Option<FeedReader>,
    pending: PendingAppends,
    resync: Resync,
    appending: Option<Appending>,
    /// What the last append stored. Published once the next append is under way.
    committed: Committed,
    check_at: Instant,
    /// When a room last started over.
    replaced_at: Option<Instant>,
    /// The queue is closed and empty.
    closed: bool,
}

/// An append under way.
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
    Requested(CatchUp),
    Feed(Option<Vec<FeedEvent>>),
    Closing,
    Deadline,
}

impl Sequencer {
    async fn run(mut self) {
        loop {
            self.receive_now();
            let answer = self.append().await;
            // The store is busy with the next batch: time to publish the last one.
            std::mem::take(&mut self.committed).publish(&self.context);
            if let Some(answer) = answer {
                self.on_answer(answer);
                continue;
            }
            if self.closed && self.appending.is_none() && self.pending.is_empty() {
                return;
            }
            let now = Instant::now();
            self.resync.start(&self.context, now);
            match self.event(now).await {
                Event::Answered(answer) => self.on_answer(answer),
                Event::Read((room, Ok(found))) => self.on_read(room, found),
                Event::Read((room, Err(error))) => {
                    let messages = self.pending.reject_room(&room, &self.context);
                    if messages > 0 {
                        tracing::warn!(room = &**room.name(), messages, %error, "store unavailable");
                    }
                    self.resync.on_error(room, &error, Instant::now());
                }
                Event::Received(received) => {
                    self.closed |= received.is_empty();
                    received.into_iter().for_each(|submission| self.pending.push(submission));
                }
                Event::Requested(request) => self.resync.catch_up(request),
                Event::Feed(Some(events)) => feed::apply(events, &self.context, &mut self.resync),
                Event::Feed(None) => self.feed = None,
                Event::Closing => self.queue.submissions.close(),
                Event::Deadline => {}
            }
            self.on_deadlines();
        }
    }

    /// Waits for the next event. Cancel safe.
    async fn event(&mut self, now: Instant) -> Event {
        let deadline = self.deadline(now);
        let has_space = self.pending.len() < self.context.options.queue_messages().get();
        let mut received = Vec::new();
        tokio::select! {
            biased;
            () = self.queue.closing.notified() => Event::Closing,
            answer = answer(&mut self.appending) => Event::Answered(answer),
            read = self.resync.next() => Event::Read(read),
            // While a batch is being written, messages stay in the queue.
            _ = self.queue.submissions.recv_many(&mut received, MAX_BATCH), if self.appending.is_none() && !self.closed && has_space => {
                Event::Received(received)
            }
            () = sleep_until(deadline) => Event::Deadline,
            Some(request) = self.queue.requests.recv() => Event::Requested(request),
            events = feed::next(&mut self.feed) => Event::Feed(events),
        }
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let check_at = (self.appending.is_some() || !self.pending.is_empty()).then_some(self.check_at);
        // During an append the end of a backoff changes nothing.
        let backoff = if self.appending.is_none() { self.pending.next_backoff(now) } else { None };
        let measure_at = self.feed.as_ref().map(FeedReader::measure_at);
        [check_at, backoff, measure_at, self.resync.retry_at()].into_iter().flatten().min()
    }

    fn receive_now(&mut self) {
        let mut count = 0;
        while count < MAX_BATCH && !self.closed && self.pending.len() < self.context.options.queue_messages().get() {
            match self.queue.submissions.try_recv() {
                Ok(submission) => self.pending.push(submission),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.closed = true,
            }
            count += 1;
        }
    }

    /// Starts an append of what is ready, unless one is under way. Returns the answer if it is there at once.
    async fn append(&mut self) -> Option<Answer> {
        if self.appending.is_some() || self.pending.is_empty() {
            return None;
        }
        let since = Instant::now();
        let groups = self.pending.take(since, |room| self.resync.is_clear(room));
        if groups.is_empty() {
            return None;
        }
        let batch = Batch::new(groups);
        let (store, appends) = (Arc::clone(&self.context.store), Arc::clone(batch.appends()));
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
        self.context.metrics.append_seconds.record(took.as_secs_f64());
        let appended = match answer {
            Ok(appended) => appended,
            Err(error) => {
                tracing::warn!(messages = batch.len(), %error, "store unavailable");
                batch.rooms().for_each(|room| self.resync.begin(room, None));
                return batch.reject_all(&self.context);
            }
        };
        let conflicts = batch.commit(appended, &mut self.committed);
        if let Some(feed) = &self.feed {
            feed.on_conflicts(conflicts.len());
            // After a success this process pauses: the others have to read before they can try again.
            for room in self.committed.rooms() {
                self.pending.back_off(room, now + backoff(took, 1));
            }
        }
        for (mut group, head) in conflicts {
            match head.cmp(&group.room.committed()) {
                Ordering::Greater => self.resync.begin(&group.room, Some(head)),
                Ordering::Equal => {}
                // The store has less than it has confirmed before.
                Ordering::Less => self.resync.begin(&group.room, None),
            }
            // The more conflicts in a row, the shorter the pause.
            group.backoff_until = Some(now + backoff(took, group.conflicts).max(MIN_BACKOFF));
            self.pending.put_back(group);
        }
    }

    fn on_read(&mut self, room: Arc<Room>, found: Found) {
        let exhausted = match found {
            Found::Head { announced } => {
                self.resync.begin(&room, Some(announced));
                false
            }
            Found::Page(Page::Messages(stored)) => {
                batch::publish_stored(&self.context, &room, &stored);
                if let Some(feed) = &self.feed {
                    feed.on_resynced();
                }
                false
            }
            Found::Page(Page::Removed(seq)) => {
                room.skip_to(seq, &self.context.rooms.ring_budget);
                false
            }
            Found::Page(Page::Empty) => true,
            Found::Page(Page::Behind) | Found::OtherEpoch => {
                if self.appending.as_ref().is_some_and(|appending| appending.batch.contains(&room)) {
                    // Its answer belongs to the log as it was.
                    return self.resync.retry(room, Instant::now());
                }
                self.start_over(&room);
                false
            }
        };
        self.resync.on_read(room, exhausted);
    }

    /// The log was replaced: the room will be loaded again.
    fn start_over(&mut self, room: &Room) {
        let now = Instant::now();
        if self.replaced_at.is_none_or(|at| now - at > REPLACED_LOG) {
            tracing::warn!(room = &**room.name(), "the store's log was replaced: rooms in use start over");
        }
        self.replaced_at = Some(now);
        room.start_over(&self.context.rooms.ring_budget);
    }

    /// Rejects messages that have been pending for too long, and measures the feed's lag. An append that is under way is awaited even
    /// after its messages were rejected: its outcome has to be known.
    fn on_deadlines(&mut self) {
        let now = Instant::now();
        if now >= self.check_at {
            self.check_at = now + CHECK;
            if let Some(appending) = &mut self.appending {
                appending.batch.reject_overdue(now, &self.context);
            }
            self.pending.reject_overdue(now, &self.context);
        }
        if let Some(feed) = &mut self.feed {
            feed.measure(now, &*self.context.store);
        }
    }
}

/// A random part of `took`, divided by `divisor`.
fn backoff(took: Duration, divisor: u32) -> Duration {
    took.min(MAX_BACKOFF).mul_f64(rand::random()) / divisor.max(1)
}

async fn answer(appending: &mut Option<Appending>) -> Answer {
    match appending {
        Some(appending) => appending.answer.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
