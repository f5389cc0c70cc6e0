//! One room of a session: what the application wants, the state on the server, and the cursor.

use crate::{Gap, JoinFrom};
use chatbox_protocol::{ClientMessage, RoomName};
use std::sync::Arc;
use tokio::time::Instant;

/// How often a `join` is repeated that the server answers with `bad_message` before the cursor is given up: with the default
/// backoff about half a minute, long enough for a replica that lags behind.
const MAX_LAG_RETRIES: u32 = 6;

/// The state machine of one room. At most one request about a room is in flight, so an `error` that names the room and no
/// message is the answer to it.
#[derive(Debug)]
pub(super) struct Room {
    begin: Begin,
    /// The log that the cursor belongs to, as the server named it.
    epoch: Option<Arc<str>>,
    /// The cursor of the `join` in flight: messages of the previous connection may move the room's own meanwhile.
    asked: u64,
    /// A cursor that was given up: the next `joined` reports the gap.
    abandoned: Option<u64>,
    state: State,
    /// The room was joined on the previous connection, and not yet on the current one: messages come over the former.
    is_on_previous: bool,
    /// Messages up to this `seq` came over the previous connection, and may come again over the current one.
    overlap: u64,
    wish: Wish,
    /// The server has announced that its messages do not continue at the cursor.
    is_history_gone: bool,
    retry_at: Option<Instant>,
    /// How often in a row the server deferred the `join`.
    deferrals: u32,
}

/// Where the next `join` begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Live,
    Last(u64),
    /// The cursor: everything up to it was delivered or is lost.
    After(u64),
}

/// The state of the room on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Out,
    Joining,
    In,
    Leaving,
}

/// What the application wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    In,
    Out,
    /// Leave, then join again: the application did both before the server had answered.
    Again(JoinFrom),
}

/// A `message` compared with the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Not to be delivered: the client is not in the room, or the message came over the previous connection, too.
    Stray,
    /// Not to be delivered: it was delivered before.
    Duplicate,
    /// The next message.
    Next,
    /// A message that does not follow the cursor.
    Behind(Gap),
}

/// The position at which a `joined` begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) after: u64,
    pub(super) gap: Option<Gap>,
}

