//! What the application is told.

use crate::{Reason, client::Handle};
use chatbox_protocol::{ErrorCode, Timestamp};
use futures_util::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc;

/// Something that happened, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection is up: the server's `welcome` came. What the client joined and sent before is taken up again without
    /// the application's doing.
    Connected {
        /// The name of the server's instance.
        server: String,
        /// The id of the connection in the server's log.
        connection: String,
        /// Who the server takes the client for.
        user: String,
    },
    /// A connection ended, or a try to get one failed. The next try follows.
    Disconnected {
        /// Why.
        reason: Reason,
        /// When the next try begins, from now.
        retry_in: Duration,
    },
    /// The client is in a room: for the first time, or again after a reconnect. What follows are the messages after
    /// `after`.
    Joined {
        /// The room.
        room: Arc<str>,
        /// The newest `seq` of the room, 0 if it has none.
        head: u64,
        /// The oldest `seq` that is still stored, `head + 1` if there is none.
        first: u64,
        /// The first message that comes has the `seq` after this one.
        after: u64,
    },
    /// The client is no longer in a room, because it left or because the server did not let it in: then
    /// [`Event::Error`] came before.
    Left {
        /// The room.
        room: Arc<str>,
    },
    /// A message of a joined room, the client's own included: every one exactly once, in `seq` order.
    Message {
        /// The room.
        room: Arc<str>,
        /// Its place in the room: 1, 2, 3 …
        seq: u64,
        /// Who sent it.
        user: String,
        /// The id that its sender gave it.
        id: String,
        /// The text.
        body: String,
        /// When the server accepted it.
        at: Timestamp,
    },
    /// Messages of a room will never come.
    Gap {
        /// The room.
        room: Arc<str>,
        /// The first `seq` that is missing.
        from: u64,
        /// The last `seq` that is missing.
        to: u64,
        /// The server said so (`history_gone`): they were removed before the client could ask for them. If it did not,
        /// it broke its promise, and [`Stats::violations`](crate::Stats::violations) has counted it.
        announced: bool,
    },
    /// The server did not do something, and it is not about a message on its way: that is told where the message was
    /// sent.
    Error {
        /// What is wrong, for programs.
        code: ErrorCode,
        /// What is wrong, for people.
        message: String,
        /// The room it concerns.
        room: Option<Arc<str>>,
    },
    /// The server is about to close the connection. [`Event::Disconnected`] follows, and then a new connection.
    Goodbye {
        /// Why: `shutdown`.
        reason: String,
        /// This client's own slot for coming back, from now.
        reconnect_after: Duration,
    },
    /// The last event: the client was closed, or the server does not want it back.
    Closed {
        /// Why.
        reason: Reason,
    },
}

/// The events of one client, to be taken as they come. Also a [`Stream`].
///
/// The queue is bounded ([`Builder::event_queue`](crate::Builder::event_queue)). While it is full the client reads
/// nothing more, TCP slows the server down, and nothing is lost; but no ack is read either, and a server that cannot write
/// for long ends the connection. So never wait for an ack in the task that takes the events. Whoever wants none drops
/// this: then they are thrown away and nothing waits for them.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Event>,
    handle: Arc<Handle>,
    is_over: bool,
}

impl Events {
    pub(crate) fn new(queue: mpsc::Receiver<Event>, handle: Arc<Handle>) -> Self {
        Self { queue, handle, is_over: false }
    }

    /// The next event; `None` after [`Event::Closed`].
    ///
    /// Cancel safe: no event is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_next_event(cx)).await
    }

    fn poll_next_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = ready!(self.queue.poll_recv(cx)) {
            return Poll::Ready(Some(event));
        }
        // The end does not stand in the queue, so that a client can end while its queue is full.
        let last = (!self.is_over).then(|| Event::Closed { reason: self.handle.reason() });
        self.is_over = true;
        Poll::Ready(last)
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_next_event(cx)
    }
}
