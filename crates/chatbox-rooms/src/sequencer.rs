//! The one task that appends: whatever arrives while a batch is being written goes into the next one.

mod batch;

use crate::room::Room;
use crate::rooms::Shared;
pub(crate) use batch::reject;
use batch::{Batch, Settled};
use chatbox_core::Reply;
use chatbox_store::{Appended, Draft, StoreError};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// Messages in one batch at most.
const MAX_BATCH: usize = 4096;

/// How often overdue messages are looked for while the store is slow.
const CHECK: Duration = Duration::from_millis(100);

/// How often rooms of which the store may know more are asked for.
const RESYNC: Duration = Duration::from_millis(500);

/// How many times a batch that others got ahead of is tried again before its messages are given up.
const ATTEMPTS: usize = 16;

/// A message on its way to the store.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) room: Arc<Room>,
    pub(crate) draft: Draft,
    pub(crate) reply: Reply,
    /// When its sender is told that the store does not answer.
    pub(crate) due: Instant,
}

/// The way to the sequencer: a queue bounded in messages and in bytes.
#[derive(Debug)]
pub(crate) struct Intake {
    sender: mpsc::Sender<Submission>,
    bytes: Arc<AtomicUsize>,
    max_bytes: usize,
    closing: Arc<Notify>,
}

/// The receiving end, for [`run`].
#[derive(Debug)]
pub(crate) struct Outlet {
    receiver: mpsc::Receiver<Submission>,
    bytes: Arc<AtomicUsize>,
    closing: Arc<Notify>,
}

/// A queue of at most this many messages and about this many bytes.
pub(crate) fn queue(messages: usize, max_bytes: usize) -> (Intake, Outlet) {
    let (sender, receiver) = mpsc::channel(messages);
    let (bytes, closing) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
    let outlet = Outlet { receiver, bytes: Arc::clone(&bytes), closing: Arc::clone(&closing) };
    (Intake { sender, bytes, max_bytes, closing }, outlet)
}

impl Intake {
    /// Queues a message; gives it back when the queue is full or closed.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), Submission> {
        let size = size_of_draft(&submission.draft);
        if self.bytes.fetch_add(size, Ordering::AcqRel) + size > self.max_bytes {
            self.bytes.fetch_sub(size, Ordering::AcqRel);
            return Err(submission);
        }
        self.sender.try_send(submission).map_err(|error| {
            self.bytes.fetch_sub(size, Ordering::AcqRel);
            error.into_inner()
        })
    }

    /// Takes nothing more; what is queued is still stored.
    pub(crate) fn close(&self) {
        self.closing.notify_one();
    }
}

fn size_of_draft(draft: &Draft) -> usize {
    // What stands beside the text: the submission itself and its reply.
    draft.body.len() + draft.id.len() + 160
}

/// Appends until the queue is closed and empty.
pub(crate) async fn run(shared: Arc<Shared>, outlet: Outlet) {
    Sequencer { shared, outlet, waiting: VecDeque::new(), doubtful: Vec::new() }.run().await;
}

struct Sequencer {
    shared: Arc<Shared>,
    outlet: Outlet,
    /// Received while a batch was being written.
    waiting: VecDeque<Submission>,
    /// Rooms whose last append had no certain end.
    doubtful: Vec<Arc<Room>>,
}

impl Sequencer {
    async fn run(mut self) {
        let mut settled = Settled::default();
        loop {
            if self.waiting.is_empty() {
                // Nothing to write meanwhile: members should not wait for the next batch.
                self.receive_now();
                if self.waiting.is_empty() {
                    settled.publish(&self.shared);
                    settled = Settled::default();
                    if !self.receive().await {
                        return;
                    }
                    if self.waiting.is_empty() {
                        continue;
                    }
                }
            }
            let submissions: Vec<_> = self.waiting.drain(..self.waiting.len().min(MAX_BATCH)).collect();
            settled = self.append(submissions, settled).await;
        }
    }

    /// Waits for messages; looks after doubtful rooms meanwhile. False when the queue is closed and empty.
    async fn receive(&mut self) -> bool {
        let mut received = Vec::new();
        tokio::select! {
            biased;
            count = self.outlet.receiver.recv_many(&mut received, MAX_BATCH) => {
                self.take_in(received);
                return count > 0;
            }
            () = self.outlet.closing.notified() => self.outlet.receiver.close(),
            () = tokio::time::sleep(RESYNC), if !self.doubtful.is_empty() => self.resync_doubtful().await,
        }
        true
    }

