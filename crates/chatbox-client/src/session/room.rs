//! One room as the client sees it: what the application wants, how far the server has followed, and the cursor.

use crate::JoinFrom;
use chatbox_protocol::{ClientMessage, RoomName};
use tokio::time::Instant;

/// See the module. At most one request about a room is on its way, so that an `error` that names the room, and no message,
/// is an answer to it.
#[derive(Debug)]
pub(super) struct Room {
    /// Where the next `join` begins: everything up to a cursor was delivered or is lost.
    from: JoinFrom,
    state: State,
    wish: Wish,
    /// The server has announced that what follows the cursor is no longer stored.
    is_history_gone: bool,
    retry_at: Option<Instant>,
    /// How often in a row the server put the `join` off.
    deferrals: u32,
}

/// Whether the client is in the room, on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Out,
    Joining,
    In,
    Leaving,
}

/// Where the application wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    In,
    Out,
    /// It left, and joined again before the server had let it go.
    Again(JoinFrom),
}

/// What a `message` is to a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Nothing: the client is not in the room.
    Stray,
    Duplicate,
    Next,
    /// The next one after those that are missing, first to last.
    After(u64, u64),
}

/// Where a `joined` begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) after: u64,
    /// What the server no longer has, first to last.
    pub(super) lost: Option<(u64, u64)>,
}

impl Room {
    pub(super) fn new(from: JoinFrom) -> Self {
        Self { from, state: State::Out, wish: Wish::In, is_history_gone: false, retry_at: None, deferrals: 0 }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn wish(&self) -> Wish {
        self.wish
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

    /// What to ask of the server now.
    pub(super) fn request<'a>(&mut self, name: &'a str, now: Instant) -> Option<ClientMessage<'a>> {
        if self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        let is_joining = match (self.state, self.wish) {
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
        Some(match self.from {
            JoinFrom::Live => ClientMessage::join(room),
            JoinFrom::After(after) => ClientMessage::join_after(room, after, None),
            JoinFrom::Last(last) => ClientMessage::join_last(room, last),
        })
    }

    pub(super) fn on_history_gone(&mut self) {
        self.is_history_gone = true;
    }

    /// `None`: this answers nothing.
    pub(super) fn on_joined(&mut self, head: u64, first: u64) -> Option<Start> {
        if self.state != State::Joining {
            return None;
        }
        self.state = State::In;
        self.deferrals = 0;
        let gone = first.saturating_sub(1);
        let start = match self.from {
            JoinFrom::Live => Start { after: head, lost: None },
            JoinFrom::Last(last) => Start { after: head.saturating_sub(last).max(gone), lost: None },
            JoinFrom::After(seen) if self.is_history_gone && gone > seen => {
                Start { after: gone, lost: Some((seen + 1, gone)) }
            }
            JoinFrom::After(seen) => Start { after: seen, lost: None },
        };
        self.from = JoinFrom::After(start.after);
        Some(start)
    }

    /// Moves the cursor.
    pub(super) fn on_message(&mut self, seq: u64) -> Arrival {
        let (State::In | State::Leaving, JoinFrom::After(seen)) = (self.state, self.from) else {
            return Arrival::Stray;
        };
        if seq <= seen {
            return Arrival::Duplicate;
        }
        self.from = JoinFrom::After(seq);
        if seq == seen + 1 { Arrival::Next } else { Arrival::After(seen + 1, seq - 1) }
    }

    /// Whether the join goes on from a known message. Then a server that says it is malformed means that it does not have
    /// that message yet: it lags behind the one that the client comes from.
    pub(super) fn is_resuming(&self) -> bool {
        matches!(self.from, JoinFrom::After(_))
    }

    /// How often the request on its way was put off before.
    pub(super) fn deferrals(&self) -> u32 {
        self.deferrals
    }

    /// The request on its way is to be made again at that moment.
    pub(super) fn defer(&mut self, until: Instant) {
        self.state = if self.state == State::Leaving { State::In } else { State::Out };
        self.retry_at = Some(until);
        self.deferrals = self.deferrals.saturating_add(1);
    }

    /// The server does not let the client in.
    pub(super) fn refuse(&mut self) {
        if self.wish == Wish::In {
            self.wish = Wish::Out;
        }
    }

    pub(super) fn on_out(&mut self) {
        self.state = State::Out;
    }
}
