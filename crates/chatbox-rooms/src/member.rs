//! One connected client: its requests, and its memberships in rooms.

mod joining;

use crate::handle::Handle;
use crate::replay::Replay;
use crate::rooms::Rooms;
use crate::subscription::Subscription;
use crate::wire::{history_gone, joined};
use chatbox_core::{Batch, Closing, Connection, Source};
use chatbox_protocol::{ClientMessage, Disconnect, ErrorCode, ServerMessage};
use joining::Joining;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// Decides by name which rooms a user may join and send to.
pub type Permission = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Bytes of the outbox reserved for the answer to one `send`: an `ack` or `error` with the longest room name and id.
const ANSWER: usize = 384;

/// Bytes of a `message` beside its room, user, id and body.
const ENVELOPE: usize = 128;

/// One connected client, independent of the transport: messages that arrive are passed in, frames to be sent are
/// [pulled](Source::pull). Use it within a tokio runtime, since reads of the store run in tasks of their own.
///
/// Requests are handled in order. A `join` of a room that is not in memory waits for the store, and later requests wait behind it: see
/// [`poll_ready`](Self::poll_ready).
pub struct Member {
    handle: Arc<Handle>,
    /// In the order in which they are pulled. Those that have filled a batch go to the end.
    subscriptions: Box<[Subscription]>,
    /// Boxed for its size: most members have none.
    permission: Option<Box<Permission>>,
    joining: Option<Box<Joining>>,
}

impl Member {
    /// Sends `welcome` to the connection. Without a permission the user may enter every room.
    #[must_use]
    pub fn new(rooms: &Rooms, connection: &Connection, permission: Option<Permission>) -> Self {
        let handle = Arc::clone(rooms.handle());
        let context = &handle.context;
        let (user, id) = (&**connection.user(), connection.id().to_string());
        let welcome = ServerMessage::welcome(user, id, &*context.server, None, context.options.heartbeat());
        context.send(connection, &welcome);
        Self { handle, subscriptions: Box::default(), permission: permission.map(Box::new), joining: None }
    }

    /// Ready when the next message can be handled. Drives a `join` that waits for the store.
    pub fn poll_ready(&mut self, connection: &Arc<Connection>, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(joining) = &mut self.joining {
            let refreshed = ready!(joining.poll(cx));
            let Some(joining) = self.joining.take() else { break };
            match refreshed {
                Ok(()) => self.enter(connection, *joining),
                Err(error) => {
                    tracing::debug!(room = &**joining.room().name(), %error, "cannot load room");
                    let message = "the room cannot be read now";
                    self.refuse(connection, ErrorCode::StoreUnavailable, message, Some(joining.room().name()), None);
                }
            }
        }
        Poll::Ready(())
    }

    /// Handles one text message. Errors are answered with an `error`; none ends the connection.
    pub fn on_text(&mut self, connection: &Arc<Connection>, text: &str) {
        let message = ClientMessage::parse(text);
        // A message that cannot be parsed counts, too: it costs no less.
        if let Err(retry_after) = self.handle.context.rates.check(connection.user()) {
            let (room, id) = match &message {
                Ok(message) => (Some(room_of(message)), id_of(message)),
                Err(rejected) => (rejected.room.as_deref(), rejected.id.as_deref()),
            };
            return self.rate_limit(connection, "too many messages", room, id, retry_after);
        }
        match message {
            Ok(message) => self.on_message(connection, &message),
            Err(rejected) => {
                self.handle.context.metrics.refused(rejected.code.as_str());
                self.handle.context.send(connection, &rejected.into_message());
            }
        }
    }

    /// Ends all memberships at the heads of this moment. Call it when the connection is told to close.
    ///
    /// What is left up to there can still be pulled, also what has to be read from the store. Until it is, the connection
    /// [owes](Connection::owed) an answer. A message that the store does not return within
    /// [`Options::store_timeout`](crate::Options::store_timeout) is given up, with those that follow it in its room.
    pub fn on_closing(&mut self, connection: &Arc<Connection>) {
        self.joining = None;
        for subscription in &mut self.subscriptions {
            subscription.close(connection);
        }
    }

    /// Sends `goodbye` if a drain closes the connection.
    pub fn before_close(&mut self, connection: &Connection, closing: &Closing) {
        if let Some(reconnect_after) = closing.reconnect_after {
            let reason = Disconnect::Shutdown.goodbye().unwrap_or_default();
            let goodbye = ServerMessage::goodbye(reason, Duration::ZERO, reconnect_after);
            self.handle.context.send(connection, &goodbye);
        }
    }

    fn on_message(&mut self, connection: &Arc<Connection>, message: &ClientMessage<'_>) {
        let (room, id) = (room_of(message), id_of(message));
        if self.permission.as_ref().is_some_and(|allows| !allows(room)) {
            return self.refuse(connection, ErrorCode::NotAllowed, "you may not enter this room", Some(room), id);
        }
        let counts = !matches!(message, ClientMessage::Leave { .. });
        let room_limits = &self.handle.context.room_limits;
        if counts && let Err(retry_after) = room_limits.check(connection.user(), room, Instant::now()) {
            return self.rate_limit(connection, "too many different rooms", Some(room), id, retry_after);
        }
        match message {
            ClientMessage::Join { .. } => self.join(connection, room, Replay::of(message)),
            ClientMessage::Leave { .. } => self.leave(connection, room),
            ClientMessage::Send { id, body, .. } => self.submit(connection, room, id.as_str(), body),
        }
    }

