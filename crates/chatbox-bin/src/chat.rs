//! The rooms as the application of a WebSocket connection.

use crate::room_limits::{RoomLimits, room_of};
use crate::service::Inner;
use crate::telemetry;
use chatbox_core::{Batch, CloseReason, Closing, Connection, Source};
use chatbox_protocol::{ClientMessage, ErrorCode, ServerMessage};
use chatbox_rooms::{Member, Permission};
use chatbox_ws::{Handler, Message, frame};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Joins the two crates that know nothing of each other.
pub(crate) struct ChatHandler {
    member: Member,
    rooms: Arc<RoomLimits>,
}

impl ChatHandler {
    pub(crate) fn new(service: &Inner, connection: &Connection, permission: Option<Permission>) -> Self {
        let member = Member::new(&service.rooms, connection, permission);
        Self { member, rooms: Arc::clone(&service.room_limits) }
    }
}

impl Source for ChatHandler {
    fn pull(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        self.member.pull(cx, batch);
    }
}

impl Handler for ChatHandler {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        if let Message::Text(text) = message {
            let room = room_of(text);
            match room.and_then(|room| self.rooms.check(connection.user(), &room, Instant::now()).err()) {
                None => self.member.on_text(connection, text),
                Some(retry_after) => refuse(connection, text, retry_after),
            }
        }
        Ok(())
    }

    fn poll_ready(&mut self, connection: &Arc<Connection>, cx: &mut Context<'_>) -> Poll<()> {
        self.member.poll_ready(connection, cx)
    }

    fn on_closing(&mut self, _: &Arc<Connection>, _: &Closing) {
        self.member.on_closing();
    }

    fn last_words(&mut self, connection: &Arc<Connection>, closing: &Closing) {
        self.member.last_words(connection, closing);
    }
}

/// Answers a request that turns to one room too many.
fn refuse(connection: &Connection, text: &str, retry_after: Duration) {
    let code = ErrorCode::RateLimited;
    telemetry::on_rejected(code.as_str());
    let (room, id) = match ClientMessage::parse(text) {
        Ok(ClientMessage::Send { room, id, .. }) => (Some(room.into()), Some(id.into())),
        Ok(ClientMessage::Join { room, .. }) => (Some(room.into()), None),
        _ => (None, None),
    };
    let error = ServerMessage::Error {
        code,
        message: "too many different rooms".into(),
        room,
        id,
        // Rounded up: a client that waits this long is not told to wait again.
        retry_after_ms: Some(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX) + 1),
    };
    let text = String::from_utf8(error.encode()).unwrap_or_default();
    connection.push(|out| frame::text(&text, out));
}
