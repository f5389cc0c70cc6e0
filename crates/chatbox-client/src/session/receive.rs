//! What the server says, and what follows from it.

use super::room::{Arrival, State};
use super::{Link, Session};
use crate::reconnect::MAX_WAIT;
use crate::{Acked, Event, Reason, SendError};
use chatbox_protocol::{ErrorCode, ServerMessage};
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// An `error`, without its code.
struct Fault<'a> {
    message: &'a str,
    room: Option<&'a str>,
    retry_after: Option<Duration>,
}

impl Session {
    /// Takes one text message.
    ///
    /// # Errors
    ///
    /// When it is none of the protocol.
    pub(crate) fn on_text(&mut self, text: &str, now: Instant) -> Result<(), Reason> {
        let message = ServerMessage::parse(text).map_err(|error| Reason::Protocol(error.to_string()))?;
        if self.link.is_none() && !matches!(message, ServerMessage::Welcome { .. }) {
            return Err(Reason::Protocol("the first message is not `welcome`".to_owned()));
        }
        match message {
            ServerMessage::Welcome { user, connection, server, heartbeat_ms, .. } => {
                let heartbeat = Duration::from_millis(heartbeat_ms);
                self.link = Some(Link { heartbeat, progressed: false, slot: None });
                self.stats.connects += 1;
                let (server, connection) = (server.into_owned(), connection.into_owned());
                self.emit(Event::Connected { server, connection, user: user.into_owned() });
            }
            ServerMessage::Joined { room, head, first, .. } => self.on_joined(&room, head, first),
            ServerMessage::Left { room, .. } => {
                if let Some(room) = self.name(&room) {
                    self.on_out(&room);
                }
            }
            ServerMessage::Message { room, seq, user, id, body, at, .. } => {
                self.progress();
                if let Some(room) = self.arrive(&room, seq) {
                    let (user, id, body) = (user.into_owned(), id.into_owned(), body.into_owned());
                    self.emit(Event::Message { room, seq, user, id, body, at });
                }
            }
            ServerMessage::Ack { room, id, seq, .. } => {
                self.progress();
                self.stats.acked += u64::from(self.unacked.resolve(Some(&room), &id, Ok(Acked { seq })));
                self.deferrals = 0;
            }
            ServerMessage::Error { code, message, room, id, retry_after_ms, .. } => {
                let retry_after = retry_after_ms.map(|millis| Duration::from_millis(millis).min(MAX_WAIT));
                let fault = Fault { message: &message, room: room.as_deref(), retry_after };
                match (id, fault.room.and_then(|room| self.name(room))) {
                    (Some(id), _) => self.on_send_error(&id, code, &fault, now),
                    (None, Some(room)) => self.on_room_error(&room, code, &fault, now),
                    (None, None) => self.report(code, &fault),
                }
            }
            ServerMessage::Goodbye { reason, reconnect_after_ms, .. } => {
                let reconnect_after = Duration::from_millis(reconnect_after_ms).min(MAX_WAIT);
                if let Some(link) = &mut self.link {
                    link.slot = Some(now + reconnect_after);
                }
                self.emit(Event::Goodbye { reason: reason.into_owned(), reconnect_after });
            }
            // A type of a later version.
            _ => {}
        }
        Ok(())
    }

    fn progress(&mut self) {
        if let Some(link) = &mut self.link {
            link.progressed = true;
        }
    }

    fn on_joined(&mut self, room: &str, head: u64, first: u64) {
        let Some(name) = self.name(room) else { return };
        let Some(start) = self.rooms.get_mut(room).and_then(|room| room.on_joined(head, first)) else { return };
        self.emit(Event::Joined { room: Arc::clone(&name), head, first, after: start.after });
        if let Some((from, to)) = start.lost {
            self.lose(from, to);
            self.emit(Event::Gap { room: name, from, to, announced: true });
        }
    }

    /// Whether a message is to be delivered: then the room's name.
    fn arrive(&mut self, room: &str, seq: u64) -> Option<Arc<str>> {
        let name = self.name(room)?;
        match self.rooms.get_mut(room)?.on_message(seq) {
            Arrival::Stray => return None,
            Arrival::Duplicate => {
                self.stats.duplicates += 1;
                return None;
            }
            Arrival::Next => {}
            Arrival::After(from, to) => {
                self.lose(from, to);
                self.stats.violations += 1;
                self.emit(Event::Gap { room: Arc::clone(&name), from, to, announced: false });
            }
        }
        self.stats.messages += 1;
        Some(name)
    }

    fn lose(&mut self, from: u64, to: u64) {
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

    /// Holds back all messages, not only the one that was put off: those behind it would fare no better, and would overtake
    /// it if they did.
    fn hold(&mut self, retry_after: Option<Duration>, now: Instant) {
        let delay = match retry_after {
            Some(delay) => delay,
            // The same failure has met several messages that were on their way together.
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
            (ErrorCode::HistoryGone, State::Joining) => return room.on_history_gone(),
            (ErrorCode::RateLimited | ErrorCode::StoreUnavailable, State::Joining | State::Leaving) => {
                return self.defer(name, fault.retry_after, now);
            }
            (ErrorCode::BadMessage, State::Joining) if room.is_resuming() => self.defer(name, None, now),
            (_, State::Joining) => {
                room.refuse();
                self.report(code, fault);
                return self.on_out(name);
            }
            // Whatever it is, the client is not in that room.
            (_, State::Leaving) => return self.on_out(name),
            (_, State::Out | State::In) => {}
        }
        self.report(code, fault);
    }

    /// The request about a room is to be made again, unless the application has changed its mind.
    fn defer(&mut self, name: &Arc<str>, retry_after: Option<Duration>, now: Instant) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let delay = self.limits.backoff.delay(room.deferrals(), self.rng.random());
        room.defer(now + retry_after.unwrap_or(delay));
        self.settle(name);
    }

    fn report(&mut self, code: ErrorCode, fault: &Fault<'_>) {
        let room = fault.room.map(|room| self.name(room).unwrap_or_else(|| room.into()));
        self.emit(Event::Error { code, message: fault.message.to_owned(), room });
    }
}