    fn join(&mut self, connection: &Arc<Connection>, room: &str, replay: Replay) {
        if self.position(room).is_some() {
            return self.refuse(connection, ErrorCode::BadMessage, "already joined", Some(room), None);
        }
        if self.subscriptions.len() >= self.handle.context.options.rooms_per_connection().get() {
            let message = "too many rooms joined at the same time";
            return self.refuse(connection, ErrorCode::TooManyRooms, message, Some(room), None);
        }
        let joining = Joining::new(&self.handle, room, replay);
        if joining.is_ready() {
            self.enter(connection, joining);
        } else {
            self.joining = Some(Box::new(joining));
        }
    }

    /// Enters a loaded room. The answer is consistent with one moment.
    fn enter(&mut self, connection: &Arc<Connection>, joining: Joining) {
        let context = &self.handle.context;
        let entered = Subscription::enter(&self.handle, joining.room(), connection, joining.replay());
        let Some((subscription, snapshot, history_is_gone)) = entered else {
            // Its log is being replaced.
            self.joining = Some(Box::new(joining.again(&self.handle)));
            return;
        };
        let room = joining.room().name();
        if history_is_gone {
            context.metrics.refused(ErrorCode::HistoryGone.as_str());
            context.send(connection, &history_gone(room));
        }
        context.send(connection, &joined(room, &snapshot));
        self.change_subscriptions(|subscriptions| {
            subscriptions.reserve_exact(1);
            subscriptions.push(subscription);
        });
    }

    fn leave(&mut self, connection: &Connection, room: &str) {
        match self.position(room) {
            Some(position) => {
                self.change_subscriptions(|subscriptions| drop(subscriptions.remove(position)));
                self.handle.context.send(connection, &ServerMessage::left(room));
            }
            None => self.refuse(connection, ErrorCode::BadMessage, "not joined", Some(room), None),
        }
    }

    fn submit(&mut self, connection: &Arc<Connection>, room: &str, id: &str, body: &str) {
        // Room names contain nothing to escape.
        let texts = [&**connection.user(), id, body].map(len_in_json);
        let delivered = ENVELOPE + room.len() + texts.iter().sum::<usize>();
        if delivered > self.handle.context.options.max_message_bytes() {
            let message = "the message would be longer than clients take";
            return self.refuse(connection, ErrorCode::TooLong, message, Some(room), Some(id));
        }
        let room = match self.position(room) {
            Some(position) => Arc::clone(self.subscriptions[position].room()),
            None => self.handle.context.rooms.room(room),
        };
        self.handle.submit(room, connection.user(), id, body, connection.owe(ANSWER));
    }

    /// Changes the list, which has no spare capacity: joining and leaving are rare, and every connection pays for its size.
    fn change_subscriptions(&mut self, change: impl FnOnce(&mut Vec<Subscription>)) {
        let mut subscriptions = std::mem::take(&mut self.subscriptions).into_vec();
        change(&mut subscriptions);
        self.subscriptions = subscriptions.into();
    }

    fn position(&self, room: &str) -> Option<usize> {
        self.subscriptions.iter().position(|subscription| &**subscription.room().name() == room)
    }

    fn rate_limit(
        &self,
        connection: &Connection,
        message: &str,
        room: Option<&str>,
        id: Option<&str>,
        retry_after: Duration,
    ) {
        self.handle.context.metrics.refused(ErrorCode::RateLimited.as_str());
        // Rounded up, so that a client that waits this long is not limited again.
        let retry_after = retry_after.saturating_add(Duration::from_millis(1));
        let error = ServerMessage::error(ErrorCode::RateLimited, message, room, id, Some(retry_after));
        self.handle.context.send(connection, &error);
    }

    fn refuse(&self, connection: &Connection, code: ErrorCode, message: &str, room: Option<&str>, id: Option<&str>) {
        self.handle.context.metrics.refused(code.as_str());
        self.handle.context.send(connection, &ServerMessage::error(code, message, room, id, None));
    }
}

impl Source for Member {
    fn pull(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        // The store is read for one room at a time: a page stays in memory until the client has taken it.
        let mut readers = self.subscriptions.iter().filter(|subscription| subscription.is_reading()).count();
        loop {
            let mut denied = false;
            for at in 0..self.subscriptions.len() {
                let subscription = &mut self.subscriptions[at];
                let reads = subscription.is_reading();
                denied |= subscription.pull(&self.handle, cx, batch, reads || readers == 0).is_denied();
                readers = readers - usize::from(reads) + usize::from(subscription.is_reading());
                if batch.is_full() {
                    self.subscriptions.rotate_left(at + 1);
                    return;
                }
            }
            // A subscription that was denied may read now; or later, when the reader wakes this task.
            if !denied || readers > 0 {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("rooms", &self.subscriptions.len()).finish_non_exhaustive()
    }
}

fn room_of<'a>(message: &'a ClientMessage<'_>) -> &'a str {
    match message {
        ClientMessage::Join { room, .. } | ClientMessage::Leave { room, .. } | ClientMessage::Send { room, .. } => room,
    }
}

fn id_of<'a>(message: &'a ClientMessage<'_>) -> Option<&'a str> {
    match message {
        ClientMessage::Send { id, .. } => Some(id),
        ClientMessage::Join { .. } | ClientMessage::Leave { .. } => None,
    }
}

/// Bytes of a text between the quotes of its JSON, where an escaped byte takes two or six.
fn len_in_json(text: &str) -> usize {
    let len = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C => 2,
        0x00..=0x1F => 6,
        _ => 1,
    };
    text.bytes().map(len).sum()
}
