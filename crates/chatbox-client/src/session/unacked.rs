//! The messages that wait for their ack, in the order of submission.

use crate::sending::Reply;
use crate::{Acked, SendError};
use std::collections::VecDeque;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// The greatest number of messages in flight: enough for any round trip, less than a server's burst.
const MAX_WINDOW: usize = 64;

/// A queue of messages: those in flight, then those not yet sent.
#[derive(Debug)]
pub(super) struct Unacked {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Everything before this index is in flight.
    unsent: usize,
    in_flight: usize,
    /// How many may be in flight: one after the server deferred one, and one more with each ack. Otherwise each message that
    /// a rate limit admits would cost an error for all the others.
    window: usize,
}

#[derive(Debug)]
struct Message {
    room: Box<str>,
    id: Box<str>,
    /// Encoded once, however often it is sent.
    text: Utf8Bytes,
    /// In flight on this connection.
    is_sent: bool,
    was_sent: bool,
    reply: Reply,
}

impl Default for Unacked {
    fn default() -> Self {
        Self { messages: VecDeque::new(), bytes: 0, unsent: 0, in_flight: 0, window: MAX_WINDOW }
    }
}

impl Unacked {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn contains(&self, room: &str, id: &str) -> bool {
        self.position(Some(room), id).is_some()
    }

    pub(super) fn push(&mut self, room: &str, id: &str, text: Utf8Bytes, reply: Reply) {
        self.bytes += text.len();
        let (room, id) = (room.into(), id.into());
        self.messages.push_back(Message { room, id, text, is_sent: false, was_sent: false, reply });
    }

    /// The next message to write, and whether it was written before.
    pub(super) fn next_unsent(&mut self) -> Option<(Utf8Bytes, bool)> {
        while self.in_flight < self.window {
            let message = self.messages.get_mut(self.unsent)?;
            self.unsent += 1;
            if !message.is_sent {
                message.is_sent = true;
                self.in_flight += 1;
                return Some((message.text.clone(), std::mem::replace(&mut message.was_sent, true)));
            }
        }
        None
    }

    /// Removes a message and completes its future. `false`: there is no such message.
    pub(super) fn resolve(&mut self, room: Option<&str>, id: &str, answer: Result<Acked, SendError>) -> bool {
        let Some(position) = self.position(room, id) else { return false };
        let Some(message) = self.messages.remove(position) else { return false };
        self.bytes -= message.text.len();
        self.in_flight -= usize::from(message.is_sent);
        if answer.is_ok() {
            self.window = MAX_WINDOW.min(self.window + 1);
        }
        self.unsent -= usize::from(position < self.unsent);
        // The receiver may have been dropped.
        drop(message.reply.send(answer));
        true
    }

    /// Marks a message to be sent again. `false`: there is no such message.
    pub(super) fn defer(&mut self, room: Option<&str>, id: &str) -> bool {
        let Some(position) = self.position(room, id) else { return false };
        let was_in_flight = std::mem::take(&mut self.messages[position].is_sent);
        self.in_flight -= usize::from(was_in_flight);
        self.window = 1;
        self.unsent = self.unsent.min(position);
        true
    }

    /// Nothing is in flight any more.
    pub(super) fn on_disconnected(&mut self) {
        self.unsent = 0;
        self.in_flight = 0;
        for message in &mut self.messages {
            message.is_sent = false;
        }
    }

    /// Completes all futures with [`SendError::Closed`].
    pub(super) fn abandon(&mut self) {
        for message in std::mem::take(self).messages {
            drop(message.reply.send(Err(SendError::Closed)));
        }
    }

    /// Linear, because acks come in the order of sending, or nearly so: most often the first matches.
    fn position(&self, room: Option<&str>, id: &str) -> Option<usize> {
        self.messages.iter().position(|message| *message.id == *id && room.is_none_or(|room| *message.room == *room))
    }
}
