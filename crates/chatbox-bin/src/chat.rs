//! The rooms as the application of a WebSocket connection.

use chatbox_core::{Batch, CloseReason, Closing, Connection, Source};
use chatbox_rooms::{Member, Permission, Rooms};
use chatbox_ws::{Handler, Message};
use std::sync::Arc;
use std::task::{Context, Poll};

/// Joins the two crates that know nothing of each other.
pub(crate) struct ChatHandler(Member);

impl ChatHandler {
    pub(crate) fn new(rooms: &Rooms, connection: &Connection, permission: Option<Permission>) -> Self {
        Self(Member::new(rooms, connection, permission))
    }
}

impl Source for ChatHandler {
    fn pull(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        self.0.pull(cx, batch);
    }
}

impl Handler for ChatHandler {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        if let Message::Text(text) = message {
            self.0.on_text(connection, text);
        }
        Ok(())
    }

    fn poll_ready(&mut self, connection: &Arc<Connection>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(connection, cx)
    }

    fn on_closing(&mut self, _: &Arc<Connection>, _: &Closing) {
        self.0.on_closing();
    }

    fn last_words(&mut self, connection: &Arc<Connection>, closing: &Closing) {
        self.0.last_words(connection, closing);
    }
}
