//! The queue from members to the sequencer, bounded in messages and in bytes.

use crate::room::Room;
use chatbox_core::Reply;
use chatbox_store::{Draft, StoreError};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

/// How many catch-up requests are queued; further ones wait until there is space.
const REQUESTS: usize = 1_024;

/// A message to be stored.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) room: Arc<Room>,
    pub(crate) draft: Draft,
    pub(crate) reply: Reply,
    /// When it is answered `store_unavailable`.
    pub(crate) due: Instant,
}

/// A request to bring a room up to date.
#[derive(Debug)]
pub(crate) struct CatchUp {
    pub(crate) room: Arc<Room>,
    /// A `seq` that the store is known to have. `None`: up to whatever the store has, and whether that is less than this process has.
    pub(crate) up_to: Option<u64>,
    pub(crate) done: oneshot::Sender<Result<(), StoreError>>,
}

/// The sending half. Dropping it closes the queue.
#[derive(Debug)]
pub(crate) struct SubmitQueue {
    submissions: mpsc::Sender<Submission>,
    requests: mpsc::Sender<CatchUp>,
    bytes: Arc<AtomicUsize>,
    max_bytes: usize,
    closing: Arc<Notify>,
}

/// The receiving half, held by the sequencer.
#[derive(Debug)]
pub(crate) struct SubmitReceiver {
    pub(crate) submissions: mpsc::Receiver<Submission>,
    pub(crate) requests: mpsc::Receiver<CatchUp>,
    /// Bytes of the messages that are queued here or pending in the sequencer.
    pub(crate) bytes: Arc<AtomicUsize>,
    pub(crate) closing: Arc<Notify>,
}

/// A queue of at most `messages` messages and about `max_bytes` bytes.
pub(crate) fn queue(messages: NonZeroUsize, max_bytes: usize) -> (SubmitQueue, SubmitReceiver) {
    let (submissions, receiver) = mpsc::channel(messages.get());
    let (requests, request_receiver) = mpsc::channel(REQUESTS);
    let (bytes, closing) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
    let receiver = SubmitReceiver {
        submissions: receiver,
        requests: request_receiver,
        bytes: Arc::clone(&bytes),
        closing: Arc::clone(&closing),
    };
    (SubmitQueue { submissions, requests, bytes, max_bytes, closing }, receiver)
}

impl SubmitQueue {
    /// Queues a message. Returns it if the queue is full or closed.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), Submission> {
        let size = size_of_draft(&submission.draft);
        if self.bytes.fetch_add(size, Ordering::AcqRel) + size > self.max_bytes {
            self.bytes.fetch_sub(size, Ordering::AcqRel);
            return Err(submission);
        }
        self.submissions.try_send(submission).map_err(|error| {
            self.bytes.fetch_sub(size, Ordering::AcqRel);
            error.into_inner()
        })
    }

    /// Waits until the room is up to date. Cancel safe; the request stays.
    pub(crate) async fn catch_up(&self, room: &Arc<Room>, up_to: Option<u64>) -> Result<(), StoreError> {
        let (done, caught_up) = oneshot::channel();
        let request = CatchUp { room: Arc::clone(room), up_to, done };
        self.requests.send(request).await.map_err(|_| StoreError::Closed)?;
        caught_up.await.map_err(|_| StoreError::Closed)?
    }

    /// Accepts no more messages. Queued ones are still stored.
    pub(crate) fn close(&self) {
        self.closing.notify_one();
    }
}

/// What a message counts towards the limit in bytes.
pub(crate) fn size_of_draft(draft: &Draft) -> usize {
    // The text, and about what the submission and its reply take.
    draft.body.len() + draft.id.len() + 160
}
