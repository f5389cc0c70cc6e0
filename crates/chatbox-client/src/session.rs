//! The state that outlives a connection: rooms with their cursors, and messages without an ack. Does no I/O: it is fed with
//! messages and the time, and polled for messages to send and for events.

mod receive;
mod room;
mod unacked;

use crate::backoff::Backoff;
use crate::sending::Reply;
use crate::{Event, JoinFrom, Reason, SendError, Stats};
use chatbox_protocol::{ClientMessage, MessageId, RoomName};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use room::{Room, State, Wish};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use unacked::Unacked;

/// Bounds of a session, and its backoff.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_unacked: usize,
    pub(crate) max_unacked_bytes: usize,
    pub(crate) max_message_bytes: usize,
    /// The delay after a transient error for which the server names none.
    pub(crate) backoff: Backoff,
}

/// A client's rooms, unacked messages and undelivered events.
#[derive(Debug)]
pub(crate) struct Session {
    limits: Limits,
    rooms: BTreeMap<Arc<str>, Room>,
    /// The epoch of the last `joined`.
    epoch: Option<Arc<str>>,
    unacked: Unacked,
    /// Events for the application.
    events: VecDeque<Event>,
    /// Present between `welcome` and the end of the connection.
    link: Option<Link>,
    /// No message is sent before this time.
    hold_until: Option<Instant>,
    /// How often in a row the server deferred a message.
    deferrals: u32,
    rng: SmallRng,
    /// Random, so that ids are unique among all clients of the user.
    prefix: u64,
    ids: u64,
    stats: Stats,
    ended: Option<Reason>,
}

/// The state of the current connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// The interval of the server's pings.
    pub(crate) heartbeat: Duration,
    /// A `message` or an `ack` was received.
    pub(crate) progressed: bool,
    /// The client's slot for reconnecting.
    pub(crate) slot: Option<Instant>,
    /// The server said `goodbye` and serves the connection on for a while, for the client to move.
    pub(crate) is_leaving: bool,
}

/// Requests of the application.
impl Session {
    pub(crate) fn new(limits: Limits, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        Self {
            limits,
            rooms: BTreeMap::new(),
            epoch: None,
            unacked: Unacked::default(),
            events: VecDeque::new(),
            link: None,
            hold_until: None,
            deferrals: 0,
            prefix: rng.random(),
            rng,
            ids: 0,
            stats: Stats::default(),
            ended: None,
        }
    }

    /// Joins a room; nothing changes if the client is in it.
    pub(crate) fn join(&mut self, room: &RoomName<'_>, from: JoinFrom) {
        match self.rooms.get_mut(room.as_str()) {
            Some(room) => room.join(from),
            None => drop(self.rooms.insert(room.as_str().into(), Room::new(from))),
        }
    }

    /// Leaves a room; nothing changes if the client is not in it.
    pub(crate) fn leave(&mut self, room: &str) {
        let Some(name) = self.name(room) else { return };
        if let Some(room) = self.rooms.get_mut(&name) {
            room.leave();
        }
        self.forget_if_out(&name);
    }

    /// An id that no other message has.
    pub(crate) fn new_id(&mut self) -> String {
        self.ids += 1;
        format!("{:016x}-{}", self.prefix, self.ids)
    }

    /// Queues a message, which is sent until it is acked or rejected.
    pub(crate) fn send(&mut self, room: &str, id: &str, body: &str, reply: Reply) {
        match self.admit(room, id, body) {
            Ok(text) => self.unacked.push(room, id, text, reply),
            // The receiver may have been dropped.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Completes `reply` when everything sent so far has its answer.
    pub(crate) fn wait_for_acks(&mut self, reply: oneshot::Sender<Result<(), SendError>>) {
        self.unacked.wait(reply);
    }

    /// Ends the session. Acks still count until it is [finished](Self::finish).
    pub(crate) fn end(&mut self, reason: Reason) {
        self.events.clear();
        self.ended.get_or_insert(reason);
    }

    pub(crate) fn ended(&self) -> Option<&Reason> {
        self.ended.as_ref()
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { is_connected: self.link.is_some(), unacked: self.unacked.len(), ..self.stats }
    }

    fn admit(&self, room: &str, id: &str, body: &str) -> Result<Utf8Bytes, SendError> {
        if self.ended.is_some() {
            return Err(SendError::Closed);
        }
        let (room, id) = (RoomName::new(room)?, MessageId::new(id)?);
        if self.unacked.contains(&room, &id) {
            return Err(SendError::DuplicateId);
        }
        let text = ClientMessage::send(room, id, body).encode();
        let (bytes, limit) = (text.len(), self.limits.max_message_bytes);
        if bytes > limit {
            return Err(SendError::TooLong { bytes, limit });
        }
        let is_full = self.unacked.len() >= self.limits.max_unacked
            || self.unacked.bytes() + bytes > self.limits.max_unacked_bytes;
        if is_full { Err(SendError::Full) } else { Ok(text.into()) }
    }
}

/// The driver's side.
impl Session {
    /// The next text to write, if there is one. Rooms first, so that the client receives its own messages.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<Utf8Bytes> {
        self.link?;
        for (name, room) in &mut self.rooms {
            if let Some(request) = room.request(name, now) {
                return Some(request.encode().into());
            }
        }
        if self.hold_until.is_some_and(|until| until > now) {
            return None;
        }
        let (text, is_again) = self.unacked.next_unsent()?;
        self.stats.resent += u64::from(is_again);
        Some(text)
    }

    /// The time at which [`poll_transmit`](Self::poll_transmit) will have more than now.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let rooms = self.rooms.values().filter_map(Room::retry_at);
        rooms.chain(self.hold_until).filter(|at| *at > now).min()
    }

    pub(crate) fn link(&self) -> Option<Link> {
        self.link
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Discards the events: their receiver was dropped.
    pub(crate) fn discard_events(&mut self) {
        self.events.clear();
    }

    /// The connection, or the attempt to get one, ended: rooms will be joined and messages sent again on the next.
    pub(crate) fn on_disconnected(&mut self, reason: Reason, retry_in: Duration) {
        self.link = None;
        self.stats.disconnects += 1;
        self.emit(Event::Disconnected { reason, retry_in });
        self.unacked.on_disconnected();
        for name in self.names() {
            self.on_out(&name);
        }
    }

    /// Ends the session for good: futures of unacked messages complete with an error.
    pub(crate) fn finish(&mut self, reason: Reason) {
        self.end(reason);
        self.link = None;
        self.unacked.abandon();
    }

    fn emit(&mut self, event: Event) {
        if self.ended.is_none() {
            self.events.push_back(event);
        }
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.rooms.keys().cloned().collect()
    }

    /// The shared name of a room that the application wants to be in or has not yet left.
    fn name(&self, room: &str) -> Option<Arc<str>> {
        self.rooms.get_key_value(room).map(|(name, _)| Arc::clone(name))
    }

    /// The client is not in a room on this connection, or not any more.
    fn on_out(&mut self, name: &Arc<str>) {
        if let Some(room) = self.rooms.get_mut(name) {
            room.on_out();
        }
        self.forget_if_out(name);
    }

    /// Removes a room that the client is not in and the application does not want.
    fn forget_if_out(&mut self, name: &Arc<str>) {
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.state() == State::Out) else { return };
        match room.wish() {
            Wish::In => return,
            Wish::Again(from) => *room = Room::new(from.clone()),
            Wish::Out => drop(self.rooms.remove(name)),
        }
        self.emit(Event::Left { room: Arc::clone(name) });
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
