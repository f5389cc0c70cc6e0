//! What outlives a connection: the rooms with their cursors, and the messages without an ack. Pure: it is handed what the
//! server said and the time, and asked what to say and what to tell the application.

mod receive;
mod room;
mod unacked;

use crate::backoff::Backoff;
use crate::{Acked, Event, JoinFrom, Reason, SendError, Stats};
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

/// What a session may hold, and how it waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_unacked: usize,
    pub(crate) max_unacked_bytes: usize,
    pub(crate) max_message_bytes: usize,
    /// After an error that will pass, where the server does not say when.
    pub(crate) backoff: Backoff,
}

/// Where the answer to a `send` goes.
pub(crate) type Reply = oneshot::Sender<Result<Acked, SendError>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    limits: Limits,
    rooms: BTreeMap<Arc<str>, Room>,
    unacked: Unacked,
    /// What the application is still to be told.
    events: VecDeque<Event>,
    /// Present between `welcome` and the end of the connection.
    link: Option<Link>,
    /// Nothing is sent to rooms before this moment.
    hold_until: Option<Instant>,
    /// How often in a row the server put off what was sent.
    deferrals: u32,
    rng: SmallRng,
    /// Makes the ids of this client unique among all clients of its user.
    prefix: u64,
    ids: u64,
    stats: Stats,
    ended: Option<Reason>,
}

/// What is known of the current connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// How often the server pings.
    pub(crate) heartbeat: Duration,
    /// A `message` or an `ack` came.
    pub(crate) progressed: bool,
    /// When the server wants the client back.
    pub(crate) slot: Option<Instant>,
}

/// What the application asks for.
impl Session {
    pub(crate) fn new(limits: Limits, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        Self {
            limits,
            rooms: BTreeMap::new(),
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

    /// Enters a room; nothing changes if the client is in it.
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
        self.settle(&name);
    }

    /// An id that no other message has.
    pub(crate) fn new_id(&mut self) -> String {
        self.ids += 1;
        format!("{:016x}-{}", self.prefix, self.ids)
    }

    /// Takes a message to be sent again and again, until it is acked or rejected.
    pub(crate) fn send(&mut self, room: &str, id: &str, body: &str, reply: Reply) {
        match self.admit(room, id, body) {
            Ok(text) => self.unacked.push(room, id, text, reply),
            // Nobody may be waiting for it.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Ends the session. Acks that still come are passed on until it is [finished](Self::finish).
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

/// What the driver does.
impl Session {
    /// The next text to write, if there is one: first the rooms, so that the client sees what it sends.
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

    /// When [`poll_transmit`](Self::poll_transmit) will have something that it has not now.
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

    /// Nobody takes events any more.
    pub(crate) fn discard_events(&mut self) {
        self.events.clear();
    }

    /// The connection ended, or there was none; rooms will be joined and messages sent again on the next.
    pub(crate) fn on_disconnected(&mut self, reason: Reason, retry_in: Duration) {
        self.link = None;
        self.stats.disconnects += 1;
        self.emit(Event::Disconnected { reason, retry_in });
        self.unacked.on_disconnected();
        let names: Vec<_> = self.rooms.keys().cloned().collect();
        for name in names {
            self.on_out(&name);
        }
    }

    /// Nothing more will come: whoever waits for an ack is told so.
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

    /// The shared name of a room that the application wants to be in, or has not quite left.
    fn name(&self, room: &str) -> Option<Arc<str>> {
        self.rooms.get_key_value(room).map(|(name, _)| Arc::clone(name))
    }

    /// The client is not in a room on this connection, or no longer.
    fn on_out(&mut self, name: &Arc<str>) {
        if let Some(room) = self.rooms.get_mut(name) {
            room.on_out();
        }
        self.settle(name);
    }

    /// Lets go of a room that the client is not in and the application does not want.
    fn settle(&mut self, name: &Arc<str>) {
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.state() == State::Out) else { return };
        match room.wish() {
            Wish::In => return,
            Wish::Again(from) => *room = Room::new(from),
            Wish::Out => drop(self.rooms.remove(name)),
        }
        self.emit(Event::Left { room: Arc::clone(name) });
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
