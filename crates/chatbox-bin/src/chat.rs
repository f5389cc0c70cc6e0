//! The handler that connects a WebSocket session to the rooms.

use crate::auth::Identity;
use crate::disconnect::close_reason;
use chatbox_core::{Batch, CloseReason, Closing, Connection, Source as _};
use chatbox_protocol::Disconnect;
use chatbox_rooms::{Member, Permission, Rooms};
use chatbox_ws::{Expiry, Handler, Message};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

/// A member of the rooms as the handler of a WebSocket session: `chatbox-ws` and `chatbox-rooms` do not depend on each other.
pub(crate) struct ChatHandler {
    member: Member,
}

impl ChatHandler {
    /// Greets the client. `permission` says which rooms it may enter; `None`: all.
    pub(crate) fn new(rooms: &Rooms, connection: &Connection, permission: Option<Permission>) -> Self {
        Self { member: Member::new(rooms, connection, permission) }
    }
}

impl Handler for ChatHandler {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        if let Message::Text(text) = message {
            self.member.on_text(connection, text);
        }
        Ok(())
    }

    fn poll_ready(&mut self, connection: &Arc<Connection>, cx: &mut Context<'_>) -> Poll<()> {
        self.member.poll_ready(connection, cx)
    }

    fn pull(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        self.member.pull(cx, batch);
    }

    fn on_closing(&mut self, connection: &Arc<Connection>, _: &Closing) {
        self.member.on_closing(connection);
    }

    fn before_close(&mut self, connection: &Arc<Connection>, closing: &Closing) {
        self.member.before_close(connection, closing);
    }
}

/// The close of a connection when its authentication expires.
pub(crate) fn expiry(identity: &Identity) -> Option<Expiry> {
    let left = identity.expires?.duration_since(SystemTime::now()).unwrap_or_default();
    Some(Expiry::new(left, close_reason(Disconnect::TokenExpired)))
}
