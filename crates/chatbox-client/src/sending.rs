//! The future of one message's ack.

use crate::SendError;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// The server has stored a message durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acked {
    /// The message's position in its room.
    pub seq: u64,
}

/// A message that was submitted: the future of its ack.
///
/// The message is queued by [`Client::send`](crate::Client::send), whether this future is polled or dropped. It is sent
/// again after every reconnect, and after `rate_limited` and `store_unavailable` when the server says so, until there is an
/// answer.
#[derive(Debug)]
#[must_use = "drop it if the ack does not matter"]
pub struct Sending {
    pub(crate) id: String,
    pub(crate) answer: oneshot::Receiver<Result<Acked, SendError>>,
}

/// The sending half of a [`Sending`].
pub(crate) type Reply = oneshot::Sender<Result<Acked, SendError>>;

impl Sending {
    /// The id of the message.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Future for Sending {
    type Output = Result<Acked, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| answer.unwrap_or(Err(SendError::Closed)))
    }
}
