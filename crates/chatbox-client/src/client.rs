//! The application's handle, and what it shares with the task that does the work.

use crate::driver::Driver;
use crate::session::{Reply, Session};
use crate::{Builder, Events, Reason, SendError};
use chatbox_protocol::{InvalidName, RoomName};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// A client of a chatbox service: one user, one connection at a time, any number of rooms.
///
/// Cheap to clone. The client ends when it is [closed](Self::close), when the server does not want it back, or when every
/// clone and the [`Events`] are dropped.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Where in a room's history to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinFrom {
    /// Only what comes from now on.
    Live,
    /// Everything after this `seq`, the last one seen; 0 for everything there is.
    After(u64),
    /// At most that many of the newest messages, then what comes.
    Last(u64),
}

/// The server has stored a message for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// The message's place in its room.
    pub seq: u64,
}

/// What a client has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Whether there is a connection now.
    pub is_connected: bool,
    /// Connections that were up (their `welcome` came).
    pub connects: u64,
    /// Connections that ended, and tries that failed.
    pub disconnects: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Messages that came again and were not delivered again.
    pub duplicates: u64,
    /// Messages that will never come: the sum of all [gaps](crate::Event::Gap).
    pub lost: u64,
    /// Gaps that no server may make.
    pub violations: u64,
    /// Messages that wait for their ack.
    pub unacked: usize,
    /// Messages whose ack came.
    pub acked: u64,
    /// How often a message was sent again.
    pub resent: u64,
}

/// A message on its way: the future of its ack.
///
/// The message is queued from the moment of [`Client::send`], whether this is polled or dropped. It is sent again after
/// every reconnect, and after `rate_limited` and `store_unavailable` when the server says so, until there is an answer.
#[derive(Debug)]
#[must_use = "drop it if the ack does not matter"]
pub struct Sending {
    id: String,
    answer: oneshot::Receiver<Result<Acked, SendError>>,
}

impl Client {
    /// A builder with the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Enters a room, now and after every reconnect, until [`leave`](Self::leave). [`Event::Joined`](crate::Event::Joined)
    /// tells when; a server that does not let the client in answers with [`Event::Error`](crate::Event::Error) and
    /// [`Event::Left`](crate::Event::Left). Nothing changes if the client is in the room already.
    ///
    /// A server that does not have the message it is to begin after is asked again: it lags behind, and `bad_message` is
    /// reported each time. After a service has lost its messages, leave and join again.
    ///
    /// # Errors
    ///
    /// When the name is no room's.
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

    /// Sends a message to a room, joined or not, with an id of its own. Messages are sent in the order of these calls; one
    /// that the server puts off may end up behind others.
    ///
    /// There may be no connection at the moment. To wait for the ack, await what this returns, but not in the task that
    /// takes the [`Events`].
    ///
    /// # Errors
    ///
    /// The future fails when the message will not be stored, or when the client ended before that was known: see
    /// [`SendError`].
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

    /// Closes the connection with 1000, and waits until the server has answered or
    /// [`close_timeout`](Builder::close_timeout) has passed. Messages without an ack end with [`SendError::Closed`]; await
    /// them first where that matters. The last event is [`Event::Closed`](crate::Event::Closed).
    ///
    /// Cancel safe: the client closes even if the future is dropped.
    pub async fn close(&self) {
        self.handle.shared.update(|session| session.end(Reason::Requested));
        // An error means that the task is gone, and the client with it.
        let _ = self.handle.done.clone().wait_for(|is_done| *is_done).await;
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.session().stats()
    }

    /// Starts the task that does the work.
    pub(crate) fn start(
        session: Session,
        event_queue: usize,
        driver: impl FnOnce(Arc<Shared>) -> Driver,
    ) -> (Self, Events) {
        let shared = Arc::new(Shared { session: Mutex::new(session), wake: Notify::new() });
        let (events, queue) = mpsc::channel(event_queue);
        let (done, is_done) = watch::channel(false);
        tokio::spawn(driver(Arc::clone(&shared)).run(events, done));
        let handle = Arc::new(Handle { shared, done: is_done });
        (Self { handle: Arc::clone(&handle) }, Events::new(queue, handle))
    }

    fn submit(&self, id: Option<&str>, room: &str, body: &str) -> Sending {
        let (reply, answer): (Reply, _) = oneshot::channel();
        let mut sent_as = String::new();
        self.handle.shared.update(|session| {
            sent_as = id.map_or_else(|| session.new_id(), str::to_owned);
            session.send(room, &sent_as, body, reply);
        });
        Sending { id: sent_as, answer }
    }
}

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

/// What the clones of a client and its events hold together: the last one to go closes the connection.
#[derive(Debug)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    done: watch::Receiver<bool>,
}

impl Handle {
    /// Why the client ended.
    pub(crate) fn reason(&self) -> Reason {
        self.shared.session().ended().cloned().unwrap_or(Reason::Requested)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.update(|session| session.end(Reason::Requested));
    }
}

/// The session, and a way to tell the task that it has changed.
#[derive(Debug)]
pub(crate) struct Shared {
    session: Mutex<Session>,
    wake: Notify,
}

impl Shared {
    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the application has asked for something. Cancel safe; the driver alone waits.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }

    fn update(&self, change: impl FnOnce(&mut Session)) {
        change(&mut self.session());
        self.wake.notify_one();
    }
}
