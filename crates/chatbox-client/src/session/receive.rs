//! A session's reaction to messages from the server.

use super::room::{Arrival, Room, State};
use super::{Link, Session};
use crate::reconnect::MAX_WAIT;
use crate::{Acked, Event, Gap, Reason, SendError};
use chatbox_protocol::{ErrorCode, ServerMessage};
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The fields of an `error` but its code and id.
struct Fault<'a> {
    message: &'a str,
    room: Option<&'a str>,
    retry_after: Option<Duration>,
}

impl Session {
    /// Processes one text message.
    ///
    /// # Errors
    ///
    /// When it is not a message of the protocol.
    pub(crate) fn on_text(&mut self, text: &str, now: Instant) -> Result<(), Reason> {
        let message = ServerMessage::parse(text).map_err(|error| Reason::Protocol(error.to_string()))?;
        if self.link.is_none() && !matches!(message, ServerMessage::Welcome { .. }) {
            return Err(not_welcome());
        }
        match message {
            ServerMessage::Welcome { .. } => self.on_welcome(message),
            ServerMessage::Joined { room, head, first, epoch, .. } => {
                let epoch = epoch.map(|epoch| self.shared_epoch(&epoch));
                self.on_joined(&room, head, first, epoch);
            }
            ServerMessage::Left { room, .. } => {
                if let Some(room) = self.name(&room) {
                    self.on_out(&room);
                }
            }
            ServerMessage::Message { room, seq, user, id, body, at, .. } => {
                self.progress();
                let arrival = self.rooms.get_mut(&*room).map(|room| room.on_message(seq));
                if let Some(room) = arrival.and_then(|arrival| self.arrive(&room, arrival)) {
                    let (user, id, body) = (user.into_owned(), id.into_owned(), body.into_owned());
                    self.emit(Event::Message { room, seq, user, id, body, at });
                }
            }
            ServerMessage::Ack { room, id, seq, .. } => self.on_ack(&room, &id, seq),
            ServerMessage::Error { code, message, room, id, retry_after_ms, .. } => {
                let retry_after = retry_after_ms.map(|millis| Duration::from_millis(millis).min(MAX_WAIT));
                let fault = Fault { message: &message, room: room.as_deref(), retry_after };
                match (id, fault.room.and_then(|room| self.name(room))) {
                    (Some(id), _) => self.on_send_error(&id, code, &fault, now),
                    (None, Some(room)) => self.on_room_error(&room, code, &fault, now),
                    (None, None) => self.report(code, &fault),
                }
            }
            ServerMessage::Goodbye { reason, close_after_ms, reconnect_after_ms, .. } => {
                let close_after = Duration::from_millis(close_after_ms).min(MAX_WAIT);
                let reconnect_after = Duration::from_millis(reconnect_after_ms).min(MAX_WAIT);
                if let Some(link) = &mut self.link {
                    link.slot = Some(now + close_after + reconnect_after);
                    link.is_leaving = !close_after.is_zero();
                }
                self.emit(Event::Goodbye { reason: reason.into_owned(), close_after, reconnect_after });
            }
            // A type of a later version.
            _ => {}
        }
        Ok(())
    }

    /// Begins to use another connection, whose first text this is. The one used so far becomes the previous one: messages
    /// and acks are still taken from it until it is [closed](Self::on_previous_closed).
    ///
    /// # Errors
    ///
    /// When the text is not a `welcome`. Nothing has changed then.
    pub(crate) fn on_moved(&mut self, welcome: &str) -> Result<(), Reason> {
        let message = ServerMessage::parse(welcome).map_err(|error| Reason::Protocol(error.to_string()))?;
        if !matches!(message, ServerMessage::Welcome { .. }) {
            return Err(not_welcome());
        }
        self.stats.moves += 1;
        self.on_welcome(message);
        self.unacked.on_moved();
        for name in self.names() {
            if let Some(room) = self.rooms.get_mut(&name) {
                room.on_moved();
            }
            self.forget_if_out(&name);
        }
        Ok(())
    }

    /// Processes a text of the previous connection: its messages until a room is joined on the current one, and answers to
    /// what was sent over it. Everything else concerns that connection alone.
    pub(crate) fn on_previous_text(&mut self, text: &str, now: Instant) {
        match ServerMessage::parse(text) {
            Ok(ServerMessage::Message { room, seq, user, id, body, at, .. }) => {
                let arrival = self.rooms.get_mut(&*room).map(|room| room.on_previous_message(seq));
                if let Some(room) = arrival.and_then(|arrival| self.arrive(&room, arrival)) {
                    let (user, id, body) = (user.into_owned(), id.into_owned(), body.into_owned());
                    self.emit(Event::Message { room, seq, user, id, body, at });
                }
            }
            Ok(ServerMessage::Ack { room, id, seq, .. }) => self.on_ack(&room, &id, seq),
            Ok(ServerMessage::Error { code, message, room, id: Some(id), retry_after_ms, .. }) => {
                let retry_after = retry_after_ms.map(|millis| Duration::from_millis(millis).min(MAX_WAIT));
                let fault = Fault { message: &message, room: room.as_deref(), retry_after };
                self.on_send_error(&id, code, &fault, now);
            }
            _ => {}
        }
    }

    /// Whether nothing more is needed of the previous connection: every room is joined on the current one, and everything
    /// sent over the previous one is answered.
    pub(crate) fn has_moved(&self) -> bool {
        !self.unacked.is_on_previous() && self.rooms.values().all(Room::is_settled)
    }

    /// The previous connection is closed: what it did not answer is sent again.
    pub(crate) fn on_previous_closed(&mut self) {
        self.unacked.on_previous_closed();
        for room in self.rooms.values_mut() {
            room.on_previous_closed();
        }
    }

