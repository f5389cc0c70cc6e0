//! The application's handle of a client.

use crate::sending::{Reply, Sending};
use crate::shared::Handle;
use crate::{JoinFrom, Reason, SendError, Stats};
use chatbox_protocol::{InvalidName, RoomName};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A client of a chatbox service: one user, one connection at a time, any number of rooms.
///
/// Cheap to clone. The client ends when it is [closed](Self::close), when the server refuses it for good, or when every
/// clone and the [`Events`](crate::Events) are dropped.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

impl Client {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// Joins a room, now and after every reconnect, until [`leave`](Self::leave). [`Event::Joined`](crate::Event::Joined)
    /// follows; a server that refuses the room answers with [`Event::Error`](crate::Event::Error) and
    /// [`Event::Left`](crate::Event::Left). Nothing changes if the client is in the room already.
    ///
    /// If the service has lost messages that the client has seen, because a backup was restored, the client reports
    /// [`Gap::LogReplaced`](crate::Gap::LogReplaced) and goes on with what the service has. A server that does not have
    /// the message to begin after, and belongs to an earlier version, is asked again for about half a minute before: it may
    /// lag behind another replica. Each answer is reported as [`Event::Error`](crate::Event::Error).
    ///
    /// # Errors
    ///
    /// When the text is not a room name.
    pub fn join(&self, room: &str, from: JoinFrom) -> Result<(), InvalidName> {
        let room = RoomName::new(room)?;
        self.handle.shared.update(|session| session.join(&room, from));
        Ok(())
    }

    /// Leaves a room. Messages may come until [`Event::Left`](crate::Event::Left). Nothing changes if the client is not in
    /// the room.
    pub fn leave(&self, room: &str) {
        self.handle.shared.update(|session| session.leave(room));
    }

    /// Sends a message to a room, joined or not, with a generated id. Messages are sent in the order of these calls; one
    /// that the server defers may end up behind later ones.
    ///
    /// Works without a connection, too: the message is queued. To wait for the ack, await the returned future, but not in
    /// the task that takes the [`Events`](crate::Events).
    ///
    /// # Errors
    ///
    /// The future fails when the message will not be stored, or when the client ended before that was known: see
    /// [`SendError`](crate::SendError).
    pub fn send(&self, room: &str, body: &str) -> Sending {
        self.submit(None, room, body)
    }

    /// As [`send`](Self::send), with an id that the application chose: 1 to 64 visible ASCII characters, unique among this
    /// user's messages to the room. A message whose id is stored already is acked with the `seq` that it has.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn send_with_id(&self, room: &str, id: &str, body: &str) -> Sending {
        self.submit(Some(id), room, body)
    }

    /// Waits until every message sent before this call is acked or rejected; later ones do not count. Rejections are
    /// reported by the messages' own [`Sending`]. As for [`send`](Self::send), wait in another task than the one that takes
    /// the events.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the client ended with messages unanswered.
    pub async fn acked(&self) -> Result<(), SendError> {
        let (reply, answer) = oneshot::channel();
        self.handle.shared.update(|session| session.wait_for_acks(reply));
        answer.await.unwrap_or(Err(SendError::Closed))
    }

    /// Closes the connection with 1000, and waits until the server has answered or
    /// [`close_timeout`](crate::Builder::close_timeout) has passed. Messages without an ack end with
    /// [`SendError::Closed`]; wait for [`acked`](Self::acked) first where that matters. The last event is [`Event::Closed`](crate::Event::Closed).
    ///
    /// Cancel safe: the client closes even if the future is dropped.
    pub async fn close(&self) {
        self.handle.shared.update(|session| session.end(Reason::Requested));
        self.handle.done().await;
    }

    /// Counters of what happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.session().stats()
    }

    fn submit(&self, id: Option<&str>, room: &str, body: &str) -> Sending {
        let (reply, answer): (Reply, _) = oneshot::channel();
        let id = self.handle.shared.update(|session| {
            let id = id.map_or_else(|| session.new_id(), str::to_owned);
            session.send(room, &id, body, reply);
            id
        });
        Sending { id, answer }
    }
}