impl Room {
    pub(super) fn new(from: JoinFrom) -> Self {
        let (begin, epoch) = match from {
            JoinFrom::Live => (Begin::Live, None),
            JoinFrom::Last(last) => (Begin::Last(last), None),
            JoinFrom::After(after) => (Begin::After(after), None),
            JoinFrom::Resume { after, epoch } => (Begin::After(after), Some(epoch)),
        };
        Self {
            begin,
            epoch,
            asked: 0,
            abandoned: None,
            state: State::Out,
            is_on_previous: false,
            overlap: 0,
            wish: Wish::In,
            is_history_gone: false,
            retry_at: None,
            deferrals: 0,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn wish(&self) -> &Wish {
        &self.wish
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(super) fn join(&mut self, from: JoinFrom) {
        if self.wish != Wish::In {
            self.wish = Wish::Again(from);
        }
    }

    pub(super) fn leave(&mut self) {
        self.wish = Wish::Out;
    }

    /// The request to send now, if there is one.
    pub(super) fn request<'a>(&'a mut self, name: &'a str, now: Instant) -> Option<ClientMessage<'a>> {
        if self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        let is_joining = match (self.state, &self.wish) {
            (State::Out, Wish::In) => true,
            (State::In, Wish::Out | Wish::Again(_)) => false,
            _ => return None,
        };
        self.retry_at = None;
        let room = RoomName::new(name).expect("rooms are joined by a checked name");
        if !is_joining {
            self.state = State::Leaving;
            return Some(ClientMessage::leave(room));
        }
        self.state = State::Joining;
        self.is_history_gone = false;
        Some(match self.begin {
            Begin::Live => ClientMessage::join(room),
            Begin::After(after) => {
                self.asked = after;
                ClientMessage::join_after(room, after, self.epoch.as_deref())
            }
            Begin::Last(last) => ClientMessage::join_last(room, last),
        })
    }

    pub(super) fn on_history_gone(&mut self) {
        self.is_history_gone = true;
    }

    /// `None`: the `joined` answers nothing.
    pub(super) fn on_joined(&mut self, head: u64, first: u64, epoch: Option<Arc<str>>) -> Option<Start> {
        let is_announced = std::mem::take(&mut self.is_history_gone);
        // A server that resynchronises a room announces it and may say `joined` again.
        if self.state != State::Joining && !(self.state == State::In && is_announced) {
            return None;
        }
        let is_answer = self.state == State::Joining;
        self.state = State::In;
        self.deferrals = 0;
        if let (true, Begin::After(seen)) = (std::mem::take(&mut self.is_on_previous), self.begin) {
            self.overlap = seen;
        }
        let is_other_log = matches!((&self.epoch, &epoch), (Some(known), Some(now)) if known != now);
        self.epoch = epoch.or(self.epoch.take());
        let gone = first.saturating_sub(1);
        let start = match self.begin {
            Begin::Live => {
                let gap = self.abandoned.take().map(|seen| Gap::LogReplaced { seen, after: head });
                Start { after: head, gap }
            }
            Begin::Last(last) => Start { after: head.saturating_sub(last).max(gone), gap: None },
            Begin::After(seen) if is_other_log || (if is_answer { self.asked } else { seen }) > head => {
                // After `history_gone` everything that is stored follows. A server that did not notice goes on after the
                // cursor, which may lie beyond its newest message.
                let after = if is_announced { gone } else { seen.min(head) };
                Start { after, gap: Some(Gap::LogReplaced { seen, after }) }
            }
            Begin::After(seen) if is_announced && gone > seen => {
                Start { after: gone, gap: Some(Gap::Removed { from: seen + 1, to: gone }) }
            }
            Begin::After(seen) => Start { after: seen, gap: None },
        };
        self.begin = Begin::After(start.after);
        Some(start)
    }

    /// Compares a message of the current connection with the cursor, and moves it.
    pub(super) fn on_message(&mut self, seq: u64) -> Arrival {
        match self.state {
            State::In | State::Leaving => self.advance(seq),
            State::Out | State::Joining => Arrival::Stray,
        }
    }

    /// The same for a message of the previous connection.
    pub(super) fn on_previous_message(&mut self, seq: u64) -> Arrival {
        if self.is_on_previous { self.advance(seq) } else { Arrival::Stray }
    }

    fn advance(&mut self, seq: u64) -> Arrival {
        let Begin::After(seen) = self.begin else { return Arrival::Stray };
        // Messages were removed, or the log was replaced, while the client was in the room.
        let is_announced = std::mem::take(&mut self.is_history_gone);
        if seq <= seen && !is_announced {
            return if seq <= self.overlap { Arrival::Stray } else { Arrival::Duplicate };
        }
        self.begin = Begin::After(seq);
        if seq.checked_sub(1) == Some(seen) {
            return Arrival::Next;
        }
        let (from, to) = (seen.saturating_add(1), seq.saturating_sub(1));
        Arrival::Behind(match is_announced {
            true if seq <= seen => Gap::LogReplaced { seen, after: to },
            true => Gap::Removed { from, to },
            false => Gap::Missing { from, to },
        })
    }

    /// Whether a `join` with a cursor that the server called malformed is to be repeated, because the server may lag behind
    /// the one that the client comes from. If it has been for long, the cursor is given up.
    pub(super) fn on_unknown_cursor(&mut self) -> bool {
        let Begin::After(seen) = self.begin else { return false };
        if self.deferrals >= MAX_LAG_RETRIES {
            self.begin = Begin::Live;
            self.epoch = None;
            self.abandoned = Some(seen);
        }
        true
    }

    /// How often the current request was deferred before.
    pub(super) fn deferrals(&self) -> u32 {
        self.deferrals
    }

    /// The current request is to be repeated at that time.
    pub(super) fn defer(&mut self, until: Instant) {
        self.state = if self.state == State::Leaving { State::In } else { State::Out };
        self.retry_at = Some(until);
        self.deferrals = self.deferrals.saturating_add(1);
    }

    /// The server refuses the room.
    pub(super) fn refuse(&mut self) {
        if self.wish == Wish::In {
            self.wish = Wish::Out;
        }
    }

    /// The client is not in the room, or not any more.
    pub(super) fn on_out(&mut self) {
        self.state = State::Out;
        self.is_on_previous = false;
        self.overlap = 0;
    }

    /// The client has another connection, and is to join the room there.
    pub(super) fn on_moved(&mut self) {
        let is_joined = matches!(self.state, State::In | State::Leaving);
        self.on_out();
        self.is_on_previous = is_joined;
        self.is_history_gone = false;
        self.retry_at = None;
    }

    /// No message of the previous connection follows.
    pub(super) fn on_previous_closed(&mut self) {
        self.is_on_previous = false;
    }

    /// Whether the room is where the application wants it to be.
    pub(super) fn is_settled(&self) -> bool {
        self.state == State::In && self.wish == Wish::In
    }
}
