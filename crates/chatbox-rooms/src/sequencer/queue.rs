//! The way to the sequencer: bounded in messages and in bytes.

use crate::room::Room;
use chatbox_core::Reply;
use chatbox_store::{Draft, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

/// Joins that wait for the sequencer to look at their request; more wait for a place among them.
const REQUESTS: usize = 1_024;

/// A message on its way to the store.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) room: Arc<Room>,
    pub(crate) draft: Draft,
    pub(crate) reply: Reply,
    /// When its sender is told that the store does not answer.
    pub(crate) due: Instant,
}

/// Asks that a room's head reach `upto`, which the store is known to have.
#[derive(Debug)]
pub(crate) struct CatchUp {
    pub(crate) room: Arc<Room>,
    pub(crate) upto: u64,
    pub(crate) done: oneshot::Sender<Result<(), StoreError>>,
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct SubmitQueue {
    sender: mpsc::Sender<Submission>,
    requests: mpsc::Sender<CatchUp>,
    bytes: Arc<AtomicUsize>,
    max_bytes: usize,
    closing: Arc<Notify>,
}

/// The receiving end, for the sequencer.
#[derive(Debug)]
pub(crate) struct SubmitReceiver {
    pub(super) receiver: mpsc::Receiver<Submission>,
    pub(super) requests: mpsc::Receiver<CatchUp>,
    /// Of the messages that are queued, also of those that have been received and wait further.
    pub(super) bytes: Arc<AtomicUsize>,
    pub(super) closing: Arc<Notify>,
}

/// A queue of at most this many messages and about this many bytes.
pub(crate) fn queue(messages: usize, max_bytes: usize) -> (SubmitQueue, SubmitReceiver) {
    let (sender, receiver) = mpsc::channel(messages);
    let (ask, requests) = mpsc::channel(REQUESTS);
    let (bytes, closing) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
    let outlet = SubmitReceiver { receiver, requests, bytes: Arc::clone(&bytes), closing: Arc::clone(&closing) };
    (SubmitQueue { sender, requests: ask, bytes, max_bytes, closing }, outlet)
}

impl SubmitQueue {
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

    /// Waits until the room's head has reached `upto`. Cancel safe.
    pub(crate) async fn catch_up(&self, room: &Arc<Room>, upto: u64) -> Result<(), StoreError> {
        let (done, caught_up) = oneshot::channel();
        let request = CatchUp { room: Arc::clone(room), upto, done };
        self.requests.send(request).await.map_err(|_| StoreError::Closed)?;
        caught_up.await.map_err(|_| StoreError::Closed)?
    }

    /// Takes nothing more; what is queued is still stored.
    pub(crate) fn close(&self) {
        self.closing.notify_one();
    }
}

/// What a message counts in the queue.
pub(super) fn size_of_draft(draft: &Draft) -> usize {
    // What stands beside the text: the submission itself and its reply.
    draft.body.len() + draft.id.len() + 160
}