    fn receive_now(&mut self) {
        let mut received = Vec::new();
        while received.len() < MAX_BATCH
            && let Ok(submission) = self.outlet.receiver.try_recv()
        {
            received.push(submission);
        }
        self.take_in(received);
    }

    fn take_in(&mut self, received: Vec<Submission>) {
        let bytes = received.iter().map(|submission| size_of_draft(&submission.draft)).sum();
        self.outlet.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.waiting.extend(received);
    }

    /// Stores the submissions in one commit, and publishes what the commit before brought meanwhile.
    async fn append(&mut self, submissions: Vec<Submission>, previous: Settled) -> Settled {
        let mut batch = Batch::group(submissions);
        let mut previous = Some(previous);
        if batch.rooms().iter().any(|room| room.is_doubtful())
            && let Some(previous) = previous.take()
        {
            // What a resync finds comes after it.
            previous.publish(&self.shared);
        }
        let mut settled = Settled::default();
        for _ in 0..ATTEMPTS {
            self.prepare(&mut batch).await;
            match self.write(&mut batch, previous.take().unwrap_or_default()).await {
                Ok(appended) => batch = batch.settle(appended, &mut settled),
                Err(error) => {
                    tracing::warn!(messages = batch.len(), %error, "store unavailable");
                    self.doubt(batch.rooms());
                    batch.reject_all(&self.shared);
                    return settled;
                }
            }
            if batch.is_empty() {
                return settled;
            }
            // Somebody else wrote to these rooms: what is settled comes before what they wrote, and that before another try.
            std::mem::take(&mut settled).publish(&self.shared);
        }
        tracing::warn!(messages = batch.len(), "gave up: other writers were always ahead");
        batch.reject_all(&self.shared);
        settled
    }

    /// Makes sure that the head of every room of the batch is known; rejects the messages of those where it cannot be.
    async fn prepare(&mut self, batch: &mut Batch) {
        for room in batch.rooms() {
            let known = if room.is_doubtful() { self.resync(&room).await } else { self.shared.load(&room).await };
            if let Err(error) = known {
                tracing::warn!(room = &**room.name(), %error, "store unavailable");
                batch.reject_room(&room, &self.shared);
            }
        }
    }

    /// Awaits the append however long it takes, so that its end is known; those who have waited long enough are answered
    /// meanwhile. Publishing `previous` goes on beside it.
    async fn write(&mut self, batch: &mut Batch, previous: Settled) -> Result<Vec<Appended>, StoreError> {
        let shared = Arc::clone(&self.shared);
        if batch.is_empty() {
            previous.publish(&shared);
            return Ok(Vec::new());
        }
        let started = Instant::now();
        let mut append = shared.store.append(batch.appends());
        // Begun before the members of the commit before are served, so that the store is at work meanwhile.
        let mut appended = poll_fn(|cx| Poll::Ready(append.as_mut().poll(cx))).await;
        previous.publish(&shared);
        loop {
            if let Poll::Ready(appended) = appended {
                shared.meters.append_seconds.record(started.elapsed().as_secs_f64());
                return appended;
            }
            tokio::select! {
                biased;
                ready = &mut append => appended = Poll::Ready(ready),
                () = tokio::time::sleep(CHECK) => {
                    let now = Instant::now();
                    batch.reject_overdue(now, &shared);
                    self.receive_now();
                    self.reject_overdue_waiting(now);
                }
            }
        }
    }

    fn reject_overdue_waiting(&mut self, now: Instant) {
        let overdue = self.waiting.partition_point(|submission| submission.due <= now);
        for submission in self.waiting.drain(..overdue) {
            reject(&self.shared, &submission.draft.id, &submission.room, submission.reply);
        }
    }

    fn doubt(&mut self, rooms: Vec<Arc<Room>>) {
        for room in rooms {
            if !room.is_doubtful() {
                room.set_doubtful(true);
                self.doubtful.push(room);
            }
        }
    }

    async fn resync_doubtful(&mut self) {
        for room in std::mem::take(&mut self.doubtful) {
            if room.is_doubtful() && self.resync(&room).await.is_err() {
                self.doubtful.push(room);
            }
        }
    }

    /// Reads and publishes what the store has beyond what is known here.
    async fn resync(&self, room: &Arc<Room>) -> Result<(), StoreError> {
        self.shared.load(room).await?;
        loop {
            let stored = self.shared.store.read(room.name(), room.committed(), batch::PAGE).await?;
            if stored.is_empty() {
                room.set_doubtful(false);
                return Ok(());
            }
            batch::publish_stored(&self.shared, room, &stored);
            room.set_committed(room.head());
        }
    }
}
