//! The messages that wait for their ack, in the order of submission.

use crate::sending::Reply;
use crate::{Acked, SendError};
use std::collections::VecDeque;
use tokio::sync::oneshot;
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
    /// How many of them were sent over the previous connection. Nothing is sent over the current one meanwhile, so that
    /// messages are stored in the order of submission.
    on_previous: usize,
    /// How many may be in flight: one after the server deferred one, and one more with each ack. Otherwise each message that
    /// a rate limit admits would cost an error for all the others.
    window: usize,
    /// The number of the next message.
    next_number: u64,
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
struct Message {
    /// Counts the messages of the session.
    number: u64,
    room: Box<str>,
    id: Box<str>,
    /// Encoded once, however often it is sent.
    text: Utf8Bytes,
    flight: Flight,
    was_sent: bool,
    reply: Reply,
}

/// The connection that a message was sent over and not yet answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    None,
    Current,
    Previous,
}

/// Waits for the answers to all messages before a number.
#[derive(Debug)]
struct Waiter {
    before: u64,
    reply: oneshot::Sender<Result<(), SendError>>,
}

impl Default for Unacked {
    fn default() -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            unsent: 0,
            in_flight: 0,
            on_previous: 0,
            window: MAX_WINDOW,
            next_number: 0,
            waiters: Vec::new(),
        }
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
        let (number, room, id) = (self.next_number, room.into(), id.into());
        self.next_number += 1;
        self.messages.push_back(Message { number, room, id, text, flight: Flight::None, was_sent: false, reply });
    }

    /// Completes `reply` when every message pushed so far has its answer.
    pub(super) fn wait(&mut self, reply: oneshot::Sender<Result<(), SendError>>) {
        self.waiters.push(Waiter { before: self.next_number, reply });
        self.complete_waiters();
    }

    /// The next message to write, and whether it was written before.
    pub(super) fn next_unsent(&mut self) -> Option<(Utf8Bytes, bool)> {
        while self.in_flight < self.window && self.on_previous == 0 {
            let message = self.messages.get_mut(self.unsent)?;
            self.unsent += 1;
            if message.flight == Flight::None {
                message.flight = Flight::Current;
                self.in_flight += 1;
                return Some((message.text.clone(), std::mem::replace(&mut message.was_sent, true)));
            }
        }
        None
    }

    /// Removes a message and completes its future. `false`: there is no such message.
    pub(super) fn resolve(&mut self, room: Option<&str>, id: &str, answer: Result<Acked, SendError>) -> bool {
        let Some(position) = self.position(room, id) else { return false };
        self.land(position);
        let Some(message) = self.messages.remove(position) else { return false };
        self.bytes -= message.text.len();
        if answer.is_ok() {
            self.window = MAX_WINDOW.min(self.window + 1);
        }
        self.unsent -= usize::from(position < self.unsent);
        // The receiver may have been dropped.
        drop(message.reply.send(answer));
        self.complete_waiters();
        true
    }

    /// Marks a message to be sent again. `false`: there is no such message.
    pub(super) fn defer(&mut self, room: Option<&str>, id: &str) -> bool {
        let Some(position) = self.position(room, id) else { return false };
        self.land(position);
        self.window = 1;
        self.unsent = self.unsent.min(position);
        true
    }

    /// What is in flight was sent over what is the previous connection now.
    pub(super) fn on_moved(&mut self) {
        for message in self.messages.iter_mut().filter(|message| message.flight == Flight::Current) {
            message.flight = Flight::Previous;
        }
        self.on_previous = self.in_flight;
    }

    /// Whether answers are still to come over the previous connection.
    pub(super) fn is_on_previous(&self) -> bool {
        self.on_previous > 0
    }

    /// What was in flight on the previous connection is to be sent again.
    pub(super) fn on_previous_closed(&mut self) {
        for position in 0..self.messages.len() {
            if self.messages[position].flight == Flight::Previous {
                self.land(position);
                self.unsent = self.unsent.min(position);
            }
        }
    }

    /// Nothing is in flight any more.
    pub(super) fn on_disconnected(&mut self) {
        (self.unsent, self.in_flight, self.on_previous) = (0, 0, 0);
        for message in &mut self.messages {
            message.flight = Flight::None;
        }
    }

    /// Completes all futures with [`SendError::Closed`].
    pub(super) fn abandon(&mut self) {
        let Self { messages, waiters, .. } = std::mem::take(self);
        for message in messages {
            drop(message.reply.send(Err(SendError::Closed)));
        }
        for waiter in waiters {
            drop(waiter.reply.send(Err(SendError::Closed)));
        }
    }

    /// A message is not in flight any more.
    fn land(&mut self, position: usize) {
        let flight = std::mem::replace(&mut self.messages[position].flight, Flight::None);
        self.in_flight -= usize::from(flight != Flight::None);
        self.on_previous -= usize::from(flight == Flight::Previous);
    }

    fn complete_waiters(&mut self) {
        let oldest = self.messages.front().map_or(u64::MAX, |message| message.number);
        for waiter in self.waiters.extract_if(.., |waiter| waiter.before <= oldest) {
            // The receiver may have been dropped.
            drop(waiter.reply.send(Ok(())));
        }
    }

    /// Linear, because acks come in the order of sending, or nearly so: most often the first matches.
    fn position(&self, room: Option<&str>, id: &str) -> Option<usize> {
        self.messages.iter().position(|message| *message.id == *id && room.is_none_or(|room| *message.room == *room))
    }
}