    fn on_welcome(&mut self, welcome: ServerMessage<'_>) {
        let ServerMessage::Welcome { user, connection, server, generation, heartbeat_ms, .. } = welcome else { return };
        let heartbeat = Duration::from_millis(heartbeat_ms);
        self.link = Some(Link { heartbeat, progressed: false, slot: None, is_leaving: false });
        self.stats.connects += 1;
        self.emit(Event::Connected {
            server: server.into_owned(),
            generation: generation.map(Into::into),
            connection: connection.into_owned(),
            user: user.into_owned(),
        });
    }

    fn on_ack(&mut self, room: &str, id: &str, seq: u64) {
        self.progress();
        self.stats.acked += u64::from(self.unacked.resolve(Some(room), id, Ok(Acked { seq })));
        self.deferrals = 0;
    }

    fn progress(&mut self) {
        if let Some(link) = &mut self.link {
            link.progressed = true;
        }
    }

    fn on_joined(&mut self, room: &str, head: u64, first: u64, epoch: Option<Arc<str>>) {
        let Some(name) = self.name(room) else { return };
        let Some(joined) = self.rooms.get_mut(room) else { return };
        let Some(start) = joined.on_joined(head, first, epoch.clone()) else { return };
        self.emit(Event::Joined { room: Arc::clone(&name), head, first, epoch, after: start.after });
        if let Some(gap) = start.gap {
            self.on_gap(name, gap);
        }
    }

    /// The text as one allocation for all rooms: most often they are of one log.
    fn shared_epoch(&mut self, epoch: &str) -> Arc<str> {
        if let Some(known) = self.epoch.as_ref().filter(|known| ***known == *epoch) {
            return Arc::clone(known);
        }
        let epoch = Arc::<str>::from(epoch);
        self.epoch = Some(Arc::clone(&epoch));
        epoch
    }

    /// The name of the room if the message is to be delivered.
    fn arrive(&mut self, room: &str, arrival: Arrival) -> Option<Arc<str>> {
        let name = self.name(room)?;
        match arrival {
            Arrival::Stray => return None,
            Arrival::Duplicate => {
                self.stats.duplicates += 1;
                return None;
            }
            Arrival::Next => {}
            Arrival::Behind(gap) => self.on_gap(Arc::clone(&name), gap),
        }
        self.stats.messages += 1;
        Some(name)
    }

    fn on_gap(&mut self, room: Arc<str>, gap: Gap) {
        match gap {
            Gap::Removed { from, to } => self.count_lost(from, to),
            Gap::LogReplaced { .. } => self.stats.replaced_logs += 1,
            Gap::Missing { from, to } => {
                self.count_lost(from, to);
                self.stats.violations += 1;
            }
        }
        self.emit(Event::Gap { room, gap });
    }

    fn count_lost(&mut self, from: u64, to: u64) {
        self.stats.lost = self.stats.lost.saturating_add(to - from).saturating_add(1);
    }

    fn on_send_error(&mut self, id: &str, code: ErrorCode, fault: &Fault<'_>, now: Instant) {
        let is_ours = match code {
            ErrorCode::RateLimited | ErrorCode::StoreUnavailable => {
                let is_ours = self.unacked.defer(fault.room, id);
                if is_ours {
                    self.hold(fault.retry_after, now);
                }
                is_ours
            }
            _ => {
                let error = SendError::Rejected { code, message: fault.message.to_owned() };
                self.unacked.resolve(fault.room, id, Err(error))
            }
        };
        if !is_ours {
            self.report(code, fault);
        }
    }

    /// Holds back all messages, not only the deferred one: later ones would be deferred, too, or overtake it.
    fn hold(&mut self, retry_after: Option<Duration>, now: Instant) {
        let delay = match retry_after {
            Some(delay) => delay,
            // Several messages that were in flight together met the same failure.
            None if self.hold_until.is_some_and(|until| until > now) => return,
            None => {
                let delay = self.limits.backoff.delay(self.deferrals, self.rng.random());
                self.deferrals = self.deferrals.saturating_add(1);
                delay
            }
        };
        self.hold_until = self.hold_until.max(Some(now + delay));
    }

    fn on_room_error(&mut self, name: &Arc<str>, code: ErrorCode, fault: &Fault<'_>, now: Instant) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        match (code, room.state()) {
            (ErrorCode::HistoryGone, State::Joining | State::In | State::Leaving) => return room.on_history_gone(),
            (ErrorCode::RateLimited | ErrorCode::StoreUnavailable, State::Joining | State::Leaving) => {
                return self.defer(name, fault.retry_after, now);
            }
            (ErrorCode::BadMessage, State::Joining) if room.on_unknown_cursor() => self.defer(name, None, now),
            (_, State::Joining) => {
                room.refuse();
                self.report(code, fault);
                return self.on_out(name);
            }
            // Whatever the error, the client is not in that room.
            (_, State::Leaving) => return self.on_out(name),
            (_, State::Out | State::In) => {}
        }
        self.report(code, fault);
    }

    /// Repeats the request about a room later, unless the application does not want it any more.
    fn defer(&mut self, name: &Arc<str>, retry_after: Option<Duration>, now: Instant) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let delay = self.limits.backoff.delay(room.deferrals(), self.rng.random());
        room.defer(now + retry_after.unwrap_or(delay));
        self.forget_if_out(name);
    }

    fn report(&mut self, code: ErrorCode, fault: &Fault<'_>) {
        let room = fault.room.map(|room| self.name(room).unwrap_or_else(|| room.into()));
        self.emit(Event::Error { code, message: fault.message.to_owned(), room });
    }
}

fn not_welcome() -> Reason {
    Reason::Protocol("the first message is not `welcome`".to_owned())
}
