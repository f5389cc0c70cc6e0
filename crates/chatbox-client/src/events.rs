//! The queue of a client's events.

use crate::Event;
use crate::shared::Handle;
use futures_util::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// The events of one client. Also a [`Stream`].
///
/// The queue is bounded ([`Builder::event_queue`](crate::Builder::event_queue)). While it is full the client reads nothing
/// from the connection: TCP slows the server down, nothing is lost, and no ack is read either. A server that cannot write
/// for long closes the connection. So never wait for an ack in the task that takes the events. If the events do not matter,
/// drop this: they are then discarded, and nothing waits for them.
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
        // The last event is not queued, so that a client can end while its queue is full.
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
