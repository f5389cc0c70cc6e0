//! An adapter for asynchronous handlers: a bounded number of messages in flight, answered in the order in which they came.

use crate::handler::{Handler, Message};
use chatbox_core::{CloseReason, CloseSummary, Connection, Reply};
use std::collections::VecDeque;
use std::fmt;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::task::JoinSet;

/// Bytes of the outbox that are kept for each answer under way.
const RESERVE: usize = 1024;

/// A message that owns its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedMessage {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
}

impl From<Message<'_>> for OwnedMessage {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.to_owned()),
            Message::Binary(payload) => Self::Binary(payload.to_owned()),
        }
    }
}

/// A [`Handler`] that runs `serve` for each message, as a task of its own, with up to `max_in_flight` of them at a time.
///
/// - **Order.** The tasks run concurrently; their answers leave in the order of the messages. An answer that is ready before an earlier
///   one is held back, in memory.
/// - **Bounds.** While `max_in_flight` tasks run or answers are outstanding, nothing more is read from the peer.
/// - **Drain.** A connection is not closed before every answer is sent or dropped (see [`Reply`]).
/// - **Cancellation.** When the connection ends, its tasks are cancelled at their next `.await`.
/// - **Panics.** A task that panics closes its connection with 1011.
///
/// ```
/// use chatbox_ws::{OwnedMessage, ordered};
/// use std::num::NonZero;
///
/// let handler = ordered(NonZero::new(8).unwrap(), |message: OwnedMessage, reply| async move {
///     // A query to a database, for example.
///     tokio::task::yield_now().await;
///     if let OwnedMessage::Text(text) = message {
///         reply.send(|out| chatbox_ws::frame::text(&text, out));
///     }
/// });
/// # drop(handler);
/// ```
pub fn ordered<F, Fut>(max_in_flight: NonZero<usize>, serve: F) -> Ordered<F>
where
    F: FnMut(OwnedMessage, OrderedReply) -> Fut + Send + Unpin + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Ordered { max_in_flight: max_in_flight.get(), serve, tasks: JoinSet::new(), queue: Arc::default() }
}

/// The handler made by [`ordered`].
pub struct Ordered<F> {
    max_in_flight: usize,
    serve: F,
    /// Aborted when they are dropped.
    tasks: JoinSet<()>,
    queue: Arc<Mutex<Queue>>,
}

/// The answer to one message of an [`ordered`] handler. Dropping it settles the message without an answer.
#[must_use = "dropping a reply settles it without an answer"]
#[derive(Debug)]
pub struct OrderedReply {
    queue: Arc<Mutex<Queue>>,
    position: u64,
    frames: Vec<u8>,
}

/// The answers that are outstanding or held back, in the order of their messages.
#[derive(Debug, Default)]
struct Queue {
    slots: VecDeque<Slot>,
    /// The position of the first slot.
    first: u64,
}

#[derive(Debug)]
struct Slot {
    reply: Reply,
    /// The encoded answer, once it is settled.
    settled: Option<Vec<u8>>,
}

impl<F, Fut> Handler for Ordered<F>
where
    F: FnMut(OwnedMessage, OrderedReply) -> Fut + Send + Unpin + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        let position = lock(&self.queue).push(connection.owe(RESERVE));
        let reply = OrderedReply { queue: Arc::clone(&self.queue), position, frames: Vec::new() };
        self.tasks.spawn((self.serve)(message.into(), reply));
        Ok(())
    }

    fn poll_ready(&mut self, _: &Arc<Connection>, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(Some(result)) = self.tasks.poll_join_next(cx) {
            if let Err(error) = result
                && let Ok(panic) = error.try_into_panic()
            {
                // Caught by the session, which closes the connection.
                resume_unwind(panic);
            }
        }
        let in_flight = self.tasks.len().max(lock(&self.queue).slots.len());
        if in_flight < self.max_in_flight { Poll::Ready(()) } else { Poll::Pending }
    }

    fn on_end(&mut self, _: &Arc<Connection>, _: &CloseSummary) {
        self.tasks.abort_all();
    }
}

impl OrderedReply {
    /// Sends the answer: `encode` appends complete frames (see [`frame`](crate::frame)).
    pub fn send(mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut frames = Vec::new();
        // Kept only when complete: half a frame of an `encode` that panics would corrupt every later one.
        encode(&mut frames);
        self.frames = frames;
        // Dropping `self` settles the message.
    }
}

impl Drop for OrderedReply {
    fn drop(&mut self) {
        lock(&self.queue).settle(self.position, std::mem::take(&mut self.frames));
    }
}

impl Queue {
    /// Adds a slot, and returns its position.
    fn push(&mut self, reply: Reply) -> u64 {
        self.slots.push_back(Slot { reply, settled: None });
        self.first + self.slots.len() as u64 - 1
    }

    /// Settles a slot, and sends the answers that no earlier one holds back any more.
    fn settle(&mut self, position: u64, frames: Vec<u8>) {
        let index = usize::try_from(position - self.first).unwrap_or(usize::MAX);
        if let Some(slot) = self.slots.get_mut(index) {
            slot.settled = Some(frames);
        }
        while let Some(slot) = self.slots.pop_front_if(|slot| slot.settled.is_some()) {
            self.first += 1;
            let frames = slot.settled.unwrap_or_default();
            slot.reply.send(|out| out.extend_from_slice(&frames));
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // Nothing under this lock can panic but an allocation.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<F> fmt::Debug for Ordered<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ordered").field("max_in_flight", &self.max_in_flight).finish_non_exhaustive()
    }
}
